/* SPDX-License-Identifier: MIT */
/* Blobs. An upload is gathered in pieces; while one is on its way to the disk the connection is
 * suspended, so the client feels the disk and memory stays bounded. When the file is durable, its
 * row follows as any other command of the engine. */
#include "api/blobs.h"

#include "api/handlers.h"
#include "api/reply.h"
#include "api/submit.h"
#include "api/view.h"
#include "service/base/hex.h"

#include <errno.h>
#include <sys/statvfs.h>

#define PIECE_BYTES (256u * 1024)
#define BYTES_TYPE "application/octet-stream"

struct upload {
    int64_t keep_us;
    uint64_t total;
    char *piece; /* PIECE_BYTES, of which n are used */
    size_t n;
    struct blob_upload *file; /* the writer's */
    bool is_asked;            /* the engine has been asked for its row */
};

/* ------------------------------------------------------------------------------------------------
 * POST: before the body */

static bool read_keep(struct request *rq, int64_t *ret_us, struct err *err)
{
    struct slice text;
    *ret_us = rq->thread->shared->cfg->blob_keep_us;
    if (!request_param(rq, "keep", &text))
        return true;
    return (text_to_duration_us(text, ret_us) && *ret_us > 0) ||
           request_bad_param(err, "keep", "a time such as 90, \"15m\" or \"24h\"");
}

/* Of all `total` bytes of the blob `left` are still to be written. What the reserve keeps free for
 * the records of jobs is not for blobs. */
static bool has_room(const struct request *rq, uint64_t total, uint64_t left, struct err *err)
{
    const struct config *cfg = rq->thread->shared->cfg;
    struct engine_stats stats;
    struct statvfs fs;
    engine_stats(rq->thread->shared->engine, &stats);
    if (!blob_total_allows(stats.blob_bytes, total, cfg->blob_max_total, err))
        return false;
    bool fits = statvfs(cfg->data, &fs) != 0 ||
                (uint64_t)fs.f_bavail * fs.f_frsize >= left + cfg->store_reserve;
    if (stats.disk_low || !fits || FAULT("blob-room"))
        return err_set(err, ERR_DISK_FULL,
                       "The disk that holds the data directory has no room for it; free some "
                       "space, or delete blobs");
    return true;
}

static bool too_large(const struct request *rq, struct err *err)
{
    return err_set(err, ERR_TOO_LARGE,
                   "A blob may have at most %llu bytes (the option "
                   "blobs.max_size)",
                   (unsigned long long)rq->thread->shared->cfg->blob_max_size);
}

/* In release the step of a command that has come back may not have run. */
static void release(struct request *rq)
{
    struct upload *u = rq->state;
    bool has_row = u->is_asked && rq->cmd.err.code == ERR_NONE && !rq->cmd.key.replayed;
    bool may_have = u->is_asked && rq->cmd.err.code == ERR_OUTCOME_UNKNOWN;
    if (rq->cmd.kind == CMD_BLOB_WRITE)
        u->file = rq->cmd.blob.upload;
    blob_writer_drop(rq->thread->shared->blobs, u->file, has_row || may_have);
    free(u->piece);
    free(u);
}

bool blob_begin(struct request *rq, struct err *err)
{
    const uint64_t bytes = rq->head.content_length;
    int64_t keep_us;
    if (!read_keep(rq, &keep_us, err))
        return false;
    if (bytes > rq->thread->shared->cfg->blob_max_size)
        return too_large(rq, err);
    if (engine_phase(rq->thread->shared->engine) != PHASE_RUNNING)
        return err_set(err, ERR_DRAINING, "The service is stopping; send it to its successor");
    if (!has_room(rq, bytes, bytes, err) || !request_charge(rq, PIECE_BYTES, err))
        return false;
    struct upload *u = must_alloc(sizeof *u);
    u->keep_us = keep_us;
    u->piece = must_alloc(PIECE_BYTES);
    rq->state = u;
    rq->release = release;
    return true;
}

