/* SPDX-License-Identifier: MIT */
/* Following reads events rather than bare bytes: the id of each, "<attempt>.<offset>", says where
 * the next piece begins, so that a new connection goes on exactly there. */
#include "cli/follow.h"

#include <inttypes.h>

#include "cli/output.h"
#include "cli/sse.h"
#include "service/base/base64.h"

#define TURN_MS 100
#define PAUSE_US INT64_C(300000)
#define EVENT_MAX ((size_t)1 << 20) /* pieces are of 32 KiB, escaped at most sixfold */
#define PIECE_MAX ((size_t)1 << 20)

struct stream {
    struct follow *follow;
    const char *name; /* of the route, and of the events with its bytes */
    int fd;           /* -1: not wanted */
    bool cleans;      /* the descriptor is a terminal */
    bool ended;       /* its last event has come */
    bool any;         /* it has brought bytes */
    int64_t attempt;  /* of the newest piece; 0: none yet */
    char id[64];      /* of the newest piece, or "" */
    struct cleaner cleaner;
    struct sse sse;
    struct transfer *transfer;
    struct err err; /* why it cannot go on */
};

struct follow {
    struct watch *watch;
    struct client *client;
    struct output *out;
    struct stream streams[2];
    int64_t attempt; /* the newest one of which there was output */
    bool came;       /* something new in this pass */
};

static bool stream_write(struct stream *s, struct slice bytes)
{
    struct follow *f = s->follow;
    output_progress_end(f->out);
    s->any = s->any || bytes.len > 0;
    if (!s->cleans)
        return client_write(f->client, s->fd, bytes, &s->err);
    struct buf AUTO_BUF clean;
    buf_init(&clean, 3 * PIECE_MAX);
    cleaner_feed(&s->cleaner, bytes, &clean);
    return client_write(f->client, s->fd, buf_slice(&clean), &s->err);
}

/* {"offset":0,"text":"…"} or {"offset":0,"base64":"…"} */
static bool write_piece(struct stream *s, struct slice data)
{
    struct arena AUTO_ARENA arena;
    struct buf AUTO_BUF bytes;
    arena_init(&arena, 2 * PIECE_MAX);
    buf_init(&bytes, PIECE_MAX);
    if (!json_check(data, &s->err))
        return false;
    struct slice text = json_at(data, "text"), base64 = json_at(data, "base64");
    size_t len = 0;
    if (text.ptr != NULL && json_type_of(text) == JSON_STRING) {
        const char *copy = json_string_dup(text, &arena, &len);
        return copy != NULL && stream_write(s, (struct slice){copy, len});
    }
    if (base64.ptr != NULL && json_type_of(base64) == JSON_STRING &&
        base64_read((struct slice){base64.ptr + 1, base64.len - 2}, &bytes))
        return stream_write(s, buf_slice(&bytes));
    return err_set(&s->err, ERR_INTERNAL, "the server's event is not a piece of output");
}

static void note_attempt(struct stream *s, int64_t attempt)
{
    struct follow *f = s->follow;
    s->attempt = attempt;
    if (f->attempt != 0 && attempt > f->attempt)
        output_note(f->out, "attempt %" PRId64 ":", attempt);
    f->attempt = MAX(f->attempt, attempt);
}

static bool on_event(void *owner, const struct sse_event *event)
{
    struct stream *s = owner;
    if (slice_is(event->type, "end")) {
        s->ended = true;
        return true;
    }
    if (!slice_is(event->type, s->name) || event->id.len >= sizeof(s->id))
        return true; /* a kind of a later version */
    int64_t attempt = 0;
    size_t len = 0;
    while (len < event->id.len && event->id.ptr[len] != '.')
        len++;
    if (text_to_i64((struct slice){event->id.ptr, len}, &attempt) && attempt != s->attempt)
        note_attempt(s, attempt);
    if (!write_piece(s, event->data))
        return false;
    (void)snprintf(s->id, sizeof(s->id), "%.*s", (int)event->id.len, event->id.ptr);
    s->follow->came = true;
    return true;
}

static bool on_event_bytes(void *owner, struct slice bytes)
{
    struct stream *s = owner;
    if (sse_feed(&s->sse, bytes))
        return true;
    if (s->err.code == ERR_NONE) /* without a reason this would pass for a broken connection */
        (void)err_set(&s->err, ERR_INTERNAL, "the server's event is too large");
    return false;
}

static bool on_plain_bytes(void *owner, struct slice bytes)
{
    return stream_write(owner, bytes);
}

static bool stream_start(struct stream *s, bool live, struct err *err)
{
    char path[128];
    (void)snprintf(path, sizeof(path), "/v1/jobs/%s/%s%s", s->follow->watch->id, s->name,
                   live ? "?follow=1" : "");
    struct call call = {
        .method = "GET",
        .path = path,
        .accept = live ? "text/event-stream" : "application/octet-stream",
        .last_event_id = live ? s->id : NULL,
        .has_beat = live,
        .on_bytes = live ? on_event_bytes : on_plain_bytes,
        .owner = s,
    };
    sse_restart(&s->sse);
    return transfer_start(s->follow->client, &call, &s->transfer, err);
}

static void streams_stop(struct follow *f)
{
    for (size_t i = 0; i < ARRAY_LEN(f->streams); i++) {
        transfer_free(f->streams[i].transfer);
        f->streams[i].transfer = NULL;
    }
}

