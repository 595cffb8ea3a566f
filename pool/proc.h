/* SPDX-License-Identifier: MIT */
/* One process of a task: prepared in full by the worker, then started by clone with shared memory,
 * so that nothing is copied. The worker knows when clone returns whether exec succeeded, or goes on
 * at once and asks when the process has ended: that spares two switches between them. */
#ifndef GANGER_POOL_PROC_H
#define GANGER_POOL_PROC_H

#include "pool/task.h"

#include <sys/resource.h>
#include <sys/types.h>

/* What a child tells its parent before exec; lies in memory that both share. */
enum proc_step {
    PROC_STEP_NONE,
    PROC_STEP_SETUP,
    PROC_STEP_DIRECTORY,
    PROC_STEP_LIMIT,
    PROC_STEP_EXEC
};
struct proc_report {
    volatile int step;
    volatile int error; /* errno */
    volatile int limit; /* index into the limits */
};

/* Owner: the worker; made once by the process that will use it, then used for each task. */
struct proc_launcher {
    void *stack; /* of the child until exec, and at its end what it is told; guarded below */
    size_t stack_size;
    struct proc_report *report; /* shared mapping */
    pid_t self;
};
MUST_CHECK bool proc_launcher_init(struct proc_launcher *l, struct err *err);

#define PROC_BLOB_FD 10 /* shells use lower ones by themselves */
#define PROC_MAX_LIMITS 5
#define PROC_MORE_FDS 3
/* The lowest number that none of a task's own descriptors has. */
#define PROC_ABOVE_FDS (PROC_BLOB_FD + TASK_MAX_BLOBS)
struct proc_limit {
    int resource;
    struct rlimit value;
    const char *name; /* as the client knows it */
};

struct proc {
    char **argv, **envp;
    char **candidates; /* paths to try in turn; NULL at the end */
    const char *cwd;   /* NULL: cwd_fd */
    int cwd_fd;
    int fds[3];      /* what becomes 0, 1, 2; each at least 3 */
    int progress_fd; /* what becomes 3, at least 3; 0: nothing does */
    bool no_pidfd;   /* the caller hears of the end by SIGCHLD, which costs less */
    bool goes_on;    /* the caller does not wait for exec */
    /* What becomes 4, 5 and 6, each at least PROC_ABOVE_FDS as is progress_fd then; 0: nothing. */
    int more_fds[PROC_MORE_FDS];
    /* What becomes PROC_BLOB_FD and the numbers behind it, each at least PROC_ABOVE_FDS. */
    int blob_fds[TASK_MAX_BLOBS];
    uint32_t n_blobs;
    struct proc_limit limits[PROC_MAX_LIMITS];
    uint32_t n_limits;
};

/* Environment, in order of precedence: `marker` ("K=V", may be empty), the task's own, `extra`,
 * PATH=path. Nothing is inherited, not even HOME or LANG: what a job sees must not depend on how
 * the server was started. All memory is from `a`; the strings stay where they are. False when the
 * arena is full. */
struct proc_source {
    const struct task *task;
    const struct slice *extra;
    uint32_t n_extra;
    struct slice marker;
    const char *path;
};
MUST_CHECK bool proc_prepare(struct proc *p, const struct proc_source *from, struct arena *a);

enum proc_result {
    PROC_STARTED,
    PROC_EXEC_FAILED, /* the task's fault: text and errno say why */
    PROC_NOT_STARTED  /* the machine's: EAGAIN, ENOMEM, EMFILE; try later */
};
struct proc_started {
    pid_t pid;
    int pidfd;      /* the caller's; -1 with no_pidfd */
    int error;      /* errno of a failure */
    char text[128]; /* "No such file or directory: foo" */
};
/* Returns when the child has exec'ed or failed. A failed child is already reaped. With goes_on it
 * returns once there is a child: what it was given, its memory and the launcher's are its own until
 * it has ended, and then proc_outcome says whether it came to exec. On success it is
 * the leader of a new session and group, dies with the calling thread (PR_SET_PDEATHSIG), and has
 * descriptors 0, 1 and 2 only, 3 for its progress, and those of more_fds and blob_fds. */
enum proc_result proc_start(const struct proc_launcher *l, const struct proc *p,
                            struct proc_started *ret);
/* Of a child that was started with goes_on and has been reaped. */
enum proc_result proc_outcome(const struct proc_launcher *l, const struct proc *p,
                              struct proc_started *ret);

#endif
