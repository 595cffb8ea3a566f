/* SPDX-License-Identifier: MIT */
/* The settings of queues, on the writer's side: small rows, all of them in memory. A change is part
 * of the open transaction and goes back with it. Owner: the engine thread. */
#ifndef GANGER_STORAGE_SETTINGS_H
#define GANGER_STORAGE_SETTINGS_H

#include "service/base/queue.h"
#include "storage/store.h"

/* Replaces the named members; a queue that is not there is made when `may_make`. NOT_FOUND: there
 * is none. VERSION_MISMATCH: if_version is another one. OVERLOADED: no number is left for a new
 * queue. */
struct settings_change {
    struct slice name;
    const struct queue_change *change;
    bool may_make;
    /* Answer. */
    uint32_t queue; /* its number */
    bool is_new;
};
MUST_CHECK bool settings_apply(struct store *store, struct settings_change *change,
                               struct err *err);
/* Takes all settings back. STATE_CONFLICT: the queue has jobs that have not ended. */
MUST_CHECK bool settings_delete(struct store *store, struct slice name, int64_t if_version,
                                struct err *err);

/* 0: there is no such queue. */
uint32_t settings_find(const struct store *store, struct slice name);
/* Of queue 1 … settings_queues(). */
uint32_t settings_queues(const struct store *store);
uint32_t settings_max_queues(const struct store *store);
const struct queue_settings *settings_of(const struct store *store, uint32_t queue);
/* Jobs of this queue that are ready to begin. */
int64_t settings_queued(const struct store *store, uint32_t queue);
/* Another number than before: some settings have changed since, or a change was taken back. */
uint64_t settings_epoch(const struct store *store);

/* When jobs of a queue with a rate have begun, as bytes that outlive the server. */
MUST_CHECK bool settings_put_starts(struct store *store, uint32_t queue, struct slice starts,
                                    struct err *err);
/* Leaves `ret` empty when there is nothing. */
MUST_CHECK bool settings_get_starts(struct store *store, uint32_t queue, struct buf *ret,
                                    struct err *err);

#endif
