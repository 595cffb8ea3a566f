/* SPDX-License-Identifier: MIT */
/* ganger events: the sequence of all changes, one line each. */
#include "cli/args.h"
#include "cli/cell.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/outcome.h"
#include "cli/output.h"
#include "cli/query.h"
#include "cli/sse.h"

#define TURN_MS 100
#define PAUSE_US INT64_C(300000)
#define EVENT_MAX ((size_t)16 << 20)

struct events {
    struct cli *cli;
    char *path;
    struct sse sse;
    struct transfer *transfer;
    char last_id[64];
    bool came;
    struct err err; /* why it cannot go on */
};

enum { TYPE_WIDTH = 16, ID_WIDTH = 36 };

/* "<sequence> <event> <id> <state> <queue> <name>", as far as there is any of it. */
static void put_line(struct buf *out, const struct sse_event *event, struct arena *a)
{
    struct slice data = event->data;
    struct slice job = json_at(data, "job");
    if (job.ptr == NULL || json_type_of(job) != JSON_OBJECT)
        job = data;
    cell_put(out, event->id, 0);
    buf_putc(out, ' ');
    cell_put(out, event->type.ptr == NULL ? SLICE_LIT("message") : event->type, TYPE_WIDTH);
    buf_putc(out, ' ');
    cell_put(out, slice_of(json_text_at(job, "id", a)), ID_WIDTH);
    static const char *const members[] = {"state", "reason", "queue", "name"};
    for (size_t i = 0; i < ARRAY_LEN(members); i++) {
        const char *text = json_text_at(job, members[i], a);
        if (text[0] == '\0')
            continue;
        buf_putc(out, ' ');
        cell_put(out, slice_of(text), 0);
    }
    buf_putc(out, '\n');
}

static bool print_event(struct events *e, const struct sse_event *event)
{
    struct arena AUTO_ARENA arena;
    struct buf AUTO_BUF line;
    arena_init(&arena, EVENT_MAX);
    buf_init(&line, EVENT_MAX);
    if (!json_check(event->data, &e->err))
        return false;
    if (args_has(e->cli->args, OPT_JSON))
        return output_json(json_trim(event->data)) ||
               err_sys(&e->err, ERR_INTERNAL, "cannot write the output");
    put_line(&line, event, &arena);
    return output_text(buf_slice(&line)) ||
           err_sys(&e->err, ERR_INTERNAL, "cannot write the output");
}

static bool on_event(void *owner, const struct sse_event *event)
{
    struct events *e = owner;
    e->came = true;
    if (event->id.len > 0 && event->id.len < sizeof(e->last_id))
        (void)snprintf(e->last_id, sizeof(e->last_id), "%.*s", (int)event->id.len, event->id.ptr);
    if (slice_is(event->type, "gap"))
        output_note(e->cli->out, "some events are gone: they are older than what is kept");
    return print_event(e, event);
}

static bool on_bytes(void *owner, struct slice bytes)
{
    struct events *e = owner;
    if (sse_feed(&e->sse, bytes))
        return true;
    if (e->err.code == ERR_NONE)
        (void)err_set(&e->err, ERR_INTERNAL, "the server's event is too large");
    return false;
}

/* One connection until it ends; asks for the service afterwards, which waits while it is away. */
static bool events_pass(struct events *e, struct err *err)
{
    struct reply AUTO_REPLY reply = {0};
    struct call call = {.method = "GET",
                        .path = e->path,
                        .accept = "text/event-stream",
                        .last_event_id = e->last_id,
                        .has_beat = true,
                        .on_bytes = on_bytes,
                        .owner = e};
    struct call look = {.method = "GET", .path = "/v1/version", .harmless = true};
    sse_restart(&e->sse);
    e->came = false;
    bool ok = transfer_start(e->cli->client, &call, &e->transfer, err);
    while (ok && !transfer_is_over(e->transfer))
        ok = client_turn(e->cli->client, TURN_MS, err);
    if (ok && e->err.code != ERR_NONE) {
        *err = e->err;
        ok = false;
    }
    int status = ok && transfer_is_whole(e->transfer) ? transfer_reply(e->transfer)->status : 0;
    bool asks_again = status == 0 || status == 200 || status == 429 || status == 503;
    if (ok && !asks_again)
        ok = reply_refuse(transfer_reply(e->transfer), err);
    transfer_free(e->transfer);
    e->transfer = NULL;
    return ok && (e->came || client_pause(e->cli->client, PAUSE_US, err)) &&
           client_ask(e->cli->client, &look, &reply, err);
}

int command_events(struct cli *cli)
{
    struct err err = {0};
    struct events e = {.cli = cli};
    struct buf AUTO_BUF path;
    buf_init(&path, 8192);
    buf_puts(&path, "/v1/events");
    query_put_filter(&path, cli->args);
    e.path = buf_steal(&path);
    if (e.path == NULL) {
        output_error(cli->out, "the filters are too long");
        return CLI_USAGE;
    }
    if (args_has(cli->args, OPT_AFTER))
        (void)snprintf(e.last_id, sizeof(e.last_id), "%s", cli->args->value[OPT_AFTER]);
    sse_init(&e.sse, EVENT_MAX, on_event, &e);
    bool ok = client_catch_signals(cli->client, &err);
    while (ok)
        ok = events_pass(&e, &err);
    sse_release(&e.sse);
    free(e.path);
    if (client_interrupted(cli->client) == 0)
        output_error(cli->out, "%s", err.detail);
    return outcome_of_error(cli, &err);
}
