/* SPDX-License-Identifier: MIT */
/* Pipelines as clients see them: submitted together, cancelled together. How they begin together is
 * gang.c's. */
#include "service/engine_state.h"
#include "storage/gang.h"

/* ------------------------------------------------------------------------------------------------
 * one ends, all end */

/* The words that the neighbours are given. */
static const char *why_ended(const struct job_change *change)
{
    if (change->to == JOB_FAILED)
        return "Another stage of its pipeline could not begin in time";
    return "Another stage of its pipeline was cancelled";
}

static bool end_stage(struct engine *e, int64_t no, const struct job_change *cause, struct err *err)
{
    const struct flight *leader = dispatch_find(&e->dispatch, cause->no);
    const bool has_order = leader != NULL && leader->stop_due;
    enum job_state state;
    struct job_row row;
    if (!jobs_get_by_no(e->store, no, &row, err))
        return err->code == ERR_NOT_FOUND;
    if (job_state_is_end(row.state) || row.state == JOB_STOPPING)
        return true;
    if (!jobs_cancel(e->store, &(struct job_cancel){no, e->turn.now_us, why_ended(cause)}, &state,
                     err))
        return false;
    struct flight *f = dispatch_find(&e->dispatch, no);
    if (f != NULL && f->state != FLIGHT_ENDED) {
        f->stop_requested = true;
        dispatch_stop(f, has_order ? leader->stop_signal : 0,
                      has_order ? leader->stop_grace_us : -1);
    }
    return true;
}

/* Ended without having run, or about to be stopped. A stage that ends by itself does not count: its
 * neighbours see the end of a stream, or SIGPIPE, and end by themselves. */
static bool ends_all(const struct job_change *change)
{
    const bool waited = change->from == JOB_SCHEDULED || change->from == JOB_BLOCKED ||
                        change->from == JOB_QUEUED;
    return !change->is_batch && (change->flags & JOB_GANG) != 0 && change->from != change->to &&
           (change->to == JOB_STOPPING || (waited && job_change_is_end(change)));
}

bool apply_stage_change(struct engine *e, const struct job_change *change, struct err *err)
{
    struct gang gang;
    if (!ends_all(change))
        return true;
    if (!gang_get(e->store, change->batch, &gang, err))
        return false;
    for (uint32_t i = 0; i < gang.n; i++)
        if (!end_stage(e, gang.first_no + i, change, err))
            return err_wrap(err, "end stage %u of a pipeline", (unsigned)i);
    e->dispatch.dirty = true;
    return true;
}
