/* SPDX-License-Identifier: MIT */
#include "api/streams.h"

#include "api/handlers.h"
#include "api/item.h"
#include "api/live.h"
#include "api/reply.h"
#include "api/view.h"
#include "service/base/base64.h"

#define PIECE_BYTES (32u * 1024)
#define PROGRESS_PERIOD_NS UINT64_C(250000000)
#define MAX_TRIES 128u /* of one job that are shown: more than one callback can have */

struct stream {
    struct job_id id;
    int output; /* 0, 1, STREAM_DATA */
    uint32_t attempt;
    uint64_t offset;
    int64_t version;      /* of the last state sent; 0 = none */
    int64_t progress_us;  /* of the last progress sent; 0 = none */
    uint64_t progress_ns; /* when the next one may go out */
    struct live live;
};

static struct stream *begin(struct request *rq, const struct job_id *id)
{
    struct stream *s = arena_alloc(&rq->arena, sizeof *s);
    PRE(s != NULL); /* among the first bytes of the arena */
    s->id = *id;
    rq->state = s;
    return s;
}

static void put_event_end(struct request *rq, const char *state)
{
    buf_printf(&rq->out, "event: end\ndata: {\"state\":\"%s\"}\n\n", state);
    metrics_add(rq->thread->shared->metrics, COUNT_STREAM_EVENTS, 1);
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
        base64_put(&rq->out, piece);
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
    if (s->live.form == LIVE_SSE) {
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
    if (live_beat(rq, &s->live, &fill))
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
        return live_park(rq, &s->live,
                         (struct park){.topic = topic, .epoch = epoch, .watch = out.needs_watch});
    if (s->live.form == LIVE_SSE)
        put_event_end(rq, job_state_name(job.state));
    return FILL_END;
}

/* "<attempt>.<offset>"; anything else starts from the beginning. */
static void resume_output(const struct request *rq, struct stream *s)
{
    struct slice id = request_header(rq, HEADER_LAST_EVENT_ID);
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
    live_begin(rq, &s->live, as_events ? LIVE_SSE : LIVE_BYTES);
    if (!as_events) {
        const enum live_form type = stream == STREAM_DATA ? LIVE_LINES : LIVE_BYTES;
        reply_as_job_bytes(rq);
        reply_stream(rq, live_type(type), fill_output);
        return;
    }
    resume_output(rq, s);
    reply_stream(rq, live_type(LIVE_SSE), fill_output);
}

static void put_state(struct request *rq, struct stream *s, const struct job_view *job)
{
    buf_printf(&rq->out, "id: %lld\nevent: state\ndata: ", (long long)job->version);
    view_write_job_line(job, &rq->out);
    buf_puts(&rq->out, "\n\n");
    s->version = job->version;
    metrics_add(rq->thread->shared->metrics, COUNT_STREAM_EVENTS, 1);
}

/* What has become of its callbacks so far. They are made after the end, so a stream that has seen
 * the end come has seen none. */
static void put_tries(struct request *rq, const struct job_view *job)
{
    struct callback_try tries[MAX_TRIES];
    struct try_page page = {tries, MAX_TRIES, 0, 0};
    struct err ignored = {0};
    if (job->callback == NULL ||
        !query_tries(rq->thread->query, job->id.no, request_scratch(rq), &page, &ignored))
        return;
    for (size_t i = 0; i < page.n; i++) {
        buf_puts(&rq->out, "event: callback\ndata: ");
        view_write_try(&tries[i], &rq->out);
        buf_puts(&rq->out, "\n\n");
    }
    metrics_add(rq->thread->shared->metrics, COUNT_STREAM_EVENTS, page.n);
}

/* True: it is on its way. Else *ret_again_ns is when to look once more, if nothing wakes the stream
 * before; 0 = that will. */
static bool put_progress(struct request *rq, struct stream *s, struct job_view *job,
                         uint64_t *ret_again_ns)
{
    uint64_t now_ns = clock_mono_ns();
    *ret_again_ns = 0;
    if (!query_listen(rq->thread->query, job, request_scratch(rq))) {
        /* Claimed, but its worker has not begun: that wakes nobody. */
        if (job->state == JOB_RUNNING || job->state == JOB_STOPPING)
            *ret_again_ns = now_ns + PROGRESS_PERIOD_NS;
        return false;
    }
    if (now_ns < s->progress_ns) {
        /* Also when there is nothing new: what is said so soon after this may wake nobody. */
        *ret_again_ns = s->progress_ns;
        return false;
    }
    if (job->progress_at_us == 0 || job->progress_at_us == s->progress_us)
        return false;
    live_event_begin(rq, &s->live, "progress", 0);
    view_write_progress(job, &rq->out);
    live_event_end(rq, &s->live);
    metrics_add(rq->thread->shared->metrics, COUNT_STREAM_EVENTS, 1);
    s->progress_us = job->progress_at_us;
    s->progress_ns = now_ns + PROGRESS_PERIOD_NS;
    return true;
}

static enum fill fill_events(struct request *rq)
{
    struct stream *s = rq->state;
    uint64_t topic = topic_output(s->id.no); /* of which each change of the row is one too */
    uint32_t epoch = request_epoch(rq, topic);
    uint64_t again_ns;
    struct job_view job;
    struct err err = {0};
    enum fill fill;
    if (live_beat(rq, &s->live, &fill))
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
        put_tries(rq, &job);
        put_event_end(rq, job_state_name(job.state));
        return FILL_END;
    }
    if (is_new || put_progress(rq, s, &job, &again_ns))
        return FILL_MORE;
    return live_park(rq, &s->live,
                     (struct park){.topic = topic, .epoch = epoch, .deadline_ns = again_ns});
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
    struct slice last = request_header(rq, HEADER_LAST_EVENT_ID);
    if (last.ptr == NULL || !text_to_i64(last, &s->version))
        s->version = 0;
    live_begin(rq, &s->live, LIVE_SSE);
    reply_stream(rq, live_type(LIVE_SSE), fill_events);
}
