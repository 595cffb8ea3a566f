/* SPDX-License-Identifier: MIT */
/* Cancelling and retrying the elements of a batch: all, those that failed, or by index. */
#include "service/engine_state.h"
#include "storage/change.h"

/* ------------------------------------------------------------------------------------------------
 * cancel */

/* Takes back what is reserved of the elements [first, first + n), and stops what runs of them. */
static bool stop_flights(struct engine *e, const struct batch_range *range, const char *why,
                         int64_t *ret_n, struct err *err)
{
    for (uint32_t k = 0; k < e->dispatch.n; k++) {
        struct flight *f = &e->dispatch.flights[k];
        const struct job_row *row = &f->info.row;
        struct job_cancel cancel = {row->no, e->turn.now_us, why};
        enum job_state state;
        if (f->state != FLIGHT_FREE && f->chunk != NULL && row->batch == range->batch &&
            !chunk_settle_range(&e->dispatch, &e->turn, f, range, err))
            return false;
        if (f->state == FLIGHT_FREE || row->batch != range->batch || row->idx < range->first ||
            row->idx - range->first >= range->n)
            continue;
        if (f->state < FLIGHT_CLAIMED && !dispatch_settle(&e->dispatch, &e->turn, row->no, err))
            return false;
        if ((f->state != FLIGHT_CLAIMED && f->state != FLIGHT_RUNNING) || f->stop_requested)
            continue;
        if (!jobs_cancel(e->store, &cancel, &state, err))
            return false;
        f->stop_requested = true;
        dispatch_stop(f, 0, -1);
        ++*ret_n;
    }
    return true;
}

static bool cancel_all(struct engine *e, const struct batch *b, const char *why,
                       struct chore_tally *ret, struct err *err)
{
    struct batch_range all = {b->no, 0, INT64_MAX};
    int64_t left = b->n - batch_done(b), n_stopping = 0;
    if (batch_is_over(b))
        return chores_stop_retries(e, b->no, err);
    /* The words are kept once, with the batch; an element that has none of its own shows them. */
    if (!batch_halt(e, b, why, err) || !stop_flights(e, &all, NULL, &n_stopping, err))
        return false;
    ret->changed = left;
    ret->is_stopping = n_stopping > 0;
    return true;
}

#define RANGE_COST 32 /* of elements: that of a statement */

/* So many elements of the next range are done. */
static void move_on(struct chore *c, int64_t n)
{
    c->place += n;
    if (c->place < c->ranges->n)
        return;
    c->place = 0;
    c->range++;
    c->ranges++;
    c->n_ranges--;
}

static struct batch_range next_range(const struct chore *c, int64_t max)
{
    return (struct batch_range){.batch = c->target,
                                .first = c->ranges->first + c->place,
                                .n = MIN(c->ranges->n - c->place, max)};
}

bool batch_cancel_step(struct engine *e, struct chore *c, struct err *err)
{
    const char *why = c->why[0] == '\0' ? NULL : c->why;
    const struct batch *b;
    int64_t n_stopping = 0;
    if (!batch_get_by_no(e->store, c->target, &b, err))
        return false;
    const int64_t before = b->count[JOB_CANCELLED];
    for (int64_t left = MAX_PICKED; left > 0 && c->n_ranges > 0;) {
        struct batch_range range = next_range(c, left);
        if (!stop_flights(e, &range, why, &n_stopping, err) ||
            !batch_cancel(e->store, &range, e->turn.now_us, why, err))
            return false;
        left -= range.n + RANGE_COST;
        move_on(c, range.n);
    }
    if (!batch_get_by_no(e->store, c->target, &b, err))
        return false;
    c->tally.changed += b->count[JOB_CANCELLED] - before + n_stopping;
    c->tally.is_stopping = c->tally.is_stopping || n_stopping > 0;
    apply_due_at(e, e->turn.now_us + b->keep_us);
    return true;
}

static struct chore chore_of(const struct batch_pick *pick, enum chore_kind kind, int64_t no)
{
    struct chore c = {.kind = kind,
                      .by_index = pick->by_index,
                      .target = no,
                      .ranges = pick->ranges,
                      .n_ranges = pick->n_ranges,
                      .all_ranges = pick->n_ranges};
    _Static_assert(sizeof c.why == sizeof pick->why, "one text");
    memcpy(c.why, pick->why, sizeof c.why);
    return c;
}

