/* SPDX-License-Identifier: MIT */
#include "api/graphs.h"

#include "api/codec_graph.h"
#include "api/reply.h"
#include "api/self.h"
#include "api/submit.h"
#include "api/view_batch.h"

/* Specs and encoded tasks of 10,000 jobs. */
#define GRAPH_MEMORY (64u << 20)
#define CHARGE_BYTES (4u << 20)

struct graph_state {
    struct arena arena;
    struct graph_request req;
};

static void release(struct request *rq)
{
    struct graph_state *s = rq->state;
    arena_release(&s->arena);
    free(s);
}

static void write_ref(struct buf *out, struct slice ref)
{
    if (ref.ptr == NULL)
        buf_puts(out, "null");
    else
        buf_json_string(out, ref);
}

/* The ids, also of a replayed request: a graph's jobs have the numbers behind the batch's. */
static bool id_of(struct request *rq, const struct graph_state *s, uint32_t i, struct job_id *ret)
{
    struct job_view job;
    struct err gone = {0};
    *ret = s->req.items[i].id;
    if (!rq->cmd.key.replayed)
        return true;
    if (!query_job_by_no(rq->thread->query, rq->cmd.key.first_no + 1 + i, request_scratch(rq), &job,
                         &gone))
        return false;
    *ret = job.id;
    return true;
}

static void write_jobs(struct request *rq, const struct graph_state *s)
{
    struct buf *out = &rq->out;
    buf_puts(out, ",\"jobs\":[");
    for (uint32_t i = 0; i < s->req.n; i++) {
        struct job_id id;
        char text[37];
        buf_puts(out, i == 0 ? "{\"ref\":" : ",{\"ref\":");
        write_ref(out, s->req.refs[i]);
        buf_printf(out, ",\"index\":%u,\"id\":", i);
        if (id_of(rq, s, i, &id)) {
            job_id_format(&id, text);
            buf_printf(out, "\"%s\"}", text);
        } else {
            buf_puts(out, "null}"); /* deleted since */
        }
    }
    buf_puts(out, "]}\n");
}

static void add_location(struct request *rq, const struct job_id *id)
{
    char *text = arena_alloc(&rq->arena, 64);
    if (text == NULL)
        return;
    memcpy(text, "/v1/batches/", 12);
    job_id_format(id, text + 12);
    reply_header(rq, ANSWER_LOCATION, text);
}

static void made(struct request *rq)
{
    const struct graph_state *s = rq->state;
    const struct command *cmd = &rq->cmd;
    int64_t no = cmd->key.replayed ? cmd->key.first_no : cmd->graph.id.no;
    struct batch_view view;
    struct err err = cmd->err;
    if (err.code != ERR_NONE ||
        !query_batch_by_no(rq->thread->query, no, request_scratch(rq), &view, &err)) {
        reply_problem(rq, &err);
        return;
    }
    if (cmd->key.replayed)
        reply_header(rq, ANSWER_REPLAYED, "true");
    add_location(rq, &view.batch.id);
    buf_clear(&rq->out);
    view_write_batch(&view, &rq->out);
    if (buf_ok(&rq->out))
        rq->out.len--; /* its brace comes after the jobs */
    write_jobs(rq, s);
    reply_etag(rq, view.batch.version);
    reply_json(rq, 202);
}

static void refuse(struct request *rq, const struct graph_state *s, const struct err *err)
{
    AUTO_BUF struct buf extra = {0};
    buf_init(&extra, 2u << 20);
    if (err->code == ERR_DEPENDENCY_CYCLE) {
        buf_puts(&extra, ",\"cycle\":[");
        for (uint32_t k = 0; k < s->req.n_cycle; k++) {
            if (k > 0)
                buf_putc(&extra, ',');
            write_ref(&extra, s->req.refs[s->req.cycle[k]]);
        }
        buf_putc(&extra, ']');
    }
    reply_problem_with(rq, err, buf_slice(&extra));
}

/* They are children by their batch. */
static bool are_own(struct request *rq, struct graph_request *req, struct err *err)
{
    if (!self_submits(rq, &req->spec, err))
        return false;
    for (uint32_t i = 0; i < req->n; i++) {
        struct job_spec *spec = &req->items[i].spec;
        struct err why = {0};
        if (!self_submits(rq, spec, &why))
            return codec_err_in_job(err, &why, i);
        spec->submitter = (struct job_id){0};
    }
    return true;
}

static bool prepare(struct request *rq, struct graph_state *s, struct err *err)
{
    struct slice body = buf_slice(&rq->body);
    struct graph_request *req = &s->req;
    uint8_t digest[32] = {0};
    int64_t now_us = clock_wall_us();
    if (request_header(rq, HEADER_IDEMPOTENCY_KEY).ptr != NULL)
        submit_digest(body, digest);
    const struct job_source source = submit_source(rq, body, &s->arena);
    if (!request_charge(rq, CHARGE_BYTES, err) || !submit_read_key(rq, digest, err) ||
        !codec_read_graph(&source, req, err) || !are_own(rq, req, err))
        return false;
    submit_add_trace(rq, &req->spec);
    for (uint32_t i = 0; i < req->n; i++) {
        submit_add_trace(rq, &req->items[i].spec);
        if (!command_prepare(&req->items[i], now_us, &s->arena, err))
            return false;
    }
    rq->cmd.kind = CMD_GRAPH;
    rq->cmd.graph = (struct graph_ask){
        .spec = &req->spec,
        .max_failures = req->max_failures,
        .items = req->items,
        .n = req->n,
    };
    return true;
}

bool graph_create(struct request *rq)
{
    struct err err = {0};
    if (!codec_is_graph(buf_slice(&rq->body)))
        return false;
    struct graph_state *s = must_alloc(sizeof *s);
    arena_init(&s->arena, GRAPH_MEMORY);
    rq->state = s;
    rq->release = release;
    if (!prepare(rq, s, &err))
        refuse(rq, s, &err);
    else if (!request_send(rq, made, &err))
        reply_problem(rq, &err);
    return true;
}
