/* SPDX-License-Identifier: MIT */
#include "cli/args.h"
#include "cli/cell.h"
#include "cli/commands.h"
#include "cli/outcome.h"
#include "cli/output.h"
#include "cli/query.h"
#include "cli/watch.h"

#include <inttypes.h>

#define DEFAULT_LIMIT 20
#define PAGE 100 /* jobs of one request */

enum { ID_WIDTH = 36, STATE_WIDTH = 9, RESULT_WIDTH = 13, TIME_WIDTH = 7, QUEUE_WIDTH = 12 };

static void put_result(struct buf *out, const struct json_job *job)
{
    char text[32] = "";
    if (job->signal > 0)
        (void)snprintf(text, sizeof(text), "%s", text_signal_name(job->signal));
    else if (job->state == JOB_FAILED && job->reason == REASON_EXIT_CODE)
        (void)snprintf(text, sizeof(text), "exit %" PRId64, job->exit_code);
    else if (job->reason != REASON_NONE)
        (void)snprintf(text, sizeof(text), "%s", job_reason_name(job->reason));
    cell_put(out, slice_of(text), RESULT_WIDTH);
}

/* Age since a moment, or the time between two. Empty when one of them is missing. */
static void put_span(struct buf *out, int64_t from_us, int64_t to_us)
{
    struct buf AUTO_BUF text;
    buf_init(&text, 64);
    if (from_us != 0 && to_us != 0)
        cell_put_duration(&text, to_us - from_us);
    cell_put(out, buf_slice(&text), TIME_WIDTH);
}

static int64_t time_at(const struct json_job *job, const char *path, struct arena *a)
{
    int64_t us = 0;
    return text_to_time_us(slice_of(json_text_at(job->raw, path, a)), &us) ? us : 0;
}

static void put_row(struct buf *out, const struct json_job *job, struct arena *a)
{
    int64_t now = clock_wall_us();
    int64_t started = time_at(job, "times.started", a),
            finished = time_at(job, "times.finished", a);
    cell_put(out, slice_of(job->id), ID_WIDTH);
    buf_puts(out, "  ");
    cell_put(out, slice_of(job_state_name(job->state)), STATE_WIDTH);
    buf_puts(out, "  ");
    put_result(out, job);
    buf_putc(out, ' ');
    put_span(out, time_at(job, "times.created", a), now);
    buf_putc(out, ' ');
    put_span(out, started, finished != 0 ? finished : now);
    buf_putc(out, ' ');
    cell_put(out, slice_of(job->queue), QUEUE_WIDTH);
    buf_putc(out, ' ');
    cell_put(out, slice_of(job->name), 0);
    buf_putc(out, '\n');
}

static void put_head(struct buf *out)
{
    buf_printf(out, "%-*s  %-*s  %-*s %-*s %-*s %-*s %s\n", ID_WIDTH, "ID", STATE_WIDTH, "STATE",
               RESULT_WIDTH, "RESULT", TIME_WIDTH, "AGE", TIME_WIDTH, "RAN", QUEUE_WIDTH, "QUEUE",
               "NAME");
}

enum list_form { LIST_TABLE, LIST_IDS, LIST_JSON };

struct list {
    struct cli *cli;
    enum list_form form;
    int64_t left; /* jobs still to be shown */
    bool any;
};

static bool print_items(struct list *list, struct slice items, struct arena *a, struct err *err)
{
    struct buf AUTO_BUF text;
    struct json_iter it;
    struct slice item;
    buf_init(&text, (size_t)4 << 20);
    json_iter_init(&it, items);
    while (list->left > 0 && json_next_element(&it, &item)) {
        struct json_job job;
        if (!json_take_job(item, a, &job, err))
            return false;
        if (list->form == LIST_JSON) {
            if (!output_json(item))
                return err_sys(err, ERR_INTERNAL, "cannot write the output");
        } else if (list->form == LIST_IDS) {
            buf_printf(&text, "%s\n", job.id);
        } else {
            if (!list->any)
                put_head(&text);
            put_row(&text, &job, a);
        }
        list->any = true;
        list->left--;
    }
    return output_text(buf_slice(&text)) || err_sys(err, ERR_INTERNAL, "cannot write the output");
}

/* One page. An empty cursor begins; it is replaced by the next one, empty at the end. */
static bool list_page(struct list *list, char *cursor, size_t cursor_size, struct err *err)
{
    struct buf AUTO_BUF path;
    struct arena AUTO_ARENA arena;
    char number[24];
    arena_init(&arena, (size_t)64 << 20);
    buf_init(&path, 8192);
    buf_puts(&path, "/v1/jobs");
    query_put_filter(&path, list->cli->args);
    (void)snprintf(number, sizeof(number), "%" PRId64, MIN(list->left, (int64_t)PAGE));
    query_put(&path, "limit", slice_of(number));
    if (cursor[0] != '\0')
        query_put(&path, "cursor", slice_of(cursor));
    AUTO_FREE char *text = buf_steal(&path);
    if (text == NULL)
        return err_set(err, ERR_INVALID, "the filters are too long");
    struct call call = {.method = "GET", .path = text, .harmless = true};
    struct reply AUTO_REPLY reply = {0};
    if (!client_ask(list->cli->client, &call, &reply, err) ||
        !json_check(buf_slice(&reply.body), err))
        return false;
    struct slice items = json_at(buf_slice(&reply.body), "items");
    if (items.ptr == NULL || json_type_of(items) != JSON_ARRAY)
        return err_set(err, ERR_INTERNAL, "the server's answer is not a list");
    const char *next = json_text_at(buf_slice(&reply.body), "next_cursor", &arena);
    if (strlen(next) >= cursor_size)
        return err_set(err, ERR_INTERNAL, "the server's cursor is too long");
    (void)snprintf(cursor, cursor_size, "%s", next);
    return print_items(list, items, &arena, err);
}

int command_ls(struct cli *cli)
{
    const struct args *args = cli->args;
    bool ids = args_has(args, OPT_QUIET) || args_has(args, OPT_PLAIN);
    struct list list = {
        .cli = cli,
        .form = args_has(args, OPT_JSON) ? LIST_JSON
                : ids                    ? LIST_IDS
                                         : LIST_TABLE,
        .left = args_integer(args, OPT_LIMIT, DEFAULT_LIMIT),
    };
    struct err err = {0};
    char cursor[512] = "";
    bool ok = true;
    do
        ok = list_page(&list, cursor, sizeof(cursor), &err);
    while (ok && list.left > 0 && cursor[0] != '\0');
    if (ok)
        return CLI_OK;
    output_error(cli->out, "%s", err.detail);
    return outcome_of_error(cli, &err);
}
