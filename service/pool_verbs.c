/* SPDX-License-Identifier: MIT */
/* Verbs on pools and workers. What is said about a pool is a row in the store. */
#include "service/engine_state.h"
#include "storage/pools.h"

/* ------------------------------------------------------------------------------------------------
 * settings */

static void take_members(struct pool_settings *s, unsigned members, const struct pool_settings *to)
{
    if ((members & POOL_SIZE) != 0)
        s->size = to->size;
    if ((members & POOL_MIN) != 0)
        s->min = to->min;
    if ((members & POOL_IDLE) != 0)
        s->idle_us = to->idle_us;
    if ((members & POOL_MAX_JOBS) != 0)
        s->max_jobs = to->max_jobs;
    if ((members & POOL_START_FAILURES) != 0)
        s->start_failures = to->start_failures;
    if ((members & POOL_MAX_RSS) != 0)
        s->max_rss = to->max_rss;
    if ((members & POOL_ON_DEATH) != 0)
        s->on_death = to->on_death;
    if ((members & POOL_START_TIMEOUT) != 0)
        s->start_timeout_us = to->start_timeout_us;
    if ((members & POOL_ISOLATION) != 0)
        s->isolation = to->isolation;
}

static bool check_settings(const struct engine *e, const struct pool_entry *pool, struct err *err)
{
    const struct pool_settings *s = &pool->settings;
    const uint32_t max = pool_max(e->parts.pool), sum = pools_sum_of_sizes(e);
    if (sum > max)
        return err_at(err, ERR_INVALID, "/size",
                      "is too large: the pools together would have %u workers, and the option "
                      "pool.max_workers is %u",
                      sum, max);
    if (pool == &e->pools.now[0] && s->isolation != POOL_ANY)
        return err_at(err, ERR_INVALID, "/isolation", "is not for the default pool");
    return s->min == POOL_MIN_ALL || s->min <= s->size ||
           err_at(err, ERR_INVALID, "/min", "is above the size, which is %u", s->size);
}

static bool change_settings(struct engine *e, struct pool_entry *pool, const struct pool_ask *ask,
                            struct err *err)
{
    if (ask->if_version != 0 && ask->if_version != pool->version)
        return err_set(err, ERR_VERSION_MISMATCH, "The pool's entity tag is \"%lld\"",
                       (long long)pool->version);
    take_members(&pool->settings, ask->members, &ask->to);
    return check_settings(e, pool, err);
}

/* ------------------------------------------------------------------------------------------------
 * close, terminate, reopen */

static bool set_phase(struct engine *e, struct pool_entry *pool, const struct pool_ask *ask,
                      struct err *err)
{
    switch (ask->verb) {
    case POOL_CLOSE:
        if (pool->phase == POOL_IS_TERMINATED || pool->phase == POOL_IS_BROKEN)
            return true;
        pool->phase = POOL_IS_CLOSED;
        if (ask->cancel_queued)
            pools_walk_begin(e, pool);
        return true;
    case POOL_TERMINATE:
        pool->phase = POOL_IS_TERMINATED;
        memset(pool->why, 0, sizeof pool->why);
        pools_walk_begin(e, pool);
        return pools_stop_flights(e, pools_number(&e->pools, pool),
                                  &(struct pool_stop_how){ask->signal, ask->grace_us}, err);
    case POOL_REOPEN:
        if (pools_is_ending(e, pool))
            return err_set(err, ERR_STATE_CONFLICT,
                           "Its jobs are still being ended; join it, then reopen it");
        pool->phase = POOL_IS_OPEN;
        pool->place = pool->up_to = 0; /* a walk that finds nothing more */
        memset(pool->why, 0, sizeof pool->why);
        return true;
    case POOL_CHANGE:
    case POOL_MAKE:
    case POOL_DELETE:
    default: return err_set(err, ERR_INTERNAL, "unknown verb of a pool");
    }
}

/* ------------------------------------------------------------------------------------------------
 * make, delete */

