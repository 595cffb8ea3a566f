/* SPDX-License-Identifier: MIT */
/* The hot row as a statement shows it, and what its numbers stand for. */
#include "storage/db.h"
#include "storage/row_pack.h"

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
    flags |= output->bytes[0] > 0 || (output->bytes[STREAM_VALUE] > 0 && row->value.ptr == NULL)
                 ? (unsigned)OUTPUT_ASIDE
                 : 0;
    return flags;
}

_Static_assert(
    OUTPUT_EXPIRED == 16 && OUTPUT_ASIDE == 512,
    "ITEMS_EXPIRE, TEXT_RESULT_SIDES and schema_2.sql name these flags by their numbers");

size_t row_spool_files(const struct row *row, struct output_ref ret[OUTPUT_STREAMS])
{
    size_t n = 0;

    for (uint8_t stream = 0; stream < OUTPUT_STREAMS; stream++) {
        if (row->output.spooled[stream])
            ret[n++] = (struct output_ref){row->no, row->attempt, stream};
    }
    return n;
}

static void output_flags_read(int64_t flags, struct job_output *output)
{
    output->truncated[0] = (flags & OUTPUT_STDOUT_TRUNCATED) != 0;
    output->truncated[1] = (flags & OUTPUT_STDERR_TRUNCATED) != 0;
    output->spooled[0] = (flags & OUTPUT_STDOUT_SPOOLED) != 0;
    output->spooled[1] = (flags & OUTPUT_STDERR_SPOOLED) != 0;
    output->spooled[STREAM_VALUE] = (flags & OUTPUT_VALUE_SPOOLED) != 0;
    output->spooled[STREAM_DATA] = (flags & OUTPUT_DATA_SPOOLED) != 0;
    output->value_type = (enum value_type)((unsigned)(flags & OUTPUT_ALL_TYPES) /
                                           OUTPUT_VALUE_TYPE);
    output->expired = (flags & OUTPUT_EXPIRED) != 0;
}

/* Numbers that are used as indexes or shown by name; row_pack.c looks at the others. */
static bool row_is_sound(const struct row *row)
{
    return row->state >= 0 && row->state < JOB_STATE_COUNT && row->queue > 0 &&
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
    ret->version = sqlite3_column_int64(stmt, 5);
    ret->created_us = sqlite3_column_int64(stmt, ROW_CREATED);
    ret->salt = (uint32_t)sqlite3_column_int(stmt, 7);
    ret->keep_us = sqlite3_column_int64(stmt, 8);
    output_flags_read(sqlite3_column_int64(stmt, 10), &ret->output);
    ret->batch = sqlite3_column_int64(stmt, 11);
    ret->idx = sqlite3_column_int64(stmt, 12);
    ret->flags = (uint32_t)sqlite3_column_int64(stmt, 13);
    return (row_unpack_terms(column_slice(stmt, 9), ret) &&
            row_unpack_ran(column_slice(stmt, 14), ret) && row_is_sound(ret))
               ? true
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
