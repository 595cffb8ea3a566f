/* SPDX-License-Identifier: MIT */
/* Claims, reservations and what becomes of them with the transaction. */
#include "service/dispatch.h"

#define MAX_AHEAD_BYTES ((size_t)8 << 20) /* of each pool, and what is the first beyond it */

bool flight_record(struct dispatch *d, struct turn *turn, struct flight *f, struct err *err)
{
    struct job_start start = {f->info.row.no, f->attempt, f->place.slot, turn->now_us};
    if (!jobs_start(d->store, &start, err))
        return err_wrap(err, "record start");
    f->recording = true;
    return true;
}

bool dispatch_record(struct dispatch *d, struct turn *turn, struct err *err)
{
    for (uint32_t k = 0; k < d->n; k++)
        if (d->flights[k].unrecorded && !flight_ends_unrecorded(&d->flights[k]) &&
            !flight_record(d, turn, &d->flights[k], err))
            return false;
    return true;
}

bool flight_take_offer(struct dispatch *d, struct turn *turn, struct flight *f, struct err *err)
{
    return flight_recall(d, f) || flight_record(d, turn, f, err);
}

bool dispatch_settle(struct dispatch *d, struct turn *turn, int64_t no, struct err *err)
{
    struct flight *f = flight_waiting(d, no), *chunk;
    uint32_t mate;
    if (f == NULL && (chunk = chunk_find(d, no, &mate)) != NULL)
        return chunk_settle(d, turn, chunk, mate, err);
    if (f == NULL || f->state >= FLIGHT_CLAIMED)
        return true;
    if (f->state == FLIGHT_OFFERED && !flight_recall(d, f))
        return flight_record(d, turn, f, err);
    flight_free(f);
    d->dirty = true; /* it is to be reserved anew, whatever is decided about its job */
    return true;
}

bool dispatch_settle_range(struct dispatch *d, struct turn *turn, int64_t first_no, int64_t n,
                           struct err *err)
{
    for (uint32_t k = 0; k < d->n; k++) {
        const struct flight *f = &d->flights[k];
        const int64_t no = f->info.row.no;
        if (f->state != FLIGHT_FREE && no >= first_no && no - first_no < n &&
            !dispatch_settle(d, turn, no, err))
            return false;
    }
    return true;
}

bool dispatch_settle_queue(struct dispatch *d, struct turn *turn, uint32_t queue, struct err *err)
{
    for (uint32_t k = 0; k < d->n; k++) {
        struct flight *f = &d->flights[k];
        if (f->state != FLIGHT_FREE && f->info.row.queue == queue &&
            (!dispatch_settle(d, turn, f->info.row.no, err) ||
             !chunk_settle_range(d, turn, f, &CHUNK_WHOLE, err)))
            return false;
    }
    d->dirty = true;
    return true;
}

static bool slot_is_taken(const struct dispatch *d, uint32_t slot)
{
    for (uint32_t k = 0; k < d->n; k++)
        if (d->flights[k].state == FLIGHT_CLAIMED && d->flights[k].place.slot == slot)
            return true;
    return false;
}

bool dispatch_next_idle(const struct dispatch *d, uint32_t group, uint32_t *slot, struct place *ret)
{
    for (; *slot < pool_slots(d->pool); (*slot)++)
        if (pool_group_of(d->pool, *slot) == group && !slot_is_taken(d, *slot) &&
            pool_idle_bank(d->pool, *slot, ret))
            return true;
    return false;
}

/* All that its start takes beside its row. */
static bool fit_out(struct dispatch *d, const struct turn *turn, struct flight *f, bool *ret_ok,
                    struct err *err)
{
    struct chunk_source source = {.name = f->info.name};
    if (f->info.item.ptr != NULL)
        source.template_bytes = f->info.task;
    return flight_make_own(d, turn, f, ret_ok, err) &&
           (!*ret_ok || flight_take_inputs(d, turn, f, ret_ok, err)) &&
           (!*ret_ok || chunk_board(d, f, &source, err));
}

/* A flight for ready job i: its reservation if it has one, else a new one with what a start needs.
 * False: the store failed. *ret is NULL when all flights are in use, its queue lets nothing more
 * begin, or it cannot begin any more. */
