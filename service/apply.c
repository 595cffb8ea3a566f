/* SPDX-License-Identifier: MIT */
/* What happens inside the turn's transaction: ends of attempts, due times, commands. A command that
 * cannot be done is answered with its error; an error of the store ends the whole transaction. */
#include "service/engine_state.h"
#include "service/outcome.h"

static bool is_store_failure(const struct err *err)
{
    return err->code == ERR_STORAGE || err->code == ERR_DISK_FULL ||
           err->code == ERR_OUTCOME_UNKNOWN || err->code == ERR_INTERNAL;
}

static void due_at(struct engine *e, int64_t us)
{
    if (us != 0)
        e->next_due_us = MIN(e->next_due_us, us);
}

/* ------------------------------------------------------------------------------------------------
 * ends of attempts */

static void observe_end(struct engine *e, const struct flight *f, const struct job_end *end)
{
    struct metrics *m = e->parts.metrics;
    e->turn.finished[end->state]++;
    if (!job_state_is_end(end->state))
        e->turn.retried++;
    if (end->started_us != 0)
        metrics_observe_us(m, HIST_RUN_TIME,
                           (uint64_t)MAX(end->finished_us - end->started_us, (int64_t)0));
    if (end->started_us != 0)
        metrics_observe_us(m, HIST_QUEUE_WAIT,
                           (uint64_t)MAX(end->started_us - f->info.row.created_us, (int64_t)0));
}

/* The files go after the commit. A turn that has no room for more leaves them to the sweep at the
 * next start. */
