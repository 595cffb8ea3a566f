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

bool apply_bulk(struct engine *e, struct command *cmd, struct err *err)
{
    cmd->bulk.n_done = 0;
    cmd->bulk.n_changed = 0;
    /* Each of them may leave files to unlink: what has no room comes again. */
    while (cmd->bulk.n_done < cmd->bulk.n && e->turn.n_files + OUTPUT_STREAMS <= TURN_MAX_FILES) {
        struct err refusal = {0};
        bool changed = apply_one(e, &cmd->bulk.ids[cmd->bulk.n_done], cmd, &refusal);
        if (!changed && apply_is_store_failure(&refusal)) {
            *err = refusal;
            return false;
        }
        cmd->bulk.n_done++;
        cmd->bulk.n_changed += changed;
    }
    return true;
}
