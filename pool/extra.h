/* SPDX-License-Identifier: MIT */
/* What one attempt gets beside its task: more environment, and what it takes from the output of
 * earlier tasks or from blobs. It lies before the wire bytes of the task in what a worker gets. */
#ifndef GANGER_POOL_EXTRA_H
#define GANGER_POOL_EXTRA_H

#include "pool/task.h"

enum input_kind {
    INPUT_STDIN,   /* is the task's standard input */
    INPUT_FILE,    /* is a file in the task's directory */
    INPUT_ARGUMENT /* stands in an argument, without its last line break */
};

/* One stream of an earlier task, here or in its spool file; or a blob. Files are named by numbers
 * alone, so nothing that a client says can become a path. */
struct task_input {
    enum input_kind kind;
    struct slice name; /* of the FILE; terminated */
    uint32_t argument; /* ARGUMENT: which, */
    uint32_t at, len;  /* and the bytes of it that are replaced; in rising order */
    bool is_spooled;
    struct slice bytes; /* unless it is spooled */
    int64_t job_no;     /* the earlier task */
    uint32_t attempt;
    uint8_t stream;
    uint64_t size; /* of the spooled bytes, or of the blob */
    /* Instead of a task's output: the file of this number. STDIN, or FILE, which is then no copy
     * but a link to memory that all tasks with this blob share. */
    bool is_blob;
    uint64_t blob;
};

struct task_extra {
    struct slice *env; /* "K=V", terminated */
    uint32_t n_env;
    struct task_input *inputs;
    uint32_t n_inputs;
};

/* The number of inputs that are blobs: at most TASK_MAX_BLOBS. */
uint32_t task_extra_blobs(const struct task_extra *extra);
/* `size` is an upper bound of what `write` uses; `read` takes it off the front of `bytes`, to which
 * its slices point: the bytes may be hostile. */
size_t task_extra_size(const struct task_extra *extra);
size_t task_extra_write(char *out, const struct task_extra *extra);
MUST_CHECK bool task_extra_read(struct slice *bytes, struct arena *a, struct task_extra *ret);

#endif
