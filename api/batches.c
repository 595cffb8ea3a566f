/* SPDX-License-Identifier: MIT */
/* Batches: made from JSON, shown, closed. Uploads by NDJSON are in uploads.c. */
#include "api/batches.h"

#include "api/codec_batch.h"
#include "api/graphs.h"
#include "api/handlers.h"
#include "api/reply.h"
#include "api/self.h"
#include "api/submit.h"
#include "api/view_batch.h"

/* Items of one command: what the engine inserts in one turn stays bounded. A longer array arrives
 * in several, as an upload would. */
#define ITEMS_PER_COMMAND 4096u

void batch_reply(struct request *rq, int status, const struct batch_view *view)
{
    buf_clear(&rq->out);
    view_write_batch(view, &rq->out);
    buf_putc(&rq->out, '\n');
    reply_etag(rq, view->batch.version);
    reply_json(rq, status);
}

void batch_add_location(struct request *rq, const struct job_id *id)
{
    char *text = arena_alloc(&rq->arena, 64);
    if (text == NULL)
        return;
    memcpy(text, "/v1/batches/", 12);
    job_id_format(id, text + 12);
    reply_header(rq, ANSWER_LOCATION, text);
}

void batch_answer(struct request *rq, int64_t no, int status)
{
    struct batch_view view;
    struct err err = {0};
    if (!query_batch_by_no(rq->thread->query, no, request_scratch(rq), &view, &err)) {
        reply_problem(rq, &err);
        return;
    }
    if (status == 202)
        batch_add_location(rq, &view.batch.id);
    batch_reply(rq, status, &view);
}

bool batch_request_id(struct request *rq, struct job_id *ret, struct err *err)
{
    return self_batch_id(rq, rq->match.args[0], ret, err);
}

void batch_ask_from(const struct batch_request *req, struct request *rq, struct batch_ask *ret)
{
    PRE(rq->cmd.kind == CMD_BATCH);
    *ret = (struct batch_ask){
        .spec = &req->spec,
        .template_bytes = req->template_bytes,
        .max_parallel = req->max_parallel,
        .max_failures = req->max_failures,
        .chunksize = req->chunksize,
    };
}

/* ------------------------------------------------------------------------------------------------
 * GET */

struct wait_state {
    struct job_id id;
    uint64_t until_ns;
    struct batch_wish wish;
};

/* all, first, first_error, count:K. */
static bool read_until(struct request *rq, struct batch_wish *ret, struct err *err)
{
    struct slice text;
    *ret = (struct batch_wish){.min_done = WISH_END_ONLY};
    if (!request_param(rq, "until", &text) || slice_is(text, "all"))
        return true;
    if (slice_is(text, "first")) {
        ret->min_done = 1;
        return true;
    }
    if (slice_is(text, "first_error")) {
        ret->on_failure = true;
        return true;
    }
    if (text.len > 6 && memcmp(text.ptr, "count:", 6) == 0 &&
        text_to_i64((struct slice){text.ptr + 6, text.len - 6}, &ret->min_done) &&
        ret->min_done > 0)
        return true;
    return request_bad_param(err, "until", "all, first, first_error or count:<number>");
}

/* With If-None-Match: until the batch changes. Without: until what was asked for has happened, or
 * it is over. */
static void show_step(struct request *rq)
{
    const struct wait_state *w = rq->state;
    bool by_tag = request_header(rq, HEADER_IF_NONE_MATCH).ptr != NULL;
    uint32_t epoch = request_epoch(rq, topic_batch(w->id.no));
    struct batch_view view;
    struct err err = {0};
    if (!query_batch(rq->thread->query, &w->id, request_scratch(rq), &view, &err)) {
        reply_problem(rq, &err);
        return;
    }
    bool same = request_etag_matches(rq, HEADER_IF_NONE_MATCH, view.batch.version);
    bool wants_more = by_tag ? same : !batch_wish_is_fulfilled(&w->wish, &view.batch);
    if (wants_more && !rq->conn->half_closed && clock_mono_ns() < w->until_ns) {
        struct park park = {
            .topic = topic_batch(w->id.no), .epoch = epoch, .deadline_ns = w->until_ns};
        if (!by_tag)
            park.wish = w->wish;
        if (!request_park(rq, &park, show_step, &err))
            reply_problem(rq, &err);
        return;
    }
    if (!same) {
        batch_reply(rq, 200, &view);
        return;
    }
    reply_etag(rq, view.batch.version);
    reply_empty(rq, 304);
}

