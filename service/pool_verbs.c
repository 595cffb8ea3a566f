/* SPDX-License-Identifier: MIT */
/* Verbs on pools and workers. What is said about a pool is a row in the store. A termination
 * cancels in steps, a bounded number of jobs in each turn, and goes on after kill -9. */
#include "service/engine_state.h"
#include "storage/pools.h"

#define MAX_WALKED 4000   /* rows that one step looks at */
#define MAX_CANCELLED 500 /* jobs that one step cancels */

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
    if (pool == &e->pools.now[0] && s->isolation != POOL_TAKES_ALL)
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

static uint32_t number_of(const struct engine *e, const struct pool_entry *pool)
{
    return (uint32_t)(pool - e->pools.now);
}

/* Takes back what is reserved of a pool, and stops what runs. */
static bool stop_flights(struct engine *e, uint32_t pool, const struct pool_ask *ask,
                         struct err *err)
{
    for (uint32_t k = 0; k < e->dispatch.n; k++) {
        struct flight *f = &e->dispatch.flights[k];
        enum job_state state;
        if (f->state == FLIGHT_FREE || dispatch_pool_of(&e->dispatch, f->info.row.queue) != pool)
            continue;
        if (f->chunk != NULL && !chunk_settle_range(&e->dispatch, &e->turn, f, &CHUNK_WHOLE, err))
            return false;
        struct job_cancel cancel = {f->info.row.no, e->turn.now_us, POOL_TERMINATED_WORDS};
        if (f->state < FLIGHT_CLAIMED && !dispatch_settle(&e->dispatch, &e->turn, cancel.no, err))
            return false;
        if (f->state != FLIGHT_CLAIMED && f->state != FLIGHT_RUNNING)
            continue;
        if (!f->stop_requested && !jobs_cancel(e->store, &cancel, &state, err))
            return false;
        f->stop_requested = true;
        dispatch_stop(f, ask->signal, ask->grace_us);
    }
    return true;
}

static void begin_walk(struct engine *e, struct pool_entry *pool)
{
    pool->place = 0;
    pool->up_to = pools_newest(e->store);
}

static bool set_phase(struct engine *e, struct pool_entry *pool, const struct pool_ask *ask,
                      struct err *err)
{
    switch (ask->verb) {
    case POOL_CLOSE:
        if (pool->phase == POOL_IS_TERMINATED)
            return true;
        pool->phase = POOL_IS_CLOSED;
        if (ask->cancel_queued)
            begin_walk(e, pool);
        return true;
    case POOL_TERMINATE:
        pool->phase = POOL_IS_TERMINATED;
        begin_walk(e, pool);
        return stop_flights(e, number_of(e, pool), ask, err);
    case POOL_REOPEN:
        if (pool->up_to != 0)
            return err_set(err, ERR_STATE_CONFLICT,
                           "Its jobs are still being cancelled; join it, then reopen it");
        pool->phase = POOL_IS_OPEN;
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
        pool_mend(e->parts.pool, number_of(e, pool));
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
 * a termination, step by step */

bool pools_have_work(const struct engine *e)
{
    for (uint32_t i = 0; i < MAX_POOLS; i++)
        if (e->pools.now[i].up_to != 0)
            return true;
    return false;
}

static bool cancel_one(struct engine *e, const struct pool_entry *pool, int64_t no, bool *ret_did,
                       struct err *err)
{
    struct job_cancel cancel = {no, e->turn.now_us, POOL_TERMINATED_WORDS};
    struct job_row row;
    enum job_state state;
    if (pool->phase == POOL_IS_CLOSED)
        cancel.why = "The pool was closed, and what waited was cancelled.";
    if (!dispatch_settle(&e->dispatch, &e->turn, no, err) ||
        !jobs_get_by_no(e->store, no, &row, err))
        return false;
    *ret_did = row.state == JOB_SCHEDULED || row.state == JOB_BLOCKED || row.state == JOB_QUEUED ||
               (row.state == JOB_RUNNING && pool->phase == POOL_IS_TERMINATED);
    if (!*ret_did)
        return true;
    struct flight *f = row.state == JOB_RUNNING ? dispatch_find(&e->dispatch, no) : NULL;
    if (!jobs_cancel(e->store, &cancel, &state, err))
        return false;
    if (f != NULL) {
        f->stop_requested = true;
        dispatch_stop(f, 0, -1);
    }
    return true;
}

/* Whether the walk has to do with it. */
static bool is_wanted(const struct engine *e, const struct pool_entry *pool,
                      const struct walked_job *job)
{
    return !job_state_is_end(job->state) && job->state != JOB_STOPPING &&
           dispatch_pool_of(&e->dispatch, job->queue) == number_of(e, pool);
}

static bool walk_on(struct engine *e, const void *arg, struct err *err)
{
    struct pool_entry *pool = &e->pools.now[*(const uint32_t *)arg];
    AUTO_FREE struct walked_job *jobs = must_alloc(MAX_WALKED * sizeof *jobs);
    struct job_walk walk = {
        .after = pool->place, .up_to = pool->up_to, .jobs = jobs, .max = MAX_WALKED};
    uint32_t n_done = 0;
    if (!pools_walk(e->store, &walk, err))
        return false;
    for (size_t i = 0; i < walk.n && n_done < MAX_CANCELLED; i++) {
        bool did = false;
        if (is_wanted(e, pool, &jobs[i]) && !cancel_one(e, pool, jobs[i].no, &did, err))
            return false;
        n_done += did;
        pool->place = jobs[i].no;
    }
    if (walk.n < walk.max && (walk.n == 0 || pool->place == jobs[walk.n - 1].no))
        pool->place = pool->up_to = 0;
    e->pools.has_walked = true;
    if (SEEDED_BUG("pool-walk")) /* a negative control of the guard */
        return err_set(err, ERR_INTERNAL, "a seeded fault");
    return pools_put(e->store, pool, err);
}

/* What is left of its jobs stays; an administrator may say it again. */
static bool walk_give_up(struct engine *e, const void *arg, struct err *err)
{
    struct pool_entry *pool = &e->pools.now[*(const uint32_t *)arg];
    pool->place = pool->up_to = 0;
    e->pools.has_walked = true;
    return pools_put(e->store, pool, err);
}

static bool work_on(struct engine *e, uint32_t pool, struct err *err)
{
    const struct pool_entry before = e->pools.now[pool];
    struct guarded step = {.name = "cancel the jobs of a pool", .run = walk_on, .arg = &pool};
    bool dropped;
    if (!guard(e, &step, &dropped, err))
        return false;
    if (!dropped)
        return true;
    e->pools.now[pool] = before;
    step.run = walk_give_up; /* when that is dropped too, the next start goes on */
    return guard(e, &step, &dropped, err);
}

bool apply_pool_work(struct engine *e, struct err *err)
{
    for (uint32_t i = 0; i < MAX_POOLS; i++)
        if (e->pools.now[i].up_to != 0 && !work_on(e, i, err))
            return false;
    return true;
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
    if (ev->type == POOL_BROKEN)
        log_event(e->parts.log, LOG_ERROR, "pool broken: its workers cannot start",
                  LOG_STR("pool", e->pools.committed[worker.group].name), LOG_STR("why", view.why));
    else
        log_event(e->parts.log, LOG_INFO, "pool mended",
                  LOG_STR("pool", e->pools.committed[worker.group].name));
}