static bool board(struct dispatch *d, const struct turn *turn, size_t i, struct flight **ret,
                  struct err *err)
{
    const struct ready_job *ready = &d->ready[i];
    struct flight *f = d->pairs[i];
    bool ok = true;
    *ret = NULL;
    if (f == NULL && (f = flight_new(d)) != NULL) {
        if (!admission_board(d, ready->queue))
            return true;
        f->attempt = ready->attempt + 1;
        if (!flight_read(d, f, ready->no, err) || !fit_out(d, turn, f, &ok, err)) {
            flight_free(f);
            return err_wrap(err, "read the job to start");
        }
        if (!ok) {
            flight_free(f);
            return true;
        }
        f->state = FLIGHT_RESERVED;
        f->rank = i;
        f->contested = ready->contested;
        f->group = dispatch_pool_of(d, ready->queue);
    }
    *ret = f;
    return true;
}

bool flight_claim(struct dispatch *d, struct turn *turn, struct flight *f, struct place place,
                  struct err *err)
{
    struct job_start start = {f->info.row.no, f->attempt, place.slot, turn->now_us};
    if (!jobs_start(d->store, &start, err))
        return err_wrap(err, "claim");
    f->state = FLIGHT_CLAIMED;
    f->place = place;
    return true;
}

static void drop_if_not_wanted(struct dispatch *d, uint32_t group)
{
    for (uint32_t k = 0; k < d->n; k++) {
        struct flight *f = &d->flights[k];
        const bool is_ahead = f->state == FLIGHT_RESERVED || f->state == FLIGHT_OFFERED;
        if (is_ahead && !f->is_ready && f->group == group &&
            (f->state == FLIGHT_RESERVED || flight_recall(d, f)))
            flight_free(f);
    }
}

/* An offer behind a job that is in nobody's hand would be taken before it: it goes back, and is
 * offered again in the right order. The first n_idle jobs go to idle workers now. */
static void recall_if_overtaken(struct dispatch *d, size_t n_ready, size_t n_idle)
{
    bool overtaken = false;
    for (size_t i = 0; i < n_ready; i++) {
        struct flight *f = d->pairs[i];
        if (f != NULL && f->state == FLIGHT_OFFERED && overtaken)
            (void)flight_recall(d, f);
        else if (f == NULL || f->state == FLIGHT_RESERVED) {
            overtaken = overtaken || n_idle == 0;
            n_idle -= MIN(n_idle, MAX(d->ready[i].stages, 1u));
        }
    }
}

/* What may begin next, in order, to d->ready; what was reserved and is not among it goes back. */
static bool look(struct dispatch *d, const struct turn *turn, uint32_t group, size_t *ret_n,
                 struct err *err)
{
    size_t n_idle = 0;
    struct place place;
    for (uint32_t slot = 0; dispatch_next_idle(d, group, &slot, &place); slot++)
        n_idle++;
    size_t max = n_idle + dispatch_reserves(pool_group_size(d->pool, group));
    struct ready_list list = {.jobs = d->ready, .max = MIN(max, (size_t)MAX(d->n, d->wanted_n))};
    if (group > 0) {
        list.only = d->pool_queue[group];
        list.without = JOB_GANG; /* a queue that is older than its pool may hold some */
    } else if (d->has_pools) {
        list.apart = d->pool_queue;
        list.n_apart = POOL_GROUPS;
    }
    admission_refresh(d);
    admission_plan(d, &list);
    if (!queue_peek(d->store, &list, err))
        return err_wrap(err, "look at the queue");
    if (group == 0 && !gang_screen(d, turn, &list, n_idle, err))
        return false;
    d->suspect = 0;
    dispatch_pair(d, list.n);
    drop_if_not_wanted(d, group);
    recall_if_overtaken(d, list.n, n_idle);
    admission_count(d);
    *ret_n = list.n;
    return true;
}

/* A pass through what is ready in one pool. */
struct claims {
    uint32_t group;
    uint32_t slot;      /* workers below it have something */
    size_t ahead_bytes; /* held in memory for jobs that wait for a worker */
};

/* What comes behind much that waits stays where it is until a worker is free for it: a worker must
 * have short jobs in hand, not large ones. */
static bool must_stay(struct dispatch *d, size_t i, struct claims *c)
{
    struct place place;
    return c->ahead_bytes > MAX_AHEAD_BYTES && d->pairs[i] == NULL &&
           !dispatch_next_idle(d, c->group, &c->slot, &place);
}

/* Ready job i, to the next idle worker of its pool if there is one. */
static bool claim_or_reserve(struct dispatch *d, struct turn *turn, size_t i, struct claims *c,
                             struct err *err)
{
    struct flight *f = NULL;
    struct place place;
    if (must_stay(d, i, c))
        return true;
    d->suspect = d->ready[i].no;
    if (!board(d, turn, i, &f, err))
        return false;
    const bool is_next = f != NULL && !f->unrecorded &&
                         dispatch_next_idle(d, f->group, &c->slot, &place);
    /* An offer that cannot be recalled has been taken: the next transaction records it. */
    if (is_next && (f->state != FLIGHT_OFFERED || flight_recall(d, f)))
        return flight_claim(d, turn, f, place, err);
    c->ahead_bytes += f == NULL ? 0 : f->arena.used;
    return true;
}

