/* SPDX-License-Identifier: MIT */
/* Files that a task has left in its directory and that are to be kept: each becomes a blob's file.
 * They are copied when nothing of the task runs any more, hashed on the way, and durable when the
 * task's end is reported; their rows are the server's business. */
#ifndef GANGER_POOL_OUTPUTS_H
#define GANGER_POOL_OUTPUTS_H

#include "pool/slot.h"

struct outputs {
    int data_fd;        /* the data directory */
    int dir_fd;         /* the task's own one */
    uint64_t max_bytes; /* of one file; 0: any */
};

/* Those that the task names, to the bank. All or none: on failure the bank's end is
 * TASK_FUNCTION_FAILED and its text names the file, and nothing is left. */
void outputs_keep(const struct outputs *o, const struct task *task, struct bank *bank);

#endif
