/* SPDX-License-Identifier: MIT */
/* Verbs on pools and workers. What is said about a pool is a row in the store; the workers follow
 * it after the commit. A termination cancels in steps, a bounded number of jobs in each turn, and
 * goes on after kill -9. */
#include "service/pools.h"

#include "service/engine_state.h"
#include "storage/pools.h"

#define MAX_WALKED 4000   /* rows that one step looks at */
#define MAX_CANCELLED 500 /* jobs that one step cancels */
#define MAX_LOOKS 1000    /* a writer needs far less than a microsecond */

/* ------------------------------------------------------------------------------------------------
 * for other threads */

void pool_board_put(struct pool_board *board, const struct pool_entry *entry)
{
    uint64_t words[POOL_BOARD_WORDS] = {0};
    const uint32_t odd = atomic_load_explicit(&board->turn, memory_order_relaxed) | 1u;
    memcpy(words, entry, sizeof *entry);
    atomic_store(&board->turn, odd);
    for (size_t i = 0; i < POOL_BOARD_WORDS; i++)
        atomic_store_explicit(&board->words[i], words[i], memory_order_release);
    atomic_store(&board->turn, odd + 1);
}

void pool_board_get(const struct pool_board *board, struct pool_entry *ret)
{
    uint64_t words[POOL_BOARD_WORDS];
    for (int look = 0; look < MAX_LOOKS; look++) {
        const uint32_t turn = atomic_load(&board->turn);
        for (size_t i = 0; i < POOL_BOARD_WORDS; i++)
            words[i] = atomic_load_explicit(&board->words[i], memory_order_acquire);
        if ((turn & 1) == 0 && atomic_load(&board->turn) == turn)
            break;
    }
    memcpy(ret, words, sizeof *ret);
}

void engine_pool_view(const struct engine *e, uint32_t pool, struct pool_view *ret)
{
    struct pool_group_view group;
    PRE(pool < MAX_POOLS);
    pool_group_info(e->parts.pool, pool, &group);
    *ret = (struct pool_view){.busy = group.busy,
                              .idle = group.ready - MIN(group.ready, group.busy),
                              .booting = group.alive - MIN(group.alive, group.ready),
                              .max_size = pool_max(e->parts.pool),
                              .failures = group.failures,
                              .is_broken = group.is_broken};
    _Static_assert(sizeof ret->why == sizeof group.why, "one text");
    memcpy(ret->why, group.why, sizeof ret->why);
    pool_board_get(&e->pools.boards[pool], &ret->entry);
    for (int s = 0; s < JOB_STATE_COUNT; s++)
        if (!job_state_is_end((enum job_state)s))
            ret->unfinished += atomic_load_explicit(&e->shared.count[s], memory_order_relaxed);
    ret->queued = atomic_load_explicit(&e->shared.count[JOB_QUEUED], memory_order_relaxed);
}

/* ------------------------------------------------------------------------------------------------
 * settings and workers */

void pool_settings_of_config(const struct config *cfg, struct pool_settings *ret)
{
    *ret = (struct pool_settings){
        .size = cfg->pool_workers,
        .min = cfg->pool_min_workers >= cfg->pool_workers ? POOL_MIN_ALL : cfg->pool_min_workers,
        .idle_us = cfg->pool_idle_us,
        .max_jobs = cfg->pool_max_jobs_per_worker,
        .start_failures = cfg->pool_start_failures,
        .max_rss = cfg->pool_max_rss,
        .on_death = cfg->pool_on_worker_death,
    };
}

uint32_t pool_settings_min(const struct pool_settings *settings)
{
    return MIN(settings->min, settings->size);
}

static struct pool_rules rules_of(const struct pool_entry *pool)
{
    const struct pool_settings *s = &pool->settings;
    const bool has_workers = pool->phase != POOL_IS_TERMINATED && pool->name[0] != '\0';
    return (struct pool_rules){
        .size = has_workers ? s->size : 0,
        .min = has_workers ? pool_settings_min(s) : 0,
        .idle_ns = s->idle_us == 0 ? UINT64_MAX : (uint64_t)s->idle_us * 1000,
        .max_tasks = s->max_jobs,
        .max_rss_bytes = s->max_rss,
        .max_start_failures = s->start_failures,
    };
}

/* Nothing begins while the service stops, or in a pool that is terminated. */
static void close_or_open(struct engine *e)
{
    const bool is_closed = e->pools.is_drained || e->pools.now[0].phase == POOL_IS_TERMINATED;
    if (e->dispatch.closed == is_closed)
        return;
    e->dispatch.closed = is_closed;
    e->dispatch.dirty = true;
}