static void drop_spool(struct engine *e, const struct flight *f, const struct task_outcome *outcome)
{
    for (uint8_t stream = 0; stream < 2; stream++)
        if (outcome->out[stream].spooled && e->turn.n_files < TURN_MAX_FILES / 2)
            e->turn.files[e->turn.n_files++] = (struct output_ref){f->info.row.no, f->attempt,
                                                                   stream};
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

static bool apply_end(struct engine *e, struct flight *f, struct err *err)
{
    int64_t no = f->info.row.no;
    struct task_outcome outcome = {.end = TASK_START_FAILED};
    if (!f->never_started)
        pool_outcome(e->parts.pool, f->place, &outcome);
    if (outcome.end == TASK_START_FAILED) {
        e->dispatch.backoff_until_ns = e->turn.now_ns + UINT64_C(100000000); /* guarantees.md G15 */
        turn_wake(&e->turn, no, false);
        f->unstarted = true;
        return jobs_unstart(e->store, no, f->attempt, err);
    }
    struct attempt_facts facts = {
        .row = f->info.row,
        .attempt = f->attempt,
        .stop_requested = f->stop_requested,
        .drain_stop = f->drain_stop,
        .now_us = e->turn.now_us,
    };
    bool failed = outcome.end != TASK_EXITED || outcome.exit_code != 0;
    if (failed && f->info.row.has_retry) {
        facts.has_policy = true;
        if (!jobs_retry_policy(e->store, no, &facts.policy, err))
            return false;
    }
    struct job_end end;
    outcome_of(&facts, &outcome, &end);
    enum job_state ignored;
    if (end.state == JOB_CANCELLED && f->early_stop_ns != 0 &&
        !jobs_cancel(e->store, &(struct job_cancel){no, e->turn.now_us, why_cancelled(e, no)},
                     &ignored, err))
        return false; /* RUNNING → STOPPING, which the end below takes on to CANCELLED */
    if (!jobs_finish(e->store, no, f->attempt, &end, err))
        return false;
    if (!job_state_is_end(end.state))
        drop_spool(e, f, &outcome); /* only the last attempt's output is kept */
    observe_end(e, f, &end);
    due_at(e, job_state_is_end(end.state) ? end.finished_us + end.keep_us : end.retry_at_us);
    turn_wake(&e->turn, no, job_state_is_end(end.state));
    return true;
}

bool apply_ends(struct engine *e, struct err *err)
{
    for (uint32_t k = 0; k < e->dispatch.n; k++) {
        struct flight *f = &e->dispatch.flights[k];
        if (f->state != FLIGHT_ENDED)
            continue;
        struct err why = {0};
        if (!apply_end(e, f, &why)) {
            if (is_store_failure(&why))
                return err_set(err, why.code, "%s", why.detail);
            /* Fencing: this attempt is not the running one any more, so its report changes nothing
             * (guarantees.md G4). */
            log_error(e->parts.log, "late report of an attempt ignored", &why);
        }
        f->outcome_applied = true;
    }
    return true;
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
        e->turn.finished[JOB_FAILED]++;
        turn_wake(&e->turn, expired[i].no, true);
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
        turn_wake(&e->turn, promoted[i], false);
    e->dispatch.dirty |= list.n > 0;
    return true;
}

bool apply_timers(struct engine *e, struct err *err)
{
    if (e->next_due_us > e->turn.now_us)
        return true;
    struct prune prune = {.now_us = e->turn.now_us,
                          .limit = MAX_PRUNED,
                          .files = &e->turn.files[e->turn.n_files],
                          .max_files = TURN_MAX_FILES / 4};
    if (!apply_expired(e, err) || !apply_promotions(e, err) || !jobs_prune(e->store, &prune, err) ||
        !idem_prune(e->store, e->turn.now_us - e->parts.cfg->idempotency_keep_us, MAX_PRUNED, err))
        return false;
    e->turn.n_files += prune.n_files;
    return queue_next_due(e->store, &e->next_due_us, err);
}

/* ------------------------------------------------------------------------------------------------
 * commands */

bool command_writes(const struct command *cmd)
{
    return cmd->kind == CMD_SUBMIT || cmd->kind == CMD_CANCEL || cmd->kind == CMD_FORGET;
}

static bool refuse_submit(const struct engine *e, struct err *err)
{
    const struct config *cfg = e->parts.cfg;
    if (atomic_load(&e->shared.phase) != PHASE_RUNNING)
        return err_set(err, ERR_DRAINING, "The service is stopping; send the job to its successor");
    if (store_disk_is_low(e->store))
        return err_set(err, ERR_DISK_FULL,
                       "The disk that holds the data directory is full; free some space and send "
                       "the job again");
    if ((uint64_t)store_waiting(e->store) >= cfg->queue_max_jobs)
        return err_set(err, ERR_OVERLOADED,
                       "%llu jobs are waiting, which is the limit queue.max_jobs; try again later",
                       (unsigned long long)cfg->queue_max_jobs);
    return true;
}

/* SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014), seeded by
 * the kernel: ids are names, not secrets, and a system call per job would be 3 % of a submission.
 */
static uint32_t next_salt(struct engine *e)
{
    uint64_t z = e->salt_state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return (uint32_t)((z ^ (z >> 31)) >> 32);
}

static bool insert_item(struct engine *e, struct submit_item *item, struct err *err)
{
    const struct job_spec *spec = &item->spec;
    struct job_new job = {
        .spec = spec,
        .task = item->task,
        .now_us = e->turn.now_us,
        .due_us = item->due_us,
        .queue_deadline_us = spec->queue_timeout_us == 0
                                 ? 0
                                 : item->created_us + spec->queue_timeout_us,
        .deadline_us = spec->deadline_us == 0 ? 0 : item->created_us + spec->deadline_us,
        .salt = next_salt(e),
    };
    if (!jobs_insert(e->store, &job, &item->id, err))
        return false;
    item->created_us = e->turn.now_us;
    item->birth = item->due_us > e->turn.now_us ? JOB_SCHEDULED : JOB_QUEUED;
    if (item->birth == JOB_SCHEDULED)
        due_at(e, item->due_us);
    else
        e->dispatch.dirty = true;
    due_at(e, job.queue_deadline_us);
    due_at(e, job.deadline_us);
    e->turn.submitted++;
    return true;
}

/* Looks the key up. Known with the same body: the command is answered with the jobs made then. */
static bool check_key(struct engine *e, struct command *cmd, bool *ret_new, struct err *err)
{
    struct idem_entry entry;
    bool found;
    if (!idem_find(e->store, cmd->submit.key, &entry, &found, err))
        return false;
    if (found && entry.created_us + e->parts.cfg->idempotency_keep_us <= e->turn.now_us)
        found = false; /* over, only not pruned yet */
    *ret_new = !found;
    if (!found)
        return true;
    if (memcmp(entry.body, cmd->submit.body, sizeof entry.body) != 0)
        return err_set(
            err, ERR_KEY_REUSED,
            "This Idempotency-Key came with another body before; use a new key for a new request");
    cmd->submit.replayed = true;
    cmd->submit.first_no = entry.first_no;
    cmd->submit.n_replayed = entry.n;
    return true;
}

static bool apply_submit(struct engine *e, struct command *cmd, struct err *err)
{
    bool is_new = true;
    if (cmd->submit.has_key && !check_key(e, cmd, &is_new, err))
        return false;
    if (!is_new)
        return true;
    if (!refuse_submit(e, err))
        return false;
    int64_t first_no = 0, n = 0;
    for (uint32_t i = 0; i < cmd->submit.n; i++) {
        struct submit_item *item = &cmd->submit.items[i];
        if (!insert_item(e, item, &item->err)) {
            if (is_store_failure(&item->err) || cmd->submit.n == 1)
                return err_set(err, item->err.code, "%s", item->err.detail);
            continue;
        }
        first_no = first_no == 0 ? item->id.no : first_no;
        n++;
    }
    if (!cmd->submit.has_key)
        return true;
    struct idem_entry entry = {.first_no = first_no, .n = n, .created_us = e->turn.now_us};
    memcpy(entry.key, cmd->submit.key, sizeof entry.key);
    memcpy(entry.body, cmd->submit.body, sizeof entry.body);
    due_at(e, e->turn.now_us + e->parts.cfg->idempotency_keep_us);
    return idem_put(e->store, &entry, err);
}

/* A client that waits gets its answer with the job's end. */
static enum verdict after_submit(const struct command *cmd)
{
    return cmd->wait_until_ns != 0 && cmd->submit.n == 1 && !cmd->submit.replayed ? VERDICT_PARK
                                                                                  : VERDICT_ANSWER;
}

static bool apply_cancel(struct engine *e, struct command *cmd, enum verdict *ret, struct err *err)
{
    struct job_row row;
    enum job_state state;
    if (!dispatch_settle(&e->dispatch, &e->turn, cmd->cancel.id.no, err) ||
        !jobs_get(e->store, &cmd->cancel.id, &row, err))
        return false;
    bool begun = row.state == JOB_RUNNING || row.state == JOB_STOPPING;
    if (job_state_is_end(row.state) || (begun && cmd->cancel.only_queued)) {
        cmd->cancel.cancelled = row.state == JOB_CANCELLED;
        return true;
    }
    struct job_cancel cancel = {row.no, e->turn.now_us,
                                cmd->cancel.why[0] == '\0' ? NULL : cmd->cancel.why};
    if (row.state == JOB_STOPPING)
        state = row.state; /* a second cancel may ask for less patience */
    else if (!jobs_cancel(e->store, &cancel, &state, err))
        return false;
    cmd->cancel.cancelled = true;
    turn_wake(&e->turn, row.no, job_state_is_end(state));
    e->dispatch.dirty = true;
    if (job_state_is_end(state)) {
        e->turn.finished[state]++;
        return true;
    }
    struct flight *f = dispatch_find(&e->dispatch, row.no);
    if (f != NULL) {
        f->stop_requested = true;
        dispatch_stop(f, cmd->cancel.signal, cmd->cancel.grace_us);
    }
    *ret = cmd->wait_until_ns != 0 ? VERDICT_PARK : VERDICT_ANSWER;
    return true;
}

void apply_stops_early(struct engine *e)
{
    for (size_t i = 0; i < e->n_batch; i++) {
        struct command *cmd = e->batch[i];
        if (cmd->kind != CMD_CANCEL || cmd->cancel.only_queued)
            continue;
        struct flight *f = dispatch_find(&e->dispatch, cmd->cancel.id.no);
        if (f == NULL || f->state != FLIGHT_RUNNING || f->unrecorded || f->stop_requested)
            continue;
        const struct job_id *id = &f->info.row.id;
        if (id->ms != cmd->cancel.id.ms || id->salt != cmd->cancel.id.salt)
            continue;
        f->stop_requested = true;
        f->early_stop_ns = e->turn.now_ns;
        pool_stop(e->parts.pool, f->place, cmd->cancel.signal, cmd->cancel.grace_us);
    }
}

static bool apply_forget(struct engine *e, struct command *cmd, struct err *err)
{
    struct job_row row;
    size_t n = 0;
    if (!jobs_get(e->store, &cmd->forget.id, &row, err))
        return false;
    if (cmd->forget.if_version != 0 && cmd->forget.if_version != row.version)
        return err_set(err, ERR_VERSION_MISMATCH,
                       "The job has changed since version %lld; it is at version %lld now",
                       (long long)cmd->forget.if_version, (long long)row.version);
    if (!jobs_forget(e->store, row.no, &e->turn.files[e->turn.n_files], &n, err))
        return false;
    e->turn.n_files += n;
    turn_wake(&e->turn, row.no, true);
    return true;
}

static bool apply_command(struct engine *e, struct command *cmd, enum verdict *ret, struct err *err)
{
    switch (cmd->kind) {
    case CMD_SUBMIT:
        if (!apply_submit(e, cmd, err))
            return false;
        *ret = after_submit(cmd);
        return true;
    case CMD_CANCEL: return apply_cancel(e, cmd, ret, err);
    case CMD_FORGET: return apply_forget(e, cmd, err);
    case CMD_PARK:
    case CMD_UNPARK: *ret = VERDICT_PARK; return true;
    }
    return err_set(err, ERR_INTERNAL, "unknown command");
}

bool apply_commands(struct engine *e, struct err *err)
{
    for (size_t i = 0; i < e->n_batch; i++) {
        struct command *cmd = e->batch[i];
        e->verdicts[i] = VERDICT_ANSWER;
        cmd->err = (struct err){0};
        if (apply_command(e, cmd, &e->verdicts[i], &cmd->err))
            continue;
        e->verdicts[i] = VERDICT_ANSWER;
        if (is_store_failure(&cmd->err)) {
            *err = cmd->err;
            return false;
        }
    }
    return true;
}
