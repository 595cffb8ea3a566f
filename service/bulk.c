/* SPDX-License-Identifier: MIT */
/* One verb on many jobs. Which ones was found by a reader a moment ago, so each is judged anew
 * here, and one that refuses (its state has changed, it is gone) is simply not changed. The engine
 * never looks for jobs: a command brings their names, as many as fit a turn. */
#include "service/engine_state.h"

static bool cancel_one(struct engine *e, const struct job_id *id, const struct command *cmd,
                       struct err *err)
{
    struct job_row row;
    enum job_state state;
    if (!dispatch_settle(&e->dispatch, &e->turn, id->no, err) || !jobs_get(e->store, id, &row, err))
        return false;
    if (job_state_is_end(row.state) || row.state == JOB_STOPPING)
        return err_set(err, ERR_STATE_CONFLICT, "It ends already");
    const char *why = cmd->bulk.why[0] == '\0' ? NULL : cmd->bulk.why;
    if (!jobs_cancel(e->store, &(struct job_cancel){row.no, e->turn.now_us, why}, &state, err))
        return false;
    e->dispatch.dirty = true;
    struct flight *f = job_state_is_end(state) ? NULL : dispatch_find(&e->dispatch, row.no);
    if (f != NULL) {
        f->stop_requested = true;
        dispatch_stop(f, cmd->bulk.signal, cmd->bulk.grace_us);
    }
    return true;
}

static bool delete_one(struct engine *e, const struct job_id *id, struct err *err)
{
    struct output_ref files[OUTPUT_STREAMS];
    struct job_row row;
    size_t n;
    if (!jobs_get(e->store, id, &row, err) || !jobs_forget(e->store, row.no, files, &n, err))
        return false;
    turn_drop_files(&e->turn, files, n);
    return true;
}

static bool apply_one(struct engine *e, const struct job_id *id, const struct command *cmd,
                      struct err *err)
{
    switch (cmd->bulk.verb) {
    case BULK_CANCEL: return cancel_one(e, id, cmd, err);
    case BULK_RETRY: return apply_job_retry(e, id, 0, err);
    case BULK_DELETE: return delete_one(e, id, err);
    case BULK_VERB_COUNT:
    default: break;
    }
    return err_set(err, ERR_INTERNAL, "unknown verb");
}

#define ALONE 2u     /* of the share: one job by itself */
#define MIN_RANGE 8u /* shorter ones are not worth a statement */

static bool apply_alone(struct engine *e, struct command *cmd, uint32_t i, struct err *err)
{
    struct err refusal = {0};
    bool changed = apply_one(e, &cmd->bulk.ids[i], cmd, &refusal);
    if (!changed && apply_is_store_failure(&refusal)) {
        *err = refusal;
        return false;
    }
    cmd->bulk.n_changed += changed;
    return true;
}

/* How many from the next one on are neighbours, up to `max`. */
static uint32_t range_at(const struct command *cmd, uint32_t max)
{
    const struct job_id *ids = &cmd->bulk.ids[cmd->bulk.n_done];
    uint32_t n = 1;
    max = MIN(max, cmd->bulk.n - cmd->bulk.n_done);
    while (n < max && ids[n].no == ids[0].no + n)
        n++;
    return n;
}

/* What waits and is in no batch ends at once; who is left is looked at one by one. */
static bool cancel_range(struct engine *e, struct command *cmd, uint32_t n, struct err *err)
{
    const struct job_range range = {cmd->bulk.ids[cmd->bulk.n_done].no, n, e->turn.now_us,
                                    cmd->bulk.why[0] == '\0' ? NULL : cmd->bulk.why};
    int64_t n_cancelled = 0;
    if (!dispatch_settle_range(&e->dispatch, &e->turn, range.first_no, n, err) ||
        !jobs_cancel_range(e->store, &range, &n_cancelled, err))
        return false;
    e->dispatch.dirty = true;
    cmd->bulk.n_changed += (uint32_t)n_cancelled;
    for (uint32_t i = 0; n_cancelled < n && i < n; i++)
        if (!apply_alone(e, cmd, cmd->bulk.n_done + i, err))
            return false;
    return true;
}

bool apply_bulk(struct engine *e, struct command *cmd, struct err *err)
{
    uint32_t spent = 0;
    cmd->bulk.n_done = 0;
    cmd->bulk.n_changed = 0;
    /* Each of them may leave files to unlink: what has no room comes again. */
    while (cmd->bulk.n_done < cmd->bulk.n && spent < BULK_SHARE &&
           e->turn.n_files + OUTPUT_STREAMS <= TURN_MAX_FILES) {
        const uint32_t n = cmd->bulk.verb == BULK_CANCEL ? range_at(cmd, BULK_SHARE - spent) : 1;
        const bool is_range = n >= MIN_RANGE;
        if (is_range ? !cancel_range(e, cmd, n, err) : !apply_alone(e, cmd, cmd->bulk.n_done, err))
            return false;
        spent += is_range ? n : ALONE;
        cmd->bulk.n_done += is_range ? n : 1;
    }
    return true;
}