void batch_show(struct request *rq)
{
    struct err err = {0};
    struct wait_state *w = arena_alloc(&rq->arena, sizeof *w);
    PRE(w != NULL); /* the first bytes of the arena */
    rq->state = w;
    if (!batch_request_id(rq, &w->id, &err) || !read_until(rq, &w->wish, &err) ||
        !request_wait(rq, &w->until_ns, &err))
        reply_problem(rq, &err);
    else
        show_step(rq);
}

/* One that was forgotten since its number was read is left out. */
static bool write_batches(struct request *rq, const struct number_page *page, struct err *err)
{
    const char *comma = "";
    buf_puts(&rq->out, "{\"items\":[");
    for (size_t i = 0; i < page->n; i++) {
        struct batch_view view;
        struct err missing = {0};
        if (!query_batch_by_no(rq->thread->query, page->nos[i], request_scratch(rq), &view,
                               &missing)) {
            if (missing.code != ERR_NOT_FOUND)
                return err_set(err, missing.code, "%s", missing.detail);
            continue;
        }
        buf_puts(&rq->out, comma);
        view_write_batch(&view, &rq->out);
        comma = ",";
    }
    return true;
}

void batch_list(struct request *rq)
{
    struct err err = {0};
    struct page asked;
    struct number_page page = {0};
    bool ok = request_page(rq, &asked, &err);
    if (ok) {
        page.max = (size_t)asked.limit + 1; /* one more tells whether there is a next page */
        page.nos = arena_alloc(&rq->arena, page.max * sizeof *page.nos);
        PRE(page.nos != NULL); /* 8 KiB of an arena that was empty */
        ok = query_batch_nos(rq->thread->query, asked.cursor == 0 ? INT64_MAX : asked.cursor, &page,
                             &err);
    }
    bool is_last = page.n < page.max;
    page.n -= is_last ? 0 : 1;
    if (!ok || !write_batches(rq, &page, &err)) {
        buf_clear(&rq->out);
        reply_problem(rq, &err);
        return;
    }
    reply_list_by_number(rq, is_last ? 0 : page.nos[page.n - 1]);
}

/* ------------------------------------------------------------------------------------------------
 * POST */

/* The items of a JSON body on their way to the engine. */
struct items_state {
    struct batch_request req;
    uint32_t sent;
    enum batch_phase phase; /* when all are there */
    bool uploads;           /* they are the first ones of their batch */
    struct added added;     /* else */
};

static void send_items(struct request *rq);

static void items_stored(struct request *rq)
{
    const struct items_state *s = rq->state;
    const struct command *cmd = &rq->cmd;
    if (cmd->err.code != ERR_NONE) {
        reply_problem(rq, &cmd->err);
        return;
    }
    if (s->sent < s->req.n_items && (!cmd->key.replayed || !s->uploads)) {
        send_items(rq);
        return;
    }
    if (cmd->key.replayed)
        reply_header(rq, ANSWER_REPLAYED, "true");
    batch_answer(rq, cmd->key.replayed ? cmd->key.first_no : cmd->batch.id.no, 202);
}

bool batch_key_piece(struct request *rq, struct added *added, struct err *err)
{
    struct batch_ask *ask = &rq->cmd.batch;
    uint8_t digest[32];
    ask->first = added->n;
    added->n += ask->n_items;
    if (request_header(rq, HEADER_IDEMPOTENCY_KEY).ptr == NULL)
        return true;
    for (uint32_t i = 0; i < ask->n_items; i++) {
        sha256_update(&added->sha, ask->items[i].len, (const uint8_t *)ask->items[i].ptr);
        sha256_update(&added->sha, 1, (const uint8_t *)"\n");
    }
    struct sha256_ctx so_far = added->sha; /* the digest empties it */
    sha256_digest(&so_far, sizeof digest, digest);
    return submit_read_key(rq, digest, err);
}

