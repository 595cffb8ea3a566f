/* SPDX-License-Identifier: MIT */
/* Chunks: so many neighbours of a batch run one after another. One of them is in the queue or runs;
 * the others stand behind the gate of the batch, and each end lets the next one in. */
#include "service/engine_state.h"
#include "service/outcome.h"

#define ALIVE ((1u << JOB_SUCCEEDED) - 1u) /* the states before the first end */
_Static_assert(JOB_SUCCEEDED == 5, "the states that are no end come first");

static bool any_alive(struct engine *e, struct batch_range range, bool *ret, struct err *err)
{
    return chunk_has(e->store, range, ALIVE, ret, err);
}

bool chunk_is_busy(struct engine *e, const struct batch *b, int64_t idx, bool *ret, struct err *err)
{
    int64_t first = idx - idx % b->chunksize, end = MIN(first + b->chunksize, b->n);
    return any_alive(e, (struct batch_range){b->no, first, end - first}, ret, err);
}

bool chunk_holds_back(struct engine *e, const struct batch *b, int64_t idx, bool *ret,
                      struct err *err)
{
    *ret = b->max_parallel > 0;
    return b->chunksize == 1 || (b->flags & JOB_FREE_CHUNKS) != 0 ||
           chunk_is_busy(e, b, idx, ret, err);
}

bool chunk_next(struct engine *e, const struct batch *b, int64_t ended, struct err *err)
{
    const bool recovers = atomic_load(&e->shared.phase) == PHASE_STARTING;
    const struct flight *f = chunk_flight(&e->dispatch, b, ended);
    /* A flight that landed in this very turn has let the next one in. What has ended since then
     * may be just that one. */
    const bool has_landed = f != NULL && f->outcome_applied &&
                            e->turn.n_seen > e->turn.n_until_landed;
    const struct chunk_place place = {b, ended, recovers || has_landed};
    return (f != NULL && !has_landed) || chunk_go_on(&e->dispatch, &e->turn, &place, err);
}

/* Those before it may have ended while the batch waited, so it need not be the first of its chunk.
 * When one of them lives, it was let in by itself and its end lets the next one in. */
bool chunk_begin(struct engine *e, struct batch *b, struct err *err)
{
    const int64_t first = b->place, n = MIN(b->chunksize, b->n - first);
    struct job_row next;
    bool is_begun;
    if (n <= 0) {
        b->work &= ~(uint32_t)BATCH_WORK_RELEASE;
        return true;
    }
    b->place = first + b->chunksize;
    if (!chunk_first_gated(e->store, (struct batch_range){b->no, first, n}, &next, err))
        return false;
    if (next.no == 0)
        return true;
    if (!any_alive(e, (struct batch_range){b->no, first, next.idx - first}, &is_begun, err))
        return false;
    is_begun = is_begun || chunk_flight(&e->dispatch, b, first) != NULL;
    e->dispatch.dirty = true;
    return is_begun || batch_release(e->store, next.no, e->turn.now_us, err);
}

/* ------------------------------------------------------------------------------------------------
 * ends of those in flight */

/* Ends that are stored together. */
struct leaps {
    struct job_leap items[LEAPS_AT_ONCE];
    size_t n;
};

/* A report that comes too late changes nothing; only the store can fail. */
static bool or_log(struct engine *e, bool ok, const struct err *why, struct err *err)
{
    if (ok)
        return true;
    if (apply_is_store_failure(why))
        return err_set(err, why->code, "%s", why->detail);
    log_error(e->parts.log, "late report of an attempt ignored", why);
    return true;
}

/* It cannot leap: it begins, and then it ends. */
static bool apply_steps(struct engine *e, const struct job_leap *leap,
                        const struct attempt_facts *facts, const struct task_outcome *outcome,
                        struct err *err)
{
    const struct job_start start = {leap->row->no, leap->attempt, leap->slot, e->turn.now_us};
    return jobs_start_mate(e->store, &start, err) &&
           apply_store_end(e, facts, outcome, &leap->end, err);
}

static bool store_leaps(struct engine *e, struct leaps *leaps, struct err *err)
{
    static const struct task_outcome nothing = {0}; /* its files are no leap's */
    if (!jobs_leap(e->store, leaps->items, leaps->n, err))
        return false;
    for (size_t i = 0; i < leaps->n; i++) {
        const struct job_leap *leap = &leaps->items[i];
        const struct attempt_facts facts = {.row = *leap->row, .attempt = leap->attempt};
        struct err why = {0};
        if (leap->has_leapt)
            apply_ended(e, leap->row, &leap->end);
        else if (!or_log(e, apply_steps(e, leap, &facts, &nothing, &why), &why, err))
            return false;
    }
    leaps->n = 0;
    return true;
}

static struct attempt_facts facts_of(struct engine *e, const struct flight *f, uint32_t element)
{
    const struct chunk_run *run = f->chunk;
    const struct chunk_mate *mate = element == 0 ? NULL : &run->mates[element - 1];
    const bool stop_requested = mate == NULL ? run->head_stop_requested : mate->stop_requested;
    return (struct attempt_facts){
        .row = mate == NULL ? run->head : mate->row,
        .attempt = f->attempt,
        .stop_requested = stop_requested || (element == run->current && f->stop_requested),
        .drain_stop = f->drain_stop,
        .retries_lost = apply_retries_lost(e, run->head.queue),
        .broken = dispatch_broken(&e->dispatch, run->head.queue),
        .now_us = e->turn.now_us,
    };
}

