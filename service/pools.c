/* SPDX-License-Identifier: MIT */
/* What the engine remembers of pools: as of the last commit, in the open transaction, for other
 * threads, for the dispatcher and for the workers, which follow it after the commit. */
#include "service/pools.h"

#include "service/engine_state.h"
#include "storage/pools.h"

#define MAX_LOOKS 1000 /* a writer needs far less than a microsecond */

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

static int64_t number(const _Atomic int64_t *n)
{
    return atomic_load_explicit(n, memory_order_relaxed);
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
                              .is_broken = group.is_broken,
                              .queued = number(&e->pools.queued[pool]),
                              .unfinished = number(&e->pools.unfinished[pool])};
    _Static_assert(sizeof ret->why == sizeof group.why, "one text");
    memcpy(ret->why, group.why, sizeof ret->why);
    pool_board_get(&e->pools.boards[pool], &ret->entry);
}

bool engine_find_pool(const struct engine *e, struct slice name, uint32_t *ret)
{
    struct pool_entry entry;
    for (*ret = 0; *ret < MAX_POOLS; (*ret)++) {
        pool_board_get(&e->pools.boards[*ret], &entry);
        if (entry.name[0] != '\0' && slice_is(name, entry.name))
            return true;
    }
    return false;
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
        .start_timeout_us = cfg->pool_start_timeout_us,
        .max_rss = cfg->pool_max_rss,
        .on_death = cfg->pool_on_worker_death,
    };
}

uint32_t pool_settings_min(const struct pool_settings *settings)
{
    return MIN(settings->min, settings->size);
}

uint32_t pools_sum_of_sizes(const struct engine *e)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < MAX_POOLS; i++)
        sum += e->pools.now[i].name[0] == '\0' ? 0 : e->pools.now[i].settings.size;
    return sum;
}

static struct pool_rules rules_of(const struct pool_entry *pool)
{
    const struct pool_settings *s = &pool->settings;
    const bool has_workers = pool->phase != POOL_IS_TERMINATED && pool->phase != POOL_IS_BROKEN &&
                             pool->name[0] != '\0';
    return (struct pool_rules){
        .size = has_workers ? s->size : 0,
        .min = has_workers ? pool_settings_min(s) : 0,
        .idle_ns = s->idle_us == 0 ? UINT64_MAX : (uint64_t)s->idle_us * 1000,
        .max_tasks = s->max_jobs,
        .max_rss_bytes = s->max_rss,
        .start_timeout_ns = (uint64_t)s->start_timeout_us * 1000,
        .max_start_failures = s->start_failures,
        .name = pool->name,
        .runner = pool->runner,
        .isolation = s->isolation,
    };
}

static void make_rules(struct engine *e)
{
    uint32_t flights = 0;
    for (uint32_t i = 0; i < MAX_POOLS; i++) {
        const struct pool_rules rules = rules_of(&e->pools.now[i]);
        pool_set_rules(e->parts.pool, i, &rules);
        if (e->pools.now[i].name[0] != '\0')
            flights += dispatch_room(e->pools.now[i].settings.size);
    }
    dispatch_fit(&e->dispatch, flights);
}

void pools_tell_dispatch(struct engine *e)
{
    struct dispatch *d = &e->dispatch;
    bool has_pools = false, is_news = d->closed != e->pools.is_drained;
    for (uint32_t i = 0; i < MAX_POOLS; i++) {
        const struct pool_entry *pool = &e->pools.now[i];
        const bool is_broken = pool->phase == POOL_IS_BROKEN;
        const bool is_shut = pool->phase == POOL_IS_TERMINATED || is_broken;
        const uint32_t queue = i == 0 || pool->name[0] == '\0' ? 0 : pool->queue;
        is_news |= d->is_shut[i] != is_shut || d->pool_queue[i] != queue;
        d->is_shut[i] = is_shut;
        d->broken[i] = is_broken ? pool->why : NULL;
        d->pool_queue[i] = queue;
        has_pools |= queue != 0;
    }
    d->closed = e->pools.is_drained;
    d->has_pools = has_pools;
    d->dirty |= is_news;
}

