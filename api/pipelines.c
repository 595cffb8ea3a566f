/* SPDX-License-Identifier: MIT */
/* POST /v1/pipelines. What is made is a batch, shown and waited for as any other. */
#include "api/batches.h"

#include "api/codec_pipeline.h"
#include "api/codec_read.h"
#include "api/handlers.h"
#include "api/reply.h"
#include "api/self.h"
#include "api/submit.h"

struct wait_state {
    int64_t no;
    uint64_t until_ns;
};

/* The batch when all stages have ended, or as it is when the time is over. */
static void answer_when_over(struct request *rq)
{
    const struct wait_state *w = rq->state;
    struct batch_view view;
    struct err err = {0};
    uint32_t epoch = request_epoch(rq, topic_end(w->no));
    if (!query_batch_by_no(rq->thread->query, w->no, request_scratch(rq), &view, &err)) {
        reply_problem(rq, &err);
        return;
    }
    bool is_over = batch_is_over(&view.batch);
    if (!is_over && clock_mono_ns() < w->until_ns && !rq->conn->half_closed) {
        struct park park = {.topic = topic_end(w->no), .epoch = epoch, .deadline_ns = w->until_ns};
        if (request_park(rq, &park, answer_when_over, &err))
            return;
    }
    /* It is accepted, whatever keeps us from waiting for it. */
    batch_add_location(rq, &view.batch.id);
    batch_reply(rq, is_over && w->until_ns != 0 ? 200 : 202, &view);
}

static void stored(struct request *rq)
{
    const struct command *cmd = &rq->cmd;
    struct wait_state *w = rq->state;
    if (cmd->err.code != ERR_NONE) {
        reply_problem(rq, &cmd->err);
        return;
    }
    w->no = cmd->key.replayed ? cmd->key.first_no : cmd->pipeline.id.no;
    if (cmd->key.replayed)
        reply_header(rq, ANSWER_REPLAYED, "true");
    answer_when_over(rq);
}

/* They are children by their batch. */
static bool are_own(struct request *rq, struct pipeline_request *req, struct err *err)
{
    if (!self_submits(rq, &req->spec, err))
        return false;
    for (uint32_t i = 0; i < req->n; i++) {
        struct job_spec *spec = &req->stages[i].spec;
        char pointer[32];
        (void)snprintf(pointer, sizeof pointer, "/stages/%u", (unsigned)i);
        if (!self_submits(rq, spec, err))
            return codec_inside_of(err, pointer);
        spec->submitter = (struct job_id){0};
    }
    return true;
}

static bool prepare(struct request *rq, struct wait_state *w, struct err *err)
{
    struct slice body = buf_slice(&rq->body);
    uint8_t digest[32] = {0};
    struct pipeline_request *req = arena_alloc(&rq->arena, sizeof *req);
    PRE(req != NULL); /* among the first bytes of the arena */
    if (request_header(rq, HEADER_IDEMPOTENCY_KEY).ptr != NULL)
        submit_digest(body, digest);
    const struct job_source source = submit_source(rq, body, &rq->arena);
    if (!request_wait(rq, &w->until_ns, err) || !submit_read_key(rq, digest, err) ||
        !codec_read_pipeline(&source, req, err) || !are_own(rq, req, err))
        return false;
    submit_add_trace(rq, &req->spec);
    rq->cmd.kind = CMD_PIPELINE;
    rq->cmd.pipeline = (struct pipeline_ask){
        .spec = &req->spec, .stages = req->stages, .n = req->n};
    for (uint32_t i = 0; i < req->n; i++) {
        submit_add_trace(rq, &req->stages[i].spec);
        if (!command_prepare(&req->stages[i], clock_wall_us(), &rq->arena, err))
            return false;
    }
    return true;
}

void pipeline_create(struct request *rq)
{
    struct err err = {0};
    struct wait_state *w = arena_alloc(&rq->arena, sizeof *w);
    PRE(w != NULL); /* the first bytes of the arena */
    rq->state = w;
    if (!prepare(rq, w, &err) || !request_send(rq, stored, &err))
        reply_problem(rq, &err);
}