static void send_items(struct request *rq)
{
    struct items_state *s = rq->state;
    struct batch_ask *ask = &rq->cmd.batch;
    struct err err = {0};
    uint32_t n = MIN(s->req.n_items - s->sent, ITEMS_PER_COMMAND);
    if (s->sent > 0) {
        rq->cmd.kind = CMD_BATCH_ADD;
        ask->uploads = s->uploads;
    }
    ask->items = s->req.items + s->sent;
    ask->n_items = n;
    s->sent += n;
    ask->is_last = s->sent == s->req.n_items;
    ask->phase = ask->is_last ? s->phase : s->uploads ? BATCH_UPLOADING : BATCH_OPEN;
    if ((!s->uploads && !batch_key_piece(rq, &s->added, &err)) ||
        !request_send(rq, items_stored, &err))
        reply_problem(rq, &err);
}

static bool prepare(struct request *rq, struct items_state *s, struct err *err)
{
    struct slice body = buf_slice(&rq->body);
    uint8_t digest[32] = {0};
    rq->cmd.kind = CMD_BATCH;
    if (request_header(rq, HEADER_IDEMPOTENCY_KEY).ptr != NULL)
        submit_digest(body, digest);
    const struct job_source source = submit_source(rq, body, &rq->arena);
    if (!submit_read_key(rq, digest, err) || !codec_read_batch(&source, false, &s->req, err) ||
        !self_submits(rq, &s->req.spec, err))
        return false;
    submit_add_trace(rq, &s->req.spec);
    batch_ask_from(&s->req, rq, &rq->cmd.batch);
    s->phase = s->req.is_open ? BATCH_OPEN : BATCH_CLOSED;
    s->uploads = true;
    return true;
}

void batch_create(struct request *rq)
{
    struct err err = {0};
    if (rq->head.body_type == BODY_NDJSON) {
        upload_end(rq);
        return;
    }
    if (graph_create(rq))
        return;
    struct items_state *s = arena_alloc(&rq->arena, sizeof *s);
    PRE(s != NULL); /* the first bytes of the arena */
    rq->state = s;
    if (prepare(rq, s, &err))
        send_items(rq);
    else
        reply_problem(rq, &err);
}

/* An item of a command is a part of the command. */
bool batch_may_add(const struct request *rq, const struct element_rules *rules, struct err *err)
{
    return rules->call != NULL || token_allows(&rq->who, SCOPE_EXEC) ||
           err_set(err, ERR_FORBIDDEN,
                   "This batch runs a \"command\": its items need a token with the scope \"exec\"");
}

static bool prepare_add(struct request *rq, struct items_state *s, struct err *err)
{
    struct batch_ask *ask = &rq->cmd.batch;
    struct batch batch;
    *s = (struct items_state){.phase = BATCH_OPEN};
    sha256_init(&s->added.sha);
    *ask = (struct batch_ask){.phase = BATCH_OPEN};
    rq->cmd.kind = CMD_BATCH_ADD;
    return batch_request_id(rq, &ask->id, err) &&
           query_batch_mark(rq->thread->query, &ask->id, &batch, err) &&
           query_element_rules(rq->thread->query, batch.no, &rq->arena, &s->req.rules, err) &&
           batch_may_add(rq, &s->req.rules, err) &&
           codec_read_items(buf_slice(&rq->body), &rq->arena, &s->req, err);
}

void batch_add(struct request *rq)
{
    struct err err = {0};
    if (rq->head.body_type == BODY_NDJSON) {
        upload_add_end(rq);
        return;
    }
    struct items_state *s = arena_alloc(&rq->arena, sizeof *s);
    PRE(s != NULL); /* the first bytes of the arena */
    rq->state = s;
    if (prepare_add(rq, s, &err))
        send_items(rq);
    else
        reply_problem(rq, &err);
}

static void closed(struct request *rq)
{
    if (rq->cmd.err.code != ERR_NONE)
        reply_problem(rq, &rq->cmd.err);
    else
        batch_answer(rq, rq->cmd.batch.id.no, 200);
}

void batch_close(struct request *rq)
{
    struct err err = {0};
    rq->cmd.kind = CMD_BATCH_ADD;
    rq->cmd.batch = (struct batch_ask){.phase = BATCH_CLOSED};
    if (!codec_read_nothing(buf_slice(&rq->body), &err) ||
        !batch_request_id(rq, &rq->cmd.batch.id, &err) || !request_send(rq, closed, &err))
        reply_problem(rq, &err);
}
