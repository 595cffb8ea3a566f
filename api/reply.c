/* SPDX-License-Identifier: MIT */
#include "api/reply.h"

#include "api/problem.h"

#include <microhttpd.h>
#include <sys/socket.h>
#include <time.h>

/* Used only towards HTTP/1.0 clients; the others read through the connection's own memory. */
#define STREAM_BLOCK_BYTES 4096
#define PROBLEM_TYPE "application/problem+json"
#define MAX_EARLY_BYTES 16384

void reply_header(struct request *rq, enum answer_header header, const char *value)
{
    PRE(rq->n_headers < MAX_REPLY_HEADERS);
    rq->headers[rq->n_headers].header = header;
    rq->headers[rq->n_headers].value = value;
    rq->n_headers++;
}

void reply_etag(struct request *rq, int64_t version)
{
    char *text = arena_alloc(&rq->arena, 24);
    if (text == NULL)
        return;
    text[0] = '"';
    memcpy(text + 1 + text_from_i64(version, text + 1), "\"", 2);
    reply_header(rq, ANSWER_ETAG, text);
}

/* The same query with another cursor: RFC 8288. */
static void add_next_link(struct request *rq, const char *cursor)
{
    AUTO_BUF struct buf link = {0};
    struct slice rest = rq->head.query;
    buf_init(&link, 16384);
    buf_printf(&link, "<%.*s?", (int)rq->head.path.len, rq->head.path.ptr);
    while (rest.ptr != NULL && rest.len > 0) {
        const char *end = memchr(rest.ptr, '&', rest.len);
        size_t len = end == NULL ? rest.len : (size_t)(end - rest.ptr);
        if (len > 0 && (len < 7 || memcmp(rest.ptr, "cursor=", 7) != 0)) {
            buf_append(&link, rest.ptr, len);
            buf_putc(&link, '&');
        }
        size_t used = end == NULL ? len : len + 1;
        rest = (struct slice){rest.ptr + used, rest.len - used};
    }
    buf_printf(&link, "cursor=%s>; rel=\"next\"", cursor);
    char *text = buf_ok(&link) ? arena_dup(&rq->arena, buf_slice(&link)) : NULL;
    if (text != NULL)
        reply_header(rq, ANSWER_LINK, text);
}

/* Of every answer. */
static const char *const common[][2] = {
    {MHD_HTTP_HEADER_CACHE_CONTROL, "no-store"},
    {"X-Content-Type-Options", "nosniff"},
};
#define N_COMMON ARRAY_LEN(common)

static void add(struct MHD_Response *response, const char *name, const char *value)
{
    /* A few bytes: running out of them is a crash, as in must_alloc. */
    if (MHD_add_response_header(response, name, value) != MHD_YES)
        assert_failed("allocation", name, __FILE__, __LINE__);
}

/* Consumes the response. */
static void queue_reply(struct request *rq, int status, const char *type,
                        struct MHD_Response *take_response)
{
    struct MHD_Response *response = take_response;
    PRE(!rq->is_replied && !rq->in_engine);
    if (response == NULL)
        assert_failed("allocation", "MHD_Response", __FILE__, __LINE__);
    if (type != NULL)
        add(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    add(response, answer_header_name(ANSWER_REQUEST_ID), rq->id);
    for (uint32_t i = 0; i < N_COMMON; i++)
        add(response, common[i][0], common[i][1]);
    if (rq->conn != NULL && (rq->conn->half_closed || rq->must_close))
        add(response, MHD_HTTP_HEADER_CONNECTION, "close"); /* no request can follow */
    for (uint32_t i = 0; i < rq->n_headers; i++)
        add(response, answer_header_name(rq->headers[i].header), rq->headers[i].value);
    rq->status = status;
    rq->is_replied = MHD_queue_response(rq->connection, (unsigned)status, response) == MHD_YES;
    MHD_destroy_response(response);
}

void reply_out(struct request *rq, int status, const char *type)
{
    if (!buf_ok(&rq->out)) {
        struct err err = {0};
        (void)err_set(&err, ERR_TOO_LARGE, "The answer would be too large; ask for less");
        buf_clear(&rq->out);
        reply_problem(rq, &err);
        return;
    }
    /* The bytes live until the request is freed, which is after the answer has been sent. */
    struct MHD_Response *response = MHD_create_response_from_buffer(rq->out.len, rq->out.ptr,
                                                                    MHD_RESPMEM_PERSISTENT);
    queue_reply(rq, status, type, response);
}

void reply_json(struct request *rq, int status)
{
    reply_out(rq, status, "application/json");
}

void reply_list(struct request *rq, const char *next)
{
    buf_puts(&rq->out, "],\"next_cursor\":");
    if (next == NULL) {
        buf_puts(&rq->out, "null}\n");
    } else {
        buf_printf(&rq->out, "\"%s\"}\n", next);
        add_next_link(rq, next);
    }
    reply_json(rq, 200);
}

void reply_list_by_number(struct request *rq, int64_t next)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%lld", (long long)next);
    reply_list(rq, next == 0 ? NULL : text);
}

