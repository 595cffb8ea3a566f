/* SPDX-License-Identifier: MIT */
#include "cli/upload.h"

#include <poll.h>

#include "cli/args.h"
#include "cli/batch.h"
#include "cli/submit.h"

#define CHUNK_ITEMS 1000u
#define CHUNK_BYTES                                                              \
    ((size_t)480 << 10) /* half of what the service takes as one body by default \
                         */
#define MEMORY ((size_t)64 << 20)

void upload_init(struct upload *u, struct cli *cli, struct items *items)
{
    *u = (struct upload){.cli = cli, .items = items};
    buf_init(&u->chunk, MEMORY);
}

void upload_release(struct upload *u)
{
    buf_release(&u->chunk);
}

/* One item into the chunk; *ret_state says whether there was one. */
static bool take_item(struct upload *u, enum items_state *ret_state, struct err *err)
{
    size_t start = u->chunk.len;
    if (!items_next(u->items, &u->chunk, ret_state, err))
        return false;
    if (*ret_state != ITEMS_ITEM)
        return true;
    if (!buf_ok(&u->chunk))
        return err_set(err, ERR_TOO_LARGE, "an item is too large");
    struct slice item = {u->chunk.ptr + start, u->chunk.len - start};
    if (u->on_item != NULL && !u->on_item(u->owner, item, err))
        return false;
    buf_putc(&u->chunk, ',');
    u->n++;
    return true;
}

static bool is_full(const struct upload *u)
{
    return u->n >= CHUNK_ITEMS || u->chunk.len >= CHUNK_BYTES;
}

static bool is_readable(int fd)
{
    struct pollfd wait = {.fd = fd, .events = POLLIN};
    return poll(&wait, 1, 0) > 0;
}

/* Fills the chunk from what can be had without waiting. */
static bool gather(struct upload *u, struct err *err)
{
    while (!u->at_end && !is_full(u)) {
        enum items_state state = ITEMS_END;
        if (!take_item(u, &state, err))
            return false;
        if (state == ITEMS_END)
            u->at_end = true;
        if (state != ITEMS_WANTED)
            continue;
        if (!is_readable(items_fd(u->items)))
            return true;
        if (!items_fill(u->items, err))
            return false;
    }
    return true;
}

/* {"items":[…]} with the members of the batch when there is none yet. */
static void put_body(const struct upload *u, struct buf *body)
{
    buf_putc(body, '{');
    if (u->batch[0] == '\0') {
        buf_append(body, u->members.ptr, u->members.len);
        buf_printf(body, ",\"open\":%s,", u->at_end && !u->leaves_open ? "false" : "true");
    }
    buf_puts(body, "\"items\":[");
    if (u->chunk.len > 0)
        buf_append(body, u->chunk.ptr, u->chunk.len - 1);
    buf_puts(body, "]}");
}

static bool send_chunk(struct upload *u, struct err *err)
{
    struct buf AUTO_BUF body;
    struct reply AUTO_REPLY reply = {0};
    struct json_batch batch;
    char key[KEY_SIZE], path[96] = "/v1/batches";
    submit_make_key(key);
    buf_init(&body, 2 * MEMORY);
    put_body(u, &body);
    if (u->batch[0] != '\0')
        (void)snprintf(path, sizeof(path), "/v1/batches/%s/jobs", u->batch);
    struct call call = {
        .method = "POST", .path = path, .body = buf_slice(&body), .key = key, .harmless = true};
    if (!client_ask(u->cli->client, &call, &reply, err)) {
        u->refused = u->batch[0] != '\0' && err->code == ERR_STATE_CONFLICT;
        return u->refused;
    }
    if (!json_read_batch(buf_slice(&reply.body), &batch, err))
        return false;
    memcpy(u->batch, batch.id, sizeof(u->batch));
    u->sent += u->n;
    buf_clear(&u->chunk);
    u->n = 0;
    return true;
}

/* Closes the batch, unless the request that made it did. */
static bool finish(struct upload *u, bool closed, struct err *err)
{
    u->over = true;
    if (closed || u->leaves_open || u->refused || u->batch[0] == '\0')
        return true;
    if (ask_batch_close(u->cli, u->batch, err))
        return true;
    return err->code == ERR_STATE_CONFLICT && client_interrupted(u->cli->client) == 0;
}

bool upload_step(struct upload *u, bool *ret_wants, struct err *err)
{
    bool closed = false;
    *ret_wants = false;
    if (u->over)
        return true;
    if (!gather(u, err))
        return false;
    if (u->n > 0) {
        closed = u->batch[0] == '\0' && u->at_end;
        if (!send_chunk(u, err))
            return false;
    }
    if (u->at_end || u->refused)
        return finish(u, closed, err);
    *ret_wants = true;
    return true;
}
