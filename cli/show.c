/* SPDX-License-Identifier: MIT */
#include "cli/args.h"
#include "cli/cell.h"
#include "cli/commands.h"
#include "cli/outcome.h"
#include "cli/output.h"
#include "cli/watch.h"

#include <inttypes.h>

#define LABEL_WIDTH 10u
#define VALUE_MAX 240u /* characters of labels and metadata */

static void put_label(struct buf *out, const char *label)
{
    cell_put(out, slice_of(label), LABEL_WIDTH);
}

static void put_text(struct buf *out, const char *label, const char *text)
{
    if (text[0] == '\0')
        return;
    put_label(out, label);
    cell_put(out, slice_of(text), 0);
    buf_putc(out, '\n');
}

/* A JSON value as it was sent, unless it is empty. */
static void put_json(struct buf *out, const char *label, struct slice value)
{
    if (value.ptr == NULL || slice_is(value, "{}"))
        return;
    put_label(out, label);
    cell_put(out, value, value.len > VALUE_MAX ? VALUE_MAX : 0);
    buf_putc(out, '\n');
}

static int64_t time_at(struct slice job, const char *path, struct arena *a)
{
    int64_t us = 0;
    return text_to_time_us(slice_of(json_text_at(job, path, a)), &us) ? us : 0;
}

/* A moment, and how long after another one it was. */
static void put_time(struct buf *out, const char *label, const char *text, const int64_t span[2],
                     const char *verb)
{
    if (text[0] == '\0')
        return;
    put_label(out, label);
    buf_puts(out, text);
    if (span[0] != 0 && span[1] >= span[0]) {
        buf_printf(out, " (%s ", verb);
        cell_put_duration(out, span[1] - span[0]);
        buf_putc(out, ')');
    }
    buf_putc(out, '\n');
}

static void put_times(struct buf *out, struct slice job, struct arena *a)
{
    int64_t queued = time_at(job, "times.queued", a), started = time_at(job, "times.started", a),
            finished = time_at(job, "times.finished", a);
    put_text(out, "created", json_text_at(job, "times.created", a));
    put_time(out, "started", json_text_at(job, "times.started", a),
             (const int64_t[]){queued, started}, "queued for");
    put_time(out, "finished", json_text_at(job, "times.finished", a),
             (const int64_t[]){started, finished}, "ran");
}

static void put_worker(struct buf *out, struct slice job, struct arena *a)
{
    const char *name = json_text_at(job, "worker.name", a);
    int64_t pid = json_i64_at(job, "worker.job_pid", 0);
    if (name[0] == '\0')
        return;
    put_label(out, "worker");
    cell_put(out, slice_of(name), 0);
    if (pid > 0)
        buf_printf(out, ", job's pid %" PRId64, pid);
    buf_putc(out, '\n');
}

static void put_output(struct buf *out, const struct json_job *job)
{
    put_label(out, "output");
    cell_put_bytes(out, job->output_bytes[0]);
    buf_puts(out, " on stdout, ");
    cell_put_bytes(out, job->output_bytes[1]);
    buf_puts(out, " on stderr");
    if (job->truncated)
        buf_puts(out, "; cut at limits.output");
    buf_putc(out, '\n');
}

static void put_usage(struct buf *out, struct slice job)
{
    double wall = json_double_at(job, "usage.wall", -1);
    if (wall < 0)
        return;
    put_label(out, "usage");
    buf_printf(out, "%.3f s, processor %.3f s + %.3f s, largest process ", wall,
               json_double_at(job, "usage.user", 0), json_double_at(job, "usage.system", 0));
    cell_put_bytes(out, (uint64_t)MAX(json_i64_at(job, "usage.max_rss", 0), 0));
    int64_t killed = json_i64_at(job, "usage.processes_killed", 0);
    if (killed > 0)
        buf_printf(out, ", %" PRId64 " left-over processes ended", killed);
    buf_putc(out, '\n');
}

static void put_progress(struct buf *out, struct slice job, struct arena *a)
{
    double fraction = json_double_at(job, "progress.fraction", -1);
    if (fraction < 0)
        return;
    put_label(out, "progress");
    buf_printf(out, "%.0f %% ", fraction * 100);
    cell_put(out, slice_of(json_text_at(job, "progress.message", a)), 0);
    buf_putc(out, '\n');
}

static void put_job(struct buf *out, const struct json_job *job, struct arena *a)
{
    put_text(out, "id", job->id);
    put_text(out, "name", job->name);
    put_label(out, "state");
    outcome_put_words(job, out);
    buf_putc(out, '\n');
    if (job->state == JOB_FAILED && job->reason != REASON_NONE)
        put_text(out, "reason", job_reason_name(job->reason));
    put_text(out, "error", job->detail);
    put_label(out, "queue");
    cell_put(out, slice_of(job->queue), 0);
    buf_printf(out, ", priority %" PRId64 "\n", json_i64_at(job->raw, "priority", 0));
    put_label(out, "attempt");
    buf_printf(out, "%" PRId64 " of %" PRId64 "\n", job->attempt,
               json_i64_at(job->raw, "max_attempts", 1));
    put_times(out, job->raw, a);
    put_worker(out, job->raw, a);
    put_progress(out, job->raw, a);
    put_output(out, job);
    put_usage(out, job->raw);
    put_json(out, "labels", json_at(job->raw, "labels"));
    put_json(out, "metadata", json_at(job->raw, "metadata"));
}

static bool show_one(struct cli *cli, const char *id, bool first, struct err *err)
{
    struct watch AUTO_WATCH watch;
    struct buf AUTO_BUF text;
    watch_init(&watch, cli, id);
    buf_init(&text, (size_t)1 << 20);
    if (!watch_look(&watch, err))
        return false;
    bool written = false;
    if (args_has(cli->args, OPT_JSON)) {
        written = output_json(watch.job.raw);
    } else {
        if (!first)
            buf_putc(&text, '\n');
        put_job(&text, &watch.job, &watch.arena);
        written = output_text(buf_slice(&text));
    }
    return written || err_sys(err, ERR_INTERNAL, "cannot write the output");
}

int command_show(struct cli *cli)
{
    int code = CLI_OK;
    for (int i = 0; i < cli->args->n_operands; i++) {
        struct err err = {0};
        const char *id = cli->args->operands[i];
        if (show_one(cli, id, i == 0, &err))
            continue;
        output_error(cli->out, "%s: %s", id, err.detail);
        int mine = outcome_of_error(cli, &err);
        code = MAX(code, mine);
    }
    return code;
}
