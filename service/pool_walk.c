/* SPDX-License-Identifier: MIT */
/* The jobs of a pool end: a termination cancels them, a close those that wait, and a death in a
 * pool with on_worker_death "break" makes them fail. What is reserved or runs is dealt with at
 * once; a walk over all others takes a bounded step in each turn, and goes on after kill -9. */
#include "service/base/text.h"
#include "service/engine_state.h"
#include "storage/pools.h"

#include <sys/wait.h>

#define MAX_WALKED 4000 /* rows that one step looks at */
#define MAX_ENDED 500   /* jobs that one step ends */

static bool is_of(const struct engine *e, const struct flight *f, uint32_t pool)
{
    return f->state != FLIGHT_FREE && dispatch_pool_of(&e->dispatch, f->info.row.queue) == pool;
}

/* ------------------------------------------------------------------------------------------------
 * what is reserved or runs */

/* It runs. In a broken pool its row stays RUNNING until its end, which is then not its own
 * (outcome.c). */
static bool stop_running(struct engine *e, struct flight *f, const struct pool_stop_how *how,
                         struct err *err)
{
    const struct job_cancel cancel = {f->info.row.no, e->turn.now_us, POOL_TERMINATED_WORDS};
    enum job_state state;
    if (dispatch_broken(&e->dispatch, f->info.row.queue) == NULL) {
        if (!f->stop_requested && !jobs_cancel(e->store, &cancel, &state, err))
            return false;
        f->stop_requested = true;
    } else if (f->stop_requested) {
        return true; /* by a cancel, with a grace of its own */
    }
    dispatch_stop(f, how->signal, how->grace_us);
    return true;
}

static bool stop_flight(struct engine *e, struct flight *f, const struct pool_stop_how *how,
                        struct err *err)
{
    if (f->chunk != NULL && !chunk_settle_range(&e->dispatch, &e->turn, f, &CHUNK_WHOLE, err))
        return false;
    if (f->state < FLIGHT_CLAIMED && !dispatch_settle(&e->dispatch, &e->turn, f->info.row.no, err))
        return false;
    return (f->state != FLIGHT_CLAIMED && f->state != FLIGHT_RUNNING) ||
           stop_running(e, f, how, err);
}

bool pools_stop_flights(struct engine *e, uint32_t pool, const struct pool_stop_how *how,
                        struct err *err)
{
    for (uint32_t k = 0; k < e->dispatch.n; k++) {
        struct flight *f = &e->dispatch.flights[k];
        if (is_of(e, f, pool) && f->state != FLIGHT_ENDED && !stop_flight(e, f, how, err))
            return false;
    }
    return true;
}

bool pools_is_ending(const struct engine *e, const struct pool_entry *pool)
{
    bool is_ending = pool->up_to != 0;
    if (atomic_load_explicit(&e->pools.unfinished[pools_number(&e->pools, pool)],
                             memory_order_relaxed) == 0)
        return false;
    for (uint32_t k = 0; k < e->dispatch.n && pool->phase == POOL_IS_BROKEN; k++)
        is_ending |= is_of(e, &e->dispatch.flights[k], pools_number(&e->pools, pool));
    return is_ending;
}

/* ------------------------------------------------------------------------------------------------
 * a death */

static void describe(struct pool_entry *pool, const struct flight *f, const struct job_id *id,
                     const struct task_outcome *outcome)
{
    const int status = outcome->death;
    char job[37], how[32];
    job_id_format(id, job);
    if (WIFSIGNALED(status))
        (void)snprintf(how, sizeof how, "%s", text_signal_name(WTERMSIG(status)));
    else
        (void)snprintf(how, sizeof how, "exit code %d", WEXITSTATUS(status));
    (void)snprintf(pool->why, sizeof pool->why, "%sworker-%u died (%s) under job %s",
                   outcome->was_runner ? "the runner of " : "", f->place.slot, how, job);
}

static bool may_break(const struct engine *e, const struct pool_entry *pool)
{
    return pool->settings.on_death == DEATH_BREAKS_POOL && pool->phase != POOL_IS_TERMINATED &&
           pool->phase != POOL_IS_BROKEN && !e->pools.is_drained;
}

/* `why` of the pool is said. */
static bool break_pool(struct engine *e, struct pool_entry *pool, struct err *err)
{
    static const struct pool_stop_how own = {.signal = 0, .grace_us = -1};
    pool->phase = POOL_IS_BROKEN;
    pool->version++;
    pools_walk_begin(e, pool);
    e->pools.is_dirty = true;
    pools_tell_dispatch(e);
    log_event(e->parts.log, LOG_ERROR, "pool broken: all its jobs fail",
              LOG_STR("pool", pool->name), LOG_STR("why", pool->why));
    return pools_put(e->store, pool, err) &&
           pools_stop_flights(e, pools_number(&e->pools, pool), &own, err);
}

bool apply_death(struct engine *e, const struct flight *f, const struct job_id *id,
                 const struct task_outcome *outcome, struct err *err)
{
    struct pool_entry *pool = &e->pools.now[dispatch_pool_of(&e->dispatch, f->info.row.queue)];
    if (!outcome->has_died || !may_break(e, pool))
        return true;
    describe(pool, f, id, outcome);
    return break_pool(e, pool, err);
}