/* Jobs that wait in the queue of this name already are its own from now on. */
static bool make(struct engine *e, const struct pool_ask *ask, struct err *err)
{
    struct pool_entry *pool = pools_free(e);
    if (pools_find(e, ask->name) != NULL)
        return err_set(err, ERR_NAME_TAKEN, "There is a pool with this name");
    if (pool == NULL)
        return err_set(err, ERR_INVALID,
                       "There are %d pools beside the default one, which is the limit",
                       MAX_POOLS - 1);
    *pool = (struct pool_entry){.settings = pool_settings_default, .is_made = 1, .version = 1};
    memcpy(pool->name, ask->name.ptr, ask->name.len);
    if (ask->runner.len > 0 && ask->runner.len < sizeof pool->runner)
        memcpy(pool->runner, ask->runner.ptr, ask->runner.len);
    take_members(&pool->settings, ask->members, &ask->to);
    pool->base = pool->settings;
    if (check_settings(e, pool, err) && pools_queue(e->store, pool->name, &pool->queue, err) &&
        dispatch_settle_queue(&e->dispatch, &e->turn, pool->queue, err) &&
        pools_put(e->store, pool, err))
        return true;
    *pool = (struct pool_entry){0};
    return false;
}

static bool delete (struct engine *e, struct pool_entry *pool, struct err *err)
{
    struct pool_counts counts;
    if (!pool->is_made)
        return err_set(err, ERR_STATE_CONFLICT, "The configuration has this pool: it stays");
    pools_count(e->store, pool->queue, &counts);
    if (counts.unfinished > 0)
        return err_set(err, ERR_STATE_CONFLICT,
                       "%lld of its jobs have not ended; terminate and join it first",
                       (long long)counts.unfinished);
    if (!pools_delete(e->store, pool->name, err))
        return false;
    *pool = (struct pool_entry){0};
    return true;
}

static bool change_one(struct engine *e, struct pool_entry *pool, const struct pool_ask *ask,
                       struct err *err)
{
    const struct pool_entry before = *pool;
    const bool ok = ask->verb == POOL_CHANGE ? change_settings(e, pool, ask, err)
                                             : set_phase(e, pool, ask, err);
    pool->version++;
    if (ok && pools_put(e->store, pool, err))
        return true;
    *pool = before;
    return false;
}

bool apply_pool(struct engine *e, struct command *cmd, struct err *err)
{
    const struct pool_ask *ask = &cmd->pool;
    struct pool_entry *pool = pools_find(e, ask->name);
    bool ok, is_new = true;
    if (ask->verb == POOL_MAKE && !key_check(e, cmd, &is_new, err))
        return false;
    if (!is_new)
        return true;
    if (ask->verb == POOL_MAKE)
        ok = make(e, ask, err) && key_keep(e, &cmd->key, 0, 0, err);
    else if (pool == NULL)
        ok = err_set(err, ERR_NOT_FOUND, "There is no pool with this name");
    else if (ask->verb == POOL_DELETE)
        ok = delete (e, pool, err);
    else
        ok = change_one(e, pool, ask, err);
    if (!ok)
        return false;
    e->pools.is_dirty = true;
    pools_tell_dispatch(e);
    if (ask->verb == POOL_REOPEN)
        pool_mend(e->parts.pool, pools_number(&e->pools, pool));
    return true;
}

bool apply_worker(struct engine *e, const struct command *cmd, struct err *err)
{
    struct pool_worker worker;
    return (pool_worker_info(e->parts.pool, cmd->worker.slot, &worker) && worker.alive) ||
           err_set(err, ERR_STATE_CONFLICT,
                   "It has no process just now; a new one is being started");
}

/* ------------------------------------------------------------------------------------------------
 * what the workers tell */

void pools_worker_gone(struct engine *e, const struct pool_event *ev)
{
    struct metrics *m = e->parts.metrics;
    metrics_add(m, ev->planned ? COUNT_WORKERS_REPLACED : COUNT_WORKER_DEATHS, 1);
    if (ev->planned)
        log_event(e->parts.log, LOG_DEBUG, "worker left", LOG_INT("worker", ev->place.slot));
    else
        log_event(e->parts.log, LOG_WARN, "worker died", LOG_INT("worker", ev->place.slot),
                  LOG_INT("wait_status", ev->wait_status));
}

void pools_health_changed(struct engine *e, const struct pool_event *ev)
{
    struct pool_worker worker = {0};
    struct pool_group_view view;
    if (!pool_worker_info(e->parts.pool, ev->place.slot, &worker))
        return;
    pool_group_info(e->parts.pool, worker.group, &view);
    if (ev->type == POOL_BROKEN) {
        e->pools.cannot_start |= UINT32_C(1) << worker.group;
        log_event(e->parts.log, LOG_ERROR, "pool broken: its workers cannot start",
                  LOG_STR("pool", e->pools.committed[worker.group].name), LOG_STR("why", view.why));
    } else {
        log_event(e->parts.log, LOG_INFO, "pool mended",
                  LOG_STR("pool", e->pools.committed[worker.group].name));
    }
}
