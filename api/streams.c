/* SPDX-License-Identifier: MIT */
#include "api/streams.h"

#include "api/handlers.h"
#include "api/reply.h"
#include "api/view.h"

#include <nettle/base64.h>

#define PIECE_BYTES (32u * 1024)
/* Clients come back after this and up to RETRY_SPREAD_MS more, so that not all come at once. */
#define RETRY_MS 2000u
#define RETRY_SPREAD_MS 1000u
#define NS_PER_US UINT64_C(1000)

struct stream {
    struct job_id id;
    int output; /* 0, 1 */
    bool as_events, is_probed;
    uint32_t attempt;
    uint64_t offset;
    int64_t version; /* of the last state sent; 0 = none */
    uint64_t next_beat_ns;
};

static struct stream *begin(struct request *rq, const struct job_id *id)
{
    struct stream *s = arena_alloc(&rq->arena, sizeof *s);
    PRE(s != NULL); /* among the first bytes of the arena */
    s->id = *id;
    rq->state = s;
    return s;
}

/* The first bytes go out at once: some proxies hold the head back until there is a body. */
static void begin_events(struct request *rq)
{
    reply_header(rq, "X-Accel-Buffering", "no");
    buf_clear(&rq->out);
    buf_printf(&rq->out, ": connected\nretry: %u\n\n",
               RETRY_MS + (unsigned)(rq->thread->next_id * 37 % RETRY_SPREAD_MS));
}

static void put_event_end(struct request *rq, const char *state)
{
    buf_printf(&rq->out, "event: end\ndata: {\"state\":\"%s\"}\n\n", state);
    metrics_add(rq->thread->shared->metrics, COUNT_STREAM_EVENTS, 1);
}

/* Before anything is read: is anybody there, and is a sign of life due? A client that only closed
 * its sending half gets one comment as a probe; if it is really gone, the answer to that is an
 * error on the socket. */
static bool beat(struct request *rq, struct stream *s, enum fill *ret)
{
    uint64_t now_ns = clock_mono_ns();
    bool probe = rq->conn->half_closed && !s->is_probed;
    if (rq->conn->is_gone || (rq->conn->half_closed && !s->as_events)) {
        *ret = FILL_ABORT;
        return true;
    }
    if (!probe && now_ns < s->next_beat_ns)
        return false;
    bool is_first = s->next_beat_ns == 0;
    s->is_probed = s->is_probed || probe;
    s->next_beat_ns = now_ns + (uint64_t)rq->thread->shared->cfg->http_heartbeat_us * NS_PER_US;
    if (is_first || !s->as_events)
        return false;
    buf_puts(&rq->out, ": alive\n\n");
    *ret = FILL_MORE;
    return true;
}

static enum fill park_stream(struct request *rq, const struct stream *s, struct park park)
{
    struct err err = {0};
    park.deadline_ns = s->next_beat_ns;
    /* When there is no room to wait, the client comes back by itself. */
    return request_park(rq, &park, NULL, &err) ? FILL_PARKED : FILL_ABORT;
}

static void put_base64(struct buf *out, struct slice bytes)
{
    char *to = buf_reserve(out, BASE64_ENCODE_RAW_LENGTH(bytes.len));
    if (to == NULL)
        return;
    base64_encode_raw(to, bytes.len, (const uint8_t *)bytes.ptr);
    buf_commit(out, BASE64_ENCODE_RAW_LENGTH(bytes.len));
}

/* How much of the piece is sent as text: all but a character that is cut at its end; 0 = it is not
 * text. A NUL is not: our own rules for JSON refuse \u0000. */
static size_t text_length(struct slice piece)
{
    if (memchr(piece.ptr, '\0', piece.len) != NULL)
        return 0;
    for (size_t cut = 0; cut < 4 && cut < piece.len; cut++) {
        if (text_is_utf8((struct slice){piece.ptr, piece.len - cut}))
            return piece.len - cut;
    }
    return 0;
}

/* The id is where the next piece begins, so a client that gives it back misses nothing and sees
 * nothing twice. */
static size_t put_output_event(struct request *rq, const struct stream *s, struct slice piece)
{
    size_t text_len = text_length(piece);
    size_t used = text_len > 0 ? text_len : piece.len;
    buf_printf(&rq->out, "id: %u.%llu\nevent: %s\ndata: {\"offset\":%llu,", s->attempt,
               (unsigned long long)s->offset + used, s->output == 0 ? "stdout" : "stderr",
               (unsigned long long)s->offset);
    if (text_len > 0) {
        buf_puts(&rq->out, "\"text\":");
        buf_json_string(&rq->out, (struct slice){piece.ptr, text_len});
    } else {
        buf_puts(&rq->out, "\"base64\":\"");
        put_base64(&rq->out, piece);
        buf_putc(&rq->out, '"');
    }
    buf_puts(&rq->out, "}\n\n");
    metrics_add(rq->thread->shared->metrics, COUNT_STREAM_EVENTS, 1);
    return used;
}