/* Workers that cannot start are as good as dead. */
static bool break_those_that_cannot_start(struct engine *e, struct err *err)
{
    for (uint32_t i = 0; i < MAX_POOLS && e->pools.cannot_start != 0; i++) {
        struct pool_entry *pool = &e->pools.now[i];
        struct pool_group_view view;
        if ((e->pools.cannot_start >> i & 1) == 0 || !may_break(e, pool))
            continue;
        pool_group_info(e->parts.pool, i, &view);
        (void)text_put_plain(pool->why, sizeof pool->why - 1, slice_of(view.why));
        if (!break_pool(e, pool, err))
            return false;
    }
    return true;
}

/* These jobs are walked over (once more). */
static void walk_over(struct engine *e, struct pool_entry *pool, int64_t above, int64_t up_to)
{
    pool->place = pool->up_to == 0 ? above : MIN(pool->place, above);
    pool->up_to = MAX(pool->up_to, up_to);
    e->pools.has_walked = true;
}

/* What it has left waiting (it did not begin, or the rest of its chunk) may lie behind the walk. */
void pools_landed(struct engine *e, const struct flight *f)
{
    struct pool_entry *pool = &e->pools.now[dispatch_pool_of(&e->dispatch, f->info.row.queue)];
    const int64_t first = f->chunk == NULL ? f->info.row.no : f->chunk->head.no;
    const int64_t n = f->chunk == NULL ? 1 : f->chunk->span;
    if (pool->phase != POOL_IS_BROKEN)
        return;
    walk_over(e, pool, first - 1, first + n - 1);
}

void pools_came_late(struct engine *e, uint32_t queue, int64_t above)
{
    struct pool_entry *pool = &e->pools.now[dispatch_pool_of(&e->dispatch, queue)];
    if (pool->phase == POOL_IS_TERMINATED || pool->phase == POOL_IS_BROKEN)
        walk_over(e, pool, above, pools_newest(e->store));
}

/* ------------------------------------------------------------------------------------------------
 * all others, step by step */

void pools_walk_begin(struct engine *e, struct pool_entry *pool)
{
    pool->place = 0;
    pool->up_to = pools_newest(e->store);
}

bool pools_have_work(const struct engine *e)
{
    if (e->pools.cannot_start != 0)
        return true;
    for (uint32_t i = 0; i < MAX_POOLS; i++)
        if (e->pools.now[i].up_to != 0)
            return true;
    return false;
}

static bool fail_one(struct engine *e, const struct pool_entry *pool, const struct job_row *row,
                     struct err *err)
{
    const struct job_refusal refusal = {row->no, REASON_LOST, e->turn.now_us, pool->why};
    apply_due_at(e, e->turn.now_us + row->keep_us);
    return jobs_refuse(e->store, &refusal, err);
}

static bool cancel_one(struct engine *e, const struct pool_entry *pool, const struct job_row *row,
                       struct err *err)
{
    struct job_cancel cancel = {row->no, e->turn.now_us, POOL_TERMINATED_WORDS};
    struct flight *f = row->state == JOB_RUNNING ? dispatch_find(&e->dispatch, row->no) : NULL;
    enum job_state state;
    if (pool->phase == POOL_IS_CLOSED)
        cancel.why = "The pool was closed, and what waited was cancelled.";
    if (!jobs_cancel(e->store, &cancel, &state, err))
        return false;
    if (f != NULL) {
        f->stop_requested = true;
        dispatch_stop(f, 0, -1);
    }
    return true;
}

/* What runs in a broken pool has been told (pools_stop_flights). */
static bool end_one(struct engine *e, const struct pool_entry *pool, int64_t no, bool *ret_did,
                    struct err *err)
{
    struct job_row row;
    if (!dispatch_settle(&e->dispatch, &e->turn, no, err) ||
        !jobs_get_by_no(e->store, no, &row, err))
        return false;
    *ret_did = row.state == JOB_SCHEDULED || row.state == JOB_BLOCKED || row.state == JOB_QUEUED ||
               (row.state == JOB_RUNNING && pool->phase == POOL_IS_TERMINATED);
    if (!*ret_did)
        return true;
    return pool->phase == POOL_IS_BROKEN ? fail_one(e, pool, &row, err)
                                         : cancel_one(e, pool, &row, err);
}

/* Whether the walk has to do with it. */
static bool is_wanted(const struct engine *e, const struct pool_entry *pool,
                      const struct walked_job *job)
{
    return !job_state_is_end(job->state) && job->state != JOB_STOPPING &&
           dispatch_pool_of(&e->dispatch, job->queue) == pools_number(&e->pools, pool);
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
    for (size_t i = 0; i < walk.n && n_done < MAX_ENDED; i++) {
        bool did = false;
        if (is_wanted(e, pool, &jobs[i]) && !end_one(e, pool, jobs[i].no, &did, err))
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
    struct guarded step = {.name = "end the jobs of a pool", .run = walk_on, .arg = &pool};
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
    if (!break_those_that_cannot_start(e, err))
        return false;
    for (uint32_t i = 0; i < MAX_POOLS; i++)
        if (e->pools.now[i].up_to != 0 && !work_on(e, i, err))
            return false;
    return true;
}