void reply_empty(struct request *rq, int status)
{
    buf_clear(&rq->out);
    reply_out(rq, status, NULL);
}

void reply_as_job_bytes(struct request *rq)
{
    reply_header(rq, ANSWER_DISPOSITION, "attachment");
    reply_header(rq, ANSWER_POLICY, "default-src 'none'; sandbox");
}

static void add_content_range(struct request *rq, struct content content, const struct range *range)
{
    char *text = arena_alloc(&rq->arena, 80), total[24] = "*";
    if (text == NULL)
        return;
    if (!content.grows || range->kind == RANGE_OUTSIDE)
        (void)snprintf(total, sizeof total, "%llu", (unsigned long long)content.bytes);
    if (range->kind == RANGE_OUTSIDE)
        (void)snprintf(text, 80, "bytes */%s", total);
    else
        (void)snprintf(text, 80, "bytes %llu-%llu/%s", (unsigned long long)range->first,
                       (unsigned long long)(range->first + range->len - 1), total);
    reply_header(rq, ANSWER_RANGE, text);
}

bool reply_range(struct request *rq, struct content content, struct range *ret)
{
    struct slice header = request_header(rq, HEADER_RANGE),
                 same = request_header(rq, HEADER_IF_RANGE);
    struct err err = {0};
    if (same.ptr != NULL && (content.tag == NULL || !slice_is(same, content.tag)))
        header = (struct slice){0}; /* of other bytes than these */
    *ret = range_parse(header, content.bytes);
    reply_header(rq, ANSWER_RANGES, "bytes");
    if (ret->kind != RANGE_ALL)
        add_content_range(rq, content, ret);
    if (ret->kind != RANGE_OUTSIDE)
        return true;
    (void)err_set(&err, ERR_RANGE, "There are %llu bytes", (unsigned long long)content.bytes);
    reply_problem(rq, &err);
    return false;
}

void reply_file(struct request *rq, int status, const char *type, struct file_part part)
{
    if (part.len == 0) {
        (void)close(part.take_fd);
        buf_clear(&rq->out);
        reply_out(rq, status, type);
        return;
    }
    queue_reply(rq, status, type,
                MHD_create_response_from_fd_at_offset64(part.len, part.take_fd, part.offset));
}

static ssize_t read_stream(void *cls, uint64_t position, char *to, size_t max)
{
    struct request *rq = cls;
    (void)position;
    while (rq->out_at == rq->out.len) {
        if (rq->is_ending)
            return MHD_CONTENT_READER_END_OF_STREAM;
        if (rq->in_engine)
            return 0; /* suspended: the library does not call again before the command is back */
        buf_clear(&rq->out);
        rq->out_at = 0;
        enum fill fill = rq->fill(rq);
        if (fill == FILL_ABORT || !buf_ok(&rq->out)) {
            /* 0.9.75 closes the connection only when it handles it next, and by epoll that may be
             * its idle timeout; one with a timeout of its own is handled in every run. */
            (void)MHD_set_connection_option(rq->connection, MHD_CONNECTION_OPTION_TIMEOUT, 1u);
            return MHD_CONTENT_READER_END_WITH_ERROR;
        }
        rq->is_ending = fill == FILL_END;
        /* Bytes beside a park would lie here until the connection is resumed. */
        PRE(ERGO(fill == FILL_PARKED, rq->out.len == 0));
    }
    size_t n = MIN(max, rq->out.len - rq->out_at);
    memcpy(to, rq->out.ptr + rq->out_at, n);
    rq->out_at += n;
    return (ssize_t)n;
}

