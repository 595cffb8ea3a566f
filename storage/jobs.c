/* SPDX-License-Identifier: MIT */
#include "storage/jobs.h"

#include "storage/deliveries.h"
#include "storage/store_impl.h"

#define DEFAULT_QUEUE "default"

/* ---- birth ---- */

/* What was said about the queue that had this number before is nothing to the new one. */
static bool settings_forget(struct store *store, uint32_t number, struct err *err)
{
    if (counts_state(&store->counts, number)->settings.version == 0)
        return true;
    counts_set(&store->counts, number, &(struct queue_settings){0});
    return store_run_no(store, SQL_SETTINGS_DELETE, number, err);
}

bool queue_number(struct store *store, struct slice name, uint32_t *ret_number, struct err *err)
{
    sqlite3_stmt *insert = store_stmt(store, SQL_QUEUE_NAME);
    uint32_t number = counts_find(&store->counts, name);

    if (number == 0) {
        if (!counts_add_queue(&store->counts, name, &number, err))
            return false;
        bind_i64(insert, 1, number);
        bind_text(insert, 2, name);
        if (!store_run(store, insert, err) || !store_run_no(store, SQL_QUEUE_LEDGER, number, err) ||
            !settings_forget(store, number, err))
            return false;
    }
    *ret_number = number;
    return true;
}

static bool spec_insert(struct store *store, int64_t no, const struct job_new *job, struct err *err)
{
    sqlite3_stmt *insert = store_stmt(store, SQL_SPEC_INSERT);
    const struct job_spec *spec = job->spec;
    bool is_item = (job->flags & JOB_ITEM) != 0; /* everything else is the batch's */
    struct slice none = {NULL, 0}, policy = none;

    if (spec->has_retry && !is_item)
        policy = (struct slice){(const char *)&spec->retry, sizeof(spec->retry)};
    bind_i64(insert, 1, no);
    bind_text(insert, 2, is_item ? none : spec->name);
    bind_text(insert, 3, is_item ? none : spec->labels);
    bind_text(insert, 4, is_item ? none : spec->metadata);
    bind_text(insert, 5, is_item ? none : spec->traceparent);
    bind_blob(insert, 6, policy);
    bind_blob(insert, 7, job->task);
    if (!store_run(store, insert, err))
        return false;
    spec_keep(&store->specs, no,
              &(struct spec_texts){.name = is_item ? none : spec->name,
                                   .traceparent = is_item ? none : spec->traceparent,
                                   .task = job->task});
    return true;
}

bool offspring_insert(struct store *store, int64_t child, const struct job_id *submitter,
                      struct err *err)
{
    sqlite3_stmt *insert = store_stmt(store, SQL_OFFSPRING_PUT);

    bind_i64(insert, 1, child);
    bind_i64(insert, 2, submitter->no);
    bind_i64(insert, 3, (int64_t)submitter->ms);
    bind_i64(insert, 4, submitter->salt);
    return store_run(store, insert, err);
}

static enum job_state birth_state(const struct job_new *job)
{
    if (job->due_us > job->now_us)
        return JOB_SCHEDULED;
    return (job->flags & (JOB_WAITS | JOB_GATED)) != 0 ? JOB_BLOCKED : JOB_QUEUED;
}

bool job_row_new(struct store *store, const struct job_new *job, struct row *ret, struct err *err)
{
    const struct job_spec *spec = job->spec;
    struct slice queue = spec->queue.ptr == NULL ? SLICE_LIT(DEFAULT_QUEUE) : spec->queue;

    PRE(spec->max_attempts >= 1 && spec->keep_us >= 0);

    *ret = (struct row){
        .no = store->newest.no + 1,
        .state = birth_state(job),
        .salt = job->salt,
        .priority = spec->priority,
        .max_attempts = spec->max_attempts,
        .version = 1,
        .created_us = MAX(job->now_us, store->newest.created_us),
        .queue_deadline_us = job->queue_deadline_us,
        .deadline_us = job->deadline_us,
        .keep_us = spec->keep_us,
        .result = spec->result,
        .retry = spec->has_retry,
        .slot = -1,
        .reason = REASON_NONE,
        .batch = job->batch,
        .idx = job->idx,
        .flags = job->flags | (spec->callback_url.ptr != NULL ? (uint32_t)JOB_CALLBACK : 0) |
                 (spec->submitter.no != 0 ? (uint32_t)JOB_OFFSPRING : 0),
        .ukey = job->ukey,
    };
    if (ret->state == JOB_SCHEDULED)
        ret->due_us = job->due_us;
    return queue_number(store, queue, &ret->queue, err);
}