/* ------------------------------------------------------------------------------------------------
 * POST: the body */

static bool send_piece(struct request *rq, struct upload *u, bool is_last, step_fn next)
{
    rq->cmd.kind = CMD_BLOB_WRITE;
    rq->cmd.wait_until_ns = 0;
    rq->cmd.blob = (struct blob_ask){
        .upload = u->file, .piece = {u->piece, u->n}, .is_last = is_last};
    return request_send(rq, next, &rq->refusal);
}

static void piece_written(struct request *rq)
{
    struct upload *u = rq->state;
    u->file = rq->cmd.blob.upload;
    u->n = 0;
    rq->refusal = rq->cmd.err;
}

size_t blob_take(struct request *rq, struct slice bytes)
{
    struct upload *u = rq->state;
    size_t at = 0;
    while (at < bytes.len && rq->refusal.code == ERR_NONE) {
        if (u->n == PIECE_BYTES) {
            /* Its length may not have been said, and others may have come meanwhile. */
            if (has_room(rq, u->total, u->n, &rq->refusal) &&
                send_piece(rq, u, false, piece_written))
                break;
            continue;
        }
        size_t n = MIN(PIECE_BYTES - u->n, bytes.len - at);
        memcpy(u->piece + u->n, bytes.ptr + at, n);
        u->n += n;
        u->total += n;
        at += n;
        if (u->total > rq->thread->shared->cfg->blob_max_size)
            (void)too_large(rq, &rq->refusal);
    }
    /* What is refused is read and forgotten, up to a limit of the caller's. */
    return rq->refusal.code != ERR_NONE ? bytes.len : at;
}

/* ------------------------------------------------------------------------------------------------
 * POST: the end */

static void add_location(struct request *rq, const struct job_id *id)
{
    char *text = arena_alloc(&rq->arena, 64);
    if (text == NULL)
        return;
    memcpy(text, "/v1/blobs/", 10);
    job_id_format(id, text + 10);
    reply_header(rq, ANSWER_LOCATION, text);
}

static void reply_blob(struct request *rq, const struct blob *blob)
{
    add_location(rq, &blob->id);
    buf_clear(&rq->out);
    view_write_blob(blob, &rq->out);
    buf_putc(&rq->out, '\n');
    reply_json(rq, 201);
}

static void stored(struct request *rq)
{
    struct job_id id = rq->cmd.blob.id;
    struct blob blob;
    struct err err = rq->cmd.err;
    bool ok = err.code == ERR_NONE;
    if (ok && rq->cmd.key.replayed) {
        reply_header(rq, ANSWER_REPLAYED, "true");
        ok = query_blob_id(rq->thread->query, rq->cmd.key.first_no, &id, &err);
    }
    if (ok && query_blob(rq->thread->query, &id, request_scratch(rq), &blob, &err))
        reply_blob(rq, &blob);
    else
        reply_problem(rq, &err);
}

static void file_is_durable(struct request *rq)
{
    struct upload *u = rq->state;
    u->file = rq->cmd.blob.upload;
    if (rq->cmd.err.code != ERR_NONE || !submit_read_key(rq, rq->cmd.blob.sha256, &rq->cmd.err)) {
        reply_problem(rq, &rq->cmd.err);
        return;
    }
    rq->cmd.kind = CMD_BLOB;
    rq->cmd.blob.keep_us = u->keep_us;
    u->is_asked = request_send(rq, stored, &rq->refusal);
    if (!u->is_asked)
        reply_problem(rq, &rq->refusal);
}

void blob_create(struct request *rq)
{
    if (!send_piece(rq, rq->state, true, file_is_durable))
        reply_problem(rq, &rq->refusal);
}

/* ------------------------------------------------------------------------------------------------
 * the others */

