/* SPDX-License-Identifier: MIT */
/* What clients ask, inside the turn's transaction. A command that cannot be done is answered with
 * its error; an error of the store ends the whole transaction. */
#include "service/engine_state.h"

bool command_writes(const struct command *cmd)
{
    return cmd->kind != CMD_PARK && cmd->kind != CMD_UNPARK;
}

bool apply_admits(struct engine *e, struct err *err)
{
    const struct config *cfg = e->parts.cfg;
    if (atomic_load(&e->shared.phase) != PHASE_RUNNING)
        return err_set(err, ERR_DRAINING, "The service is stopping; send the job to its successor");
    e->turn.refuses_one = store_disk_is_low(e->store) || FAULT("disk-low");
    if (e->turn.refuses_one)
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
uint32_t apply_salt(struct engine *e)
{
    uint64_t z = e->salt_state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return (uint32_t)((z ^ (z >> 31)) >> 32);
}

bool apply_row(struct engine *e, struct submit_item *item, const struct family *family,
               struct err *err)
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
        .salt = apply_salt(e),
        .batch = item->batch,
        .idx = item->index,
        .flags = (family->waits ? JOB_WAITS | JOB_CHILD : 0) |
                 (spec->n_inputs > 0 ? JOB_INPUTS : 0) | (spec->n_outputs > 0 ? JOB_OUTPUTS : 0) |
                 (item->is_parent ? JOB_PARENT : 0),
    };
    if (spec->has_unique) {
        job.flags |= JOB_UNIQUE;
        job.ukey = (struct slice){(const char *)spec->unique_key, sizeof spec->unique_key};
    }
    if (!jobs_insert(e->store, &job, &item->id, err))
        return false;
    item->created_us = e->turn.now_us;
    item->birth = item->due_us > e->turn.now_us ? JOB_SCHEDULED
                  : family->waits               ? JOB_BLOCKED
                                                : JOB_QUEUED;
    item->has_ended = family->is_doomed;
    if (item->birth == JOB_SCHEDULED)
        apply_due_at(e, item->due_us);
    else
        e->dispatch.dirty = true;
    apply_due_at(e, job.queue_deadline_us);
    apply_due_at(e, job.deadline_us);
    e->turn.submitted++;
    return true;
}

bool apply_birth(struct engine *e, struct submit_item *item, struct err *err)
{
    struct family family;
    return apply_parents_look(e, &item->spec, &family, err) && apply_row(e, item, &family, err) &&
           apply_parents_enter(e, &item->spec, item->id.no, &family, err);
}

/* A replay knows the jobs of a key as the first n: so none may be made behind one that was refused.
 */
static void refuse_rest(struct command *cmd, uint32_t from)
{
    for (uint32_t i = from; i < cmd->submit.n; i++) {
        struct err *err = &cmd->submit.items[i].err;
        *err = cmd->submit.items[from - 1].err;
        (void)err_wrap(err, "An earlier line of this Idempotency-Key was refused");
    }
}

/* A refusal belongs to its item, unless the command has no other one. */
static bool insert_item(struct engine *e, struct command *cmd, uint32_t i, struct err *err)
{
    struct submit_item *item = &cmd->submit.items[i];
    if (apply_insert(e, item, &item->err) ||
        (!apply_is_store_failure(&item->err) && cmd->submit.n > 1))
        return true;
    *err = item->err;
    return false;
}

static bool apply_submit(struct engine *e, struct command *cmd, struct err *err)
{
    bool is_new = true;
    if (!key_check(e, cmd, &is_new, err))
        return false;
    if (!is_new)
        return true;
    if (!apply_admits(e, err))
        return false;
    int64_t first_no = 0, n = 0;
    for (uint32_t i = 0; i < cmd->submit.n; i++) {
        const struct submit_item *item = &cmd->submit.items[i];
        if (!insert_item(e, cmd, i, err))
            return false;
        if (item->err.code == ERR_NONE) {
            first_no = first_no == 0 ? item->id.no : first_no;
            n++;
        } else if (cmd->key.is_given) {
            refuse_rest(cmd, i + 1);
            break;
        }
    }
    return key_keep(e, &cmd->key, first_no, n, err);
}

