/* SPDX-License-Identifier: MIT */
/* What a worker is to run, and how it ended. The pool knows tasks, not jobs: argv, bytes in, limits
 * → exit, bytes out, usage. A task is encoded once, where the request is read; these bytes are
 * stored as they are and later copied into a worker's slot. */
#ifndef GANGER_POOL_TASK_H
#define GANGER_POOL_TASK_H

#include "service/base/blob.h"
#include "service/base/buf.h"
#include "service/base/text.h"
#include "service/base/value.h"

#define TASK_MAX_ARGS 4096
#define TASK_MAX_ENV 4096
#define TASK_MAX_INPUTS 1000
#define TASK_MAX_BLOBS 8 /* of them */
#define TASK_MAX_OUTPUTS 16

/* NATIVE: argv[0] is the name of a function that the workers have loaded, stdin_bytes are its
 * arguments, {"args":[…],"kwargs":{…}}. RUNNER: the same of a function that a warm runner knows. */
enum task_kind { TASK_COMMAND = 1, TASK_NATIVE = 2, TASK_RUNNER = 3 };

/* A file that a task finds in its directory. */
struct task_file {
    struct slice name; /* terminated; text_is_file_name */
    struct slice bytes;
};

struct task {
    enum task_kind kind;
    struct slice *argv; /* n_argv ≥ 1; each is followed by a NUL byte that len does not count */
    uint32_t n_argv;
    struct slice *env; /* "K=V", likewise terminated */
    uint32_t n_env;
    struct slice cwd; /* terminated; ptr NULL: a fresh directory of the worker's */
    struct slice stdin_bytes;
    bool stdin_open; /* its standard input comes by a pipe with the START, which others feed */
    bool is_pure;    /* no command: it changes nothing, so nobody minds when it runs in vain */
    struct task_file *files; /* n_files; only without cwd */
    uint32_t n_files;
    struct slice *outputs; /* paths in that directory of files that are kept; terminated */
    uint32_t n_outputs;
    int64_t timeout_us; /* from start; 0 = none */
    /* Wall clock, absolute; 0 = none. Whichever of the two comes first decides the reason. */
    int64_t deadline_us;
    int32_t stop_signal;   /* first signal of a timeout, and of a STOP that names none */
    int64_t stop_grace_us; /* then KILL */
    /* Bytes; 0 = none (output always has one). Memory is address space per process. */
    uint64_t limit_output, limit_memory, limit_file_size;
    int64_t limit_cpu_us;
    uint32_t limit_processes, limit_open_files; /* 0 = none / default 1024 */
    bool output_limit_fails;                    /* end the task when a stream passes limit_output */
};

/* What the server wants to know of a stored task without decoding it. */
bool task_is_native(struct slice wire);
bool task_is_command(struct slice wire);
bool task_is_pure(struct slice wire);
bool task_stdin_is_open(struct slice wire);
int64_t task_stop_grace(struct slice wire);

/* When the timeout of a task that begins now is over, on the clock of `now_ns`; UINT64_MAX: never.
 */
uint64_t task_timeout_at(const struct task *task, uint64_t now_ns);

/* Appends the wire form. Fails when `out` is full (TOO_LARGE), or a count passes its maximum or a
 * string has a NUL inside (INVALID). stop_signal 0 becomes SIGTERM. */
MUST_CHECK bool task_encode(const struct task *task, struct buf *out, struct err *err);
/* The same in two steps, for tasks that differ in nothing but their input: all that comes before
 * it, which `task`, without input, files and outputs, has in common with them; and one of them,
 * which takes at most lead.len + input.len + TASK_INPUT_HEAD bytes. The number that it has taken.
 */
#define TASK_INPUT_HEAD 10
MUST_CHECK bool task_encode_lead(const struct task *task, struct buf *out, struct err *err);
size_t task_put_input(char *out, struct slice lead, struct slice input);
/* Slices of ret point into `wire` (which must live as long), the two arrays into `a`. Validates
 * every length: the bytes may be hostile. */
MUST_CHECK bool task_decode(struct slice wire, struct arena *a, struct task *ret, struct err *err);

/* "NAME=value" without a NUL. */
bool task_is_env(struct slice s);

enum task_end {
    TASK_EXITED,       /* exit_code */
    TASK_SIGNALED,     /* signal */
    TASK_TIMEOUT,      /* the tree was ended because timeout_us passed */
    TASK_DEADLINE,     /* … because deadline_us passed */
    TASK_OUTPUT_LIMIT, /* … because of output_limit_fails */
    TASK_EXEC_FAILED,  /* never ran: exec_errno and error_text */
    TASK_UNKILLABLE,   /* something of the tree is still there after the kill deadline; the slot is
                          quarantined */
    TASK_LOST,         /* the worker died; made up by the pool's server side, never by a worker */
    TASK_START_FAILED, /* fork or pipe failed (EAGAIN, ENOMEM, EMFILE): not an attempt, put it back
                        */
    TASK_INPUT_FAILED, /* never ran: what it takes from another task is gone or does not fit */
    TASK_FUNCTION_FAILED, /* the function said so: error_text is its type and message */
    TASK_OUT_OF_MEMORY,   /* died by `signal`, for want of memory (oom.h) */
    TASK_END_COUNT
};

struct task_output {
    uint64_t bytes;            /* kept */
    bool truncated;            /* more was written and dropped */
    bool spooled;              /* in the spool file; else `inline_bytes` */
    struct slice inline_bytes; /* points into the slot until pool_release */
};

/* What a function has returned: a third stream, with a type. */
struct task_result {
    bool is_there, is_spooled; /* spooled: `<no>.<attempt>.res` */
    enum value_type type;
    uint64_t bytes;
    struct slice inline_bytes; /* points into the slot until pool_release */
};

/* A file that the task has left, as the file of a blob. */
struct task_blob {
    uint64_t file, bytes;
    uint8_t sha256[SHA256_BYTES];
    char name[MAX_OUTPUT_NAME + 1];
};

#define TASK_ERROR_TEXT 256 /* bytes of error_text */

struct task_outcome {
    enum task_end end;
    int32_t exit_code; /* of the main process, when it exited */
    int32_t signal;    /* that ended the main process, else 0 */
    int32_t exec_errno;
    char error_text[TASK_ERROR_TEXT]; /* "No such file or directory: foo", "cannot enter directory
                             /x: Permission denied" */
    bool stop_sent; /* a STOP frame's first signal was sent before the main process ended */
    uint32_t processes_killed;           /* of the tree, main process included when we ended it */
    uint32_t survivors;                  /* > 0 only with TASK_UNKILLABLE */
    int64_t started_us, ended_us;        /* wall clock */
    int64_t wall_us, user_us, system_us; /* CPU: sum over all reaped processes of the tree */
    uint64_t max_rss_bytes;              /* largest process of the tree */
    struct task_output out[2];           /* stdout, stderr */
    struct task_result result;
    /* In the slot until pool_release; each is to be copied and then checked. */
    const struct task_blob *blobs;
    uint32_t n_blobs;
    uint32_t mate; /* of several tasks in one bank: whose outcome it is; 0: the bank's own task */
    bool has_data; /* partial results: `<no>.<attempt>.dat` */
    bool no_retry; /* the function says that another attempt would fail likewise */
    /* The process in which tasks run, a worker or a warm runner, has ended under this one, and
     * nobody has asked for that; with this wait status. */
    bool has_died, was_runner;
    int32_t death;
    uint32_t runner_starts, runner_failures; /* starts of runners for it, those that failed */
};

#endif