bool jobs_insert(struct store *store, const struct job_new *job, struct job_id *ret_id,
                 struct err *err)
{
    const struct job_spec *spec = job->spec;
    struct row row;

    if (!job_row_new(store, job, &row, err) || !queue_has_room(store, row.queue, err) ||
        !row_insert(store, &row, err) || !spec_insert(store, row.no, job, err) ||
        ((row.flags & JOB_CALLBACK) != 0 && !callback_insert(store, row.no, spec, err)) ||
        ((row.flags & JOB_OFFSPRING) != 0 &&
         !offspring_insert(store, row.no, &spec->submitter, err)) ||
        (job->batch != 0 && !batch_append(store, job->batch, row.no, err)))
        return false;
    store->newest = (struct newest){row.no, row.created_us};
    *ret_id = row_id(&row);
    return true;
}

void jobs_skip(struct store *store, int64_t no)
{
    PRE(!store_in_transaction(store));

    store->newest.no = MAX(store->newest.no, no);
    store->newest_at_begin.no = store->newest.no;
}

/* ---- looking at one ---- */

static void row_show(const struct row *row, struct job_row *ret)
{
    *ret = (struct job_row){
        .no = row->no,
        .id = row_id(row),
        .state = row->state,
        .attempt = row->attempt,
        .max_attempts = row->max_attempts,
        .version = row->version,
        .created_us = row->created_us,
        .started_us = row->started_us,
        .deadline_us = row->deadline_us,
        .keep_us = row->keep_us,
        .has_retry = row->retry,
        .priority = row->priority,
        .result = row->result,
        .queue = row->queue,
        .batch = row->batch,
        .idx = row->idx,
        .flags = row->flags,
    };
}

bool jobs_get_by_no(struct store *store, int64_t no, struct job_row *ret, struct err *err)
{
    struct row row;

    if (!row_load(store, no, &row, err))
        return false;
    row_show(&row, ret);
    return true;
}

bool jobs_get(struct store *store, const struct job_id *id, struct job_row *ret, struct err *err)
{
    struct row row;

    if (!row_load(store, id->no, &row, err))
        return false;
    if (!row_has_id(&row, id))
        return err_set(err, ERR_NOT_FOUND, "There is no such job.");
    row_show(&row, ret);
    return true;
}

bool jobs_plain_end(const struct store *store, int64_t no, struct job_view *ret)
{
    enum { BORN = 1, STARTED, ENDED }; /* versions, when these are all its moves */
    const struct row *row = row_at_hand(store, no);

    if (row == NULL || row->state != JOB_SUCCEEDED || row->version != ENDED || row->attempt != 1 ||
        row->batch != 0 || (row->flags & (JOB_OFFSPRING | JOB_CALLBACK | JOB_OUTPUTS)) != 0)
        return false;
    row_view(row, ret);
    return true;
}

bool retry_policy_read(struct slice policy, int64_t no, struct retry_policy *ret, struct err *err)
{
    if (policy.len != sizeof(*ret) || policy.ptr[0] != 1)
        return err_set(err, ERR_STORAGE, "The stored retry policy of %lld is damaged.",
                       (long long)no);
    memcpy(ret, policy.ptr, sizeof(*ret));
    return true;
}

bool jobs_retry_policy(struct store *store, int64_t no, struct retry_policy *ret, struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = store_stmt(store, SQL_SPEC_POLICY);
    struct slice policy = {NULL, 0};
    struct row row;
    bool found;

    if (!row_load(store, no, &row, err))
        return false;
    bind_i64(get, 1, no);
    if (!db_next(&store->db, get, &found, err))
        return false;
    if (found)
        policy = column_slice(get, 0);
    if (policy.ptr == NULL && row.batch != 0)
        return batch_retry_policy(store, row.batch, ret, err);
    if (policy.ptr == NULL)
        return err_set(err, ERR_NOT_FOUND, "The job has no retry policy.");
    return retry_policy_read(policy, no, ret, err);
}

/* ---- attempts ---- */

static bool conflict(const struct row *row, uint32_t attempt, struct err *err)
{
    return err_set(err, ERR_STATE_CONFLICT,
                   "Attempt %u is not the running one: the job is %s, attempt %u.", attempt,
                   job_state_name(row->state), row->attempt);
}