/* ------------------------------------------------------------------------------------------------
 * after the transaction */

/* Those who wait for its last job, or for a change. */
static void wake(struct engine *e, uint32_t pool)
{
    struct wake news = {.topic = topic_pool(pool), .now_ns = e->turn.now_ns};
    publish_answers(e, waiters_wake(e->waiters, &news));
}

static void put_counts(struct engine *e, uint32_t pool, const struct pool_counts *counts)
{
    const int64_t before = number(&e->pools.unfinished[pool]);
    atomic_store_explicit(&e->pools.queued[pool], counts->queued, memory_order_relaxed);
    atomic_store_explicit(&e->pools.unfinished[pool], counts->unfinished, memory_order_relaxed);
    if (before != 0 && counts->unfinished == 0)
        e->pools.news |= UINT32_C(1) << pool;
}

static void count_jobs(struct engine *e)
{
    struct pool_counts own = {
        .queued = store_count(e->store, JOB_QUEUED),
        .unfinished = store_waiting(e->store) + store_count(e->store, JOB_RUNNING) +
                      store_count(e->store, JOB_STOPPING),
    };
    for (uint32_t i = 1; i < MAX_POOLS && e->dispatch.has_pools; i++) {
        struct pool_counts counts = {0};
        if (e->dispatch.pool_queue[i] != 0)
            pools_count(e->store, e->dispatch.pool_queue[i], &counts);
        put_counts(e, i, &counts);
        own.queued -= counts.queued;
        own.unfinished -= counts.unfinished;
    }
    put_counts(e, 0, &own);
}

/* What nobody has used is not touched: all of it would be 200 KB. */
static bool is_used(const struct pools *pools, uint32_t pool)
{
    return pools->now[pool].name[0] != '\0' || pools->committed[pool].name[0] != '\0';
}

void pools_committed(struct engine *e)
{
    struct pools *pools = &e->pools;
    for (uint32_t i = 0; i < MAX_POOLS && (pools->is_dirty || pools->has_walked); i++)
        if (is_used(pools, i)) {
            pool_board_put(&pools->boards[i], &pools->now[i]);
            pools->committed[i] = pools->now[i];
        }
    if (pools->is_dirty) {
        pools->news = UINT32_MAX;
        make_rules(e);
        pools_tell_dispatch(e);
    }
    pools->is_dirty = pools->has_walked = false;
    pools->cannot_start = 0;
    count_jobs(e);
}

void pools_publish(struct engine *e)
{
    for (size_t i = 0; i < e->n_batch; i++) {
        const struct command *cmd = e->batch[i];
        if (cmd->kind != CMD_WORKER || cmd->err.code != ERR_NONE)
            continue;
        const struct pool_stop_how how = {cmd->worker.signal, cmd->worker.grace_us};
        (void)pool_replace(e->parts.pool, cmd->worker.slot, &how);
    }
    for (uint32_t i = 0; i < MAX_POOLS && e->pools.news != 0; i++)
        if ((e->pools.news >> i & 1) != 0)
            wake(e, i);
    e->pools.news = 0;
}

void pools_rolled_back(struct engine *e)
{
    for (uint32_t i = 0; i < MAX_POOLS; i++)
        if (is_used(&e->pools, i))
            e->pools.now[i] = e->pools.committed[i];
    e->pools.is_dirty = e->pools.has_walked = false;
    pools_tell_dispatch(e);
}

void pools_drain(struct engine *e)
{
    e->pools.is_drained = true;
    pools_tell_dispatch(e);
    for (uint32_t i = 0; i < MAX_POOLS; i++)
        wake(e, i);
}

/* ------------------------------------------------------------------------------------------------
 * at the start */

struct pool_entry *pools_find(struct engine *e, struct slice name)
{
    for (uint32_t i = 0; i < MAX_POOLS; i++)
        if (e->pools.now[i].name[0] != '\0' && slice_is(name, e->pools.now[i].name))
            return &e->pools.now[i];
    return NULL;
}

