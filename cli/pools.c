/* SPDX-License-Identifier: MIT */
/* ganger pool ls, show, new, set, close, reopen, terminate, join, rm; workers; worker terminate. */
#include "cli/args.h"
#include "cli/cell.h"
#include "cli/commands.h"
#include "cli/facts.h"
#include "cli/outcome.h"
#include "cli/output.h"
#include "cli/query.h"

#include <inttypes.h>

enum {
    NAME_WIDTH = 12,
    POOL_WIDTH = 12,
    PID_WIDTH = 9,
    STATE_WIDTH = 7,
    DONE_WIDTH = 9,
    RSS_WIDTH = 10
};

static int end(struct cli *cli, bool ok, const struct err *err)
{
    if (ok)
        return CLI_OK;
    output_error(cli->out, "%s", err->detail);
    return outcome_of_error(cli, err);
}

/* ------------------------------------------------------------------------------------------------
 * the pool */

/* The pool that is named, or the default one; `verb` with its slash, or "". */
struct path {
    char text[128];
};

static struct path path_of(const struct cli *cli, const char *verb)
{
    struct path path;
    const char *name = cli->args->n_operands == 0 ? "default" : cli->args->operands[0];
    (void)snprintf(path.text, sizeof(path.text), "/v1/pools/%s%s", name, verb);
    return path;
}

int command_pool_show(struct cli *cli)
{
    struct err err = {0};
    const struct path path = path_of(cli, "");
    struct call call = {.method = "GET", .path = path.text, .harmless = true};
    return end(cli, facts_show(cli, &call, &err), &err);
}

/* Asking twice is harmless: it says what the pool shall be. */
static bool tell(struct cli *cli, struct call *call, struct err *err)
{
    struct reply AUTO_REPLY reply = {0};
    call->harmless = true;
    if (args_has(cli->args, OPT_JSON))
        return facts_show(cli, call, err);
    return facts_ask(cli, call, &reply, err);
}

static void put_name(struct buf *body, const char *member)
{
    buf_printf(body, "%s\"%s\":", body->len > 1 ? "," : "", member);
}

static void put_count(struct buf *body, const struct args *args, enum option_id id,
                      const char *member)
{
    if (!args_has(args, id))
        return;
    int64_t n = args_integer(args, id, 0);
    put_name(body, member);
    if (n == 0 && id == OPT_MAX_JOBS)
        buf_puts(body, "null");
    else
        buf_put_i64(body, n);
}

static void put_text(struct buf *body, const struct args *args, enum option_id id,
                     const char *member)
{
    if (!args_has(args, id))
        return;
    put_name(body, member);
    if (strcmp(args->value[id], "none") == 0 || strcmp(args->value[id], "0") == 0)
        buf_puts(body, "null");
    else
        buf_json_string(body, slice_of(args->value[id]));
}

static void put_settings(struct buf *body, const struct args *args)
{
    put_count(body, args, OPT_SIZE, "size");
    put_count(body, args, OPT_MIN, "min");
    put_text(body, args, OPT_IDLE, "idle");
    put_count(body, args, OPT_MAX_JOBS, "max_jobs_per_worker");
    put_text(body, args, OPT_MAX_RSS, "max_rss");
    put_text(body, args, OPT_ON_WORKER_DEATH, "on_worker_death");
    put_text(body, args, OPT_ISOLATION, "isolation");
}

int command_pool_set(struct cli *cli)
{
    struct buf AUTO_BUF body;
    struct err err = {0};
    const struct path path = path_of(cli, "");
    buf_init(&body, 4096);
    buf_putc(&body, '{');
    put_settings(&body, cli->args);
    buf_putc(&body, '}');
    struct call call = {.method = "PATCH", .path = path.text, .body = buf_slice(&body)};
    return end(cli, tell(cli, &call, &err), &err);
}

/* Words, as a JSON array of strings. */
static void put_words(struct buf *body, const char *text, const char *separators)
{
    const char *comma = "";
    buf_putc(body, '[');
    for (text += strspn(text, separators); *text != '\0'; text += strspn(text, separators)) {
        const size_t len = strcspn(text, separators);
        buf_puts(body, comma);
        buf_json_string(body, (struct slice){text, len});
        text += len;
        comma = ",";
    }
    buf_putc(body, ']');
}

