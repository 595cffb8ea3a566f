/* SPDX-License-Identifier: MIT */
/* The worker's side of what a task takes from elsewhere: its files are made, its arguments filled,
 * its standard input opened. A large output goes from file to file, or is the standard input as it
 * lies; none of it passes through memory. Meanwhile the worker hears nothing: a copy of a gigabyte
 * delays a cancel by about a second. */
#ifndef GANGER_POOL_INPUTS_H
#define GANGER_POOL_INPUTS_H

#include "pool/extra.h"

struct inputs {
    struct task *task; /* its arguments and stdin_bytes are filled in */
    const struct task_extra *extra;
    int data_fd; /* the data directory */
    /* After a failure: how the task ends without having run. */
    enum task_end end; /* INPUT_FAILED: it can never run; START_FAILED: the machine is at fault */
    int error;
    char text[128];
};

MUST_CHECK bool inputs_put_arguments(struct inputs *in, struct arena *a);
/* dir_fd: the task's own fresh directory; -1: it has none, and must not need one. */
MUST_CHECK bool inputs_make_files(struct inputs *in, int dir_fd);
/* A descriptor of the caller's, or -1: then task->stdin_bytes is all there is. */
MUST_CHECK bool inputs_open_stdin(struct inputs *in, int *ret_fd);

#endif