/* Reserved or offered. */
static uint32_t ahead_of(const struct dispatch *d, uint32_t group)
{
    uint32_t n = 0;
    for (uint32_t k = 0; k < d->n; k++) {
        const struct flight *f = &d->flights[k];
        n += f->group == group && (f->state == FLIGHT_RESERVED || f->state == FLIGHT_OFFERED);
    }
    return n;
}

static bool claim_in(struct dispatch *d, struct turn *turn, uint32_t group, struct err *err)
{
    size_t n_ready = 0;
    if (!look(d, turn, group, &n_ready, err))
        return false;
    struct claims c = {.group = group};
    for (size_t i = 0; i < n_ready; i++) {
        const bool is_gang = d->ready[i].stages > 0;
        if (is_gang ? !gang_claim(d, turn, &d->ready[i], &c.slot, err)
                    : !claim_or_reserve(d, turn, i, &c, err))
            return false;
    }
    d->suspect = 0;
    if (pool_can_grow(d->pool, group))
        pool_want(d->pool, group, ahead_of(d, group));
    return true;
}

/* A pool beside the default one for which nobody waits, and nothing of which has to be given back.
 */
static bool is_quiet(const struct dispatch *d, uint32_t group)
{
    const uint32_t queue = d->pool_queue[group];
    return queue == 0 || (settings_queued(d->store, queue) == 0 && ahead_of(d, group) == 0);
}

bool dispatch_claim(struct dispatch *d, struct turn *turn, struct err *err)
{
    if (!d->dirty || d->closed || turn->now_ns < d->backoff_until_ns)
        return true;
    d->starved = false;
    d->dirty = false;
    if (!d->is_shut[0] && !claim_in(d, turn, 0, err))
        return false;
    for (uint32_t group = 1; group < POOL_GROUPS && d->has_pools; group++)
        if (!d->is_shut[group] && !is_quiet(d, group) && !claim_in(d, turn, group, err))
            return false;
    admission_count(d);
    admission_look_later(d);
    return true;
}

void dispatch_claim_undone(struct dispatch *d)
{
    for (uint32_t k = 0; k < d->n; k++) {
        struct flight *f = &d->flights[k];
        if (f->state == FLIGHT_CLAIMED || f->state == FLIGHT_RESERVED)
            flight_free(f);
    }
    d->dirty = true;
}

/* Whether what is stored of it has changed. */
static bool sync_place(const struct flight *f, struct flight_row *row)
{
    const struct job_row *first = f->chunk == NULL ? &f->info.row : &f->chunk->head;
    if (f->outcome_applied && !f->unstarted && f->chunk == NULL && row->entry.no == first->no) {
        row->is_over = true;
        return false;
    }
    if (f->state == FLIGHT_FREE || f->outcome_applied || f->disowned != 0) {
        /* A reservation that was taken back, or a start that did not happen: it would be claimed
         * that it may have run. */
        if (row->entry.no == 0 || row->is_over)
            return false;
        *row = (struct flight_row){0};
        return true;
    }
    const int64_t n = f->chunk == NULL ? 1 : f->chunk->span;
    if (row->entry.no == first->no && row->entry.attempt == f->attempt && row->entry.n == n)
        return false;
    *row = (struct flight_row){.entry = {first->no, f->attempt, (uint32_t)n}};
    return true;
}

/* The places from `first` on, as many as a group has. */
static bool sync_group(struct dispatch *d, uint32_t first, struct err *err)
{
    struct inflight entries[INFLIGHT_GROUP];
    const uint32_t n = MIN(d->n - first, (uint32_t)INFLIGHT_GROUP);
    bool changed = false;
    size_t n_used = 0;
    for (uint32_t i = 0; i < n; i++) {
        struct flight_row *row = &d->stored[first + i];
        changed |= sync_place(&d->flights[first + i], row);
        entries[i] = row->is_over ? (struct inflight){0} : row->entry;
        if (entries[i].no != 0)
            n_used = i + 1;
    }
    return !changed || inflight_put(d->store, first / INFLIGHT_GROUP, entries, n_used, err);
}

bool dispatch_sync(struct dispatch *d, struct err *err)
{
    for (uint32_t first = 0; first < d->n; first += INFLIGHT_GROUP)
        if (!sync_group(d, first, err))
            return err_wrap(err, "note what is in flight");
    return admission_sync(d, err);
}

