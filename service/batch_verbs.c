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

static bool cancel_all(struct engine *e, const struct batch *b, struct batch_pick *pick,
                       const char *why, struct err *err)
{
    struct batch_range all = {b->no, 0, INT64_MAX};
    int64_t left = b->n - batch_done(b), n_stopping = 0;
    if (batch_is_over(b))
        return true;
    /* The words are kept once, with the batch; an element that has none of its own shows them. */
    if (!batch_halt(e, b, why, err) || !stop_flights(e, &all, NULL, &n_stopping, err))
        return false;
    pick->changed = left;
    pick->is_stopping = n_stopping > 0;
    return true;
}

static bool cancel_some(struct engine *e, const struct batch *b, struct batch_pick *pick,
                        const char *why, struct err *err)
{
    struct batch_range range = {b->no, pick->first, pick->n};
    int64_t end = pick->first + MIN(pick->n, MAX_PICKED), before = b->count[JOB_CANCELLED];
    int64_t n_stopping = 0;
    if (!stop_flights(e, &range, why, &n_stopping, err))
        return false;
    while (range.first < end) {
        range.n = end - range.first;
        if (!batch_cancel(e->store, &range, e->turn.now_us, why, err))
            return false;
        range.first += range.n;
    }
    if (!batch_get_by_no(e->store, range.batch, &b, err))
        return false;
    pick->changed = b->count[JOB_CANCELLED] - before + n_stopping;
    pick->is_stopping = n_stopping > 0;
    apply_due_at(e, e->turn.now_us + b->keep_us);
    return true;
}

bool apply_batch_cancel(struct engine *e, struct command *cmd, struct err *err)
{
    struct batch_pick *pick = &cmd->pick;
    const char *why = pick->why[0] == '\0' ? NULL : pick->why;
    const struct batch *b;
    pick->changed = 0;
    pick->is_stopping = false;
    if (!batch_get(e->store, &pick->id, &b, err))
        return false;
    e->dispatch.dirty = true;
    return pick->by_index ? cancel_some(e, b, pick, why, err) : cancel_all(e, b, pick, why, err);
}

/* ------------------------------------------------------------------------------------------------
 * retry */

/* Behind the gate, which max_parallel or the chunk opens. */
static bool is_gated(struct engine *e, const struct batch_pick *pick, int64_t no, bool *ret,
                     struct err *err)
{
    const struct batch *b;
    struct job_row row;
    if (!batch_get_by_no(e->store, pick->id.no, &b, err) ||
        !jobs_get_by_no(e->store, no, &row, err))
        return false;
    return chunk_holds_back(e, b, row.idx, ret, err);
}

static bool retry_one(struct engine *e, int64_t no, struct batch_pick *pick, struct err *err)
{
    struct job_again again = {.no = no, .now_us = e->turn.now_us};
    struct err why = {0};
    if (!is_gated(e, pick, no, &again.gated, err))
        return false;
    if (!jobs_retry_again(e->store, &again, &why)) {
        pick->expired += why.code == ERR_RESULT_EXPIRED;
        return !apply_is_store_failure(&why) || err_set(err, why.code, "%s", why.detail);
    }
    turn_drop_files(&e->turn, again.files, again.n_files);
    apply_due_at(e, again.wake_us);
    pick->changed++;
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

bool apply_batch_retry(struct engine *e, struct command *cmd, struct err *err)
{
    struct batch_pick *pick = &cmd->pick;
    int64_t nos[MAX_RETRIED];
    struct due_list list = {nos, MAX_RETRIED, 0};
    const struct batch *b;
    pick->changed = pick->expired = 0;
    if (!batch_get(e->store, &pick->id, &b, err) || !may_retry(b, err) ||
        !pools_admit_queue(e, b->queue, err))
        return false;
    struct batch_range range = {b->no, pick->first, pick->n};
    uint32_t states = 1u << JOB_FAILED;
    if (pick->by_index)
        states |= 1u << JOB_SUCCEEDED | 1u << JOB_CANCELLED;
    if (!batch_find(e->store, &range, states, &list, err))
        return false;
    for (size_t i = 0; i < list.n; i++)
        if (!retry_one(e, nos[i], pick, err))
            return err_wrap(err, "retry an element");
    pick->next = range.first + range.n;
    e->dispatch.dirty = true;
    return batch_get_by_no(e->store, range.batch, &b, err) && batch_fill(e, b, err);
}
