/* SPDX-License-Identifier: MIT */
/* Results are read by one joined statement per piece: a stream of 100,000 of them is a walk along
 * two trees that lie in the same order, and nothing is looked up that is not there. */
#include "storage/results.h"

#include "storage/reader_batch.h"
#include "storage/reader_impl.h"
#include "storage/row_pack.h"

/* Columns of TEXT_RESULT. */
enum {
    C_SEQ,
    C_NO,
    C_CREATED,
    C_SALT,
    C_IDX,
    C_STATE,
    C_TERMS,
    C_RAN,
    C_ATTEMPT,
    C_FLAGS,
    C_STDOUT,
    C_VALUE,
    C_DETAIL
};

static bool result_read(sqlite3_stmt *stmt, struct result_row *ret, struct err *err)
{
    int state = sqlite3_column_int(stmt, C_STATE);
    uint32_t flags = (uint32_t)sqlite3_column_int(stmt, C_FLAGS);
    struct row row = {.created_us = sqlite3_column_int64(stmt, C_CREATED)};

    if (state < 0 || state >= JOB_STATE_COUNT ||
        !row_unpack_terms(column_slice(stmt, C_TERMS), &row) ||
        !row_unpack_ran(column_slice(stmt, C_RAN), &row))
        return err_set(err, ERR_STORAGE, "The stored row of job %lld is damaged.",
                       (long long)sqlite3_column_int64(stmt, C_NO));
    *ret = (struct result_row){
        .id = {(uint64_t)row.created_us / 1000, sqlite3_column_int64(stmt, C_NO),
               (uint32_t)sqlite3_column_int(stmt, C_SALT)},
        .seq = sqlite3_column_int64(stmt, C_SEQ),
        .index = sqlite3_column_int64(stmt, C_IDX),
        .state = (enum job_state)state,
        .reason = row.reason,
        .has_exit_code = row.has_exit_code,
        .exit_code = row.exit_code,
        .signal = row.signal,
        .result = row.result,
        .attempt = (uint32_t)sqlite3_column_int64(stmt, C_ATTEMPT),
        .is_truncated = (flags & OUTPUT_STDOUT_TRUNCATED) != 0,
        .is_spooled = (flags & OUTPUT_STDOUT_SPOOLED) != 0,
        .is_expired = (flags & OUTPUT_EXPIRED) != 0,
        .stdout_bytes = row.output.bytes[0],
        .stderr_bytes = row.output.bytes[1],
        .value_type = (enum value_type)MIN((flags & OUTPUT_ALL_TYPES) / OUTPUT_VALUE_TYPE,
                                           VALUE_BYTES),
        .stdout_inline = column_slice(stmt, C_STDOUT),
        .error_detail = column_slice(stmt, C_DETAIL),
    };
    if (ret->result != RESULT_VALUE)
        return true;
    ret->is_truncated = false;
    ret->is_spooled = (flags & OUTPUT_VALUE_SPOOLED) != 0;
    ret->value_bytes = row.output.bytes[STREAM_VALUE];
    ret->value_inline = column_slice(stmt, C_VALUE);
    return true;
}

/* ---- in the order of ends ---- */

/* An end that was followed by another one of the same element (a retry) is no result any more; the
 * statement leaves its row out, and so the rows of jobs that were forgotten. What was read last is
 * therefore not always where the walk ends: `ended` was read before. */
static bool walk_ends(struct reader *reader, struct result_ask *ask, struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = reader_stmt(reader, SQL_READ_RESULTS);
    struct result_row row = {0};
    bool found;

    bind_i64(get, 1, ask->batch);
    bind_i64(get, 2, ask->after);
    for (int64_t n = 0; n < ask->max; n++) {
        if (!db_next(&reader->db, get, &found, err))
            return false;
        if (!found) {
            ask->is_at_end = true;
            return true;
        }
        if (!result_read(get, &row, err))
            return false;
        ask->after = row.seq;
        if (!ask->sink.take(ask->sink.target, &row))
            return true;
    }
    return true;
}

/* ---- in the order of indexes ---- */

/* Up to the end of the part, or to the first element that has not ended. */
static bool walk_part(struct reader *reader, const struct batch_part *part, struct result_ask *ask,
                      int64_t *n, struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = reader_stmt(reader, SQL_READ_RESULTS_OF);
    struct result_row row = {0};
    bool found;

    bind_i64(get, 1, part->first_no + (ask->after - part->first_index));
    bind_i64(get, 2, part->first_no + part->n);
    while (*n < ask->max) {
        if (!db_next(&reader->db, get, &found, err))
            return false;
        if (!found) {
            ask->after = part->first_index + part->n; /* the rest is forgotten */
            return true;
        }
        if (!result_read(get, &row, err))
            return false;
        if (!job_state_is_end(row.state)) {
            ask->after = row.index;
            ask->next_no = row.id.no;
            ask->is_at_end = true;
            return true;
        }
        row.seq = row.index + 1;
        ask->after = row.seq;
        ++*n;
        if (!ask->sink.take(ask->sink.target, &row))
            *n = ask->max;
    }
    return true;
}

