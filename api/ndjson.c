/* SPDX-License-Identifier: MIT */
#include "api/ndjson.h"

static bool is_blank(struct slice line)
{
    for (size_t i = 0; i < line.len; i++) {
        if (line.ptr[i] != ' ' && line.ptr[i] != '\t' && line.ptr[i] != '\r')
            return false;
    }
    return true;
}

static void take_line(struct request *rq, struct line_reader *reader, const struct line_sink *sink,
                      struct slice line)
{
    uint32_t number = reader->n++;
    if (!is_blank(line))
        sink->take(rq, number, line);
}

size_t ndjson_take(struct request *rq, struct line_reader *reader, const struct line_sink *sink,
                   struct slice bytes)
{
    const char *end = memchr(bytes.ptr, '\n', bytes.len);
    struct slice piece = {bytes.ptr, end == NULL ? bytes.len : (size_t)(end - bytes.ptr)};
    uint64_t max = rq->thread->shared->cfg->http_max_body;
    if (!reader->is_skipping && rq->body.len + piece.len > max) {
        struct err err = {0};
        (void)err_set(&err, ERR_TOO_LARGE, "A line may have at most %llu bytes",
                      (unsigned long long)max);
        sink->refuse(rq, reader->n, &err);
        reader->is_skipping = true;
    }
    bool is_whole = end != NULL && rq->body.len == 0;
    if (!reader->is_skipping && !is_whole)
        buf_append(&rq->body, piece.ptr, piece.len);
    if (end == NULL)
        return piece.len;
    if (reader->is_skipping)
        reader->n++;
    else
        take_line(rq, reader, sink, is_whole ? piece : buf_slice(&rq->body));
    reader->is_skipping = false;
    buf_clear(&rq->body);
    return piece.len + 1;
}

void ndjson_end(struct request *rq, struct line_reader *reader, const struct line_sink *sink)
{
    if (!reader->is_skipping && rq->body.len > 0)
        take_line(rq, reader, sink, buf_slice(&rq->body));
}
