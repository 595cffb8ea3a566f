/* SPDX-License-Identifier: MIT */
/* Pipelines as clients see them: submitted together, cancelled together. How they begin together is
 * gang.c's. */
#include "service/engine_state.h"
#include "storage/gang.h"

/* ------------------------------------------------------------------------------------------------
 * birth */

/* The first stage waits for all: for a time, for parents, for as many workers as there are stages.
 * The others wait for it alone. */
static bool insert_stage(struct engine *e, const struct pipeline_ask *ask, uint32_t i,
                         const struct family *family, struct err *err)
{
    struct submit_item *stage = &ask->stages[i];
    const struct job_spec *spec = &stage->spec;
    const unsigned waits = i > 0 ? JOB_GATED : family->waits ? JOB_WAITS | JOB_CHILD : 0;
    const unsigned takes = (spec->n_inputs > 0 ? JOB_INPUTS : 0) | /* the first alone */
                           (spec->n_outputs > 0 ? JOB_OUTPUTS : 0);
    const struct job_new job = {
        .spec = spec,
        .task = stage->task,
        .now_us = e->turn.now_us,
        .due_us = i == 0 ? stage->due_us : e->turn.now_us,
        .queue_deadline_us = i > 0 || spec->queue_timeout_us == 0
                                 ? 0
                                 : stage->created_us + spec->queue_timeout_us,
        .deadline_us = spec->deadline_us == 0 ? 0 : stage->created_us + spec->deadline_us,
        .salt = apply_salt(e),
        .batch = ask->id.no,
        .idx = i,
        .flags = JOB_GANG | waits | takes,
    };
    if (!jobs_insert(e->store, &job, &stage->id, err))
        return false;
    if (job.due_us > e->turn.now_us)
        apply_due_at(e, job.due_us);
    apply_due_at(e, job.queue_deadline_us);
    apply_due_at(e, job.deadline_us);
    e->turn.submitted++;
    return true;
}

static bool insert_all(struct engine *e, struct pipeline_ask *ask, const struct family *family,
                       struct err *err)
{
    const struct batch_new batch = {
        .kind = BATCH_PIPELINE,
        .phase = BATCH_CLOSED,
        .spec = ask->spec,
        .now_us = e->turn.now_us,
        .chunksize = 1,
        .salt = apply_salt(e),
        .flags = ask->spec->callback_url.ptr != NULL ? JOB_CALLBACK : 0,
    };
    if (!batch_insert(e->store, &batch, &ask->id, err))
        return false;
    for (uint32_t i = 0; i < ask->n; i++)
        if (!insert_stage(e, ask, i, family, err))
            return err_wrap(err, "store stage %u", (unsigned)i);
    return true;
}

static bool make_pipeline(struct engine *e, struct command *cmd, const struct family *family,
                          struct err *err)
{
    struct pipeline_ask *ask = &cmd->pipeline;
    const struct submit_item *first = &ask->stages[0];
    return insert_all(e, ask, family, err) &&
           apply_parents_enter(e, &first->spec, first->id.no, family, err) &&
           key_keep(e, &cmd->key, ask->id.no, 1, err);
}

/* Its stages begin together, on workers that are kept free for them: in the default pool only. */
static bool is_for_default_pool(struct engine *e, const struct job_spec *spec, struct err *err)
{
    const struct pool_entry *pool = pools_find(e, spec->queue);
    return pool == NULL || pool == &e->pools.now[0] ||
           err_at(err, ERR_INVALID, "/pool", "pipelines run in the default pool only");
}

bool apply_pipeline(struct engine *e, struct command *cmd, struct err *err)
{
    struct pipeline_ask *ask = &cmd->pipeline;
    const uint32_t workers = pool_size(e->parts.pool);
    struct family family;
    bool is_new = true;
    if (!key_check(e, cmd, &is_new, err))
        return false;
    if (!is_new)
        return true;
    if (!pools_admit(e, ask->spec, err) || !is_for_default_pool(e, ask->spec, err))
        return false;
    if (ask->n > workers)
        return err_at(err, ERR_PIPELINE_TOO_LONG, "/stages",
                      "has %u stages, which run at the same time, and the pool has %u workers",
                      (unsigned)ask->n, (unsigned)workers);
    if (!apply_admits(e, err) || !apply_parents_look(e, &ask->stages[0].spec, &family, err) ||
        !store_savepoint(e->store, err))
        return false;
    e->dispatch.dirty = true;
    return apply_savepoint_leave(e, make_pipeline(e, cmd, &family, err), err);
}

/* ------------------------------------------------------------------------------------------------
 * one ends, all end */

/* The words that the neighbours are given. */
static const char *why_ended(const struct job_change *change)
{
    if (change->to == JOB_FAILED)
        return "Another stage of its pipeline could not begin in time";
    return "Another stage of its pipeline was cancelled";
}

/* The one whose cancel says with which signal, and how patiently. Its end may be in this
 * transaction already. */
static const struct flight *find_ordered(const struct dispatch *d, int64_t no)
{
    for (uint32_t k = 0; k < d->n; k++) {
        const struct flight *f = &d->flights[k];
        if (f->state >= FLIGHT_CLAIMED && f->info.row.no == no &&
            (f->stop_due || f->early_stop_ns != 0))
            return f;
    }
    return NULL;
}

static bool end_stage(struct engine *e, int64_t no, const struct job_change *cause, struct err *err)
{
    const struct flight *ordered = find_ordered(&e->dispatch, cause->no);
    enum job_state state;
    struct job_row row;
    struct err missing = {0};
    if (!jobs_get_by_no(e->store, no, &row, &missing)) /* it has ended, and was forgotten */
        return missing.code == ERR_NOT_FOUND || err_set(err, missing.code, "%s", missing.detail);
    if (job_state_is_end(row.state) || row.state == JOB_STOPPING)
        return true;
    if (!jobs_cancel(e->store, &(struct job_cancel){no, e->turn.now_us, why_ended(cause)}, &state,
                     err))
        return false;
    struct flight *f = dispatch_find(&e->dispatch, no);
    if (f != NULL && f->state != FLIGHT_ENDED) {
        f->stop_requested = true;
        dispatch_stop(f, ordered != NULL ? ordered->stop_signal : 0,
                      ordered != NULL ? ordered->stop_grace_us : -1);
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
