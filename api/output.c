/* SPDX-License-Identifier: MIT */
#include "api/accept.h"
#include "api/handlers.h"
#include "api/reply.h"
#include "api/streams.h"
#include "api/view.h"
#include "service/base/json.h"

#define NS_PER_S UINT64_C(1000000000)
#define WATCH_NS \
    (2 * NS_PER_S) /* for a worker to move a running job's output to where it can be read */
#define MAX_JSON_BYTES (16u << 20) /* a result that must be checked in memory */
#define BYTES_TYPE "application/octet-stream"

struct output_state {
    struct job_id id;
    uint64_t until_ns;
    int stream;
};

/* One stream of one job, opened. */
struct source {
    const struct job_view *job;
    struct query_output out;
};

/* The range to the end of rq->out. */
static bool read_all(struct request *rq, const struct source *from, const struct range *range,
                     struct err *err)
{
    uint64_t done = 0;
    char *to = buf_reserve(&rq->out, (size_t)range->len + 1);
    if (to == NULL)
        return err_set(err, ERR_TOO_LARGE, "The output is too large to be read at once");
    while (done < range->len) {
        struct chunk chunk = {
            .to = to + done, .max = (size_t)(range->len - done), .offset = range->first + done};
        if (!query_output_read(rq->thread->query, &from->out, &chunk, err))
            return false;
        if (chunk.n == 0)
            return err_set(err, ERR_STORAGE, "The output is shorter than it was");
        done += chunk.n;
    }
    buf_commit(&rq->out, (size_t)range->len);
    return true;
}

/* Consumes the descriptor. */
static void send_bytes(struct request *rq, struct source *from, const char *type)
{
    const struct query_output *out = &from->out;
    AUTO_CLOSE int fd = out->spool_fd;
    struct range range;
    struct err err = {0};
    if (!reply_range(rq, (struct content){out->bytes, NULL, out->running}, &range))
        return;
    int status = range.kind == RANGE_PART ? 206 : 200;
    if (fd >= 0) {
        reply_as_job_bytes(rq);
        reply_file(rq, status, type, (struct file_part){steal_fd(&fd), range.first, range.len});
        return;
    }
    buf_clear(&rq->out);
    if (!read_all(rq, from, &range, &err)) {
        reply_problem(rq, &err);
        return;
    }
    reply_as_job_bytes(rq);
    reply_out(rq, status, type);
}

static bool has_expired(const struct job_view *job, const struct query_output *out, struct err *err)
{
    if (!job->output.expired && !out->expired)
        return false;
    return !err_set(err, ERR_RESULT_EXPIRED, "The job's output was kept as long as asked");
}

static void output_step(struct request *rq)
{
    const struct output_state *o = rq->state;
    uint64_t topic = topic_output(o->id.no);
    uint32_t epoch = request_epoch(rq, topic);
    struct query *query = rq->thread->query;
    struct job_view job;
    struct source from = {.job = &job, .out = {.spool_fd = -1}};
    struct err err = {0};
    if (!query_job(query, &o->id, request_scratch(rq), &job, &err) ||
        !query_output_open(query, &job, o->stream, &from.out, &err) ||
        has_expired(&job, &from.out, &err)) {
        reply_problem(rq, &err);
        return;
    }
    struct park park = {.topic = topic, .epoch = epoch, .deadline_ns = o->until_ns, .watch = true};
    bool waits = from.out.needs_watch && clock_mono_ns() < o->until_ns && !rq->conn->half_closed;
    if (waits && request_park(rq, &park, output_step, &err))
        return;
    const char *type = accept_names(rq->head.header[HEADER_ACCEPT], "text/plain")
                           ? "text/plain; charset=utf-8"
                           : BYTES_TYPE;
    send_bytes(rq, &from, o->stream == STREAM_DATA ? "application/x-ndjson" : type);
}

static bool read_follow(struct request *rq, bool *ret, struct err *err)
{
    struct slice text;
    *ret = false;
    if (!request_param(rq, "follow", &text))
        return true;
    *ret = slice_is(text, "1") || slice_is(text, "true") || text.len == 0;
    if (*ret || slice_is(text, "0") || slice_is(text, "false"))
        return true;
    return request_bad_param(err, "follow", "1 or 0");
}

static void show_output(struct request *rq, int stream)
{
    struct output_state *o = arena_alloc(&rq->arena, sizeof *o);
    bool follow, as_events = stream != STREAM_DATA &&
                             accept_names(rq->head.header[HEADER_ACCEPT], "text/event-stream");
    struct job_mark mark;
    struct err err = {0};
    PRE(o != NULL); /* the first bytes of the arena */
    rq->state = o;
    o->stream = stream;
    o->until_ns = rq->began_ns + WATCH_NS;
    if (!request_job_id(rq, &o->id, &err) || !read_follow(rq, &follow, &err) ||
        !query_mark(rq->thread->query, &o->id, &mark, &err))
        reply_problem(rq, &err);
    else if (follow || as_events)
        stream_output(rq, &o->id, stream, as_events);
    else
        output_step(rq);
}

