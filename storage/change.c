/* SPDX-License-Identifier: MIT */
#include "storage/change.h"

#include "storage/store_impl.h"

bool jobs_task(struct store *store, int64_t no, struct arena *a, struct slice *ret, struct err *err)
{
    AUTO_STMT sqlite3_stmt *spec = store_stmt(store, SQL_SPEC_START);
    struct slice task = {NULL, 0};
    bool found;

    bind_i64(spec, 1, no);
    if (!db_next(&store->db, spec, &found, err))
        return false;
    if (found)
        task = column_slice(spec, 2);
    *ret = (struct slice){task.ptr == NULL ? NULL : arena_dup(a, task), task.len};
    return (task.ptr == NULL) == (ret->ptr == NULL) ||
           err_set(err, ERR_OVERLOADED, "There is not enough memory for this request now.");
}

/* ---- a change while it waits ---- */

static int64_t since_creation(const struct row *row, int64_t duration_us)
{
    return duration_us == 0 ? 0 : row->created_us + duration_us;
}

static bool patch_queue(struct store *store, struct slice name, struct row *row, struct err *err)
{
    uint32_t before = row->queue;

    return queue_number(store, name, &row->queue, err) &&
           (row->queue == before || queue_has_room(store, row->queue, err));
}

static bool patch_row(struct store *store, const struct job_patch *patch, struct row *row,
                      struct err *err)
{
    const struct job_spec *spec = patch->spec;

    if ((patch->members & MEMBER_PRIORITY) != 0)
        row->priority = spec->priority;
    if ((patch->members & MEMBER_KEEP) != 0)
        row->keep_us = spec->keep_us;
    if ((patch->members & MEMBER_QUEUE_TIMEOUT) != 0)
        row->queue_deadline_us = since_creation(row, spec->queue_timeout_us);
    if ((patch->members & MEMBER_DEADLINE) != 0)
        row->deadline_us = since_creation(row, spec->deadline_us);
    if ((patch->members & MEMBER_RETRY) != 0) {
        row->retry = true;
        row->max_attempts = MAX(spec->max_attempts, row->attempt + 1);
    }
    return (patch->members & MEMBER_QUEUE) == 0 || patch_queue(store, spec->queue, row, err);
}

/* Where the row waits with its due time. The gates behind it stay as they are. */
static enum job_state patch_due(const struct job_patch *patch, struct row *row)
{
    bool is_gated = (row->flags & (JOB_WAITS | JOB_GATED)) != 0;

    if ((patch->members & MEMBER_DUE) == 0)
        return row->state;
    if (patch->due_us > patch->now_us) {
        row->due_us = patch->due_us;
        row->queued_us = 0;
        return JOB_SCHEDULED;
    }
    if (row->state != JOB_SCHEDULED)
        return row->state;
    row->due_us = patch->now_us;
    row->queued_us = is_gated ? 0 : patch->now_us;
    return is_gated ? JOB_BLOCKED : JOB_QUEUED;
}

static bool patch_spec(struct store *store, const struct job_patch *patch, struct err *err)
{
    static const uint32_t in_spec = MEMBER_NAME | MEMBER_LABELS | MEMBER_METADATA | MEMBER_RETRY;
    static const struct slice none = {NULL, 0};
    sqlite3_stmt *change = store_stmt(store, SQL_SPEC_CHANGE);
    const struct job_spec *spec = patch->spec;
    uint32_t members = patch->members;
    struct slice policy = {(const char *)&spec->retry, sizeof(spec->retry)};

    if ((members & in_spec) == 0 && patch->task.ptr == NULL)
        return true;
    spec_forget(&store->specs, patch->no);
    bind_i64(change, 1, patch->no);
    bind_text(change, 2, (members & MEMBER_NAME) != 0 ? spec->name : none);
    bind_text(change, 3, (members & MEMBER_LABELS) != 0 ? spec->labels : none);
    bind_text(change, 4, (members & MEMBER_METADATA) != 0 ? spec->metadata : none);
    bind_blob(change, 5, (members & MEMBER_RETRY) != 0 ? policy : none);
    bind_blob(change, 6, patch->task);
    return store_run(store, change, err);
}

bool jobs_change(struct store *store, struct job_patch *patch, struct err *err)
{
    struct row was, row;
    enum job_state to;

    if (!row_load(store, patch->no, &was, err))
        return false;
    if (was.state != JOB_SCHEDULED && was.state != JOB_BLOCKED && was.state != JOB_QUEUED)
        return err_set(err, ERR_STATE_CONFLICT,
                       "The job is %s; only a job that waits can be changed.",
                       job_state_name(was.state));
    row = was;
    patch->wake_us = 0;
    if (patch->members == 0)
        return true;
    if (!patch_row(store, patch, &row, err))
        return false;
    to = patch_due(patch, &row);
    if (!row_change(store, &was, &row, to, err) || !patch_spec(store, patch, err))
        return false;
    (void)row_timer(&row, &patch->wake_us);
    return true;
}

/* ---- once more ---- */

bool jobs_key_holder(struct store *store, const uint8_t key[UNIQUE_KEY_BYTES], int64_t *ret_no,
                     struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = store_stmt(store, SQL_KEY_HOLDER);
    bool found;

    bind_blob(get, 1, (struct slice){(const char *)key, UNIQUE_KEY_BYTES});
    if (!db_next(&store->db, get, &found, err))
        return false;
    *ret_no = found ? sqlite3_column_int64(get, 0) : 0;
    return true;
}

