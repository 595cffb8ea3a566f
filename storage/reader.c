/* SPDX-License-Identifier: MIT */
#include "storage/reader.h"

#include "storage/blobs.h"
#include "storage/deliveries.h"
#include "storage/reader_impl.h"

#define MAX_ATTEMPTS_SHOWN 10000 /* beyond what any retry policy may ask for; bounds the loop */

static const char *const reader_texts[] = {
#define X(name, heat, text) [SQL_##name] = (text),
    READER_SQL(X)
#undef X
};

bool reader_open(const char *data_dir, uint64_t cache_bytes, struct reader **ret, struct err *err)
{
    char path[4096];
    struct reader *reader;

    if ((size_t)snprintf(path, sizeof(path), "%s/jobs.db", data_dir) >= sizeof(path))
        return err_set(err, ERR_STORAGE, "The name of the data directory is too long.");
    reader = must_alloc(sizeof(*reader));
    if (!db_open(&reader->db, path, NULL, cache_bytes, err) ||
        !db_exec(&reader->db, "PRAGMA query_only=ON", err)) {
        reader_close(reader);
        return err_wrap(err, "open %s for reading", path);
    }
    db_set_texts(&reader->db, reader_texts, ARRAY_LEN(reader_texts));
    (void)sqlite3_db_config(reader->db.handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    *ret = reader;
    return true;
}

void reader_close(struct reader *reader)
{
    if (reader == NULL)
        return;
    db_close(&reader->db);
    free(reader);
}

void reader_rest(struct reader *reader)
{
    db_rest(&reader->db);
}

bool reader_no_room(struct err *err)
{
    return err_set(err, ERR_OVERLOADED, "There is not enough memory for this answer now.");
}

static bool not_found(struct err *err)
{
    return err_set(err, ERR_NOT_FOUND, "There is no such job.");
}

bool reader_keep(sqlite3_stmt *stmt, int column, struct arena *a, struct slice *ret)
{
    *ret = column_slice(stmt, column);
    if (ret->ptr == NULL)
        return true;
    ret->ptr = arena_dup(a, *ret);
    return ret->ptr != NULL;
}

/* The one column of a bound query of at most one row; absent when there is none. */
static bool text_get(struct reader *reader, sqlite3_stmt *get, struct arena *a, const char **ret,
                     struct err *err)
{
    struct slice text = {NULL, 0};
    bool found;

    if (!db_next(&reader->db, get, &found, err))
        return false;
    if (found && !reader_keep(get, 0, a, &text))
        return reader_no_room(err);
    *ret = text.ptr;
    return true;
}

static bool queue_fill(struct reader *reader, const struct row *row, struct arena *a,
                       struct job_view *view, struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = reader_stmt(reader, SQL_READ_QUEUE);

    bind_i64(get, 1, row->queue);
    if (!text_get(reader, get, a, &view->queue, err))
        return false;
    if (view->queue == NULL)
        return err_set(err, ERR_STORAGE, "The queue of job %lld is missing.", (long long)row->no);
    return true;
}

static bool error_fill(struct reader *reader, const struct row *row, struct arena *a,
                       struct job_view *view, struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = reader_stmt(reader, SQL_READ_ERROR);

    /* Only these have words to say; the others are spared a look. */
    if (row->reason == REASON_NONE && row->state != JOB_STOPPING && row->state != JOB_CANCELLED)
        return true;
    /* The words of a cancel of the whole batch are kept with the batch, whose number is lower. */
    bind_i64(get, 1, row->no);
    bind_time(get, 2, row->state == JOB_CANCELLED ? row->batch : 0);
    return text_get(reader, get, a, &view->error_detail, err);
}

/* An element that was made from a template has its texts in the batch. */
static bool spec_fill(struct reader *reader, const struct row *row, struct arena *a,
                      struct job_view *view, struct err *err)
{
    bool is_item = (row->flags & JOB_ITEM) != 0;
    AUTO_STMT sqlite3_stmt *get = reader_stmt(reader,
                                              is_item ? SQL_READ_BATCH_SPEC : SQL_READ_SPEC);
    int64_t no = row->no;
    struct slice name;
    bool found;

    bind_i64(get, 1, is_item ? row->batch : no);
    if (!db_next(&reader->db, get, &found, err))
        return false;
    if (!found)
        return err_set(err, ERR_STORAGE, "The specification of job %lld is missing.",
                       (long long)no);
    if (!reader_keep(get, 0, a, &name) || !reader_keep(get, 1, a, &view->labels) ||
        !reader_keep(get, 2, a, &view->metadata))
        return reader_no_room(err);
    if (is_item && !reader_item_name(reader, row, a, &name, err))
        return false;
    if (name.ptr == NULL) {
        char text[JOB_OWN_NAME_SIZE];

        job_own_name(no, text);
        name.ptr = arena_dup(a, slice_of(text));
    }
    view->name = name.ptr;
    return view->name != NULL ? true : reader_no_room(err);
}

static bool batch_fill(struct reader *reader, const struct row *row, struct job_view *view,
                       struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = reader_stmt(reader, SQL_READ_BATCH_ID);
    bool found;

    if (row->batch == 0)
        return true;
    bind_i64(get, 1, row->batch);
    if (!db_next(&reader->db, get, &found, err))
        return false;
    if (!found) /* a batch may be forgotten before the last of its elements */
        return true;
    view->batch = (struct job_id){(uint64_t)sqlite3_column_int64(get, 0) / 1000, row->batch,
                                  (uint32_t)sqlite3_column_int(get, 1)};
    return (sqlite3_column_int64(get, 2) & JOB_OFFSPRING) == 0 ||
           reader_submitter(reader, row->batch, &view->submitter, err);
}

/* Those of its last attempt, if that was a good one. */
static bool blobs_fill(struct reader *reader, const struct row *row, struct arena *a,
                       struct job_view *view, struct err *err)
{
    struct blob_page page = {.max = MAX_JOB_OUTPUTS};

    view->has_outputs = true;
    if (row->state != JOB_SUCCEEDED)
        return true;
    page.items = arena_alloc(a, page.max * sizeof(*page.items));
    if (page.items == NULL)
        return reader_no_room(err);
    if (!reader_blobs_of(reader, row->no, a, &page, err))
        return false;
    view->blobs = page.items;
    view->n_blobs = (uint32_t)page.n;
    return true;
}

bool reader_submitter(struct reader *reader, int64_t no, struct job_id *ret, struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = reader_stmt(reader, SQL_READ_SUBMITTER);
    bool found;

    *ret = (struct job_id){0};
    bind_i64(get, 1, no);
    if (!db_next(&reader->db, get, &found, err))
        return false;
    if (found)
        *ret = (struct job_id){.ms = (uint64_t)sqlite3_column_int64(get, 1),
                               .no = sqlite3_column_int64(get, 0),
                               .salt = (uint32_t)sqlite3_column_int64(get, 2)};
    return true;
}

bool reader_fill(struct reader *reader, const struct row *row, struct arena *a,
                 struct job_view *ret, struct err *err)
{
    row_view(row, ret);
    return spec_fill(reader, row, a, ret, err) && batch_fill(reader, row, ret, err) &&
           queue_fill(reader, row, a, ret, err) && error_fill(reader, row, a, ret, err) &&
           ((row->flags & JOB_OFFSPRING) == 0 ||
            reader_submitter(reader, row->no, &ret->submitter, err)) &&
           ((row->flags & JOB_CALLBACK) == 0 ||
            reader_callback(reader, row->no, a, &ret->callback, err)) &&
           ((row->flags & JOB_OUTPUTS) == 0 || blobs_fill(reader, row, a, ret, err));
}

static void attempt_read(sqlite3_stmt *stmt, struct job_attempt *ret)
{
    bool has_reason = sqlite3_column_type(stmt, 1) != SQLITE_NULL;
    int64_t state = sqlite3_column_int64(stmt, 11);

    *ret = (struct job_attempt){
        .attempt = (uint32_t)sqlite3_column_int64(stmt, 0),
        .state = state >= 0 && state < JOB_STATE_COUNT ? (enum job_state)state : JOB_FAILED,
        .reason = has_reason ? (enum job_reason)sqlite3_column_int(stmt, 1) : REASON_NONE,
        .has_exit_code = sqlite3_column_type(stmt, 2) != SQLITE_NULL,
        .exit_code = sqlite3_column_int(stmt, 2),
        .signal = sqlite3_column_int(stmt, 3),
        .started_us = sqlite3_column_int64(stmt, 4),
        .finished_us = sqlite3_column_int64(stmt, 5),
        .usage =
            {
                .wall_us = sqlite3_column_int64(stmt, 6),
                .user_us = sqlite3_column_int64(stmt, 7),
                .system_us = sqlite3_column_int64(stmt, 8),
                .max_rss_bytes = (uint64_t)sqlite3_column_int64(stmt, 9),
                .processes_killed = (uint32_t)sqlite3_column_int64(stmt, 10),
            },
    };
}

/* At most as many rows as attempts have begun. */
static bool attempts_fill(struct reader *reader, const struct row *row, struct arena *a,
                          struct job_view *view, struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = reader_stmt(reader, SQL_READ_ATTEMPTS);
    uint32_t max = MIN(row->attempt, MAX_ATTEMPTS_SHOWN);
    bool found;

    if (max == 0)
        return true;
    view->attempts = arena_alloc(a, max * sizeof(*view->attempts));
    if (view->attempts == NULL)
        return reader_no_room(err);
    bind_i64(get, 1, row->no);
    while (db_next(&reader->db, get, &found, err)) {
        if (!found || view->n_attempts == max)
            return true;
        attempt_read(get, &view->attempts[view->n_attempts++]);
    }
    return false;
}

bool reader_job(struct reader *reader, const struct job_id *id, struct arena *a,
                struct job_view *ret, struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = reader_stmt(reader, SQL_READ_ROW);
    struct row row;
    bool found;

    bind_i64(get, 1, id->no);
    if (!db_next(&reader->db, get, &found, err))
        return false;
    if (found && !row_read(get, &row, err))
        return false;
    if (!found || !row_has_id(&row, id))
        return not_found(err);
    return reader_fill(reader, &row, a, ret, err) && attempts_fill(reader, &row, a, ret, err);
}

bool reader_job_by_no(struct reader *reader, int64_t no, struct arena *a, struct job_view *ret,
                      struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = reader_stmt(reader, SQL_READ_ROW);
    struct row row;
    bool found;

    bind_i64(get, 1, no);
    if (!db_next(&reader->db, get, &found, err))
        return false;
    if (!found)
        return not_found(err);
    return row_read(get, &row, err) && reader_fill(reader, &row, a, ret, err);
}

bool reader_mark(struct reader *reader, const struct job_id *id, struct job_mark *ret,
                 struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = reader_stmt(reader, SQL_READ_MARK);
    bool found;

    bind_i64(get, 1, id->no);
    if (!db_next(&reader->db, get, &found, err))
        return false;
    if (!found || (uint64_t)sqlite3_column_int64(get, 0) / 1000 != id->ms ||
        (uint32_t)sqlite3_column_int(get, 1) != id->salt)
        return not_found(err);
    ret->state = (enum job_state)sqlite3_column_int(get, 2);
    ret->attempt = (uint32_t)sqlite3_column_int64(get, 3);
    ret->version = sqlite3_column_int64(get, 4);
    return true;
}

bool reader_output(struct reader *reader, const struct output_ref *which, struct chunk *chunk,
                   struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = reader_stmt(reader, SQL_READ_OUTPUT);
    struct slice bytes;
    bool found;

    PRE(which->stream < OUTPUT_STREAMS);

    chunk->n = 0;
    bind_i64(get, 1, which->no);
    bind_i64(get, 2, which->attempt);
    if (!db_next(&reader->db, get, &found, err))
        return false;
    if (!found)
        return true;
    bytes = column_slice(get, which->stream);
    if (bytes.ptr == NULL || chunk->offset >= bytes.len)
        return true;
    chunk->n = MIN(chunk->max, bytes.len - (size_t)chunk->offset);
    memcpy(chunk->to, bytes.ptr + chunk->offset, chunk->n);
    return true;
}
