/* SPDX-License-Identifier: MIT */
/* Pools of workers, as far as they are not what the configuration says: a few small rows. Owner:
 * the engine thread. */
#ifndef GANGER_STORAGE_POOLS_H
#define GANGER_STORAGE_POOLS_H

#include "service/base/pool_spec.h"
#include "storage/store.h"

MUST_CHECK bool pools_load(struct store *store, struct pool_entry *ret, size_t max, size_t *ret_n,
                           struct err *err);
MUST_CHECK bool pools_put(struct store *store, const struct pool_entry *pool, struct err *err);
MUST_CHECK bool pools_delete(struct store *store, const char *name, struct err *err);

/* Jobs in the order of their numbers, ended ones among them: those behind `after`, up to `up_to`,
 * at most max. */
struct job_walk {
    int64_t after, up_to;
    struct walked_job {
        int64_t no;
        enum job_state state;
        uint32_t queue;
    } * jobs; /* room for max; the caller's */
    size_t max, n;
};
MUST_CHECK bool pools_walk(struct store *store, struct job_walk *walk, struct err *err);
/* The queue of this name, which is made if it is not there; and its jobs that have not ended. */
MUST_CHECK bool pools_queue(struct store *store, const char *name, uint32_t *ret, struct err *err);
struct pool_counts {
    int64_t queued, unfinished;
};
void pools_count(const struct store *store, uint32_t queue, struct pool_counts *ret);
/* The newest number that a job or batch has. */
int64_t pools_newest(const struct store *store);

#endif