static void make_rules(struct engine *e)
{
    uint32_t workers = 0;
    for (uint32_t i = 0; i < MAX_POOLS; i++) {
        const struct pool_rules rules = rules_of(&e->pools.now[i]);
        workers += e->pools.now[i].name[0] == '\0' ? 0 : e->pools.now[i].settings.size;
        pool_set_rules(e->parts.pool, i, &rules);
    }
    dispatch_fit(&e->dispatch, workers);
}

/* Those who wait for its last job, or for a change. */
static void wake(struct engine *e)
{
    struct wake news = {.topic = topic_pool(0), .now_ns = e->turn.now_ns};
    publish_answers(e, waiters_wake(e->waiters, &news));
}

static bool is_done(const struct engine *e)
{
    return store_waiting(e->store) + store_count(e->store, JOB_RUNNING) +
               store_count(e->store, JOB_STOPPING) ==
           0;
}

void pools_committed(struct engine *e)
{
    struct pools *pools = &e->pools;
    const bool was_done = pools->was_done;
    pools->was_done = is_done(e);
    if (!pools->is_dirty) {
        e->pools.has_news |= pools->was_done && !was_done;
        return;
    }
    pools->is_dirty = false;
    for (uint32_t i = 0; i < MAX_POOLS; i++)
        pool_board_put(&pools->boards[i], &pools->now[i]);
    memcpy(pools->committed, pools->now, sizeof pools->now);
    pools->has_news = true;
    make_rules(e);
    close_or_open(e);
}

/* After the numbers of the commit can be seen. */
void pools_publish(struct engine *e)
{
    for (size_t i = 0; i < e->n_batch; i++) {
        const struct command *cmd = e->batch[i];
        if (cmd->kind != CMD_WORKER || cmd->err.code != ERR_NONE)
            continue;
        const struct pool_stop_how how = {cmd->worker.signal, cmd->worker.grace_us};
        (void)pool_replace(e->parts.pool, cmd->worker.slot, &how);
    }
    if (e->pools.has_news)
        wake(e);
    e->pools.has_news = false;
}

void pools_rolled_back(struct engine *e)
{
    memcpy(e->pools.now, e->pools.committed, sizeof e->pools.now);
    e->pools.is_dirty = false;
    close_or_open(e);
}

void pools_drain(struct engine *e)
{
    e->pools.is_drained = true;
    close_or_open(e);
    wake(e);
}

bool pools_open(struct engine *e, struct err *err)
{
    struct pool_entry stored[MAX_POOLS];
    size_t n;
    struct pool_entry *pool = &e->pools.now[0];
    *pool = (struct pool_entry){.name = DEFAULT_POOL, .version = 1};
    pool_settings_of_config(e->parts.cfg, &pool->base);
    pool->settings = pool->base;
    if (!pools_load(e->store, stored, MAX_POOLS, &n, err))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (strcmp(stored[i].name, pool->name) != 0)
            continue;
        const struct pool_settings base = pool->base;
        *pool = stored[i];
        /* The configuration has changed: what was said before it is over. */
        if (memcmp(&stored[i].base, &base, sizeof base) == 0)
            continue;
        pool->settings = pool->base = base;
        pool->version++;
        if (!pools_put(e->store, pool, err))
            return false;
    }
    pool->settings.size = MIN(pool->settings.size, pool_max(e->parts.pool));
    e->pools.is_dirty = true;
    return true;
}

/* ------------------------------------------------------------------------------------------------
 * who gets in */

bool pools_admit(const struct engine *e, struct err *err)
{
    const struct pool_entry *pool = &e->pools.now[0];
    struct pool_group_view view;
    if (pool->phase == POOL_IS_CLOSED)
        return err_set(err, ERR_POOL_CLOSED, "The pool is closed: it runs what it has accepted");
    if (pool->phase == POOL_IS_TERMINATED)
        return err_set(err, ERR_POOL_CLOSED, "The pool is terminated");
    if (!pool_is_broken(e->parts.pool, 0))
        return true;
    pool_group_info(e->parts.pool, 0, &view);
    return err_set(err, ERR_POOL_BROKEN, "%u starts of a worker in a row have failed: %.160s",
                   view.failures, view.why);
}

/* ------------------------------------------------------------------------------------------------
 * verbs */

static struct pool_entry *find(struct engine *e, struct slice name, struct err *err)
{
    for (uint32_t i = 0; i < MAX_POOLS; i++)
        if (e->pools.now[i].name[0] != '\0' && slice_is(name, e->pools.now[i].name))
            return &e->pools.now[i];
    (void)err_set(err, ERR_NOT_FOUND, "There is no pool with this name");
    return NULL;
}

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
}

static bool check_settings(const struct engine *e, const struct pool_settings *s, struct err *err)
{
    if (s->size > pool_max(e->parts.pool))
        return err_at(err, ERR_INVALID, "/size",
                      "is above %u: the option pool.max_workers says how far the pool can grow "
                      "while the service runs",
                      pool_max(e->parts.pool));
    return s->min == POOL_MIN_ALL || s->min <= s->size ||
           err_at(err, ERR_INVALID, "/min", "is above the size, which is %u", s->size);
}

