/* SPDX-License-Identifier: MIT */
/* Items by NDJSON: a batch of a million of them is one request. The first line is the batch without
 * items, each further line one item; POST …/jobs has items alone. Lines are stored in chunks, one
 * transaction each, and between them the connection is suspended, so the client feels the disk and
 * memory stays bounded.
 *
 * Elements may begin while the rest is still coming. An upload that breaks off cancels its batch:
 * here when the request is freed before it was complete, after kill -9 at the next start. */
#include "api/batches.h"
#include "api/ndjson.h"
#include "api/reply.h"
#include "api/self.h"
#include "api/submit.h"

#include <nettle/sha2.h>

#define CHUNK_ITEMS 4096u
#define CHUNK_BYTES (512u * 1024)
/* The arena of a chunk: its last line may have 1 MiB. */
#define CHUNK_MEMORY (8u << 20)
#define CHARGE_BYTES (2u * CHUNK_BYTES)

struct upload {
    struct line_reader lines;
    struct batch_request req; /* of the first line; its bytes are in the request's arena */
    struct element_rules rules;
    bool has_head;    /* the first line, or there is none: when items are added */
    bool adds;        /* items to a batch that is open; else a batch is made */
    bool has_begun;   /* the batch is there */
    bool is_complete; /* and whole */
    struct job_id id;

    struct arena chunk;
    struct slice *items;
    uint32_t n_items;
    size_t chunk_bytes;

    struct added added; /* when items are added */
    bool has_key;       /* when a batch is made */
    bool is_repeated;   /* the key is known: what comes is only compared with what came then */
    struct sha256_ctx sha;
};

/* Reserving fails only when the engine takes nothing any more, which the next start makes up for,
 * or has more commands in hand than there are connections. */
static void break_off(struct request *rq, const struct upload *u)
{
    struct engine *engine = rq->thread->shared->engine;
    struct err ignored = {0};
    if (!engine_reserve(engine, false, &ignored))
        return;
    struct command *cmd = must_alloc(sizeof *cmd);
    cmd->kind = CMD_BATCH_BREAK;
    cmd->batch.id = u->id;
    engine_post(engine, cmd); /* the engine frees it */
    request_wake_engine(rq->thread);
}

static void release(struct request *rq)
{
    struct upload *u = rq->state;
    if (u->has_begun && !u->is_complete && !u->adds)
        break_off(rq, u);
    arena_release(&u->chunk);
    free(u);
}

static void clear_chunk(struct upload *u)
{
    arena_clear(&u->chunk);
    u->items = arena_alloc(&u->chunk, CHUNK_ITEMS * sizeof *u->items);
    PRE(u->items != NULL);
    u->n_items = 0;
    u->chunk_bytes = 0;
}

/* For more items: the batch must be one that takes them, before any is read. */
static void begin_add(struct request *rq, struct upload *u)
{
    struct query *query = rq->thread->query;
    struct batch batch;
    struct err err = {0};
    u->adds = u->has_head = u->has_begun = true;
    if (!batch_request_id(rq, &u->id, &err) || !query_batch_mark(query, &u->id, &batch, &err) ||
        !query_element_rules(query, batch.no, &rq->arena, &u->rules, &err) ||
        !batch_may_add(rq, &u->rules, &err))
        rq->refusal = err;
}

static struct upload *begin(struct request *rq, bool adds)
{
    if (rq->state != NULL)
        return rq->state;
    struct upload *u = must_alloc(sizeof *u);
    rq->state = u;
    rq->release = release;
    arena_init(&u->chunk, CHUNK_MEMORY);
    clear_chunk(u);
    u->has_key = !adds && request_header(rq, HEADER_IDEMPOTENCY_KEY).ptr != NULL;
    sha256_init(&u->sha);
    sha256_init(&u->added.sha);
    if (request_charge(rq, CHARGE_BYTES, &rq->refusal) && adds)
        begin_add(rq, u);
    return u;
}

/* ------------------------------------------------------------------------------------------------
 * lines */

static void take_head(struct request *rq, struct upload *u, struct slice line)
{
    char *copy = arena_dup(&rq->arena, line);
    if (copy == NULL) {
        (void)err_set(&rq->refusal, ERR_TOO_LARGE, "The first line takes too much memory");
        return;
    }
    u->has_head = true;
    const struct job_source source = submit_source(rq, (struct slice){copy, line.len}, &rq->arena);
    if (codec_read_batch(&source, true, &u->req, &rq->refusal) &&
        self_submits(rq, &u->req.spec, &rq->refusal)) {
        submit_add_trace(rq, &u->req.spec);
        u->rules = u->req.rules;
    }
}

static void refuse(struct request *rq, uint32_t number, const struct err *err)
{
    const struct upload *u = rq->state;
    (void)err_at(&rq->refusal, err->code, err->pointer, "Line %u: %s%s", number + 1, err->detail,
                 u->adds ? ". Earlier lines may be in the batch already" : "");
}

