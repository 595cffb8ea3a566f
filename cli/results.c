/* SPDX-License-Identifier: MIT */
#include "cli/results.h"

#include "cli/json.h"
#include "cli/sse.h"

#define HIGH_WATER ((size_t)1 << 20)
#define LOW_WATER ((size_t)256 << 10)
#define EVENT_MAX ((size_t)256 << 20) /* an output of 10 MiB, escaped, and more where asked for */
#define PAUSE_US INT64_C(200000)

struct results {
    struct cli *cli;
    char *path;
    struct transfer *transfer;
    struct sse sse;
    char last_id[32];   /* of the newest event that has come, or "" */
    struct buf waiting; /* each: its length as size_t, then its bytes; the first `taken` are taken
                         */
    size_t taken;
    struct buf current; /* what results_take gave out */
    bool ended, came;   /* the last event has come; something has come on this connection */
    struct err err;     /* why it cannot go on */
};

static size_t waiting_bytes(const struct results *r)
{
    return r->waiting.len - r->taken;
}

static bool on_event(void *owner, const struct sse_event *event)
{
    struct results *r = owner;
    r->came = true;
    if (slice_is(event->type, "end")) {
        r->ended = true;
        return true;
    }
    if (!slice_is(event->type, "result") || event->id.len >= sizeof(r->last_id))
        return true; /* a kind of a later version */
    buf_append(&r->waiting, &event->data.len, sizeof(event->data.len));
    buf_append(&r->waiting, event->data.ptr, event->data.len);
    if (!buf_ok(&r->waiting))
        return err_set(&r->err, ERR_INTERNAL, "a result is too large");
    (void)snprintf(r->last_id, sizeof(r->last_id), "%.*s", (int)event->id.len, event->id.ptr);
    return true;
}

static bool on_bytes(void *owner, struct slice bytes)
{
    struct results *r = owner;
    if (!sse_feed(&r->sse, bytes)) {
        if (r->err.code == ERR_NONE) /* without a reason this would pass for a broken connection */
            (void)err_set(&r->err, ERR_INTERNAL, "the server's event is too large");
        return false;
    }
    if (waiting_bytes(r) > HIGH_WATER)
        transfer_hold(r->transfer, true);
    return true;
}

struct results *results_open(struct cli *cli, const struct results_wish *wish)
{
    struct results *r = must_alloc(sizeof(*r));
    *r = (struct results){.cli = cli, .path = strdup(wish->path)};
    PRE(r->path != NULL);
    if (wish->after > 0)
        (void)snprintf(r->last_id, sizeof(r->last_id), "%lld", (long long)wish->after);
    sse_init(&r->sse, EVENT_MAX, on_event, r);
    buf_init(&r->waiting, 2 * EVENT_MAX);
    buf_init(&r->current, EVENT_MAX);
    return r;
}

void results_close(struct results *r)
{
    if (r == NULL)
        return;
    transfer_free(r->transfer);
    sse_release(&r->sse);
    buf_release(&r->waiting);
    buf_release(&r->current);
    free(r->path);
    free(r);
}

bool results_ended(const struct results *r)
{
    return r->ended && waiting_bytes(r) == 0;
}

bool results_take(struct results *r, struct slice *ret, struct err *err)
{
    *ret = (struct slice){0};
    if (r->transfer != NULL && waiting_bytes(r) < LOW_WATER)
        transfer_hold(r->transfer, false);
    if (waiting_bytes(r) == 0) {
        buf_clear(&r->waiting);
        r->taken = 0;
        return true;
    }
    size_t len = 0;
    const char *at = r->waiting.ptr + r->taken;
    memcpy(&len, at, sizeof(len));
    buf_clear(&r->current);
    buf_append(&r->current, at + sizeof(len), len);
    r->taken += sizeof(len) + len;
    if (r->taken > HIGH_WATER) {
        memmove(r->waiting.ptr, r->waiting.ptr + r->taken, waiting_bytes(r));
        r->waiting.len -= r->taken;
        r->taken = 0;
    }
    PRE(buf_ok(&r->current));
    *ret = buf_slice(&r->current);
    return json_check(*ret, err);
}

static bool connect_again(struct results *r, struct err *err)
{
    struct call call = {
        .method = "GET",
        .path = r->path,
        .accept = "text/event-stream",
        .last_event_id = r->last_id,
        .has_beat = true,
        .on_bytes = on_bytes,
        .owner = r,
    };
    sse_restart(&r->sse);
    r->came = false;
    return transfer_start(r->cli->client, &call, &r->transfer, err);
}

/* After a connection that did not bring the end: asks for the service, which waits while it is
 * away, and gives up after a minute of that. */
static bool look(struct results *r, bool refused, struct err *err)
{
    struct reply AUTO_REPLY reply = {0};
    struct call call = {.method = "GET", .path = "/v1/version", .harmless = true};
    if ((refused || !r->came) && !client_pause(r->cli->client, PAUSE_US, err))
        return false;
    return client_ask(r->cli->client, &call, &reply, err);
}

/* What an ended connection says. */
static bool judge(struct results *r, bool *ret_refused, struct err *err)
{
    if (r->err.code != ERR_NONE) {
        *err = r->err;
        return false;
    }
    if (!transfer_is_whole(r->transfer))
        return true;
    const struct reply *reply = transfer_reply(r->transfer);
    *ret_refused = reply->status == 429 || reply->status == 503;
    if (reply->status == 204) /* nothing more will ever come */
        r->ended = true;
    return reply->status == 200 || reply->status == 204 || *ret_refused || reply_refuse(reply, err);
}

bool results_turn(struct results *r, int timeout_ms, struct err *err)
{
    if (r->transfer == NULL && !r->ended && !connect_again(r, err))
        return false;
    if (!client_turn(r->cli->client, timeout_ms, err))
        return false;
    if (r->transfer == NULL || !transfer_is_over(r->transfer))
        return true;
    bool refused = false;
    bool ok = judge(r, &refused, err);
    transfer_free(r->transfer);
    r->transfer = NULL;
    return ok && (r->ended || look(r, refused, err));
}