/* A batch without elements is no failure. */
static bool walk_is_over(struct result_ask *ask, const struct err *none, struct err *err)
{
    ask->is_at_end = true;
    return none->code == ERR_NOT_FOUND || err_set(err, none->code, "%s", none->detail);
}

static bool walk_indexes(struct reader *reader, struct result_ask *ask, struct err *err)
{
    struct batch_part part = {0};
    struct err none = {0};
    int64_t n = 0;

    while (n < ask->max && !ask->is_at_end) {
        if (!reader_part_of(reader, ask->batch, ask->after, &part, &none))
            return walk_is_over(ask, &none, err);
        if (ask->after >= part.first_index + part.n) {
            ask->is_at_end = true;
            return true;
        }
        if (!walk_part(reader, &part, ask, &n, err))
            return false;
    }
    return true;
}

/* ---- the public half ---- */

bool reader_results(struct reader *reader, struct result_ask *ask, struct err *err)
{
    PRE(ask->max > 0 && ask->after >= 0);

    ask->is_at_end = false;
    ask->next_no = 0;
    return ask->order == RESULTS_BY_END ? walk_ends(reader, ask, err)
                                        : walk_indexes(reader, ask, err);
}

bool reader_result(struct reader *reader, int64_t no, const struct result_sink *sink,
                   struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = reader_stmt(reader, SQL_READ_RESULTS_OF);
    struct result_row row = {0};
    bool found;

    bind_i64(get, 1, no);
    bind_i64(get, 2, no + 1);
    if (!db_next(&reader->db, get, &found, err))
        return false;
    if (!found)
        return err_set(err, ERR_NOT_FOUND, "There is no such job.");
    if (!result_read(get, &row, err))
        return false;
    (void)sink->take(sink->target, &row);
    return true;
}

static bool batch_member(struct reader *reader, const struct job_id *id, struct member_mark *ret,
                         struct err *err)
{
    struct batch b;

    if (!reader_batch_mark(reader, id, &b, err))
        return false;
    *ret = (struct member_mark){.is_batch = true,
                                .is_done = b.finished_us != 0,
                                .state = batch_end_state(&b),
                                .finished_us = b.finished_us};
    return true;
}

bool reader_member(struct reader *reader, const struct job_id *id, struct member_mark *ret,
                   struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = reader_stmt(reader, SQL_READ_END_OF);
    bool found;

    bind_i64(get, 1, id->no);
    if (!db_next(&reader->db, get, &found, err))
        return false;
    if (!found || (uint64_t)sqlite3_column_int64(get, 0) / 1000 != id->ms ||
        (uint32_t)sqlite3_column_int(get, 1) != id->salt)
        return batch_member(reader, id, ret, err);
    struct row row = {.created_us = sqlite3_column_int64(get, 0)};
    const bool is_sound = row_unpack_ran(column_slice(get, 3), &row);
    *ret = (struct member_mark){.state = (enum job_state)sqlite3_column_int(get, 2),
                                .finished_us = row.finished_us};
    if (!is_sound || ret->state < 0 || ret->state >= JOB_STATE_COUNT)
        return err_set(err, ERR_STORAGE, "The stored row of job %lld is damaged.",
                       (long long)id->no);
    ret->is_done = job_state_is_end(ret->state);
    return true;
}

bool reader_queue_name(struct reader *reader, uint32_t queue, char ret[MAX_QUEUE_NAME + 1],
                       bool *ret_found, struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = reader_stmt(reader, SQL_READ_QUEUE);

    bind_i64(get, 1, queue);
    if (!db_next(&reader->db, get, ret_found, err))
        return false;
    if (*ret_found) {
        struct slice name = column_slice(get, 0);

        (void)snprintf(ret, MAX_QUEUE_NAME + 1, "%.*s", (int)name.len, name.ptr);
    }
    return true;
}

bool reader_batch_id(struct reader *reader, int64_t no, struct job_id *ret, bool *ret_found,
                     struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = reader_stmt(reader, SQL_READ_BATCH_ID);

    bind_i64(get, 1, no);
    if (!db_next(&reader->db, get, ret_found, err))
        return false;
    if (*ret_found)
        *ret = (struct job_id){(uint64_t)sqlite3_column_int64(get, 0) / 1000, no,
                               (uint32_t)sqlite3_column_int(get, 1)};
    return true;
}
