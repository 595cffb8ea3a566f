/* SPDX-License-Identifier: MIT */
/* What any thread may ask of the engine. Nothing here touches what the engine's thread owns: only
 * the inbox and atomics. */
#include "service/engine_state.h"

bool engine_reserve(struct engine *e, bool submits, struct err *err)
{
    if (submits && atomic_load_explicit(&e->shared.phase, memory_order_relaxed) != PHASE_RUNNING)
        return err_set(err, ERR_DRAINING, "The service is stopping; send the job to its successor");
    if (inbox_reserve(&e->inbox))
        return true;
    if (atomic_load(&e->inbox.closed))
        return err_set(err, ERR_DRAINING,
                       "The service has stopped; send the request to its successor");
    return err_set(err, ERR_OVERLOADED,
                   "%d requests are waiting for the engine; try again in a second", INBOX_MAX);
}

void engine_post(struct engine *e, struct command *cmd)
{
    inbox_push(&e->inbox, cmd);
}

void engine_wake(struct engine *e)
{
    inbox_wake(&e->inbox);
}

bool engine_job_token(const struct engine *e, struct slice secret, struct job_id *ret,
                      uint32_t *ret_attempt)
{
    return job_token_read(&e->dispatch.token_key, secret, ret, ret_attempt);
}

uint32_t engine_epoch(const struct engine *e, uint64_t topic)
{
    return waiters_epoch(e->waiters, topic);
}

void engine_leave(struct engine *e, struct park_group *group)
{
    waiters_leave(e->waiters, group);
}

enum engine_phase engine_phase(const struct engine *e)
{
    return (enum engine_phase)atomic_load_explicit(&e->shared.phase, memory_order_relaxed);
}

void engine_stats(const struct engine *e, struct engine_stats *ret)
{
    *ret = (struct engine_stats){
        .wal_bytes = atomic_load_explicit(&e->shared.wal_bytes, memory_order_relaxed),
        .parked = waiters_count(e->waiters),
        .turns = atomic_load_explicit(&e->shared.turns, memory_order_relaxed),
        .commits = atomic_load_explicit(&e->shared.commits, memory_order_relaxed),
        .started_us = e->started_us,
        .deliveries = atomic_load_explicit(&e->shared.deliveries, memory_order_relaxed),
        .blobs = atomic_load_explicit(&e->shared.blobs, memory_order_relaxed),
        .blob_memory = atomic_load_explicit(&e->shared.blob_memory, memory_order_relaxed),
        .blob_bytes = atomic_load_explicit(&e->shared.blob_bytes, memory_order_relaxed),
        .disk_low = atomic_load_explicit(&e->shared.disk_low, memory_order_relaxed),
    };
    for (int s = 0; s < JOB_STATE_COUNT; s++)
        ret->count[s] = atomic_load_explicit(&e->shared.count[s], memory_order_relaxed);
}

bool engine_has_defaults(const struct engine *e)
{
    return atomic_load_explicit(&e->shared.has_defaults, memory_order_acquire);
}

const struct config *engine_config(const struct engine *e)
{
    return e->parts.cfg;
}

struct metrics *engine_metrics(struct engine *e)
{
    return e->parts.metrics;
}

_Atomic uint32_t *engine_awake(struct engine *e)
{
    return &e->shared.n_awake;
}

const struct log *engine_log(const struct engine *e)
{
    return e->parts.log;
}

struct event_ring *engine_events(struct engine *e)
{
    return e->events;
}

const struct pool *engine_pool(const struct engine *e)
{
    return e->parts.pool;
}