static bool is_part_without_runner(const struct args *args)
{
    return !args_has(args, OPT_RUNNER) &&
           (args_has(args, OPT_PRELOAD) || args_has(args, OPT_INITIALIZER) ||
            args_has(args, OPT_CODEC));
}

static void put_runner(struct buf *body, const struct args *args)
{
    const char *command = args->value[OPT_RUNNER];
    if (!args_has(args, OPT_RUNNER))
        return;
    buf_puts(body, ",\"runner\":{\"command\":");
    if (command[0] == '[')
        buf_puts(body, command);
    else
        put_words(body, command, " ");
    if (args_has(args, OPT_PRELOAD)) {
        buf_puts(body, ",\"preload\":");
        put_words(body, args->value[OPT_PRELOAD], ", ");
    }
    put_text(body, args, OPT_INITIALIZER, "initializer");
    put_text(body, args, OPT_CODEC, "codec");
    buf_putc(body, '}');
}

int command_pool_new(struct cli *cli)
{
    struct buf AUTO_BUF body;
    struct err err = {0};
    struct reply AUTO_REPLY reply = {0};
    buf_init(&body, 16384);
    if (is_part_without_runner(cli->args)) {
        output_error(cli->out, "--preload, --initializer and --codec belong to --runner");
        return CLI_USAGE;
    }
    buf_puts(&body, "{\"name\":");
    buf_json_string(&body, slice_of(cli->args->operands[0]));
    put_settings(&body, cli->args);
    put_runner(&body, cli->args);
    buf_putc(&body, '}');
    struct call call = {.method = "POST", .path = "/v1/pools", .body = buf_slice(&body)};
    if (args_has(cli->args, OPT_JSON))
        return end(cli, facts_show(cli, &call, &err), &err);
    return end(cli, facts_ask(cli, &call, &reply, &err), &err);
}

int command_pool_rm(struct cli *cli)
{
    struct err err = {0};
    struct reply AUTO_REPLY reply = {0};
    const struct path path = path_of(cli, "");
    struct call call = {.method = "DELETE", .path = path.text};
    return end(cli, client_ask(cli->client, &call, &reply, &err), &err);
}

int command_pool_close(struct cli *cli)
{
    struct err err = {0};
    const struct path path = path_of(cli, "/close");
    struct call call = {.method = "POST", .path = path.text};
    if (args_has(cli->args, OPT_CANCEL_QUEUED))
        call.body = SLICE_LIT("{\"cancel_queued\":true}");
    return end(cli, tell(cli, &call, &err), &err);
}

int command_pool_reopen(struct cli *cli)
{
    struct err err = {0};
    const struct path path = path_of(cli, "/reopen");
    struct call call = {.method = "POST", .path = path.text};
    return end(cli, tell(cli, &call, &err), &err);
}

/* {"signal":…,"grace":…} of those that are given. */
static void put_stop(struct buf *body, const struct args *args)
{
    buf_putc(body, '{');
    if (args_has(args, OPT_SIGNAL)) {
        put_name(body, "signal");
        buf_json_string(body, slice_of(args->value[OPT_SIGNAL]));
    }
    if (args_has(args, OPT_GRACE)) {
        put_name(body, "grace");
        buf_json_seconds_us(body, args_duration_us(args, OPT_GRACE, 0));
    }
    buf_putc(body, '}');
}

int command_pool_terminate(struct cli *cli)
{
    struct buf AUTO_BUF body;
    struct err err = {0};
    buf_init(&body, 4096);
    if (!args_has(cli->args, OPT_YES) &&
        !output_confirm(cli->out, "stop and cancel every job of the pool?")) {
        output_error(cli->out, "nothing is stopped without --yes");
        return CLI_FAILED;
    }
    put_stop(&body, cli->args);
    const struct path path = path_of(cli, "/terminate");
    struct call call = {.method = "POST", .path = path.text, .body = buf_slice(&body)};
    return end(cli, tell(cli, &call, &err), &err);
}

