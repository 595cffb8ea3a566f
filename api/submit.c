/* SPDX-License-Identifier: MIT */
#include "api/submit.h"

#include "api/codec.h"
#include "api/handlers.h"
#include "api/reply.h"
#include "api/self.h"
#include "api/view.h"

#include <nettle/sha2.h>

#define MAX_KEY_BYTES 255u

static void add_location(struct request *rq, const struct job_id *id)
{
    char *text = arena_alloc(&rq->arena, 64);
    if (text == NULL)
        return;
    memcpy(text, "/v1/jobs/", 9);
    job_id_format(id, text + 9);
    reply_header(rq, ANSWER_LOCATION, text);
}

static void reply_job(struct request *rq, int status, const struct job_view *job)
{
    buf_clear(&rq->out);
    view_write_job(job, &rq->out);
    buf_putc(&rq->out, '\n');
    reply_etag(rq, job->version);
    reply_json(rq, status);
}

struct wait_state {
    struct job_id id;
    uint64_t until_ns;
    bool is_existing;
};

/* The job's end, or whatever it is when the time is over. */
static void answer_when_over(struct request *rq)
{
    const struct wait_state *w = rq->state;
    struct job_view job;
    struct err err = {0};
    uint32_t epoch = request_epoch(rq, topic_end(w->id.no));
    if (!query_job(rq->thread->query, &w->id, request_scratch(rq), &job, &err)) {
        reply_problem(rq, &err);
        return;
    }
    bool over = job_state_is_end(job.state);
    if (!over && clock_mono_ns() < w->until_ns && !rq->conn->half_closed) {
        struct park park = {
            .topic = topic_end(w->id.no), .epoch = epoch, .deadline_ns = w->until_ns};
        if (request_park(rq, &park, answer_when_over, &err))
            return;
    }
    /* The job is accepted, whatever keeps us from waiting for it. */
    reply_job(rq, over || w->is_existing ? 200 : 202, &job);
}

/* It has come back with the end: `birth` and that make the whole job. */
static void reply_end(struct request *rq, const struct job_view *birth)
{
    struct job_view job = rq->cmd.submit.end;
    job.name = birth->name;
    job.queue = birth->queue;
    job.labels = birth->labels;
    job.metadata = birth->metadata;
    reply_job(rq, 200, &job);
}

static bool find_replayed(struct request *rq, struct job_view *ret, struct err *err)
{
    bool found = query_job_by_no(rq->thread->query, rq->cmd.key.first_no, request_scratch(rq), ret,
                                 err);
    if (!found && err->code != ERR_NOT_FOUND)
        return false;
    reply_header(rq, ANSWER_REPLAYED, "true");
    return found || err_set(err, ERR_NOT_FOUND,
                            "The job that was made with this key has been deleted since");
}

/* The job that the answer shows. */
static bool find_submitted(struct request *rq, struct job_view *ret, struct err *err)
{
    const struct submit_item *item = rq->cmd.submit.items;
    if (rq->cmd.key.replayed) {
        if (!find_replayed(rq, ret, err))
            return false;
        view_make_birth(ret);
        return true;
    }
    if (!item->is_existing)
        return view_at_birth(item, &rq->arena, ret, err);
    reply_header(rq, ANSWER_EXISTING, "true");
    return query_job(rq->thread->query, &item->id, request_scratch(rq), ret, err);
}

static void submit_refused(struct request *rq, const struct err *err)
{
    char extra[SUBMIT_HOLDER_SIZE];
    size_t len = err->code == ERR_DUPLICATE ? submit_name_holder(&rq->cmd.submit.items->id, extra)
                                            : 0;
    reply_problem_with(rq, err, (struct slice){extra, len});
}

size_t submit_name_holder(const struct job_id *id, char out[SUBMIT_HOLDER_SIZE])
{
    char text[37];
    job_id_format(id, text);
    return (size_t)snprintf(out, SUBMIT_HOLDER_SIZE, ",\"job\":\"%s\"", text);
}

static void submitted(struct request *rq)
{
    const struct submit_item *item = rq->cmd.submit.items;
    struct job_view job;
    bool replayed = rq->cmd.key.replayed, is_existing = !replayed && item->is_existing;
    struct err err = rq->cmd.err.code != ERR_NONE || replayed ? rq->cmd.err : item->err;
    if (err.code != ERR_NONE || !find_submitted(rq, &job, &err)) {
        submit_refused(rq, &err);
        return;
    }
    add_location(rq, &job.id);
    if (rq->cmd.submit.has_end) {
        reply_end(rq, &job);
        return;
    }
    struct wait_state *w = rq->cmd.wait_until_ns == 0 ? NULL : arena_alloc(&rq->arena, sizeof *w);
    if (w == NULL) {
        reply_job(rq, is_existing ? 200 : 202, &job);
        return;
    }
    *w = (struct wait_state){job.id, rq->cmd.wait_until_ns, is_existing};
    rq->state = w;
    answer_when_over(rq);
}

