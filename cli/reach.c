/* SPDX-License-Identifier: MIT */
/* Jobs while they run: what they are made of, and what can be done to them. */
#include "cli/args.h"
#include "cli/cell.h"
#include "cli/commands.h"
#include "cli/facts.h"
#include "cli/output.h"

#include <inttypes.h>

#define MAX_SHOWN 1000u /* the service sends no more */
enum { PID_WIDTH = 7, STATE_WIDTH = 9, RSS_WIDTH = 10, CPU_WIDTH = 7 };

struct shown {
    int64_t pid;
    uint32_t depth;
};

static void put_numbers(struct buf *out, struct slice process, struct arena *a)
{
    struct buf AUTO_BUF cpu;
    buf_init(&cpu, 64);
    cell_put_duration(&cpu, (int64_t)(json_double_at(process, "cpu", 0) * 1e6));
    buf_printf(out, "%*" PRId64 " %*" PRId64 " ", PID_WIDTH, json_i64_at(process, "pid", 0),
               PID_WIDTH, json_i64_at(process, "ppid", 0));
    cell_put_column(out, json_text_at(process, "state", a), STATE_WIDTH);
    cell_put_size(out, json_i64_at(process, "rss", 0), RSS_WIDTH);
    cell_put(out, buf_slice(&cpu), CPU_WIDTH);
    buf_putc(out, ' ');
}

/* A process without arguments (any more) is shown by its name. */
static void put_command(struct buf *out, struct slice process, struct arena *a)
{
    struct buf AUTO_BUF line;
    struct json_iter it;
    struct slice argv = json_at(process, "argv"), word;
    buf_init(&line, (size_t)1 << 16);
    if (argv.ptr != NULL && json_type_of(argv) == JSON_ARRAY) {
        json_iter_init(&it, argv);
        while (json_next_element(&it, &word)) {
            const char *text = json_string_dup(word, a, NULL);
            buf_puts(&line, line.len == 0 ? "" : " ");
            buf_puts(&line, text == NULL ? "?" : text);
        }
    }
    if (line.len == 0)
        buf_printf(&line, "[%s]", json_text_at(process, "name", a));
    cell_put(out, buf_slice(&line), 0);
    buf_putc(out, '\n');
}

static uint32_t depth_below(const struct shown *all, size_t n, int64_t ppid)
{
    for (size_t i = 0; i < n; i++)
        if (all[i].pid == ppid)
            return all[i].depth + 1;
    return 0;
}

static void put_processes(struct buf *out, struct slice processes, struct arena *a)
{
    struct shown all[MAX_SHOWN];
    struct json_iter it;
    struct slice process;
    size_t n = 0;
    if (processes.ptr == NULL || json_type_of(processes) != JSON_ARRAY)
        return;
    buf_printf(out, "%*s %*s %-*s %-*s %-*s %s\n", PID_WIDTH, "PID", PID_WIDTH, "PPID", STATE_WIDTH,
               "STATE", RSS_WIDTH, "RSS", CPU_WIDTH, "CPU", "COMMAND");
    json_iter_init(&it, processes);
    for (; n < MAX_SHOWN && json_next_element(&it, &process); n++) {
        all[n].pid = json_i64_at(process, "pid", 0);
        all[n].depth = depth_below(all, n, json_i64_at(process, "ppid", 0));
        put_numbers(out, process, a);
        buf_printf(out, "%*s", (int)MIN(all[n].depth, 20U) * 2, "");
        put_command(out, process, a);
    }
}

static bool ps_one(struct cli *cli, const char *id, struct err *err)
{
    char path[96];
    struct arena AUTO_ARENA arena;
    struct buf AUTO_BUF text;
    struct reply AUTO_REPLY reply = {0};
    (void)snprintf(path, sizeof(path), "/v1/jobs/%s/processes", id);
    struct call call = {.method = "GET", .path = path, .harmless = true};
    arena_init(&arena, (size_t)32 << 20);
    buf_init(&text, (size_t)16 << 20);
    if (args_has(cli->args, OPT_JSON))
        return facts_show(cli, &call, err);
    if (!facts_ask(cli, &call, &reply, err))
        return false;
    put_processes(&text, json_at(buf_slice(&reply.body), "processes"), &arena);
    return facts_write(&text, err);
}

int command_ps(struct cli *cli)
{
    return facts_each(cli, ps_one);
}

/* The answer is the job; it is shown with --json. */
static bool ask(struct cli *cli, const char *id, const struct call *how, struct err *err)
{
    char path[96];
    struct reply AUTO_REPLY reply = {0};
    struct call call = *how;
    (void)snprintf(path, sizeof(path), "/v1/jobs/%s/%s", id, how->path);
    call.method = "POST";
    call.path = path;
    if (args_has(cli->args, OPT_JSON))
        return facts_show(cli, &call, err);
    return client_ask(cli->client, &call, &reply, err);
}

static bool signal_one(struct cli *cli, const char *id, struct err *err)
{
    struct buf AUTO_BUF body;
    buf_init(&body, 256);
    buf_puts(&body, "{\"signal\":");
    buf_json_string(&body, slice_of(cli->args->value[OPT_SIGNAL]));
    buf_puts(&body, args_has(cli->args, OPT_TREE) ? ",\"tree\":true}" : "}");
    return ask(cli, id, &(struct call){.path = "signal", .body = buf_slice(&body)}, err);
}

static bool suspend_one(struct cli *cli, const char *id, struct err *err)
{
    return ask(cli, id, &(struct call){.path = "suspend", .harmless = true}, err);
}

static bool resume_one(struct cli *cli, const char *id, struct err *err)
{
    return ask(cli, id, &(struct call){.path = "resume", .harmless = true}, err);
}

int command_signal(struct cli *cli)
{
    if (args_has(cli->args, OPT_SIGNAL))
        return facts_each(cli, signal_one);
    output_error(cli->out, "signal wants to know which one: --signal NAME");
    return CLI_USAGE;
}

int command_suspend(struct cli *cli)
{
    return facts_each(cli, suspend_one);
}

int command_resume(struct cli *cli)
{
    return facts_each(cli, resume_one);
}