/* The end of a mate: it is gathered, unless its words lie in `outcome` or it is tried again. */
static bool apply_mate(struct engine *e, struct flight *f, const struct task_outcome *outcome,
                       struct leaps *leaps, struct err *err)
{
    struct attempt_facts facts = facts_of(e, f, outcome->mate);
    struct job_leap leap = {.row = &f->chunk->mates[outcome->mate - 1].row,
                            .attempt = f->attempt,
                            .slot = f->place.slot};
    metrics_add(e->parts.metrics, COUNT_ATTEMPTS, 1);
    if (!apply_end_of(e, &facts, outcome, &leap.end, err))
        return false;
    if (!job_state_is_end(leap.end.state))
        return store_leaps(e, leaps, err) && apply_steps(e, &leap, &facts, outcome, err);
    leaps->items[leaps->n++] = leap;
    return (leaps->n < LEAPS_AT_ONCE && leap.end.error_detail == NULL) ||
           store_leaps(e, leaps, err);
}

static bool apply_element(struct engine *e, struct flight *f, const struct task_outcome *outcome,
                          struct leaps *leaps, struct err *err)
{
    const uint32_t element = outcome->mate;
    const struct job_row *row = element == 0 ? &f->chunk->head : &f->chunk->mates[element - 1].row;
    struct err why = {0};
    bool ok = apply_death(e, f, &row->id, outcome, &why);
    brief_note(&e->dispatch.brief, f->brief_key, (uint64_t)MAX(outcome->wall_us, (int64_t)0));
    if (ok && element == 0) {
        struct attempt_facts facts = facts_of(e, f, 0);
        ok = apply_outcome(e, &facts, outcome, &why);
    } else if (ok) {
        ok = apply_mate(e, f, outcome, leaps, &why);
    }
    return or_log(e, ok, &why, err);
}

/* It was taken by its worker, but has not begun: as if it had never left. */
static bool put_back(struct engine *e, const struct flight *f, int64_t no, struct err *err)
{
    struct job_row row;
    if (!jobs_get_by_no(e->store, no, &row, err))
        return false;
    if (row.state == JOB_RUNNING)
        return jobs_unstart(e->store, no, f->attempt, err);
    if (row.state != JOB_STOPPING)
        return true;
    const struct job_end end = {.state = JOB_CANCELLED,
                                .reason = REASON_NONE,
                                .finished_us = e->turn.now_us,
                                .keep_us = row.keep_us};
    return jobs_finish(e->store, no, f->attempt, &end, err);
}

/* The outcome of the one that ran last, and what is left of the others. */
static bool apply_last(struct engine *e, struct flight *f, struct leaps *leaps, struct err *err)
{
    const struct chunk_run *run = f->chunk;
    struct task_outcome outcome = {.end = TASK_START_FAILED};
    if (!f->never_started)
        pool_outcome(e->parts.pool, f->place, &outcome);
    outcome.n_blobs = 0; /* whoever leaves files runs alone (chunk_board) */
    uint32_t first_left = outcome.mate + 1;
    if (outcome.end == TASK_START_FAILED) {
        e->dispatch.backoff_until_ns = e->turn.now_ns + START_BACKOFF_NS;
        first_left = outcome.mate;
    } else if (outcome.mate <= run->n && !apply_element(e, f, &outcome, leaps, err)) {
        return false;
    }
    if (!store_leaps(e, leaps, err))
        return false;
    if (first_left == 0 && !put_back(e, f, run->head.no, err))
        return false;
    for (uint32_t mate = MAX(first_left, 1u); mate <= run->n; mate++)
        if (run->mates[mate - 1].recorded && !put_back(e, f, run->mates[mate - 1].row.no, err))
            return false;
    return true;
}

static bool let_next_in(struct engine *e, const struct job_row *head, int64_t idx, struct err *err)
{
    struct err gone = {0};
    const struct batch *b;
    if (!batch_get_by_no(e->store, head->batch, &b, &gone))
        return gone.code == ERR_NOT_FOUND || err_set(err, gone.code, "%s", gone.detail);
    const struct chunk_place place = {b, idx, false};
    return chunk_go_on(&e->dispatch, &e->turn, &place, err);
}

bool chunk_apply(struct engine *e, struct flight *f, struct err *err)
{
    struct chunk_run *run = f->chunk;
    struct task_outcome outcome;
    struct leaps leaps = {.n = 0};
    run->has_part = false;
    while (!f->never_started && pool_mates_next(e->parts.pool, f->place, &run->applied, &outcome))
        if (!apply_element(e, f, &outcome, &leaps, err))
            return false;
    if (f->state == FLIGHT_RUNNING)
        return store_leaps(e, &leaps, err) && chunk_record_now(&e->dispatch, &e->turn, f, err);
    return apply_last(e, f, &leaps, err) && let_next_in(e, &run->head, f->info.row.idx, err);
}
