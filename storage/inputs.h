/* SPDX-License-Identifier: MIT */
/* What jobs take from the outputs of their parents. Owner: the engine thread. Errors as in jobs.h.
 */
#ifndef GANGER_STORAGE_INPUTS_H
#define GANGER_STORAGE_INPUTS_H

#include "storage/jobs.h"

struct input_row {
    enum job_input_kind kind;
    int64_t parent; /* or the blob */
    uint8_t stream; /* 0, 1, INPUT_OF_BLOB */
    uint32_t argument, at, len;
    struct slice name; /* terminated when read */
};
MUST_CHECK bool inputs_put(struct store *store, int64_t no, uint32_t k, const struct input_row *row,
                           struct err *err);
/* All inputs of a job in their order; room and names come from `a`. OVERLOADED when it is full. */
struct input_list {
    struct input_row *rows;
    uint32_t n;
};
MUST_CHECK bool inputs_get(struct store *store, int64_t no, struct arena *a, struct input_list *ret,
                           struct err *err);
MUST_CHECK bool inputs_forget(struct store *store, int64_t no, struct err *err);

/* Where an output of an ended job is now. */
enum source_state {
    SOURCE_HERE,    /* bytes */
    SOURCE_SPOOLED, /* size bytes in the spool file of this attempt */
    SOURCE_GONE,    /* the job has been deleted */
    SOURCE_EXPIRED, /* its result has */
    SOURCE_AGAIN,   /* it is being run once more */
    SOURCE_CUT,     /* it wrote more than its limit, so this is not all of it */
    SOURCE_DAMAGED,
    SOURCE_STATE_COUNT
};
struct input_source {
    enum source_state state;
    struct job_id id; /* unless it is gone */
    struct slice bytes;
    uint32_t attempt;
    uint64_t size;
};
/* Bytes are copied to `a`: at most what is stored inline. */
MUST_CHECK bool inputs_source(struct store *store, const struct input_row *row, struct arena *a,
                              struct input_source *ret, struct err *err);

#endif