/* A client that waits gets its answer with the job's end. */
static enum verdict after_submit(const struct command *cmd)
{
    bool waits = cmd->wait_until_ns != 0 && cmd->submit.n == 1 && !cmd->key.replayed &&
                 !cmd->submit.items[0].has_ended && !cmd->submit.items[0].is_existing;
    return waits ? VERDICT_PARK : VERDICT_ANSWER;
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
    e->dispatch.dirty = true;
    if (job_state_is_end(state)) {
        return true;
    }
    struct flight *f = dispatch_find(&e->dispatch, row.no);
    if (f != NULL) {
        f->stop_requested = true;
        if (!cmd->cancel.has_left)
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
        if (!job_id_eq(&f->info.row.id, &cmd->cancel.id))
            continue;
        f->stop_requested = true;
        f->early_stop_ns = e->turn.now_ns;
        f->stop_signal = cmd->cancel.signal;
        f->stop_grace_us = cmd->cancel.grace_us;
        cmd->cancel.has_left = true;
        pool_stop(e->parts.pool, f->place, f->stop_signal, f->stop_grace_us);
    }
}

bool apply_if_version(const struct job_row *row, int64_t wanted, struct err *err)
{
    return wanted == 0 || wanted == row->version ||
           err_set(err, ERR_VERSION_MISMATCH,
                   "The job has changed since version %lld; it is at version %lld now",
                   (long long)wanted, (long long)row->version);
}

static bool apply_forget(struct engine *e, struct command *cmd, struct err *err)
{
    struct job_row row;
    struct output_ref files[OUTPUT_STREAMS];
    size_t n = 0;
    if (!jobs_get(e->store, &cmd->forget.id, &row, err) ||
        !apply_if_version(&row, cmd->forget.if_version, err) ||
        !jobs_forget(e->store, row.no, files, &n, err))
        return false;
    turn_drop_files(&e->turn, files, n);
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
    case CMD_DELIVERED: return apply_delivered(e, cmd, err);
    case CMD_CHANGE: return apply_job_change(e, cmd, err);
    case CMD_RETRY: return apply_job_retry(e, &cmd->retry.id, cmd->retry.if_version, err);
    case CMD_FEED:
    case CMD_FEED_BREAK: return apply_feed(e, cmd, err);
    case CMD_REACH: return apply_reach(e, cmd, err);
    case CMD_BULK: return apply_bulk(e, cmd, err);
    case CMD_GRAPH: return apply_graph(e, cmd, err);
    case CMD_BATCH: return apply_batch(e, cmd, err);
    case CMD_BATCH_ADD: return apply_batch_add(e, cmd, err);
    case CMD_BATCH_CANCEL: return apply_batch_cancel(e, cmd, ret, err);
    case CMD_BATCH_RETRY: return apply_batch_retry(e, cmd, ret, err);
    case CMD_PIPELINE: return apply_pipeline(e, cmd, err);
    case CMD_BATCH_BREAK: return apply_batch_break(e, cmd, err);
    case CMD_POOL: return apply_pool(e, cmd, err);
    case CMD_WORKER: return apply_worker(e, cmd, err);
    case CMD_QUEUE: return apply_queue(e, cmd, err);
    case CMD_PURGE: return apply_purge(e, cmd, ret, err);
    case CMD_BLOB: return apply_blob(e, cmd, err);
    case CMD_BLOB_DELETE: return apply_blob_delete(e, cmd, err);
    case CMD_BLOB_WRITE: break;
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
        e->turn.refuses_one = false;
        if (apply_command(e, cmd, &e->verdicts[i], &cmd->err))
            continue;
        e->verdicts[i] = VERDICT_ANSWER;
        /* What else is in the turn must be stored all the more when the disk is low. */
        if (apply_is_store_failure(&cmd->err) && !e->turn.refuses_one) {
            *err = cmd->err;
            return false;
        }
    }
    return true;
}
