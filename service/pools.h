/* SPDX-License-Identifier: MIT */
/* Pools as the engine keeps them: what is remembered about each, in this transaction and as of the
 * last commit, and what other threads may read. */
#ifndef GANGER_SERVICE_POOLS_H
#define GANGER_SERVICE_POOLS_H

#include "pool/pool.h"
#include "service/base/config.h"
#include "service/base/pool_spec.h"

#include <stdatomic.h>

_Static_assert(MAX_POOLS == POOL_GROUPS, "each pool is a group of workers");

/* A copy for other threads: written by the engine, read again when it was being written. */
#define POOL_BOARD_WORDS ((sizeof(struct pool_entry) + 7) / 8)
struct pool_board {
    _Atomic uint32_t turn; /* odd: it is being written */
    _Atomic uint64_t words[POOL_BOARD_WORDS];
};
void pool_board_put(struct pool_board *board, const struct pool_entry *entry);
void pool_board_get(const struct pool_board *board, struct pool_entry *ret); /* any thread */

#define POOL_TERMINATED_WORDS "The pool was terminated."

/* Entry i is group i of the workers. */
struct pools {
    struct pool_entry now[MAX_POOLS], committed[MAX_POOLS];
    bool is_dirty;   /* `now` is not `committed` */
    bool has_walked; /* the same, but only in how far terminations are: workers and waiters need
                        not hear of it */
    uint32_t cannot_start; /* bits of pools: their workers do not start, since the last commit */
    uint32_t news;         /* bits of pools: for those who wait for one of them */
    /* Jobs of each pool as of the last commit; any thread. */
    _Atomic int64_t queued[MAX_POOLS], unfinished[MAX_POOLS];
    bool is_drained; /* the service is stopping */
    struct pool_board boards[MAX_POOLS];
};

static inline uint32_t pools_number(const struct pools *pools, const struct pool_entry *pool)
{
    return (uint32_t)(pool - pools->now);
}

struct engine;
struct job_spec;
struct pool_entry *pools_find(struct engine *e, struct slice name); /* NULL: there is none */
struct pool_entry *pools_free(struct engine *e);                    /* the same */
/* Whose workers run it: the one of its queue's name, else the default one. */
const struct pool_entry *pools_of(const struct engine *e, const struct job_spec *spec);
uint32_t pools_sum_of_sizes(const struct engine *e);
/* What the dispatcher has to know of `now`. Nothing begins while the service stops, or in a pool
 * that is terminated. */
void pools_tell_dispatch(struct engine *e);

/* What the configuration says about pool 0. */
void pool_settings_of_config(const struct config *cfg, struct pool_settings *ret);
uint32_t pool_settings_min(const struct pool_settings *settings); /* POOL_MIN_ALL resolved */

#endif