bool jobs_key_ending(struct store *store, int64_t no, int64_t *ret_no, struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = store_stmt(store, SQL_KEY_ENDING);
    bool found;

    bind_i64(get, 1, no);
    if (!db_next(&store->db, get, &found, err))
        return false;
    *ret_no = found ? sqlite3_column_int64(get, 0) : 0;
    return true;
}

/* A job that has ended holds its key no more; another one may have taken it. */
static bool key_is_free(struct store *store, const struct row *row, struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = store_stmt(store, SQL_KEY_GET);
    struct slice key = {NULL, 0};
    int64_t holder;
    bool found;

    if ((row->flags & JOB_UNIQUE) == 0)
        return true;
    bind_i64(get, 1, row->no);
    if (!db_next(&store->db, get, &found, err))
        return false;
    if (found)
        key = column_slice(get, 0);
    if (key.len != UNIQUE_KEY_BYTES)
        return err_set(err, ERR_STORAGE, "The stored unique key of job %lld is damaged.",
                       (long long)row->no);
    if (!jobs_key_holder(store, (const uint8_t *)key.ptr, &holder, err))
        return false;
    return holder == 0 || err_set(err, ERR_DUPLICATE,
                                  "Another job holds the unique key of this one meanwhile, and has "
                                  "not ended.");
}

/* An element is made from its batch's template, which may have been forgotten before it. */
static bool template_is_kept(struct store *store, const struct row *row, bool *ret, struct err *err)
{
    AUTO_STMT sqlite3_stmt *spec = store_stmt(store, SQL_BATCH_SPEC);
    bool found;

    *ret = true;
    if ((row->flags & JOB_ITEM) == 0)
        return true;
    bind_i64(spec, 1, row->batch);
    if (!db_next(&store->db, spec, &found, err))
        return false;
    *ret = found && column_slice(spec, 3).ptr != NULL;
    return true;
}

static bool may_run_again(struct store *store, const struct row *row, struct err *err)
{
    bool is_kept;

    if (!job_state_is_end(row->state))
        return err_set(err, ERR_STATE_CONFLICT,
                       "The job is %s; only a finished job can be retried.",
                       job_state_name(row->state));
    if (!template_is_kept(store, row, &is_kept, err))
        return false;
    if (row->output.expired || !is_kept)
        return err_set(err, ERR_RESULT_EXPIRED,
                       "What the job has to run was kept as long as its result, and is gone.");
    return queue_has_room(store, row->queue, err) && key_is_free(store, row, err);
}

/* An end without an attempt leaves none to remember: what was tried before is history already. */
static bool attempt_remember(struct store *store, const struct row *row, struct err *err)
{
    struct job_end end = {
        .state = row->state,
        .reason = row->reason,
        .has_exit_code = row->has_exit_code,
        .exit_code = row->exit_code,
        .signal = row->signal,
        .started_us = row->started_us,
        .finished_us = row->finished_us,
        .usage = row->usage,
    };

    return row->started_us == 0 || attempt_insert(store, row, &end, err);
}

/* A span that was given relative to the creation begins anew. */
static int64_t from_now(const struct row *row, int64_t deadline_us, int64_t now_us)
{
    return deadline_us == 0 ? 0 : now_us + (deadline_us - row->created_us);
}

static void row_reset(struct row *row, int64_t now_us)
{
    row->max_attempts = MAX(row->max_attempts, row->attempt + 1);
    row->queue_deadline_us = from_now(row, row->queue_deadline_us, now_us);
    row->deadline_us = from_now(row, row->deadline_us, now_us);
    row->due_us = 0;
    row->queued_us = now_us;
    row->started_us = 0;
    row->finished_us = 0;
    row->slot = -1;
    row->reason = REASON_NONE;
    row->has_exit_code = false;
    row->exit_code = 0;
    row->signal = 0;
    row->usage = (struct job_usage){0};
    row->output = (struct job_output){0};
    row->flags &= ~(uint32_t)(JOB_WAITS | JOB_GATED); /* whoever asks for it wants it to run */
}

bool jobs_retry_again(struct store *store, struct job_again *again, struct err *err)
{
    static const struct job_spec nothing = {0};
    struct job_patch same = {.no = again->no, .spec = &nothing, .task = again->task};
    struct row was, row;

    if (!row_load(store, again->no, &was, err) || !may_run_again(store, &was, err))
        return false;
    again->n_files = row_spool_files(&was, again->files);
    row = was;
    row_reset(&row, again->now_us);
    if (again->gated) {
        row.flags |= JOB_GATED;
        row.queued_us = 0;
    }
    if (!attempt_remember(store, &was, err) ||
        !store_run_no(store, SQL_OUTPUT_DELETE, was.no, err) ||
        !store_run_no(store, SQL_ERROR_DELETE, was.no, err) || !patch_spec(store, &same, err) ||
        !row_change(store, &was, &row, again->gated ? JOB_BLOCKED : JOB_QUEUED, err))
        return false;
    (void)row_timer(&row, &again->wake_us);
    return true;
}