bool jobs_start(struct store *store, const struct job_start *start, struct err *err)
{
    struct row row;

    if (!row_load(store, start->no, &row, err))
        return false;
    if (start->attempt != row.attempt + 1)
        return conflict(&row, start->attempt, err);
    row.attempt = start->attempt;
    row.slot = (int32_t)start->slot;
    row.started_us = start->now_us;
    return row_move(store, &row, JOB_RUNNING, err);
}

bool jobs_start_mate(struct store *store, const struct job_start *start, struct err *err)
{
    struct row row;

    if (!row_load(store, start->no, &row, err))
        return false;
    if (row.state == JOB_RUNNING || row.state == JOB_STOPPING)
        return row.attempt == start->attempt || conflict(&row, start->attempt, err);
    row.queued_us = start->now_us;
    return (row.state != JOB_BLOCKED || row_move(store, &row, JOB_QUEUED, err)) &&
           jobs_start(store, start, err);
}

bool jobs_unstart(struct store *store, int64_t no, uint32_t attempt, struct err *err)
{
    struct row row;

    if (!row_load(store, no, &row, err))
        return false;
    if (row.state != JOB_RUNNING || row.attempt != attempt)
        return conflict(&row, attempt, err);
    row.attempt--;
    row.slot = -1;
    row.started_us = 0;
    return row_move(store, &row, JOB_QUEUED, err);
}

bool attempt_insert(struct store *store, const struct row *row, const struct job_end *end,
                    struct err *err)
{
    sqlite3_stmt *insert = store_stmt(store, SQL_ATTEMPT_INSERT);

    bind_i64(insert, 1, row->no);
    bind_i64(insert, 2, row->attempt);
    if (end->reason == REASON_NONE)
        (void)sqlite3_bind_null(insert, 3);
    else
        bind_i64(insert, 3, (int64_t)end->reason);
    if (end->has_exit_code)
        bind_i64(insert, 4, end->exit_code);
    else
        (void)sqlite3_bind_null(insert, 4);
    bind_i64(insert, 5, end->signal);
    bind_time(insert, 6, end->started_us);
    bind_time(insert, 7, end->finished_us);
    bind_i64(insert, 8, end->usage.wall_us);
    bind_i64(insert, 9, end->usage.user_us);
    bind_i64(insert, 10, end->usage.system_us);
    bind_i64(insert, 11, (int64_t)end->usage.max_rss_bytes);
    bind_i64(insert, 12, end->usage.processes_killed);
    bind_i64(insert, 13, (int64_t)(job_state_is_end(end->state) ? end->state : JOB_FAILED));
    return store_run(store, insert, err);
}

bool jobs_put_words(struct store *store, int64_t no, const char *detail, struct err *err)
{
    sqlite3_stmt *put = store_stmt(store, SQL_ERROR_PUT);

    if (detail == NULL)
        return true;
    bind_i64(put, 1, no);
    bind_text(put, 2, slice_of(detail));
    return store_run(store, put, err);
}

/* What is returned lies in the row itself: it is all that there is, and short. */
#define SHORT_VALUE 64
static bool has_short_value(const struct job_end *end)
{
    const struct slice *out = end->inline_out;

    return out[0].len == 0 && out[1].len == 0 && out[STREAM_VALUE].len > 0 &&
           out[STREAM_VALUE].len <= SHORT_VALUE;
}

bool outputs_put(struct store *store, const struct row *row, const struct job_end *end,
                 struct err *err)
{
    sqlite3_stmt *put = store_stmt(store, SQL_OUTPUT_PUT);
    const struct slice *out = end->inline_out;

    if ((out[0].len == 0 && out[1].len == 0 && out[STREAM_VALUE].len == 0) || has_short_value(end))
        return true;
    bind_i64(put, 1, row->no);
    bind_i64(put, 2, row->attempt);
    bind_blob(put, 3, out[0].len == 0 ? (struct slice){NULL, 0} : out[0]);
    bind_blob(put, 4, out[1].len == 0 ? (struct slice){NULL, 0} : out[1]);
    bind_blob(put, 5, out[2].len == 0 ? (struct slice){NULL, 0} : out[STREAM_VALUE]);
    return store_run(store, put, err);
}

/* It failed and is tried again: the attempt becomes history, the row waits once more and keeps
 * nothing of it. */
static bool attempt_repeat(struct store *store, struct row *row, const struct job_end *end,
                           struct err *err)
{
    struct row waiting = *row;

    waiting.started_us = 0;
    waiting.due_us = end->state == JOB_SCHEDULED ? end->retry_at_us : 0;
    waiting.queued_us = end->state == JOB_QUEUED ? end->finished_us : 0;
    return row_move(store, &waiting, end->state, err) && attempt_insert(store, row, end, err);
}