static enum fill put_piece(struct request *rq, struct stream *s, const struct query_output *out)
{
    char piece[PIECE_BYTES];
    struct chunk chunk = {.to = piece, .max = sizeof piece, .offset = s->offset};
    struct err err = {0};
    if (!query_output_read(rq->thread->query, out, &chunk, &err) || chunk.n == 0)
        return FILL_ABORT;
    if (s->as_events) {
        s->offset += put_output_event(rq, s, (struct slice){piece, chunk.n});
    } else {
        buf_append(&rq->out, piece, chunk.n);
        s->offset += chunk.n;
    }
    return FILL_MORE;
}

static enum fill fill_output(struct request *rq)
{
    struct stream *s = rq->state;
    struct query *query = rq->thread->query;
    uint64_t topic = topic_output(s->id.no);
    uint32_t epoch = request_epoch(rq, topic);
    struct job_view job;
    struct query_output out = {.spool_fd = -1};
    struct err err = {0};
    enum fill fill;
    if (beat(rq, s, &fill))
        return fill;
    if (!query_job(query, &s->id, request_scratch(rq), &job, &err) ||
        !query_output_open(query, &job, s->output, &out, &err))
        return FILL_ABORT;
    AUTO_CLOSE int fd = out.spool_fd;
    (void)fd;
    if (job.attempt != s->attempt) {
        s->attempt = job.attempt;
        s->offset = 0;
    }
    if (!out.expired && out.bytes > s->offset)
        return put_piece(rq, s, &out);
    if (!job_state_is_end(job.state))
        return park_stream(rq, s,
                           (struct park){.topic = topic, .epoch = epoch, .watch = out.needs_watch});
    if (s->as_events)
        put_event_end(rq, job_state_name(job.state));
    return FILL_END;
}

/* "<attempt>.<offset>"; anything else starts from the beginning. */
static void resume_output(const struct request *rq, struct stream *s)
{
    struct slice id = rq->head.header[HEADER_LAST_EVENT_ID];
    const char *dot = id.ptr == NULL ? NULL : memchr(id.ptr, '.', id.len);
    int64_t attempt, offset;
    if (dot == NULL)
        return;
    size_t len = (size_t)(dot - id.ptr);
    if (!text_to_i64((struct slice){id.ptr, len}, &attempt) ||
        !text_to_i64((struct slice){dot + 1, id.len - len - 1}, &offset))
        return;
    if (attempt < 0 || attempt > UINT32_MAX || offset < 0)
        return;
    s->attempt = (uint32_t)attempt;
    s->offset = (uint64_t)offset;
}

void stream_output(struct request *rq, const struct job_id *id, int stream, bool as_events)
{
    struct stream *s = begin(rq, id);
    s->output = stream;
    s->as_events = as_events;
    if (!as_events) {
        reply_header(rq, "X-Accel-Buffering", "no");
        reply_as_job_bytes(rq);
        reply_stream(rq, "application/octet-stream", fill_output);
        return;
    }
    resume_output(rq, s);
    begin_events(rq);
    reply_stream(rq, "text/event-stream", fill_output);
}

static void put_state(struct request *rq, struct stream *s, const struct job_view *job)
{
    buf_printf(&rq->out, "id: %lld\nevent: state\ndata: ", (long long)job->version);
    view_write_job_line(job, &rq->out);
    buf_puts(&rq->out, "\n\n");
    s->version = job->version;
    metrics_add(rq->thread->shared->metrics, COUNT_STREAM_EVENTS, 1);
}

static enum fill fill_events(struct request *rq)
{
    struct stream *s = rq->state;
    uint64_t topic = topic_job(s->id.no);
    uint32_t epoch = request_epoch(rq, topic);
    struct job_view job;
    struct err err = {0};
    enum fill fill;
    if (beat(rq, s, &fill))
        return fill;
    if (!query_job(rq->thread->query, &s->id, request_scratch(rq), &job, &err)) {
        if (err.code != ERR_NOT_FOUND)
            return FILL_ABORT;
        put_event_end(rq, "deleted");
        return FILL_END;
    }
    bool is_new = job.version != s->version;
    if (is_new)
        put_state(rq, s, &job);
    if (job_state_is_end(job.state)) {
        put_event_end(rq, job_state_name(job.state));
        return FILL_END;
    }
    return is_new ? FILL_MORE : park_stream(rq, s, (struct park){.topic = topic, .epoch = epoch});
}

void job_events(struct request *rq)
{
    struct job_id id;
    struct job_mark mark;
    struct err err = {0};
    if (!request_job_id(rq, &id, &err) || !query_mark(rq->thread->query, &id, &mark, &err)) {
        reply_problem(rq, &err);
        return;
    }
    struct stream *s = begin(rq, &id);
    s->as_events = true;
    struct slice last = rq->head.header[HEADER_LAST_EVENT_ID];
    if (last.ptr == NULL || !text_to_i64(last, &s->version))
        s->version = 0;
    begin_events(rq);
    reply_stream(rq, "text/event-stream", fill_events);
}