void dispatch_stop(struct flight *flight, int32_t signal, int64_t grace_us)
{
    flight->stop_due = true;
    flight->stop_signal = signal;
    flight->stop_grace_us = grace_us;
}

void dispatch_mark(struct dispatch *d)
{
    for (uint32_t k = 0; k < d->n; k++) {
        struct flight *f = &d->flights[k];
        f->marked.recording = f->recording;
        f->marked.stop_requested = f->stop_requested;
        f->marked.stop_due = f->stop_due;
        f->marked.reach_due = f->reach_due;
        f->marked.reach = f->reach;
        f->marked.current = f->chunk == NULL ? 0 : f->chunk->current;
    }
}

void dispatch_back_to_mark(struct dispatch *d)
{
    for (uint32_t k = 0; k < d->n; k++) {
        struct flight *f = &d->flights[k];
        f->recording = f->marked.recording;
        f->stop_requested = f->marked.stop_requested;
        f->stop_due = f->marked.stop_due;
        f->reach_due = f->marked.reach_due;
        f->reach = f->marked.reach;
        if (f->chunk != NULL && f->state >= FLIGHT_RUNNING)
            chunk_back_to(d, f, f->marked.current);
    }
    d->dirty = true;
}

/* ------------------------------------------------------------------------------------------------
 * after the transaction */

void flight_start_failed(struct dispatch *d, struct flight *f)
{
    f->state = FLIGHT_ENDED;
    f->never_started = true;
    d->backoff_until_ns = clock_mono_ns() + START_BACKOFF_NS;
    d->dirty = true;
}

/* The outcome is stored: the bank is free, and the flight over. */
static void land(struct dispatch *d, struct flight *f)
{
    uint32_t slot = f->place.slot;
    admission_land(d, f);
    if (!f->never_started)
        pool_release(d->pool, f->place);
    flight_free(f);
    (void)flight_start_reserved(d, slot); /* a worker may have waited for this bank */
}

void dispatch_committed(struct dispatch *d)
{
    memcpy(d->committed, d->stored, d->n * sizeof *d->committed);
    admission_refresh(d);
    admission_committed(d);
    /* First everything that this transaction has recorded, and only then what starts now, whose
     * rows are the next transaction's. */
    for (uint32_t k = 0; k < d->n; k++) {
        struct flight *f = &d->flights[k];
        /* What a worker took after dispatch_record stays unrecorded until the next transaction. */
        f->unrecorded = f->unrecorded && !f->recording;
        f->recording = f->is_early = false;
        if (f->state == FLIGHT_CLAIMED && f->stages > 0)
            gang_launch(d, f);
        else if (f->state == FLIGHT_CLAIMED && !flight_launch(d, f, NULL))
            flight_start_failed(d, f);
        if (f->chunk != NULL)
            chunk_committed(f);
        if (f->stop_due && f->state == FLIGHT_RUNNING)
            pool_stop(d->pool, f->place, f->stop_signal, f->stop_grace_us);
        if (f->reach_due && f->state == FLIGHT_RUNNING)
            pool_reach(d->pool, f->place, &f->reach);
        f->stop_due = f->reach_due = false;
        f->reach = (struct pool_reach){0};
    }
    for (uint32_t k = 0; k < d->n; k++)
        if (d->flights[k].outcome_applied)
            land(d, &d->flights[k]);
    flight_trim(d);
    dispatch_offer(d);
}

/* A call that has left early, and whose birth was not stored. An offer comes back; one that has
 * begun is asked to stop, and its end is dropped (apply.c). Its number is not used again: files of
 * its output may have that in their names. */
static void disown(struct dispatch *d, struct flight *f)
{
    f->is_early = false;
    if (f->state == FLIGHT_OFFERED && flight_recall(d, f))
        return; /* and goes with the other reservations */
    if (f->state == FLIGHT_RUNNING)
        pool_stop(d->pool, f->place, 0, -1);
    f->disowned = f->info.row.no;
    f->info.row.no = 0;
    f->unrecorded = false;
    jobs_skip(d->store, f->disowned);
}

void dispatch_rolled_back(struct dispatch *d)
{
    memcpy(d->stored, d->committed, d->n * sizeof *d->stored);
    admission_refresh(d);
    for (uint32_t k = 0; k < d->n; k++) {
        struct flight *f = &d->flights[k];
        f->outcome_applied = false;
        f->recording = f->reach_due = false;
        f->reach = (struct pool_reach){0};
        if (f->stop_due) {
            f->stop_due = false;
            f->stop_requested = f->early_stop_ns != 0;
        }
        if (f->chunk != NULL)
            chunk_rolled_back(d, f);
        if (f->is_early)
            disown(d, f);
    }
    dispatch_claim_undone(d);
}
