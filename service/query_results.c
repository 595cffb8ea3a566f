/* SPDX-License-Identifier: MIT */
/* What waits and streams ask. */
#include "service/query_impl.h"
#include "storage/results.h"

bool query_results(struct query *query, struct result_ask *ask, struct err *err)
{
    return reader_results(query->reader, ask, err);
}

bool query_result(struct query *query, int64_t no, const struct result_sink *sink, struct err *err)
{
    return reader_result(query->reader, no, sink, err);
}

bool query_result_file(struct query *query, const struct result_row *row, struct buf *out,
                       struct err *err)
{
    const bool is_value = row->result == RESULT_VALUE;
    struct query_output from = {.ref = {row->id.no, row->attempt, is_value ? STREAM_VALUE : 0},
                                .bytes = is_value ? row->value_bytes : row->stdout_bytes};
    AUTO_CLOSE int fd = -1;
    if (!query_spool_open(query, &from.ref, &fd, err))
        return false;
    from.spool_fd = fd;
    for (uint64_t done = 0; done < from.bytes;) {
        struct chunk chunk = {.max = (size_t)(from.bytes - done), .offset = done};
        chunk.to = buf_reserve(out, chunk.max);
        if (chunk.to == NULL)
            return err_set(err, ERR_TOO_LARGE, "The output is too large to be read at once");
        if (!query_output_read(query, &from, &chunk, err))
            return false;
        if (chunk.n == 0)
            return err_set(err, ERR_STORAGE, "The output is shorter than it was");
        buf_commit(out, chunk.n);
        done += chunk.n;
    }
    return true;
}

bool query_member(struct query *query, const struct job_id *id, struct member_mark *ret,
                  struct err *err)
{
    return reader_member(query->reader, id, ret, err);
}

bool query_queue_name(struct query *query, uint32_t queue, char ret[MAX_QUEUE_NAME + 1],
                      bool *ret_found, struct err *err)
{
    return reader_queue_name(query->reader, queue, ret, ret_found, err);
}

bool query_batch_id(struct query *query, int64_t no, struct job_id *ret, bool *ret_found,
                    struct err *err)
{
    return reader_batch_id(query->reader, no, ret, ret_found, err);
}

bool query_has_label(struct query *query, int64_t no, const struct label *label, bool *ret,
                     struct err *err)
{
    return reader_has_label(query->reader, no, label, ret, err);
}
