/* SPDX-License-Identifier: MIT */
/* What happens inside the turn's transaction by itself: ends of attempts, due times, and what
 * follows from a change. An error of the store ends the whole transaction. */
#include "service/engine_state.h"
#include "service/outcome.h"

#define TIMERS_PAUSE_US 1000000 /* after due times that could not be worked off */

bool apply_is_store_failure(const struct err *err)
{
    return err->code == ERR_STORAGE || err->code == ERR_DISK_FULL ||
           err->code == ERR_OUTCOME_UNKNOWN || err->code == ERR_INTERNAL;
}

void apply_due_at(struct engine *e, int64_t us)
{
    if (us != 0)
        e->next_due_us = MIN(e->next_due_us, us);
}

/* ------------------------------------------------------------------------------------------------
 * ends of attempts */

static void observe_end(struct engine *e, const struct job_row *row, const struct job_end *end)
{
    struct metrics *m = e->parts.metrics;
    if (!job_state_is_end(end->state))
        e->turn.retried++;
    if (end->started_us != 0)
        metrics_observe_us(m, HIST_RUN_TIME,
                           (uint64_t)MAX(end->finished_us - end->started_us, (int64_t)0));
    if (end->started_us != 0)
        metrics_observe_us(m, HIST_QUEUE_WAIT,
                           (uint64_t)MAX(end->started_us - row->created_us, (int64_t)0));
}

/* What a worker has left in the spool goes after the commit. A turn that has no room for more
 * leaves it to the sweep at the next start. */
static void drop_spool(struct engine *e, const struct attempt_facts *facts,
                       const struct task_outcome *outcome)
{
    const bool spooled[OUTPUT_STREAMS] = {
        outcome->out[0].spooled,
        outcome->out[1].spooled,
        [STREAM_VALUE] = outcome->result.is_spooled,
        [STREAM_DATA] = outcome->has_data,
    };
    for (uint8_t stream = 0; stream < OUTPUT_STREAMS; stream++) {
        const struct output_ref file = {facts->row.no, facts->attempt, stream};
        if (spooled[stream] && e->turn.n_files < TURN_FILES_OF_ENDS)
            turn_drop_files(&e->turn, &file, 1);
    }
}

/* The words of the cancel in this batch whose signal has left already; NULL: none were given. */
static const char *why_cancelled(const struct engine *e, int64_t no)
{
    for (size_t i = 0; i < e->n_batch; i++) {
        const struct command *cmd = e->batch[i];
        if (cmd->kind == CMD_CANCEL && cmd->cancel.id.no == no && cmd->cancel.why[0] != '\0')
            return cmd->cancel.why;
    }
    return NULL;
}

/* It has not run, so it waits again, unless it was cancelled meanwhile. */
static bool end_unstarted(struct engine *e, struct flight *f, struct err *err)
{
    const int64_t no = f->info.row.no;
    const struct job_end cancelled = {
        .state = JOB_CANCELLED,
        .finished_us = e->turn.now_us,
        .keep_us = f->info.row.keep_us,
    };
    struct job_row row;
    if (!jobs_get_by_no(e->store, no, &row, err))
        return false;
    f->unstarted = row.state != JOB_STOPPING;
    if (f->unstarted)
        return jobs_unstart(e->store, no, f->attempt, err);
    apply_due_at(e, cancelled.finished_us + cancelled.keep_us);
    return jobs_finish(e->store, no, f->attempt, &cancelled, err);
}

/* For those who follow its batch. */
static void note_end(struct engine *e, const struct attempt_facts *facts, const struct job_end *end)
{
    const struct job_row *job = &facts->row;
    const struct job_output *output = &end->output;
    const bool is_value = job->result == RESULT_VALUE;
    const int stream = is_value ? STREAM_VALUE : 0;
    const struct batch *b;
    struct err ignored = {0};
    if (end->state != JOB_SUCCEEDED || job->batch == 0 ||
        !waiters_any(e->waiters, topic_batch(job->batch)) ||
        !batch_get_by_no(e->store, job->batch, &b, &ignored))
        return;
    struct result_row row = {
        .id = job->id,
        .seq = b->ended,
        .index = job->idx,
        .state = end->state,
        .has_exit_code = end->has_exit_code,
        .exit_code = end->exit_code,
        .signal = end->signal,
        .result = job->result,
        .attempt = facts->attempt,
        .is_truncated = !is_value && output->truncated[0],
        .is_spooled = output->spooled[stream],
        .stdout_bytes = output->bytes[0],
        .stderr_bytes = output->bytes[1],
        .value_type = output->value_type,
    };
    if (is_value) {
        row.value_bytes = output->bytes[STREAM_VALUE];
        row.value_inline = end->inline_out[STREAM_VALUE];
    } else if (output->bytes[0] > 0) {
        row.stdout_inline = end->inline_out[0];
    }
    turn_note_end(&e->turn, job->batch, &row);
}