void reply_stream(struct request *rq, const char *type, fill_fn fill)
{
    rq->fill = fill;
    rq->out_at = 0;
    queue_reply(rq, MHD_HTTP_OK, type,
                MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK_BYTES, read_stream,
                                                  rq, NULL));
}

/* Ours are logged, once, here: this is the edge that gives up. */
static void log_ours(const struct request *rq, const struct err *err)
{
    if (err->code != ERR_INTERNAL && err->code != ERR_STORAGE && err->code != ERR_OUTCOME_UNKNOWN)
        return;
    log_error(engine_log(rq->thread->shared->engine), "request failed", err);
}

/* To rq->out, and the headers that belong to it. */
static int write_problem(struct request *rq, const struct err *err, struct slice extra)
{
    int status = err_status(err->code);
    struct problem problem = {
        .err = err, .instance = rq->head.path, .request_id = rq->id, .extra = extra};
    buf_clear(&rq->out);
    problem_write(&problem, &rq->out);
    buf_putc(&rq->out, '\n');
    if (problem_retry_after_s(err->code) > 0)
        reply_header(rq, ANSWER_RETRY_AFTER, "1");
    if (err->code == ERR_UNAUTHORIZED)
        reply_header(rq, ANSWER_CHALLENGE, "Bearer");
    if (status >= 500)
        metrics_add(rq->thread->shared->metrics, COUNT_HTTP_ERRORS, 1);
    log_ours(rq, err);
    return status;
}

void reply_problem_with(struct request *rq, const struct err *err, struct slice extra)
{
    const int status = write_problem(rq, err, extra);
    reply_out(rq, status, PROBLEM_TYPE);
}

/* RFC 9110, section 5.6.7. The library sets it of all other answers. */
static void put_date(struct buf *out)
{
    const time_t now = (time_t)(clock_wall_us() / 1000000);
    struct tm utc;
    char line[64];
    if (gmtime_r(&now, &utc) != NULL &&
        strftime(line, sizeof line, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &utc) > 0)
        buf_puts(out, line);
}

void reply_problem_early(struct request *rq, const struct err *err, struct slice extra)
{
    AUTO_BUF struct buf answer = {0};
    rq->status = write_problem(rq, err, extra);
    buf_init(&answer, MAX_EARLY_BYTES);
    buf_printf(&answer, "HTTP/1.1 %d %s\r\n", rq->status,
               MHD_get_reason_phrase_for((unsigned)rq->status));
    put_date(&answer);
    buf_printf(&answer, "Content-Type: " PROBLEM_TYPE "\r\nContent-Length: %zu\r\n", rq->out.len);
    for (uint32_t i = 0; i < N_COMMON; i++)
        buf_printf(&answer, "%s: %s\r\n", common[i][0], common[i][1]);
    buf_printf(&answer, "X-Request-Id: %s\r\n", rq->id);
    for (uint32_t i = 0; i < rq->n_headers; i++)
        buf_printf(&answer, "%s: %s\r\n", answer_header_name(rq->headers[i].header),
                   rq->headers[i].value);
    buf_puts(&answer, "Connection: close\r\n\r\n");
    buf_append(&answer, rq->out.ptr, rq->out.len);
    /* Nothing has been sent on this connection that its client has not taken. */
    if (buf_ok(&answer))
        (void)!send(rq->conn->fd, answer.ptr, answer.len, MSG_NOSIGNAL | MSG_DONTWAIT);
    rq->is_refused_early = true;
}

void reply_problem(struct request *rq, const struct err *err)
{
    reply_problem_with(rq, err, (struct slice){0});
}
