/* SPDX-License-Identifier: MIT */
#include "cli/tally.h"

#include <inttypes.h>

#include "cli/batch.h"
#include "cli/cell.h"
#include "cli/keep.h"
#include "cli/output.h"

#define FAILED_MAX 101 /* what more failures than a hundred end with */
#define STATES_MAX ((size_t)1 << 32)
#define BAR_WIDTH 24
#define BAR_NS UINT64_C(1000000000)

void tally_init(struct tally *t, struct cli *cli)
{
    *t = (struct tally){.cli = cli, .total = -1, .since_ns = clock_mono_ns(), .keep_fd = -1};
    const char *halt = cli->args->value[OPT_HALT];
    buf_init(&t->states, STATES_MAX);
    if (halt != NULL)
        PRE(args_halt(halt, &t->halt));
}

void tally_release(struct tally *t)
{
    results_close(t->results);
    auto_close(&t->keep_fd);
    buf_release(&t->states);
}

bool tally_begin(struct tally *t, const char *batch, struct err *err)
{
    char path[128];
    if (t->results != NULL)
        return true;
    (void)snprintf(t->batch, sizeof(t->batch), "%s", batch);
    (void)snprintf(path, sizeof(path), "/v1/batches/%s/results?order=%s", batch,
                   args_has(t->cli->args, OPT_KEEP_ORDER) ? "index" : "completed");
    int64_t after = args_integer(t->cli->args, OPT_AFTER, 0);
    t->results = results_open(t->cli, &(struct results_wish){path, after});
    return t->results != NULL || err_set(err, ERR_INTERNAL, "no stream of results");
}

/* What is known of an element; a retried one ends once more, and the last end counts. */
static char *state_of(struct tally *t, int64_t index)
{
    while ((int64_t)t->states.len <= index) {
        size_t more = (size_t)MAX(index + 1 - (int64_t)t->states.len, 4096);
        char *room = buf_reserve(&t->states, more);
        if (room == NULL)
            return NULL;
        memset(room, 0, more);
        buf_commit(&t->states, more);
    }
    return t->states.ptr + index;
}

static void count(struct tally *t, char state, int by)
{
    t->n_done += by;
    if (state == JOB_FAILED + 1)
        t->n_failed += by;
    if (state == JOB_CANCELLED + 1)
        t->n_cancelled += by;
}

/* The failure that reaches the limit of --halt. What waits is stopped by the service
 * (max_failures); what runs is stopped here. */
static bool note_halt(struct tally *t, const struct result *result, struct err *err)
{
    if (t->halted || t->halt.when == HALT_NEVER || t->n_failed < t->halt.failures)
        return true;
    t->halted = true;
    t->halt_code = result_exit_code(result);
    output_note(t->cli->out, "%s: job %" PRId64 " %s",
                t->halt.when == HALT_NOW ? "halted" : "nothing more begins", result->index + 1,
                t->halt.failures == 1 ? "failed" : "failed as well");
    if (t->halt.when == HALT_NOW)
        return ask_batch_cancel(t->cli, t->batch, err);
    return true;
}

bool tally_result(struct tally *t, struct slice text, struct err *err)
{
    struct result result;
    if (!result_read(text, &result, err))
        return false;
    char *state = state_of(t, result.index);
    if (state == NULL)
        return err_set(err, ERR_TOO_LARGE, "too many elements");
    if (*state != 0)
        count(t, *state, -1);
    *state = (char)(result.state + 1);
    count(t, *state, 1);
    return emit_result(t->cli, &result, err) &&
           (t->keep_fd < 0 || keep_result(t->cli, t->keep_fd, &result, err)) &&
           (t->log == NULL || joblog_write(t->cli, t->log, &result, err)) &&
           (result.state != JOB_FAILED || note_halt(t, &result, err));
}

bool tally_step(struct tally *t, bool *ret_any, struct err *err)
{
    struct slice text = {0};
    *ret_any = false;
    if (t->results == NULL)
        return true;
    if (!results_take(t->results, &text, err))
        return false;
    *ret_any = text.ptr != NULL;
    return text.ptr == NULL || tally_result(t, text, err);
}

static void put_bar(struct buf *out, const struct tally *t)
{
    int64_t total = MAX(t->total, t->n_done);
    int filled = total > 0 ? (int)(BAR_WIDTH * t->n_done / total) : 0;
    uint64_t spent_us = (clock_mono_ns() - t->since_ns) / 1000;
    buf_printf(out, "[%.*s%.*s] ", filled, "########################", BAR_WIDTH - filled,
               "........................");
    buf_printf(out, "%3d%% %" PRId64 "/%" PRId64 "%s",
               total > 0 ? (int)(100 * t->n_done / total) : 0, t->n_done, total,
               t->all_sent ? "" : "+");
    if (t->n_failed > 0)
        buf_printf(out, ", %" PRId64 " failed", t->n_failed);
    buf_puts(out, ", ");
    cell_put_duration(out, (int64_t)spent_us);
    if (t->n_done > 0 && t->n_done < total) {
        buf_puts(out, ", ");
        cell_put_duration(
            out, (int64_t)(spent_us / (uint64_t)t->n_done * (uint64_t)(total - t->n_done)));
        buf_puts(out, " to go");
    }
}

static void show_bar(struct tally *t, bool last)
{
    const struct args *args = t->cli->args;
    struct output *out = t->cli->out;
    uint64_t now = clock_mono_ns();
    bool lines = args_has(args, OPT_BAR_ALWAYS) && !out->progress;
    if (!args_has(args, OPT_BAR) && !args_has(args, OPT_BAR_ALWAYS))
        return;
    if (lines && !last && now - t->bar_ns < BAR_NS)
        return;
    struct buf AUTO_BUF text;
    buf_init(&text, 512);
    put_bar(&text, t);
    if (lines) {
        buf_putc(&text, '\n');
        (void)!output_write(STDERR_FILENO, buf_slice(&text));
        t->bar_ns = now;
    } else {
        output_progress(out, "%.*s", (int)text.len, text.ptr);
    }
}

bool tally_turn(struct tally *t, int timeout_ms, struct err *err)
{
    show_bar(t, false);
    if (t->results == NULL)
        return client_turn(t->cli->client, timeout_ms, err);
    if (results_turn(t->results, timeout_ms, err)) {
        if (tally_is_over(t)) {
            output_progress_end(t->cli->out);
            show_bar(t, true);
            output_progress_end(t->cli->out);
        }
        return true;
    }
    output_progress_end(t->cli->out);
    return false;
}

bool tally_is_over(const struct tally *t)
{
    return t->results != NULL && results_ended(t->results);
}

bool tally_is_halted(const struct tally *t)
{
    return t->halted;
}

int tally_exit_code(const struct tally *t)
{
    if (t->halted)
        return t->halt_code;
    return (int)MIN(t->n_failed + t->n_cancelled, FAILED_MAX);
}