bool apply_batch_cancel(struct engine *e, struct command *cmd, enum verdict *ret, struct err *err)
{
    const struct batch_pick *pick = &cmd->pick;
    const struct batch *b;
    cmd->tally = (struct chore_tally){0};
    if (!batch_get(e->store, &pick->id, &b, err))
        return false;
    e->dispatch.dirty = true;
    if (!pick->by_index)
        return cancel_all(e, b, pick->why[0] == '\0' ? NULL : pick->why, &cmd->tally, err);
    struct chore c = chore_of(pick, CHORE_CANCEL, b->no);
    return chore_begin(e, cmd, &c, ret, err);
}

/* ------------------------------------------------------------------------------------------------
 * retry */

/* Behind the gate, which max_parallel or the chunk opens. */
static bool is_gated(struct engine *e, int64_t batch, int64_t no, bool *ret, struct err *err)
{
    const struct batch *b;
    struct job_row row;
    if (!batch_get_by_no(e->store, batch, &b, err) || !jobs_get_by_no(e->store, no, &row, err))
        return false;
    return chunk_holds_back(e, b, row.idx, ret, err);
}

static bool retry_one(struct engine *e, int64_t no, struct chore *c, struct err *err)
{
    struct job_again again = {.no = no, .now_us = e->turn.now_us};
    struct err why = {0};
    if (!is_gated(e, c->target, no, &again.gated, err))
        return false;
    if (!jobs_retry_again(e->store, &again, &why)) {
        c->tally.expired += why.code == ERR_RESULT_EXPIRED;
        return !apply_is_store_failure(&why) || err_set(err, why.code, "%s", why.detail);
    }
    turn_drop_files(&e->turn, again.files, again.n_files);
    apply_due_at(e, again.wake_us);
    c->tally.changed++;
    return true;
}

static bool may_retry(const struct batch *b, struct err *err)
{
    if (b->kind != BATCH_ITEMS)
        return err_set(err, ERR_STATE_CONFLICT,
                       "Only the elements of a batch of items can be retried together");
    if (b->phase == BATCH_UPLOADING)
        return err_set(err, ERR_STATE_CONFLICT, "The items of the batch are still coming");
    return (b->work & BATCH_WORK_CANCEL) == 0 ||
           err_set(err, ERR_STATE_CONFLICT,
                   "The batch is being cancelled; retry it when that is over");
}

/* As many as a turn bears, of the next ranges. */
static bool retry_some(struct engine *e, struct chore *c, int64_t *ret_lowest, struct err *err)
{
    const uint32_t states = 1u << JOB_FAILED |
                            (c->by_index ? 1u << JOB_SUCCEEDED | 1u << JOB_CANCELLED : 0);
    int64_t nos[MAX_RETRIED], n_looked = 0;
    size_t n_retried = 0;
    while (n_looked < MAX_LOOKED_AT && n_retried < MAX_RETRIED && c->n_ranges > 0) {
        struct due_list list = {nos, MAX_RETRIED - n_retried, 0};
        struct batch_range range = next_range(c, MAX_LOOKED_AT - n_looked);
        if (!batch_find(e->store, &range, states, &list, err))
            return false;
        for (size_t i = 0; i < list.n; i++) {
            *ret_lowest = MIN(*ret_lowest, nos[i]);
            if (!retry_one(e, nos[i], c, err))
                return err_wrap(err, "retry an element");
        }
        n_retried += list.n;
        n_looked += range.n + RANGE_COST;
        move_on(c, range.n);
    }
    return true;
}

/* Whatever becomes of the pool, what has been accepted goes on, and ends as its other jobs do. */
bool batch_retry_step(struct engine *e, struct chore *c, struct err *err)
{
    const struct batch *b;
    const bool is_first = c->tally.id == 0;
    if (c->is_refused)
        return err_set(
            err, ERR_STATE_CONFLICT,
            "The batch was cancelled, or halted by max_failures, before all was retried");
    if (!batch_get_by_no(e->store, c->target, &b, err) || !may_retry(b, err) ||
        (is_first && !pools_admit_queue(e, b->queue, err)))
        return false;
    const uint32_t queue = b->queue;
    int64_t lowest = INT64_MAX;
    if (!retry_some(e, c, &lowest, err))
        return false;
    if (!is_first && lowest != INT64_MAX)
        pools_came_late(e, queue, lowest - 1);
    e->dispatch.dirty = true;
    return batch_get_by_no(e->store, c->target, &b, err) && batch_fill(e, b, err);
}

bool apply_batch_retry(struct engine *e, struct command *cmd, enum verdict *ret, struct err *err)
{
    const struct batch *b;
    cmd->tally = (struct chore_tally){0};
    if (!batch_get(e->store, &cmd->pick.id, &b, err))
        return false;
    struct chore c = chore_of(&cmd->pick, CHORE_RETRY, b->no);
    return chore_begin(e, cmd, &c, ret, err);
}