struct pool_entry *pools_free(struct engine *e)
{
    for (uint32_t i = 1; i < MAX_POOLS; i++)
        if (e->pools.now[i].name[0] == '\0')
            return &e->pools.now[i];
    return NULL;
}

/* What was said at run time lasts until the configuration says something else than it did then. */
static bool take_stored(struct engine *e, struct pool_entry *pool, const struct pool_entry *stored,
                        struct err *err)
{
    const struct pool_settings base = pool->base;
    const uint32_t queue = pool->queue;
    char runner[POOL_RUNNER_MAX];
    memcpy(runner, pool->runner, sizeof runner);
    *pool = *stored;
    memcpy(pool->runner, runner, sizeof runner);
    pool->queue = queue;
    pool->is_made = 0;
    if (memcmp(&stored->base, &base, sizeof base) != 0) {
        pool->settings = pool->base = base;
        pool->version++;
    }
    if ((pool->version != stored->version || stored->is_made) && !pools_put(e->store, pool, err))
        return false;
    pool->settings.size = MIN(pool->settings.size, pool_max(e->parts.pool));
    return true;
}

static bool open_configured(struct engine *e, struct err *err)
{
    const struct pool_list *list = &e->parts.cfg->pools;
    struct pool_entry *pool = &e->pools.now[0];
    *pool = (struct pool_entry){.name = DEFAULT_POOL, .version = 1};
    pool_settings_of_config(e->parts.cfg, &pool->base);
    pool->settings = pool->base;
    for (uint32_t i = 0; i < list->n; i++) {
        pool = &e->pools.now[i + 1];
        *pool = (struct pool_entry){
            .version = 1, .settings = list->items[i].settings, .base = list->items[i].settings};
        memcpy(pool->runner, list->items[i].runner, sizeof pool->runner);
        memcpy(pool->name, list->items[i].name, sizeof list->items[i].name);
        if (!pools_queue(e->store, pool->name, &pool->queue, err))
            return false;
    }
    return true;
}

/* One that a client has made; or what was said about one that the configuration has no more. */
static bool open_made(struct engine *e, const struct pool_entry *stored, struct err *err)
{
    struct pool_entry *pool = pools_free(e);
    if (!stored->is_made)
        return pools_delete(e->store, stored->name, err);
    if (pool == NULL)
        return err_set(err, ERR_INVALID,
                       "There are more than %d pools beside the default one: take some out of the "
                       "configuration",
                       MAX_POOLS - 1);
    *pool = *stored;
    pool->settings.size = MIN(pool->settings.size, pool_max(e->parts.pool));
    return pools_queue(e->store, pool->name, &pool->queue, err);
}

bool pools_open(struct engine *e, struct err *err)
{
    AUTO_FREE struct pool_entry *stored = must_alloc(MAX_POOLS * sizeof *stored);
    size_t n;
    if (!open_configured(e, err) || !pools_load(e->store, stored, MAX_POOLS, &n, err))
        return false;
    for (size_t i = 0; i < n; i++) {
        struct pool_entry *pool = pools_find(e, slice_of(stored[i].name));
        if (pool != NULL ? !take_stored(e, pool, &stored[i], err) : !open_made(e, &stored[i], err))
            return false;
    }
    if (pools_sum_of_sizes(e) > pool_max(e->parts.pool))
        log_event(e->parts.log, LOG_WARN, "the pools together are larger than pool.max_workers",
                  LOG_INT("workers", pools_sum_of_sizes(e)),
                  LOG_INT("max", pool_max(e->parts.pool)));
    for (uint32_t i = 0; i < MAX_POOLS; i++) /* what was running then is passed by a walk */
        if (e->pools.now[i].phase == POOL_IS_BROKEN)
            pools_walk_begin(e, &e->pools.now[i]);
    e->pools.is_dirty = true;
    pools_tell_dispatch(e);
    return true;
}

/* ------------------------------------------------------------------------------------------------
 * who gets in */