int command_pool_join(struct cli *cli)
{
    struct err err = {0};
    const uint64_t deadline_ns = args_deadline_ns(cli->args);
    const struct path path = path_of(cli, "/join");
    for (;;) {
        struct reply AUTO_REPLY reply = {0};
        struct call call = {.method = "GET",
                            .path = path.text,
                            .wait_s = client_wait_left(deadline_ns),
                            .harmless = true};
        if (!facts_ask(cli, &call, &reply, &err))
            return end(cli, false, &err);
        if (reply.status == 200)
            return CLI_OK;
        if (client_wait_left(deadline_ns) == 0)
            return CLI_TIMEOUT;
    }
}

static void put_pool_head(struct buf *out)
{
    buf_printf(out, "%-*s %-*s %-*s %-*s %-*s %s\n", NAME_WIDTH, "NAME", STATE_WIDTH + 4, "STATE",
               DONE_WIDTH, "SIZE", DONE_WIDTH, "BUSY", DONE_WIDTH, "IDLE", "WAITING");
}

static void put_pool_row(struct buf *out, struct slice pool, struct arena *a)
{
    cell_put_column(out, json_text_at(pool, "name", a), NAME_WIDTH);
    cell_put_column(out, json_text_at(pool, "state", a), STATE_WIDTH + 4);
    cell_put_number(out, json_i64_at(pool, "size", 0), DONE_WIDTH);
    cell_put_number(out, json_i64_at(pool, "busy", 0), DONE_WIDTH);
    cell_put_number(out, json_i64_at(pool, "idle", 0), DONE_WIDTH);
    buf_printf(out, "%" PRId64 "\n", json_i64_at(pool, "queued", 0));
}

int command_pool_ls(struct cli *cli)
{
    static const struct facts_table table = {
        .path = "/v1/pools", .put_head = put_pool_head, .put_row = put_pool_row};
    return facts_list(cli, &table);
}

/* ------------------------------------------------------------------------------------------------
 * workers */

static void put_head(struct buf *out)
{
    buf_printf(out, "%-*s %-*s %-*s %-*s %-*s %-*s %s\n", NAME_WIDTH, "NAME", POOL_WIDTH, "POOL",
               PID_WIDTH, "PID", STATE_WIDTH, "STATE", DONE_WIDTH, "DONE", RSS_WIDTH, "RSS", "JOB");
}

static void put_row(struct buf *out, struct slice worker, struct arena *a)
{
    const char *job = json_text_at(worker, "job", a);
    const bool is_alive = json_is_true(json_at(worker, "alive"));
    cell_put_column(out, json_text_at(worker, "name", a), NAME_WIDTH);
    cell_put_column(out, json_text_at(worker, "pool", a), POOL_WIDTH);
    cell_put_number(out, json_i64_at(worker, "pid", -1), PID_WIDTH);
    cell_put_column(out, !is_alive ? "starts" : job[0] != '\0' ? "busy" : "idle", STATE_WIDTH);
    cell_put_number(out, json_i64_at(worker, "jobs_done", 0), DONE_WIDTH);
    cell_put_size(out, json_i64_at(worker, "rss", -1), RSS_WIDTH);
    buf_printf(out, "%s\n", job[0] == '\0' ? "-" : job);
}

int command_workers(struct cli *cli)
{
    struct buf AUTO_BUF path;
    buf_init(&path, 1024);
    buf_puts(&path, "/v1/workers");
    if (args_has(cli->args, OPT_POOL))
        query_put(&path, "pool", slice_of(cli->args->value[OPT_POOL]));
    AUTO_FREE char *text = buf_steal(&path);
    if (text == NULL) {
        output_error(cli->out, "the value of --pool is too long");
        return CLI_USAGE;
    }
    const struct facts_table table = {.path = text, .put_head = put_head, .put_row = put_row};
    return facts_list(cli, &table);
}

static bool terminate_one(struct cli *cli, const char *name, struct err *err)
{
    char path[128];
    struct buf AUTO_BUF body;
    struct reply AUTO_REPLY reply = {0};
    buf_init(&body, 4096);
    put_stop(&body, cli->args);
    (void)snprintf(path, sizeof(path), "/v1/workers/%s/terminate", name);
    struct call call = {.method = "POST", .path = path, .body = buf_slice(&body)};
    if (args_has(cli->args, OPT_JSON))
        return facts_show(cli, &call, err);
    return facts_ask(cli, &call, &reply, err);
}

int command_worker_terminate(struct cli *cli)
{
    return facts_each(cli, terminate_one);
}