/* Takes back what is reserved, and stops what runs. */
static bool stop_flights(struct engine *e, const struct pool_ask *ask, struct err *err)
{
    for (uint32_t k = 0; k < e->dispatch.n; k++) {
        struct flight *f = &e->dispatch.flights[k];
        struct job_cancel cancel = {f->info.row.no, e->turn.now_us, POOL_TERMINATED_WORDS};
        enum job_state state;
        if (f->state == FLIGHT_FREE)
            continue;
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

static bool begin_walk(struct engine *e, struct pool_entry *pool)
{
    pool->place = 0;
    pool->up_to = pools_newest(e->store);
    return true;
}

static bool set_phase(struct engine *e, struct pool_entry *pool, const struct pool_ask *ask,
                      struct err *err)
{
    switch (ask->verb) {
    case POOL_CLOSE:
        if (pool->phase == POOL_IS_TERMINATED)
            return true;
        pool->phase = POOL_IS_CLOSED;
        return !ask->cancel_queued || begin_walk(e, pool);
    case POOL_TERMINATE:
        pool->phase = POOL_IS_TERMINATED;
        return begin_walk(e, pool) && stop_flights(e, ask, err);
    case POOL_REOPEN:
        if (pool->up_to != 0)
            return err_set(err, ERR_STATE_CONFLICT,
                           "Its jobs are still being cancelled; join it, then reopen it");
        pool->phase = POOL_IS_OPEN;
        return true;
    case POOL_CHANGE:
    default: return err_set(err, ERR_INTERNAL, "unknown verb of a pool");
    }
}

static bool change_settings(struct engine *e, struct pool_entry *pool, const struct pool_ask *ask,
                            struct err *err)
{
    if (ask->if_version != 0 && ask->if_version != pool->version)
        return err_set(err, ERR_VERSION_MISMATCH, "The pool's entity tag is \"%lld\"",
                       (long long)pool->version);
    take_members(&pool->settings, ask->members, &ask->to);
    return check_settings(e, &pool->settings, err);
}

bool apply_pool(struct engine *e, const struct command *cmd, struct err *err)
{
    const struct pool_ask *ask = &cmd->pool;
    struct pool_entry *pool = find(e, ask->name, err);
    if (pool == NULL)
        return false;
    const struct pool_entry before = *pool;
    bool ok = ask->verb == POOL_CHANGE ? change_settings(e, pool, ask, err)
                                       : set_phase(e, pool, ask, err);
    pool->version++;
    if (!ok || !pools_put(e->store, pool, err)) {
        *pool = before;
        return false;
    }
    e->pools.is_dirty = true;
    close_or_open(e);
    if (ask->verb == POOL_REOPEN)
        pool_mend(e->parts.pool, (uint32_t)(pool - e->pools.now));
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

static bool is_over(enum job_state state)
{
    return job_state_is_end(state) || state == JOB_STOPPING;
}

static bool walk_on(struct engine *e, struct pool_entry *pool, struct err *err)
{
    AUTO_FREE struct walked_job *jobs = must_alloc(MAX_WALKED * sizeof *jobs);
    struct job_walk walk = {
        .after = pool->place, .up_to = pool->up_to, .jobs = jobs, .max = MAX_WALKED};
    uint32_t n_done = 0;
    if (!pools_walk(e->store, &walk, err))
        return false;
    for (size_t i = 0; i < walk.n && n_done < MAX_CANCELLED; i++) {
        bool did = false;
        if (!is_over(jobs[i].state) && !cancel_one(e, pool, jobs[i].no, &did, err))
            return false;
        n_done += did;
        pool->place = jobs[i].no;
    }
    if (walk.n < walk.max && (walk.n == 0 || pool->place == jobs[walk.n - 1].no))
        pool->place = pool->up_to = 0;
    e->pools.is_dirty = true;
    return pools_put(e->store, pool, err);
}

bool apply_pool_work(struct engine *e, struct err *err)
{
    for (uint32_t i = 0; i < MAX_POOLS; i++)
        if (e->pools.now[i].up_to != 0 && !walk_on(e, &e->pools.now[i], err))
            return err_wrap(err, "cancel the jobs of a pool");
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
    (void)pool_worker_info(e->parts.pool, ev->place.slot, &worker);
    pool_group_info(e->parts.pool, worker.group, &view);
    if (ev->type == POOL_BROKEN)
        log_event(e->parts.log, LOG_ERROR, "pool broken: its workers cannot start",
                  LOG_STR("pool", e->pools.committed[worker.group].name), LOG_STR("why", view.why));
    else
        log_event(e->parts.log, LOG_INFO, "pool mended",
                  LOG_STR("pool", e->pools.committed[worker.group].name));
    wake(e);
}
