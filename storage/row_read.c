/* SPDX-License-Identifier: MIT */
/* The hot row as a statement shows it, and what its numbers stand for. */
#include "storage/row.h"

uint32_t row_output_flags(const struct row *row)
{
    const struct job_output *output = &row->output;
    unsigned flags = 0;

    flags |= output->truncated[0] ? (unsigned)OUTPUT_STDOUT_TRUNCATED : 0;
    flags |= output->truncated[1] ? (unsigned)OUTPUT_STDERR_TRUNCATED : 0;
    flags |= output->spooled[0] ? (unsigned)OUTPUT_STDOUT_SPOOLED : 0;
    flags |= output->spooled[1] ? (unsigned)OUTPUT_STDERR_SPOOLED : 0;
    flags |= output->expired ? (unsigned)OUTPUT_EXPIRED : 0;
    flags |= output->spooled[STREAM_VALUE] ? (unsigned)OUTPUT_VALUE_SPOOLED : 0;
    flags |= output->spooled[STREAM_DATA] ? (unsigned)OUTPUT_DATA_SPOOLED : 0;
    flags |= (unsigned)output->value_type * OUTPUT_VALUE_TYPE;
    return flags;
}

size_t row_spool_files(const struct row *row, struct output_ref ret[OUTPUT_STREAMS])
{
    size_t n = 0;

    for (uint8_t stream = 0; stream < OUTPUT_STREAMS; stream++) {
        if (row->output.spooled[stream])
            ret[n++] = (struct output_ref){row->no, row->attempt, stream};
    }
    return n;
}

/* The columns from `usage` on, in the order of TEXT_ROW. */
static void outcome_read(sqlite3_stmt *stmt, int column, struct row *row)
{
    int64_t flags;

    row->usage.wall_us = sqlite3_column_int64(stmt, column);
    row->usage.user_us = sqlite3_column_int64(stmt, column + 1);
    row->usage.system_us = sqlite3_column_int64(stmt, column + 2);
    row->usage.max_rss_bytes = (uint64_t)sqlite3_column_int64(stmt, column + 3);
    row->usage.processes_killed = (uint32_t)sqlite3_column_int64(stmt, column + 4);
    row->output.bytes[0] = (uint64_t)sqlite3_column_int64(stmt, column + 5);
    row->output.bytes[1] = (uint64_t)sqlite3_column_int64(stmt, column + 6);
    flags = sqlite3_column_int64(stmt, column + 7);
    row->output.truncated[0] = (flags & OUTPUT_STDOUT_TRUNCATED) != 0;
    row->output.truncated[1] = (flags & OUTPUT_STDERR_TRUNCATED) != 0;
    row->output.spooled[0] = (flags & OUTPUT_STDOUT_SPOOLED) != 0;
    row->output.spooled[1] = (flags & OUTPUT_STDERR_SPOOLED) != 0;
    row->output.spooled[STREAM_VALUE] = (flags & OUTPUT_VALUE_SPOOLED) != 0;
    row->output.spooled[STREAM_DATA] = (flags & OUTPUT_DATA_SPOOLED) != 0;
    row->output.value_type = (enum value_type)((unsigned)(flags & OUTPUT_ALL_TYPES) /
                                               OUTPUT_VALUE_TYPE);
    row->output.expired = (flags & OUTPUT_EXPIRED) != 0;
}

static int64_t column_or(sqlite3_stmt *stmt, int column, int64_t if_null)
{
    return sqlite3_column_type(stmt, column) == SQLITE_NULL ? if_null
                                                            : sqlite3_column_int64(stmt, column);
}

/* Numbers that are used as indexes or shown by name. */
static bool row_is_sound(const struct row *row)
{
    return row->state >= 0 && row->state < JOB_STATE_COUNT && row->queue > 0 &&
           row->reason >= REASON_NONE && row->reason < REASON_COUNT &&
           row->result >= RESULT_STDOUT && row->result <= RESULT_VALUE &&
           row->output.value_type < VALUE_TYPE_COUNT && row->keep_us >= 0;
}

bool row_read(sqlite3_stmt *stmt, struct row *ret, struct err *err)
{
    memset(ret, 0, sizeof(*ret));
    ret->no = sqlite3_column_int64(stmt, ROW_NO);
    ret->state = (enum job_state)sqlite3_column_int(stmt, ROW_STATE);
    ret->queue = (uint32_t)sqlite3_column_int64(stmt, ROW_QUEUE);
    ret->priority = sqlite3_column_int(stmt, 3);
    ret->attempt = (uint32_t)sqlite3_column_int64(stmt, 4);
    ret->max_attempts = (uint32_t)sqlite3_column_int64(stmt, 5);
    ret->version = sqlite3_column_int64(stmt, 6);
    ret->created_us = sqlite3_column_int64(stmt, ROW_CREATED);
    ret->salt = (uint32_t)sqlite3_column_int(stmt, 8);
    ret->due_us = sqlite3_column_int64(stmt, 9);
    ret->queued_us = sqlite3_column_int64(stmt, 10);
    ret->started_us = sqlite3_column_int64(stmt, 11);
    ret->finished_us = sqlite3_column_int64(stmt, 12);
    ret->queue_deadline_us = sqlite3_column_int64(stmt, 13);
    ret->deadline_us = sqlite3_column_int64(stmt, 14);
    ret->keep_us = sqlite3_column_int64(stmt, 15);
    ret->result = (enum job_result)sqlite3_column_int(stmt, 16);
    ret->retry = sqlite3_column_int(stmt, 17) != 0;
    ret->slot = (int32_t)column_or(stmt, 18, -1);
    ret->reason = (enum job_reason)column_or(stmt, 19, REASON_NONE);
    ret->has_exit_code = sqlite3_column_type(stmt, 20) != SQLITE_NULL;
    ret->exit_code = sqlite3_column_int(stmt, 20);
    ret->signal = sqlite3_column_int(stmt, 21);
    outcome_read(stmt, 22, ret);
    ret->batch = sqlite3_column_int64(stmt, 30);
    ret->idx = sqlite3_column_int64(stmt, 31);
    ret->flags = (uint32_t)sqlite3_column_int64(stmt, 32);
    ret->output.has_value = sqlite3_column_type(stmt, 33) != SQLITE_NULL;
    ret->output.bytes[STREAM_VALUE] = (uint64_t)sqlite3_column_int64(stmt, 33);
    return row_is_sound(ret) ? true
                             : err_set(err, ERR_STORAGE, "The stored row of job %lld is damaged.",
                                       (long long)ret->no);
}

void row_view(const struct row *row, struct job_view *ret)
{
    bool waited_from_birth = row->queued_us == 0 && row->due_us == 0 &&
                             (row->flags & (JOB_WAITS | JOB_GATED)) == 0;

    *ret = (struct job_view){
        .id = row_id(row),
        .state = row->state,
        .reason = row->reason,
        .attempt = row->attempt,
        .max_attempts = row->max_attempts,
        .version = row->version,
        .priority = row->priority,
        .exit_code = row->exit_code,
        .signal = row->signal,
        .has_exit_code = row->has_exit_code,
        .created_us = row->created_us,
        .due_us = row->due_us,
        .queued_us = waited_from_birth ? row->created_us : row->queued_us,
        .started_us = row->started_us,
        .finished_us = row->finished_us,
        .expires_us = row_expires_us(row),
        .slot = row->slot,
        .progress_fraction = -1,
        .result = row->result,
        .usage = row->usage,
        .output = row->output,
        .index = row->idx,
        .flags = row->flags,
    };
}
