/* SPDX-License-Identifier: MIT */
/* The inside of one attempt, for drive.c (the loop and the end) and drive_start.c (the beginning).
 */
#ifndef GANGER_POOL_DRIVE_STATE_H
#define GANGER_POOL_DRIVE_STATE_H

#include "pool/capture.h"
#include "pool/drive.h"
#include "pool/frame.h"
#include "pool/progress.h"
#include "pool/teller.h"
#include "pool/tree.h"

#define NEVER UINT64_MAX
#define MS_NS UINT64_C(1000000)

/* Why we began to end the tree. */
enum cause { CAUSE_NONE, CAUSE_STOP, CAUSE_TIMEOUT, CAUSE_DEADLINE, CAUSE_OUTPUT };

struct drive {
    const struct drive_io *io;
    struct bank *bank;
    const struct task *task;
    const struct proc *proc;
    struct tree tree;
    struct capture out[2];
    int stdin_fd;
    size_t stdin_sent;
    uint64_t started_ns, ended_ns;
    int64_t ended_us;
    uint64_t timeout_at_ns;
    uint64_t kill_at_ns; /* the grace is over */
    uint64_t settle_at_ns;
    struct teller teller;
    uint64_t suspend_at_ns; /* when those that do not stand still are looked at again */
    uint32_t suspend_looks;
    bool is_suspending; /* also when it is done */
    bool was_still;     /* at the last look */
    enum cause cause;
    bool main_ended;
    bool was_empty;   /* … and nothing that it had written was still in its pipes */
    bool has_adopted; /* before the task was settled, something else than its main process ended */
    bool main_signalled; /* it was alive when we first signalled it */
    bool stop_sent;
    bool abandoned;
};

/* Asks the kernel, not our last look: the answer decides between cancelled and succeeded. */
bool drive_main_is_over(const struct drive *d);
/* drive_reach.c: does what is asked. */
void drive_reach(struct drive *d, const struct frame *asked);
/* The next look at a tree that is to stand still. */
void drive_suspend(struct drive *d, uint64_t now_ns);
/* All go on; nothing happens to a tree that was not suspended. */
void drive_resume(struct drive *d);

/* Pipes, then the process. False: refused, and the bank says so. */
bool drive_start(struct drive *d, struct proc *proc);
/* At its end. False: its process has failed before exec, and the bank says how. */
bool drive_confirm_start(const struct drive *d);
/* Writes what the pipe takes now. */
void drive_feed_stdin(struct drive *d);
void drive_close_own(struct drive *d);

#endif
