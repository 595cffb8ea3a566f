/* SPDX-License-Identifier: MIT */
/* The inside of a worker process, for worker.c (its life) and worker_task.c (one task). */
#ifndef GANGER_POOL_WORKER_IMPL_H
#define GANGER_POOL_WORKER_IMPL_H

#include "pool/drive.h"
#include "pool/frame.h"
#include "pool/native.h"
#include "pool/notes.h"
#include "pool/progress.h"
#include "pool/runner.h"
#include "pool/workdir.h"
#include "pool/worker.h"

struct worker {
    const struct worker_config *cfg;
    uint32_t slot;
    struct drive_io io;
    struct proc_launcher launcher;
    struct workdir workdir;
    struct arena arena;
    struct progress_pipe progress;
    struct task_pipe out[2];
    struct native native;
    struct runners runners;
    struct worker_config own; /* what cfg points to when the log was moved */
    struct notes notes;
};

/* Runs the task in `input`, with what came beside its START; the bank holds the outcome. Takes
 * stdin and stdout out of `fds` once it needs them. False: server or zygote died. */
MUST_CHECK bool worker_run_task(struct worker *w, struct bank *bank, struct slice input,
                                struct frame_fds *fds);

#endif