static void take_line(struct request *rq, uint32_t number, struct slice line)
{
    struct upload *u = rq->state;
    struct err err = {0};
    struct slice item;
    if (rq->refusal.code != ERR_NONE || u->is_repeated)
        return;
    if (!u->has_head) {
        take_head(rq, u, line);
        return;
    }
    if (!codec_read_item(line, &u->rules, &item, &err)) {
        refuse(rq, number, &err);
        return;
    }
    item.ptr = arena_dup(&u->chunk, item);
    if (item.ptr == NULL) {
        (void)err_set(&err, ERR_TOO_LARGE, "takes too much memory");
        refuse(rq, number, &err);
        return;
    }
    u->items[u->n_items++] = item;
    u->chunk_bytes += item.len;
}

static const struct line_sink sink = {take_line, refuse};

/* ------------------------------------------------------------------------------------------------
 * chunks */

static void chunk_stored(struct request *rq)
{
    struct upload *u = rq->state;
    clear_chunk(u);
    if (rq->cmd.err.code != ERR_NONE) {
        rq->refusal = rq->cmd.err;
        return;
    }
    u->is_repeated = !u->adds && rq->cmd.key.replayed;
    if (u->is_repeated)
        return;
    u->id = rq->cmd.batch.id;
    u->has_begun = true;
}

static bool send_chunk(struct request *rq, struct upload *u, enum batch_phase phase, step_fn next)
{
    struct batch_ask *ask = &rq->cmd.batch;
    rq->cmd.kind = u->has_begun ? CMD_BATCH_ADD : CMD_BATCH;
    rq->cmd.wait_until_ns = 0;
    if (u->has_begun)
        *ask = (struct batch_ask){.id = u->id, .uploads = !u->adds};
    else
        batch_ask_from(&u->req, rq, ask);
    ask->items = u->items;
    ask->n_items = u->n_items;
    ask->phase = phase;
    ask->is_last = next != chunk_stored;
    return (!u->adds || batch_key_piece(rq, &u->added, &rq->refusal)) &&
           request_send(rq, next, &rq->refusal);
}

static bool flush(struct request *rq, struct upload *u)
{
    static const uint8_t not_known_yet[32] = {0};
    if (!u->has_begun && u->has_key && !submit_read_key(rq, not_known_yet, &rq->refusal))
        return false;
    return send_chunk(rq, u, u->adds ? BATCH_OPEN : BATCH_UPLOADING, chunk_stored);
}

static size_t take(struct request *rq, struct slice bytes, bool adds)
{
    struct upload *u = begin(rq, adds);
    size_t at = 0;
    while (at < bytes.len && rq->refusal.code == ERR_NONE) {
        bool is_full = u->n_items == CHUNK_ITEMS || u->chunk_bytes >= CHUNK_BYTES;
        if (!is_full)
            at += ndjson_take(rq, &u->lines, &sink, (struct slice){bytes.ptr + at, bytes.len - at});
        else if (flush(rq, u))
            break;
    }
    if (rq->refusal.code != ERR_NONE)
        at = bytes.len; /* read and forgotten, up to a limit of the caller's */
    if (u->has_key)
        sha256_update(&u->sha, at, (const uint8_t *)bytes.ptr);
    return at;
}

size_t upload_take(struct request *rq, struct slice bytes)
{
    return take(rq, bytes, false);
}

size_t upload_add_take(struct request *rq, struct slice bytes)
{
    return take(rq, bytes, true);
}

/* ------------------------------------------------------------------------------------------------
 * the end */

static void answer(struct request *rq, int64_t no)
{
    batch_answer(rq, no, 202);
}

static void stored(struct request *rq)
{
    struct upload *u = rq->state;
    if (rq->cmd.err.code != ERR_NONE) {
        reply_problem(rq, &rq->cmd.err);
        return;
    }
    u->is_complete = true;
    if (rq->cmd.key.replayed) {
        reply_header(rq, ANSWER_REPLAYED, "true");
        answer(rq, rq->cmd.key.first_no);
        return;
    }
    answer(rq, rq->cmd.batch.id.no);
}

/* The whole body has been seen a second time, and nothing of it was stored. */
static void answer_repeated(struct request *rq, const uint8_t digest[32])
{
    struct err err = {0};
    if (memcmp(digest, rq->cmd.key.first_body, 32) != 0) {
        (void)err_set(&err, ERR_KEY_REUSED, KEY_REUSED_TEXT);
        reply_problem(rq, &err);
        return;
    }
    reply_header(rq, ANSWER_REPLAYED, "true");
    answer(rq, rq->cmd.key.first_no);
}

static enum batch_phase last_phase(const struct upload *u)
{
    return u->adds || u->req.is_open ? BATCH_OPEN : BATCH_CLOSED;
}

static void end(struct request *rq, bool adds)
{
    struct upload *u = begin(rq, adds);
    uint8_t digest[32];
    ndjson_end(rq, &u->lines, &sink);
    sha256_digest(&u->sha, sizeof digest, digest);
    if (rq->refusal.code == ERR_NONE && !u->has_head)
        (void)err_set(&rq->refusal, ERR_INVALID,
                      "The first line is missing: a batch as in JSON, but without \"items\"");
    if (u->is_repeated) {
        answer_repeated(rq, digest);
        return;
    }
    if (rq->refusal.code != ERR_NONE ||
        (u->has_key && !submit_read_key(rq, digest, &rq->refusal)) ||
        !send_chunk(rq, u, last_phase(u), stored))
        reply_problem(rq, &rq->refusal);
}

void upload_end(struct request *rq)
{
    end(rq, false);
}

void upload_add_end(struct request *rq)
{
    end(rq, true);
}