static bool is_admitted(const struct engine *e, uint32_t i, struct err *err)
{
    const struct pool_entry *pool = &e->pools.now[i];
    struct pool_group_view view;
    if (pool->phase == POOL_IS_CLOSED)
        return err_set(err, ERR_POOL_CLOSED, "Pool %s is closed: it runs what it has accepted",
                       pool->name);
    if (pool->phase == POOL_IS_TERMINATED)
        return err_set(err, ERR_POOL_CLOSED, "Pool %s is terminated", pool->name);
    if (pool->phase == POOL_IS_BROKEN)
        return err_set(err, ERR_POOL_BROKEN, "Pool %s is broken: %s; reopen it", pool->name,
                       pool->why);
    if (!pool_is_broken(e->parts.pool, i))
        return true;
    pool_group_info(e->parts.pool, i, &view);
    return err_set(err, ERR_POOL_BROKEN,
                   "Pool %s is broken: %u starts of a worker in a row have failed: %.130s",
                   pool->name, view.failures, view.why);
}

bool pools_admit_queue(const struct engine *e, uint32_t queue, struct err *err)
{
    return is_admitted(e, dispatch_pool_of(&e->dispatch, queue), err);
}

/* Which kinds of tasks it takes: what stays loaded cannot be a new process for each call. */
static const struct {
    bool takes[FUNCTION_KIND_COUNT];
    const char *which;
} isolations[POOL_ISOLATIONS] = {
    [POOL_ANY] = {{[FUNCTION_COMMAND] = true, [FUNCTION_NATIVE] = true, [FUNCTION_RUNNER] = true},
                  ""},
    [POOL_EXEC] = {{[FUNCTION_COMMAND] = true, [FUNCTION_RUNNER] = true},
                   "commands and functions of the kind runner only"},
    [POOL_REUSE] = {{[FUNCTION_NATIVE] = true, [FUNCTION_RUNNER] = true},
                    "functions that stay loaded only"},
    [POOL_FORK] = {{[FUNCTION_RUNNER] = true}, "functions of the kind runner only"},
};

static bool takes(const struct pool_entry *pool, const struct job_spec *spec, struct err *err)
{
    const uint32_t isolation = pool->settings.isolation;
    if (!isolations[isolation].takes[spec->kind])
        return err_at(err, ERR_INVALID, "/pool", "pool %s has isolation \"%s\" and runs %s",
                      pool->name, pool_isolation_name(isolation), isolations[isolation].which);
    return !spec->needs_runner || pool->runner[0] != '\0' ||
           err_at(err, ERR_INVALID, "/pool",
                  "pool %s has no runner, and this function has none of its own; name a pool that "
                  "was made with \"runner\"",
                  pool->name);
}

/* Of a job that is for the queue of this pool. */
static bool names_no_other(const struct pool_entry *pool, const struct job_spec *spec,
                           struct err *err)
{
    return spec->pool.ptr == NULL || slice_is(spec->pool, pool->name) ||
           err_at(err, ERR_INVALID, "/queue",
                  "is that of the pool %s, whose workers run what is in it; name this pool, or "
                  "another queue",
                  pool->name);
}

const struct pool_entry *pools_of(const struct engine *e, const struct job_spec *spec)
{
    for (uint32_t i = 1; i < MAX_POOLS && e->dispatch.has_pools; i++) {
        const struct pool_entry *pool = &e->pools.now[i];
        if (pool->name[0] != '\0' && slice_is(spec->queue, pool->name))
            return pool;
    }
    return &e->pools.now[0];
}

bool pools_admit(const struct engine *e, const struct job_spec *spec, struct err *err)
{
    const struct pool_entry *pool = pools_of(e, spec);
    const uint32_t i = pools_number(&e->pools, pool);
    if (i > 0)
        return names_no_other(pool, spec, err) && takes(pool, spec, err) && is_admitted(e, i, err);
    if (spec->pool.ptr != NULL && !slice_is(spec->pool, DEFAULT_POOL))
        return err_at(err, ERR_INVALID, "/pool",
                      "there is no pool %.*s; GET /v1/pools lists them, POST /v1/pools makes one",
                      (int)spec->pool.len, spec->pool.ptr);
    return takes(&e->pools.now[0], spec, err) && is_admitted(e, 0, err);
}