static bool streams_are_over(const struct follow *f)
{
    for (size_t i = 0; i < ARRAY_LEN(f->streams); i++) {
        const struct transfer *t = f->streams[i].transfer;
        if (t != NULL && !transfer_is_over(t))
            return false;
    }
    return true;
}

/* What an ended transfer says. A broken connection is no failure here: the caller resumes. */
static bool stream_judge(const struct stream *s, bool *ret_refused, struct err *err)
{
    if (s->err.code != ERR_NONE) {
        *err = s->err;
        return false;
    }
    if (s->transfer == NULL || !transfer_is_whole(s->transfer))
        return true;
    const struct reply *reply = transfer_reply(s->transfer);
    if (reply->status == 200)
        return true;
    *ret_refused = reply->status == 429 || reply->status == 503;
    return *ret_refused || reply_refuse(reply, err);
}

/* One connection for each stream that is wanted and has not ended, until they are over. */
static bool streams_pass(struct follow *f, bool *ret_refused, struct err *err)
{
    bool ok = true;
    f->came = false;
    for (size_t i = 0; ok && i < ARRAY_LEN(f->streams); i++) {
        if (f->streams[i].fd >= 0 && !f->streams[i].ended)
            ok = stream_start(&f->streams[i], true, err);
    }
    while (ok && !streams_are_over(f))
        ok = client_turn(f->client, TURN_MS, err);
    for (size_t i = 0; ok && i < ARRAY_LEN(f->streams); i++)
        ok = stream_judge(&f->streams[i], ret_refused, err);
    streams_stop(f);
    return ok;
}

static bool streams_have_ended(const struct follow *f)
{
    for (size_t i = 0; i < ARRAY_LEN(f->streams); i++) {
        if (f->streams[i].fd >= 0 && !f->streams[i].ended)
            return false;
    }
    return true;
}

static void show_waiting(void *owner, const char *remark)
{
    const struct follow *f = owner;
    watch_tick_remarks(f->out, remark);
    uint64_t seconds = (clock_mono_ns() - f->watch->since_ns) / 1000000000;
    if (seconds > 0 && !f->streams[0].any && !f->streams[1].any)
        output_progress(f->out, "%s: no output yet, %" PRIu64 " s", f->watch->id, seconds);
}

static void follow_init(struct follow *f, struct watch *watch, struct follow_targets targets)
{
    *f = (struct follow){.watch = watch, .client = watch->cli->client, .out = watch->cli->out};
    for (size_t i = 0; i < ARRAY_LEN(f->streams); i++) {
        int fd = targets.fd[i];
        struct stream *s = &f->streams[i];
        *s = (struct stream){
            .follow = f,
            .name = i == 0 ? "stdout" : "stderr",
            .fd = fd,
            .cleans = fd >= 0 && !f->out->raw && isatty(fd) == 1,
        };
        sse_init(&s->sse, EVENT_MAX, on_event, s);
    }
}

static void follow_release(struct follow *f)
{
    streams_stop(f);
    for (size_t i = 0; i < ARRAY_LEN(f->streams); i++)
        sse_release(&f->streams[i].sse);
}

/* After a pass: asks for the job, which waits for a server that is away. */
static bool follow_look(struct follow *f, bool refused, bool *ret_finished, struct err *err)
{
    bool ended = streams_have_ended(f);
    if (!ended && (refused || !f->came) && !client_pause(f->client, PAUSE_US, err))
        return false;
    if (!watch_look(f->watch, err))
        return false;
    *ret_finished = ended && f->watch->job.done;
    for (size_t i = 0; ended && !*ret_finished && i < ARRAY_LEN(f->streams); i++)
        f->streams[i].ended = false; /* somebody has just had it tried again */
    return true;
}

bool follow_job(struct watch *watch, struct follow_targets targets, struct err *err)
{
    struct follow f;
    follow_init(&f, watch, targets);
    client_set_ticker(f.client, show_waiting, &f);
    bool finished = false, ok = true;
    while (ok && !finished) {
        bool refused = false;
        ok = streams_pass(&f, &refused, err) && follow_look(&f, refused, &finished, err);
    }
    client_set_ticker(f.client, watch_tick_remarks, f.out);
    output_progress_end(f.out);
    follow_release(&f);
    return ok;
}

static bool print_one(struct stream *s, struct err *err)
{
    bool refused = false;
    bool ok = stream_start(s, false, err);
    while (ok && !transfer_is_over(s->transfer))
        ok = client_turn(s->follow->client, TURN_MS, err);
    ok = ok && stream_judge(s, &refused, err);
    if (ok && !refused && !transfer_is_whole(s->transfer))
        ok = transfer_explain(s->transfer, err);
    if (ok && refused)
        ok = reply_refuse(transfer_reply(s->transfer), err);
    return ok;
}

bool follow_print(struct watch *watch, struct follow_targets targets, struct err *err)
{
    struct follow f;
    bool ok = true;
    follow_init(&f, watch, targets);
    for (size_t i = 0; ok && i < ARRAY_LEN(f.streams); i++) {
        if (f.streams[i].fd >= 0)
            ok = print_one(&f.streams[i], err);
    }
    follow_release(&f);
    return ok;
}