static bool finish(struct engine *e, const struct attempt_facts *facts, const struct job_end *end,
                   struct err *err)
{
    return facts->start != NULL ? jobs_pass(e->store, facts->start, end, err)
                                : jobs_finish(e->store, facts->row.no, facts->attempt, end, err);
}

bool apply_end_of(struct engine *e, struct attempt_facts *facts, const struct task_outcome *outcome,
                  struct job_end *ret, struct err *err)
{
    const bool failed = outcome->end != TASK_EXITED || outcome->exit_code != 0;
    if (failed && facts->row.has_retry) {
        facts->has_policy = true;
        if (!jobs_retry_policy(e->store, facts->row.no, &facts->policy, err))
            return false;
    }
    metrics_add(e->parts.metrics, COUNT_RUNNER_STARTS, outcome->runner_starts);
    metrics_add(e->parts.metrics, COUNT_RUNNER_FAILURES, outcome->runner_failures);
    outcome_of(facts, outcome, ret);
    return true;
}

void apply_ended(struct engine *e, const struct job_row *row, const struct job_end *end)
{
    observe_end(e, row, end);
    apply_due_at(e,
                 job_state_is_end(end->state) ? end->finished_us + end->keep_us : end->retry_at_us);
}

bool apply_store_end(struct engine *e, const struct attempt_facts *facts,
                     const struct task_outcome *outcome, const struct job_end *end, struct err *err)
{
    const int64_t no = facts->row.no;
    enum job_state ignored;
    if (end->state == JOB_CANCELLED &&
        !jobs_cancel(e->store, &(struct job_cancel){no, e->turn.now_us, why_cancelled(e, no)},
                     &ignored, err))
        return false; /* RUNNING → STOPPING, which the end below takes on to CANCELLED */
    if (!finish(e, facts, end, err)) {
        drop_outputs(e, outcome);
        return false;
    }
    if (!apply_outputs(e, no, outcome, end, err))
        return false;
    if (!job_state_is_end(end->state))
        drop_spool(e, facts, outcome); /* only the last attempt's output is kept */
    else
        note_end(e, facts, end);
    apply_ended(e, &facts->row, end);
    return true;
}

bool apply_outcome(struct engine *e, struct attempt_facts *facts,
                   const struct task_outcome *outcome, struct err *err)
{
    struct job_end end;
    return apply_end_of(e, facts, outcome, &end, err) &&
           apply_store_end(e, facts, outcome, &end, err);
}

bool apply_retries_lost(const struct engine *e, uint32_t queue)
{
    const struct pool_entry *pool = &e->pools.now[dispatch_pool_of(&e->dispatch, queue)];
    return pool->settings.on_death == DEATH_RETRIES_JOB;
}

static bool apply_end(struct engine *e, struct flight *f, struct err *err)
{
    if (f->chunk != NULL)
        return chunk_apply(e, f, err);
    struct task_outcome outcome = {.end = TASK_START_FAILED};
    struct task_blob kept[TASK_MAX_OUTPUTS];
    if (!f->never_started)
        pool_outcome(e->parts.pool, f->place, &outcome);
    if (!apply_outputs_take(e, &outcome, kept, err))
        return false;
    const bool has_begun = outcome.end != TASK_START_FAILED;
    if (has_begun)
        brief_note(&e->dispatch.brief, f->brief_key, (uint64_t)MAX(outcome.wall_us, (int64_t)0));
    if (has_begun && !apply_death(e, f, &f->info.row.id, &outcome, err))
        return false;
    const bool is_new = has_begun && flight_ends_unrecorded(f);
    if (f->unrecorded && !f->recording && !is_new && !flight_record(&e->dispatch, &e->turn, f, err))
        return false;
    if (!has_begun) {
        e->dispatch.backoff_until_ns = e->turn.now_ns + START_BACKOFF_NS;
        if (f->stages > 0)
            return gang_end_unstarted(&e->dispatch, &e->turn, f, outcome.error_text, err);
        return end_unstarted(e, f, err);
    }
    const struct job_start start = {f->info.row.no, f->attempt, f->place.slot, e->turn.now_us};
    f->recording |= is_new;
    struct attempt_facts facts = {
        .row = f->info.row,
        .attempt = f->attempt,
        .start = is_new ? &start : NULL,
        .stop_requested = f->stop_requested,
        .drain_stop = f->drain_stop,
        .retries_lost = apply_retries_lost(e, f->info.row.queue),
        .broken = dispatch_broken(&e->dispatch, f->info.row.queue),
        .feeds_another = f->stages > 0 && f->info.row.idx + 1 < f->stages,
        .now_us = e->turn.now_us,
    };
    return apply_outcome(e, &facts, &outcome, err);
}

bool apply_savepoint_leave(struct engine *e, bool ok, const struct err *err)
{
    if (ok)
        store_savepoint_release(e->store);
    else if (!apply_is_store_failure(err))
        store_savepoint_undo(e->store);
    return ok;
}