void row_take_end(struct row *row, const struct job_end *end)
{
    row->reason = end->reason;
    row->has_exit_code = end->has_exit_code;
    row->exit_code = end->exit_code;
    row->signal = end->signal;
    if (end->started_us != 0)
        row->started_us = end->started_us;
    row->finished_us = end->finished_us;
    row->usage = end->usage;
    row->output = end->output;
    row->output.expired = false;
    row->keep_us = end->keep_us;
    if (has_short_value(end))
        row->value = end->inline_out[STREAM_VALUE];
}

/* The row leaves the queue for good, with what is known of its last attempt. One that says `queued`
 * has begun since the last commit. */
static bool attempt_end(struct store *store, struct row *row, const struct job_end *end,
                        struct err *err)
{
    row_take_end(row, end);
    return (row->state == JOB_QUEUED ? row_pass(store, row, end->state, err)
                                     : row_move(store, row, end->state, err)) &&
           outputs_put(store, row, end, err) &&
           jobs_put_words(store, row->no, end->error_detail, err);
}

bool jobs_pass(struct store *store, const struct job_start *start, const struct job_end *end,
               struct err *err)
{
    struct row row;

    if (!job_state_is_end(end->state))
        return jobs_start(store, start, err) &&
               jobs_finish(store, start->no, start->attempt, end, err);
    if (!row_load(store, start->no, &row, err))
        return false;
    if (row.state != JOB_QUEUED || start->attempt != row.attempt + 1)
        return conflict(&row, start->attempt, err);
    row.attempt = start->attempt;
    row.slot = (int32_t)start->slot;
    row.started_us = start->now_us;
    return attempt_end(store, &row, end, err);
}

bool jobs_finish(struct store *store, int64_t no, uint32_t attempt, const struct job_end *end,
                 struct err *err)
{
    bool repeat = end->state == JOB_SCHEDULED || end->state == JOB_QUEUED;
    struct row row;

    PRE(repeat || job_state_is_end(end->state));

    if (!row_load(store, no, &row, err))
        return false;
    /* Recovery: the START had left, the commit that makes it `running` had not happened. Both moves
     * are made now. */
    if (row.state == JOB_QUEUED && attempt == row.attempt + 1 &&
        job_state_may_move(JOB_RUNNING, end->state)) {
        row.attempt = attempt;
        row.started_us = end->started_us;
        if (!row_move(store, &row, JOB_RUNNING, err))
            return false;
    }
    /* The table alone would not do: it lets an ended job go back to `queued`, for the retry verb.
     */
    if ((row.state != JOB_RUNNING && row.state != JOB_STOPPING) || row.attempt != attempt)
        return conflict(&row, attempt, err);
    return repeat ? attempt_repeat(store, &row, end, err) : attempt_end(store, &row, end, err);
}

/* ---- ends without an attempt ---- */

bool jobs_cancel(struct store *store, const struct job_cancel *cancel, enum job_state *ret_state,
                 struct err *err)
{
    struct row row;
    enum job_state to;

    if (!row_load(store, cancel->no, &row, err))
        return false;
    if (job_state_is_end(row.state) || row.state == JOB_STOPPING) {
        *ret_state = row.state;
        return true;
    }
    to = row.state == JOB_RUNNING ? JOB_STOPPING : JOB_CANCELLED;
    if (to == JOB_CANCELLED)
        row.finished_us = cancel->now_us;
    if (!row_move(store, &row, to, err) || !jobs_put_words(store, cancel->no, cancel->why, err))
        return false;
    *ret_state = to;
    return true;
}

bool jobs_refuse(struct store *store, const struct job_refusal *refusal, struct err *err)
{
    struct row row;

    PRE(refusal->reason != REASON_NONE);

    if (!row_load(store, refusal->no, &row, err))
        return false;
    if (row.state != JOB_SCHEDULED && row.state != JOB_BLOCKED && row.state != JOB_QUEUED)
        return err_set(err, ERR_STATE_CONFLICT, "The job is %s, it does not wait any more.",
                       job_state_name(row.state));
    row.reason = refusal->reason;
    row.finished_us = refusal->now_us;
    return row_move(store, &row, JOB_FAILED, err) &&
           jobs_put_words(store, row.no, refusal->why, err);
}

bool jobs_expire(struct store *store, int64_t no, enum job_reason reason, int64_t now_us,
                 struct err *err)
{
    return jobs_refuse(store, &(struct job_refusal){no, reason, now_us, NULL}, err);
}
