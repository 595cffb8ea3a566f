/* SPDX-License-Identifier: MIT */
#include "cli/args.h"
#include "cli/cell.h"
#include "cli/commands.h"
#include "cli/outcome.h"
#include "cli/output.h"
#include "cli/pages.h"
#include "cli/query.h"
#include "cli/watch.h"

#include <inttypes.h>

#define DEFAULT_LIMIT 20

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

/* What has come of a page is shown at once. */
static bool print_page(struct pages *pages, enum list_form form, bool *any, struct err *err)
{
    struct arena AUTO_ARENA arena;
    struct buf AUTO_BUF text;
    struct slice item;
    arena_init(&arena, (size_t)64 << 20);
    buf_init(&text, (size_t)4 << 20);
    while (pages_item(pages, &item)) {
        struct json_job job;
        if (!json_take_job(item, &arena, &job, err))
            return false;
        if (form == LIST_JSON) {
            if (!output_json(item))
                return err_sys(err, ERR_INTERNAL, "cannot write the output");
        } else if (form == LIST_IDS) {
            buf_printf(&text, "%s\n", job.id);
        } else {
            if (!*any)
                put_head(&text);
            put_row(&text, &job, &arena);
        }
        *any = true;
    }
    return output_text(buf_slice(&text)) || err_sys(err, ERR_INTERNAL, "cannot write the output");
}

static bool list_jobs(struct cli *cli, enum list_form form, struct err *err)
{
    struct buf AUTO_BUF path;
    bool any = false;
    buf_init(&path, 8192);
    buf_puts(&path, "/v1/jobs");
    query_put_filter(&path, cli->args);
    AUTO_FREE char *text = buf_steal(&path);
    if (text == NULL)
        return err_set(err, ERR_INVALID, "the filters are too long");
    struct pages AUTO_PAGES pages = {.cli = cli,
                                     .path = text,
                                     .left = args_integer(cli->args, OPT_LIMIT, DEFAULT_LIMIT),
                                     .size = PAGES_SIZE};
    do {
        if (!pages_next(&pages, err) || !print_page(&pages, form, &any, err))
            return false;
    } while (pages_more(&pages));
    return true;
}

int command_ls(struct cli *cli)
{
    const struct args *args = cli->args;
    bool ids = args_has(args, OPT_QUIET) || args_has(args, OPT_PLAIN);
    const enum list_form form = args_has(args, OPT_JSON) ? LIST_JSON : ids ? LIST_IDS : LIST_TABLE;
    struct err err = {0};
    if (list_jobs(cli, form, &err))
        return CLI_OK;
    output_error(cli->out, "%s", err.detail);
    return outcome_of_error(cli, &err);
}
