/* SPDX-License-Identifier: MIT */
/* One attempt from its first process to the proof that nothing of it is left: start, feed, capture,
 * watch the clocks, stop, end the tree, report into the bank. Single thread, one loop, one ppoll(2)
 * per wake-up.
 *
 * 1. The end of a task is the end of its main process, never EOF: a daemon may hold stdout for
 * ever.
 * 2. The main process stays a zombie until its group has been signalled for the last time.
 * 3. When drive_run returns DRIVE_DONE, ECHILD was seen, or the outcome is TASK_UNKILLABLE. */
#ifndef GANGER_POOL_DRIVE_H
#define GANGER_POOL_DRIVE_H

#include "pool/pipe.h"
#include "pool/proc.h"
#include "pool/slot.h"

/* What the worker has for all of its tasks. All borrowed. */
struct drive_io {
    int sock;     /* to the server */
    int term_fd;  /* signalfd of SIGTERM: the zygote has died */
    int child_fd; /* signalfd of SIGCHLD */
    int null_fd;  /* /dev/null, read and write */
    int data_fd;
    int64_t kill_deadline_us;
    const struct proc_launcher *launcher;
    struct progress_pipe *progress;
    struct task_pipe *out; /* stdout and stderr */
};

enum drive_result {
    DRIVE_DONE,     /* the bank holds the outcome */
    DRIVE_ABANDONED /* server or zygote died: the tree was killed, nobody wants the outcome */
};
/* `proc` is prepared except for its descriptors 0 to 2: of these, stdin and stdout are -1, or pipes
 * to other tasks, which are closed here when the task has begun or was refused. */
enum drive_result drive_run(const struct drive_io *io, struct bank *bank, const struct task *task,
                            struct proc *proc);

/* An outcome of a task that was not started. */
void drive_refuse(struct bank *bank, enum task_end end, int error, const char *text);

#endif
