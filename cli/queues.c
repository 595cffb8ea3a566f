/* SPDX-License-Identifier: MIT */
/* ganger queue ls, show, set, pause, resume, purge, rm. */
#include "cli/args.h"
#include "cli/cell.h"
#include "cli/commands.h"
#include "cli/facts.h"
#include "cli/outcome.h"
#include "cli/output.h"

enum { NAME_WIDTH = 20, NUMBER_WIDTH = 8, LIMIT_WIDTH = 11 };

static void put_head(struct buf *out)
{
    buf_printf(out, "%-*s %-*s %-*s %-*s %-*s %s\n", NAME_WIDTH, "NAME", NUMBER_WIDTH, "WAITING",
               NUMBER_WIDTH, "RUNNING", LIMIT_WIDTH, "CONCURRENCY", LIMIT_WIDTH, "RATE", "STATE");
}

static void put_row(struct buf *out, struct slice queue, struct arena *a)
{
    const char *rate = json_text_at(queue, "rate", a);
    int64_t limit = json_i64_at(queue, "concurrency", -1);
    cell_put_column(out, json_text_at(queue, "name", a), NAME_WIDTH);
    cell_put_number(out, json_i64_at(queue, "depth", 0), NUMBER_WIDTH);
    cell_put_number(out, json_i64_at(queue, "jobs.running", 0), NUMBER_WIDTH);
    cell_put_number(out, limit > 0 ? limit : -1, LIMIT_WIDTH);
    cell_put_column(out, rate[0] == '\0' ? "-" : rate, LIMIT_WIDTH);
    buf_puts(out, json_is_true(json_at(queue, "paused")) ? "paused\n" : "open\n");
}

int command_queue_ls(struct cli *cli)
{
    static const struct facts_table table = {
        .path = "/v1/queues", .put_head = put_head, .put_row = put_row};
    return facts_list(cli, &table);
}

/* Names are tokens, which need no escapes in a path. */
static void queue_path(char out[128], const char *name, const char *verb)
{
    (void)snprintf(out, 128, "/v1/queues/%s%s", name, verb);
}

static bool show_one(struct cli *cli, const char *name, struct err *err)
{
    char path[128];
    queue_path(path, name, "");
    struct call call = {.method = "GET", .path = path, .harmless = true};
    return facts_show(cli, &call, err);
}

int command_queue_show(struct cli *cli)
{
    return facts_each(cli, show_one);
}

/* A limit of 0 is none. */
static void put_limit(struct buf *body, const struct args *args, enum option_id id,
                      const char *member)
{
    if (!args_has(args, id))
        return;
    int64_t limit = args_integer(args, id, 0);
    buf_printf(body, "%s\"%s\":", body->len > 1 ? "," : "", member);
    if (limit == 0)
        buf_puts(body, "null");
    else
        buf_put_i64(body, limit);
}

static void put_settings(struct buf *body, const struct args *args)
{
    buf_putc(body, '{');
    put_limit(body, args, OPT_CONCURRENCY, "concurrency");
    put_limit(body, args, OPT_MAX_LENGTH, "max_length");
    put_limit(body, args, OPT_WEIGHT, "weight");
    const char *rate = args->value[OPT_RATE], *defaults = args->value[OPT_DEFAULTS];
    if (rate != NULL) {
        buf_puts(body, body->len > 1 ? ",\"rate\":" : "\"rate\":");
        if (strcmp(rate, "none") == 0)
            buf_puts(body, "null");
        else
            buf_json_string(body, slice_of(rate));
    }
    if (defaults != NULL)
        buf_printf(body, "%s\"defaults\":%s", body->len > 1 ? "," : "", defaults);
    buf_putc(body, '}');
}

/* Changes what the body names. A queue that nobody has used yet is made. */
static bool change(struct cli *cli, const char *name, struct slice body, struct err *err)
{
    char path[128];
    queue_path(path, name, "");
    struct call call = {.method = "PATCH", .path = path, .body = body, .harmless = true};
    for (;;) {
        struct reply AUTO_REPLY reply = {0};
        bool shows = args_has(cli->args, OPT_JSON);
        if (shows ? facts_show(cli, &call, err) : facts_ask(cli, &call, &reply, err))
            return true;
        if (err->code != ERR_NOT_FOUND || strcmp(call.method, "PUT") == 0)
            return false;
        call.method = "PUT";
    }
}

static bool set_one(struct cli *cli, const char *name, struct err *err)
{
    struct buf AUTO_BUF body;
    buf_init(&body, 65536);
    put_settings(&body, cli->args);
    return change(cli, name, buf_slice(&body), err);
}

int command_queue_set(struct cli *cli)
{
    return facts_each(cli, set_one);
}

/* POST …/pause and the like: repeating them is harmless. */
static bool tell(struct cli *cli, const char *name, const char *verb, struct err *err)
{
    char path[128];
    struct reply AUTO_REPLY reply = {0};
    queue_path(path, name, verb);
    struct call call = {.method = "POST", .path = path, .harmless = true};
    if (args_has(cli->args, OPT_JSON))
        return facts_show(cli, &call, err);
    return client_ask(cli->client, &call, &reply, err);
}

static bool pause_one(struct cli *cli, const char *name, struct err *err)
{
    return change(cli, name, SLICE_LIT("{\"paused\":true}"), err);
}

static bool resume_one(struct cli *cli, const char *name, struct err *err)
{
    return tell(cli, name, "/resume", err);
}

int command_queue_pause(struct cli *cli)
{
    return facts_each(cli, pause_one);
}

int command_queue_resume(struct cli *cli)
{
    return facts_each(cli, resume_one);
}

static bool purge_one(struct cli *cli, const char *name, struct err *err)
{
    if (!args_has(cli->args, OPT_YES) &&
        !output_confirm(cli->out, "cancel all waiting jobs of queue %s?", name))
        return err_set(err, ERR_INVALID, "nothing is cancelled without --yes");
    return tell(cli, name, "/purge", err);
}

int command_queue_purge(struct cli *cli)
{
    return facts_each(cli, purge_one);
}

static bool forget_one(struct cli *cli, const char *name, struct err *err)
{
    char path[128];
    struct reply AUTO_REPLY reply = {0};
    if (!args_has(cli->args, OPT_YES) &&
        !output_confirm(cli->out, "forget the limits of queue %s?", name))
        return err_set(err, ERR_INVALID, "nothing is forgotten without --yes");
    queue_path(path, name, "");
    struct call call = {.method = "DELETE", .path = path};
    return client_ask(cli->client, &call, &reply, err);
}

int command_queue_rm(struct cli *cli)
{
    return facts_each(cli, forget_one);
}