bool submit_read_key(struct request *rq, const uint8_t body_digest[32], struct err *err)
{
    struct slice key = request_header(rq, HEADER_IDEMPOTENCY_KEY);
    if (key.ptr == NULL)
        return true;
    if (key.len >= 2 && key.ptr[0] == '"' && key.ptr[key.len - 1] == '"')
        key = (struct slice){key.ptr + 1, key.len - 2};
    if (key.len == 0 || key.len > MAX_KEY_BYTES)
        return err_set(err, ERR_BAD_REQUEST, "An Idempotency-Key has 1 to %u characters",
                       MAX_KEY_BYTES);
    struct sha256_ctx ctx;
    sha256_init(&ctx);
    sha256_update(&ctx, sizeof rq->who.id, rq->who.id);
    sha256_update(&ctx, rq->head.path.len, (const uint8_t *)rq->head.path.ptr);
    sha256_update(&ctx, 1, (const uint8_t *)"");
    sha256_update(&ctx, key.len, (const uint8_t *)key.ptr);
    sha256_digest(&ctx, sizeof rq->cmd.key.key, rq->cmd.key.key);
    memcpy(rq->cmd.key.body, body_digest, sizeof rq->cmd.key.body);
    rq->cmd.key.is_given = true;
    return true;
}

void submit_add_trace(struct request *rq, struct job_spec *spec)
{
    if (codec_is_traceparent(request_header(rq, HEADER_TRACEPARENT)))
        spec->traceparent = request_header(rq, HEADER_TRACEPARENT);
}

static bool defaults_of_queue(void *arg, struct slice queue, struct arena *a, struct slice *ret,
                              struct err *err)
{
    return query_defaults(arg, queue, a, ret, err);
}

struct job_source submit_source(const struct request *rq, struct slice body, struct arena *a)
{
    struct job_source source = {.body = body,
                                .cfg = rq->thread->shared->cfg,
                                .a = a,
                                .no_exec = !token_allows(&rq->who, SCOPE_EXEC)};
    if (engine_has_defaults(rq->thread->shared->engine))
        source.defaults = (struct job_defaults){defaults_of_queue, rq->thread->query};
    return source;
}

void submit_digest(struct slice body, uint8_t out[32])
{
    struct sha256_ctx ctx;
    sha256_init(&ctx);
    sha256_update(&ctx, body.len, (const uint8_t *)body.ptr);
    sha256_digest(&ctx, 32, out);
}

size_t submit_take(struct request *rq, struct slice bytes)
{
    handler_fn handler = rq->match.route->handler;
    if (handler == batch_create)
        return upload_take(rq, bytes);
    return handler == batch_add ? upload_add_take(rq, bytes) : bulk_take(rq, bytes);
}

static bool prepare_one(struct request *rq, struct err *err)
{
    struct slice body = buf_slice(&rq->body);
    struct submit_item *item = arena_alloc(&rq->arena, sizeof *item);
    if (item == NULL)
        return err_set(err, ERR_TOO_LARGE, "The request takes too much memory");
    rq->cmd.kind = CMD_SUBMIT;
    rq->cmd.submit.items = item;
    rq->cmd.submit.n = 1;
    uint8_t digest[32] = {0};
    if (request_header(rq, HEADER_IDEMPOTENCY_KEY).ptr != NULL)
        submit_digest(body, digest);
    if (!request_wait(rq, &rq->cmd.wait_until_ns, err) || !submit_read_key(rq, digest, err))
        return false;
    const struct job_source source = submit_source(rq, body, &rq->arena);
    if (!codec_read_job_from(&source, &item->spec, err) || !self_submits(rq, &item->spec, err))
        return false;
    submit_add_trace(rq, &item->spec);
    return command_prepare(item, clock_wall_us(), &rq->arena, err);
}

void job_submit(struct request *rq)
{
    struct err err = {0};
    if (rq->head.body_type == BODY_NDJSON) {
        bulk_end(rq);
        return;
    }
    if (!prepare_one(rq, &err) || !request_send(rq, submitted, &err))
        reply_problem(rq, &err);
}