void job_stdout(struct request *rq)
{
    show_output(rq, 0);
}

void job_stderr(struct request *rq)
{
    show_output(rq, 1);
}

void job_results(struct request *rq)
{
    show_output(rq, STREAM_DATA);
}

static void reply_failed(struct request *rq, const struct job_view *job, const char *detail)
{
    AUTO_BUF struct buf extra = {0};
    struct err err = {0};
    buf_init(&extra, 16384);
    buf_printf(&extra, ",\"reason\":\"%s\",\"exit_code\":",
               job->reason == REASON_NONE ? "result" : job_reason_name(job->reason));
    if (job->has_exit_code)
        buf_put_i64(&extra, job->exit_code);
    else
        buf_puts(&extra, "null");
    buf_puts(&extra, ",\"signal\":");
    if (job->signal > 0)
        buf_json_string(&extra, slice_of(text_signal_name(job->signal)));
    else
        buf_puts(&extra, "null");
    buf_puts(&extra, ",\"error\":");
    view_write_error(job, &extra);
    if (detail != NULL)
        (void)err_set(&err, ERR_JOB_FAILED, "%s", detail);
    else if (job->error_detail != NULL)
        (void)err_set(&err, ERR_JOB_FAILED, "%.200s", job->error_detail);
    else
        (void)err_set(&err, ERR_JOB_FAILED, "Reason: %s", job_reason_name(job->reason));
    reply_problem_with(rq, &err, buf_slice(&extra));
}

/* `result: json` promises one JSON value: what the command wrote is checked when it is asked for.
 */
static void send_json(struct request *rq, struct source *from)
{
    const struct job_view *job = from->job;
    const struct query_output *out = &from->out;
    AUTO_CLOSE int fd = out->spool_fd;
    (void)fd;
    struct range all = {RANGE_ALL, 0, out->bytes};
    struct err err = {0};
    if (out->bytes > MAX_JSON_BYTES || job->output.truncated[0]) {
        reply_failed(rq, job,
                     "The standard output is too large to be one JSON value; read it as stdout");
        return;
    }
    buf_clear(&rq->out);
    if (!read_all(rq, from, &all, &err)) {
        reply_problem(rq, &err);
    } else if (!json_validate(buf_slice(&rq->out), JSON_LIMITS_RESULT, &err)) {
        err_wrap(&err, "The standard output is not one JSON value");
        reply_failed(rq, job, err.detail);
    } else {
        reply_as_job_bytes(rq);
        reply_json(rq, 200);
    }
}

static void send_value(struct request *rq, const struct job_view *job)
{
    struct source from = {.job = job, .out = {.spool_fd = -1}};
    struct err err = {0};
    if (job->result == RESULT_NONE)
        reply_empty(rq, 204);
    else if (has_expired(job, &from.out, &err) ||
             !query_output_open(rq->thread->query, job,
                                job->result == RESULT_VALUE ? STREAM_VALUE : 0, &from.out, &err))
        reply_problem(rq, &err);
    else if (job->result == RESULT_VALUE)
        send_bytes(rq, &from, value_type_name(job->output.value_type));
    else if (job->result == RESULT_JSON)
        send_json(rq, &from);
    else
        send_bytes(rq, &from, BYTES_TYPE);
}

static void send_not_yet(struct request *rq, const struct job_view *job)
{
    buf_clear(&rq->out);
    view_write_job(job, &rq->out);
    buf_putc(&rq->out, '\n');
    reply_header(rq, ANSWER_RETRY_AFTER, "1");
    reply_json(rq, 202);
}

static void result_step(struct request *rq)
{
    const struct output_state *o = rq->state;
    uint64_t topic = topic_end(o->id.no);
    uint32_t epoch = request_epoch(rq, topic);
    struct job_view job;
    struct err err = {0};
    if (!query_job(rq->thread->query, &o->id, request_scratch(rq), &job, &err)) {
        reply_problem(rq, &err);
        return;
    }
    if (!job_state_is_end(job.state)) {
        struct park park = {.topic = topic, .epoch = epoch, .deadline_ns = o->until_ns};
        bool waits = clock_mono_ns() < o->until_ns && !rq->conn->half_closed;
        if (!waits)
            send_not_yet(rq, &job);
        else if (!request_park(rq, &park, result_step, &err))
            reply_problem(rq, &err);
        return;
    }
    if (job.state == JOB_SUCCEEDED) {
        send_value(rq, &job);
    } else if (job.state == JOB_FAILED) {
        reply_failed(rq, &job, NULL);
    } else {
        (void)err_set(&err, ERR_JOB_CANCELLED, "The job was cancelled");
        reply_problem(rq, &err);
    }
}

void job_result(struct request *rq)
{
    struct output_state *o = arena_alloc(&rq->arena, sizeof *o);
    struct err err = {0};
    PRE(o != NULL); /* the first bytes of the arena */
    rq->state = o;
    if (!request_job_id(rq, &o->id, &err) || !request_wait(rq, &o->until_ns, &err))
        reply_problem(rq, &err);
    else
        result_step(rq);
}