/* What has ended and finds no room ends in the next turn. */
static bool has_room(const struct engine *e)
{
    return e->turn.n_blobs + TASK_MAX_OUTPUTS <= TURN_BLOBS_OF_ENDS;
}

/* Its job was not stored, so nobody has heard of it: what it has left goes. */
static void drop_disowned(struct engine *e, struct flight *f)
{
    const struct attempt_facts facts = {.row = {.no = f->disowned}, .attempt = f->attempt};
    struct task_outcome outcome;
    pool_outcome(e->parts.pool, f->place, &outcome);
    drop_spool(e, &facts, &outcome);
    f->outcome_applied = true;
}

static bool take_end(struct engine *e, struct flight *f, struct err *err)
{
    struct err why = {0};
    if (!has_room(e))
        return !flight_ends_unrecorded(f) || flight_record(&e->dispatch, &e->turn, f, err);
    if (!apply_end(e, f, &why)) {
        if (apply_is_store_failure(&why))
            return err_set(err, why.code, "%s", why.detail);
        /* Fencing: this attempt is not the running one any more, so its report changes nothing. */
        log_error(e->parts.log, "late report of an attempt ignored", &why);
    }
    f->outcome_applied = true;
    pools_landed(e, f);
    return true;
}

bool apply_ends(struct engine *e, struct err *err)
{
    for (uint32_t k = 0; k < e->dispatch.n; k++) {
        struct flight *f = &e->dispatch.flights[k];
        if (f->state == FLIGHT_ENDED && f->disowned != 0)
            drop_disowned(e, f);
        else if (f->state == FLIGHT_ENDED && !take_end(e, f, err))
            return false;
        else if (f->state == FLIGHT_RUNNING && f->chunk != NULL && !chunk_apply(e, f, err))
            return false;
    }
    (void)store_changes(e->store, &e->turn.n_until_landed);
    return jobs_passed(e->store, err);
}

bool apply_early_ends(struct engine *e, struct err *err)
{
    for (uint32_t k = 0; k < e->dispatch.n; k++) {
        struct flight *f = &e->dispatch.flights[k];
        if (f->state == FLIGHT_ENDED && f->is_early && !take_end(e, f, err))
            return false;
    }
    return jobs_passed(e->store, err);
}

/* ------------------------------------------------------------------------------------------------
 * due times */

static bool apply_expired(struct engine *e, struct err *err)
{
    struct expired_job expired[MAX_TIMERS];
    struct expired_list list = {expired, MAX_TIMERS, 0};
    if (!queue_expired(e->store, e->turn.now_us, &list, err))
        return err_wrap(err, "find expired jobs");
    for (size_t i = 0; i < list.n; i++) {
        struct job_row row;
        if (!dispatch_settle(&e->dispatch, &e->turn, expired[i].no, err) ||
            !jobs_get_by_no(e->store, expired[i].no, &row, err))
            return err_wrap(err, "expire");
        if (row.state == JOB_RUNNING)
            continue; /* a worker took it a moment ago */
        if (!jobs_expire(e->store, expired[i].no, expired[i].reason, e->turn.now_us, err))
            return err_wrap(err, "expire");
    }
    e->dispatch.dirty |= list.n > 0;
    return true;
}

static bool apply_promotions(struct engine *e, struct err *err)
{
    int64_t promoted[MAX_TIMERS];
    struct due_list list = {promoted, MAX_TIMERS, 0};
    if (!queue_promote(e->store, e->turn.now_us, &list, err))
        return err_wrap(err, "promote scheduled jobs");
    for (size_t i = 0; i < list.n; i++)
        e->dispatch.dirty |= list.n > 0;
    return true;
}

static bool run_timers(struct engine *e, const void *unused, struct err *err)
{
    struct prune prune = {.now_us = e->turn.now_us,
                          .limit = MAX_PRUNED,
                          .files = &e->turn.files[e->turn.n_files],
                          .max_files = TURN_FILES_OF_TIME};
    (void)unused;
    if (!apply_expired(e, err) || !apply_promotions(e, err) || !jobs_prune(e->store, &prune, err) ||
        !batches_prune(e->store, e->turn.now_us, MAX_PRUNED, err) || !apply_blobs_prune(e, err) ||
        !idem_prune(e->store, e->turn.now_us - e->parts.cfg->idempotency_keep_us, MAX_PRUNED, err))
        return false;
    e->turn.n_files += prune.n_files;
    if (SEEDED_BUG("due-times") && e->turn.n_blobs > 0) /* a negative control of the guard */
        return err_set(err, ERR_INTERNAL, "a seeded fault");
    return queue_next_due(e->store, &e->next_due_us, err);
}

bool apply_timers(struct engine *e, struct err *err)
{
    const struct guarded step = {.name = "due times", .run = run_timers};
    bool dropped;
    if (e->next_due_us > e->turn.now_us)
        return true;
    if (!guard(e, &step, &dropped, err))
        return false;
    if (dropped) /* they are all still due */
        e->next_due_us = e->turn.now_us + TIMERS_PAUSE_US;
    return true;
}
