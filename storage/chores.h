/* SPDX-License-Identifier: MIT */
/* Verbs on many jobs, stored until they are over: so they go on whatever becomes of their client,
 * and after kill -9. Owner: the engine thread. */
#ifndef GANGER_STORAGE_CHORES_H
#define GANGER_STORAGE_CHORES_H

#include "service/base/chore.h"
#include "storage/store.h"

/* With all of its ranges, and how far it has come; sets tally.id. */
MUST_CHECK bool chore_insert(struct store *store, struct chore *c, const struct index_range *ranges,
                             struct err *err);
MUST_CHECK bool chore_put(struct store *store, const struct chore *c, struct err *err);
MUST_CHECK bool chore_delete(struct store *store, int64_t id, struct err *err);
/* Retries of this batch, which is being stopped, are not to go on. */
MUST_CHECK bool chore_refuse_retries(struct store *store, int64_t batch, struct err *err);
/* The one behind this id. It points into itself. */
MUST_CHECK bool chore_next(struct store *store, int64_t after, struct chore *ret, bool *ret_found,
                           struct err *err);

/* The next jobs of a PURGE, which moves on behind them; a bounded number of rows is read. */
struct purge_list {
    int64_t *nos; /* room for max; the caller's */
    size_t max, n;
};
MUST_CHECK bool chore_purged(struct store *store, struct chore *c, struct purge_list *ret,
                             struct err *err);

#endif
