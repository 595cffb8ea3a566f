/* SPDX-License-Identifier: MIT */
#include "cli/upload.h"

#include <poll.h>

#include "cli/args.h"
#include "cli/batch.h"
#include "cli/output.h"
#include "cli/submit.h"

#define AGAIN_NS UINT64_C(200000000) /* between two tries at a full queue */
#define TURN_MS 100
#define CHUNK_BYTES                                                              \
    ((size_t)480 << 10) /* half of what the service takes as one body by default \
                         */
#define MEMORY ((size_t)64 << 20)

void upload_init(struct upload *u, struct cli *cli, struct items *items)
{
    *u = (struct upload){.cli = cli, .items = items, .most = UPLOAD_CHUNK_ITEMS};
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
    u->ends[u->n++] = u->chunk.len;
    return true;
}

static bool is_full(const struct upload *u)
{
    return u->n >= UPLOAD_CHUNK_ITEMS || u->chunk.len >= CHUNK_BYTES;
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

/* {"items":[…]} of the first n, with the members of the batch when there is none yet. */
static void put_body(const struct upload *u, uint32_t n, struct buf *body)
{
    buf_putc(body, '{');
    if (u->batch[0] == '\0') {
        bool is_all = u->at_end && n == u->n && !u->leaves_open;
        buf_append(body, u->members.ptr, u->members.len);
        buf_printf(body, ",\"open\":%s,", is_all ? "false" : "true");
    }
    buf_puts(body, "\"items\":[");
    buf_append(body, u->chunk.ptr, u->ends[n - 1] - 1);
    buf_puts(body, "]}");
}

/* The first n items are with the service. */
static void drop_sent(struct upload *u, uint32_t n)
{
    size_t bytes = u->ends[n - 1];
    memmove(u->chunk.ptr, u->chunk.ptr + bytes, u->chunk.len - bytes);
    u->chunk.len -= bytes;
    for (uint32_t i = n; i < u->n; i++)
        u->ends[i - n] = u->ends[i] - bytes;
    u->n -= n;
    u->sent += n;
    u->most = MIN(u->most * 2, UPLOAD_CHUNK_ITEMS);
}

/* Why the service did not take n items: a full queue is waited for, fewer fit perhaps. */
static bool note_refusal(struct upload *u, uint32_t n, const struct err *err)
{
    if (err->code != ERR_QUEUE_LIMIT) {
        u->refused = u->batch[0] != '\0' && err->code == ERR_STATE_CONFLICT;
        return u->refused;
    }
    if (!u->was_full)
        output_note(u->cli->out, "%s; the items wait until it has room", err->detail);
    u->was_full = true;
    u->most = MAX(n / 2, 1u);
    u->again_ns = n > 1 ? 0 : clock_mono_ns() + AGAIN_NS;
    return true;
}

static bool send_some(struct upload *u, struct err *err)
{
    struct buf AUTO_BUF body;
    struct reply AUTO_REPLY reply = {0};
    struct json_batch batch;
    char key[KEY_SIZE], path[96] = "/v1/batches";
    uint32_t n = MIN(u->n, u->most);
    submit_make_key(key);
    buf_init(&body, 2 * MEMORY);
    put_body(u, n, &body);
    if (u->batch[0] != '\0')
        (void)snprintf(path, sizeof(path), "/v1/batches/%s/jobs", u->batch);
    struct call call = {.method = "POST",
                        .path = path,
                        .body = buf_slice(&body),
                        .key = key,
                        .harmless = true,
                        .takes_429 = true};
    u->again_ns = 0;
    if (!client_ask(u->cli->client, &call, &reply, err))
        return note_refusal(u, n, err);
    if (!json_read_batch(buf_slice(&reply.body), &batch, err))
        return false;
    u->closed = u->batch[0] == '\0' && n == u->n && u->at_end;
    memcpy(u->batch, batch.id, sizeof(u->batch));
    drop_sent(u, n);
    return true;
}

/* Closes the batch, unless the request that made it did. */
static bool finish(struct upload *u, struct err *err)
{
    u->over = true;
    if (u->closed || u->leaves_open || u->refused || u->batch[0] == '\0')
        return true;
    if (ask_batch_close(u->cli, u->batch, err))
        return true;
    return err->code == ERR_STATE_CONFLICT && client_interrupted(u->cli->client) == 0;
}

bool upload_step(struct upload *u, enum upload_state *ret, struct err *err)
{
    *ret = UPLOAD_SENDS;
    if (u->over)
        return true;
    if (!gather(u, err))
        return false;
    if (u->n > 0 && clock_mono_ns() >= u->again_ns && !send_some(u, err))
        return false;
    if ((u->at_end && u->n == 0) || u->refused)
        return finish(u, err);
    *ret = u->again_ns != 0 ? UPLOAD_WAITS : u->n == 0 ? UPLOAD_WANTS : UPLOAD_SENDS;
    return true;
}

bool upload_turn(struct upload *u, enum upload_state state, struct err *err)
{
    struct client *client = u->cli->client;
    if (state == UPLOAD_SENDS)
        return true;
    client_watch_fd(client, state == UPLOAD_WANTS ? items_fd(u->items) : -1);
    bool ok = client_turn(client, TURN_MS, err);
    client_watch_fd(client, -1);
    return ok;
}
