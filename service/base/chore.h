/* SPDX-License-Identifier: MIT */
/* A verb on more jobs than one turn can bear: which ones, and how far it has come. Pure vocabulary,
 * as job.h. */
#ifndef GANGER_BASE_CHORE_H
#define GANGER_BASE_CHORE_H

#include "service/base/util.h"

/* Elements of a batch. */
struct index_range {
    int64_t first, n;
};

/* Stored. */
enum chore_kind {
    CHORE_CANCEL, /* elements of a batch, by index */
    CHORE_RETRY,  /* the same, or those that failed */
    CHORE_PURGE   /* what waits in a queue */
};

/* What has been done so far. */
struct chore_tally {
    int64_t id; /* of a chore that goes on; 0: it was over in its first turn */
    int64_t changed;
    int64_t expired;  /* RETRY: elements whose payload is gone */
    bool is_stopping; /* CANCEL: some were running */
};

#define CHORE_WINDOW 128 /* ranges of a stored one that are read at a time */
struct chore {
    enum chore_kind kind;
    bool by_index;   /* else RETRY: those that failed */
    bool is_refused; /* RETRY: the batch has been stopped since */
    int64_t target;  /* batches.no, or the number of a queue */
    /* CANCEL, RETRY: `n_ranges` of those that are not done, of which there were `all_ranges`. */
    const struct index_range *ranges;
    uint32_t n_ranges;
    int64_t range, all_ranges; /* so many are done; PURGE: 1 when what is queued is done, of 2 */
    int64_t place;             /* elements of the next one that are done; PURGE: jobs up to here */
    int64_t up_to;             /* PURGE: whoever came later stays */
    struct chore_tally tally;
    char why[120];
    struct index_range window[CHORE_WINDOW];
};

static inline bool chore_is_over(const struct chore *c)
{
    return c->range >= c->all_ranges;
}

#endif
