/* SPDX-License-Identifier: MIT */
/* The worker's side of what a task takes from elsewhere: its files are made, its arguments filled,
 * its standard input opened, its blobs are at hand. A large output goes from file to file, or is
 * the standard input as it lies; none of it passes through memory. Meanwhile the worker hears
 * nothing: a copy of a gigabyte delays a cancel by about a second. */
#ifndef GANGER_POOL_INPUTS_H
#define GANGER_POOL_INPUTS_H

#include "pool/extra.h"
#include "pool/frame.h"

#define INPUT_ENV "GANGER_INPUT_"

/* A blob that the task has by name. */
struct input_blob {
    struct slice name;
    uint64_t size;
    int fd; /* sealed, for reading, at the beginning */
};

struct inputs {
    struct task *task;        /* its arguments and stdin_bytes are filled in */
    struct task_extra *extra; /* its environment is filled in */
    int data_fd;              /* the data directory */
    struct input_blob blobs[TASK_MAX_BLOBS];
    uint32_t n_blobs;
    int stdin_fd; /* of a blob; -1: none */
    /* After a failure: how the task ends without having run. */
    enum task_end end; /* INPUT_FAILED: it can never run; START_FAILED: the machine is at fault */
    int error;
    char text[128];
};

/* Those that stand in `fds` at START_BLOB and behind it. To be released in any case; may block as
 * blob_open_sealed does. */
MUST_CHECK bool inputs_open_blobs(struct inputs *in, const struct frame_fds *fds);
void inputs_release(struct inputs *in);
/* The variables that name them: GANGER_INPUT_data=/proc/self/fd/10. */
MUST_CHECK bool inputs_put_env(struct inputs *in, struct arena *a);
MUST_CHECK bool inputs_put_arguments(struct inputs *in, struct arena *a);
/* dir_fd: the task's own fresh directory; -1: it has none, and must not need one. */
MUST_CHECK bool inputs_make_files(struct inputs *in, int dir_fd);
/* A descriptor of the caller's, or -1: then task->stdin_bytes is all there is. */
MUST_CHECK bool inputs_open_stdin(struct inputs *in, int *ret_fd);

#endif