static bool read_id(struct request *rq, struct job_id *ret, struct err *err)
{
    return job_id_parse(rq->match.args[0], ret) ||
           err_set(err, ERR_NOT_FOUND, "There is no blob with this id");
}

/* Its hash, quoted. */
static const char *add_etag(struct request *rq, const struct blob *blob)
{
    char *tag = arena_alloc(&rq->arena, 2 * SHA256_BYTES + 3);
    PRE(tag != NULL); /* the first bytes of the arena */
    tag[0] = tag[2 * SHA256_BYTES + 1] = '"';
    tag[2 * SHA256_BYTES + 2] = '\0';
    hex_put(tag + 1, blob->sha256, SHA256_BYTES);
    reply_header(rq, ANSWER_ETAG, tag);
    return tag;
}

static bool names_tag(struct slice tags, const char *tag)
{
    return tags.ptr != NULL &&
           (slice_is(tags, "*") || memmem(tags.ptr, tags.len, tag, strlen(tag)) != NULL);
}

static void send_part(struct request *rq, const struct blob *blob, const char *tag)
{
    struct err err = {0};
    AUTO_CLOSE int fd = -1;
    struct range range;
    if (!query_blob_open(rq->thread->query, blob, &fd, &err)) {
        reply_problem(rq, &err);
        return;
    }
    if (!reply_range(rq, (struct content){blob->bytes, tag, false}, &range))
        return;
    reply_as_job_bytes(rq);
    reply_file(rq, range.kind == RANGE_PART ? 206 : 200, BYTES_TYPE,
               (struct file_part){steal_fd(&fd), range.first, range.len});
}

void blob_show(struct request *rq)
{
    struct job_id id;
    struct blob blob;
    struct err err = {0};
    if (!read_id(rq, &id, &err) ||
        !query_blob(rq->thread->query, &id, request_scratch(rq), &blob, &err)) {
        reply_problem(rq, &err);
        return;
    }
    const char *tag = add_etag(rq, &blob);
    if (names_tag(request_header(rq, HEADER_IF_NONE_MATCH), tag))
        reply_empty(rq, 304);
    else
        send_part(rq, &blob, tag);
}

static void deleted(struct request *rq)
{
    if (rq->cmd.err.code != ERR_NONE)
        reply_problem(rq, &rq->cmd.err);
    else
        reply_empty(rq, 204);
}

void blob_forget(struct request *rq)
{
    struct err err = {0};
    rq->cmd.kind = CMD_BLOB_DELETE;
    rq->cmd.blob = (struct blob_ask){0};
    if (!read_id(rq, &rq->cmd.blob.id, &err) || !request_send(rq, deleted, &err))
        reply_problem(rq, &err);
}

static void write_page(struct request *rq, struct blob_page *page)
{
    const bool is_last = page->n < page->max;
    page->n -= is_last ? 0 : 1;
    buf_puts(&rq->out, "{\"items\":[");
    for (size_t i = 0; i < page->n; i++) {
        buf_puts(&rq->out, i == 0 ? "" : ",");
        view_write_blob(&page->items[i], &rq->out);
    }
    reply_list_by_number(rq, is_last ? 0 : page->items[page->n - 1].id.no);
}

void blob_list(struct request *rq)
{
    struct err err = {0};
    struct page asked;
    struct blob_page page = {0};
    bool ok = request_page(rq, &asked, &err);
    if (ok) {
        page.before = asked.cursor == 0 ? INT64_MAX : asked.cursor;
        page.max = (size_t)asked.limit + 1; /* one more tells whether there is a next page */
        page.items = arena_alloc(&rq->arena, page.max * sizeof *page.items);
        ok = page.items != NULL || err_set(&err, ERR_OVERLOADED, "There is not enough memory");
        ok = ok && query_blobs(rq->thread->query, &rq->arena, &page, &err);
    }
    if (ok)
        write_page(rq, &page);
    else
        reply_problem(rq, &err);
}
