/* SPDX-License-Identifier: MIT */
/* ganger top: pool, workers with what they run, queues and rates on one screen, from public routes
 * alone. On a terminal it is drawn anew each second until q; elsewhere it is printed once. */
#include "cli/args.h"
#include "cli/cell.h"
#include "cli/commands.h"
#include "cli/facts.h"
#include "cli/outcome.h"
#include "cli/output.h"
#include "cli/pages.h"

#include <inttypes.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>

#define FRAME_MAX ((size_t)1 << 20)
#define ARENA_BYTES ((size_t)16 << 20)
#define REDRAW_MS 1000
#define MAX_QUEUES 8   /* shown; those with work come first */
#define OTHER_LINES 10 /* of a screen: everything but workers and queues */
#define PAGE_ITEMS 1000
#define MAX_ITEMS 8192 /* of one list; workers are 1,024 at most */

/* ECMA-48 and xterm: another screen, so that what was there before comes back. */
#define SCREEN_BEGIN "\033[?1049h\033[?25l\033[2J"
#define SCREEN_END "\033[?25h\033[?1049l"
#define SCREEN_HOME "\033[H"
#define LINE_END "\033[K\r\n"
#define SCREEN_REST "\033[J"

enum {
    WORKER_WIDTH = 11,
    PID_WIDTH = 8,
    STATE_WIDTH = 6,
    DONE_WIDTH = 7,
    RSS_WIDTH = 9,
    FOR_WIDTH = 6,
    PERCENT_WIDTH = 4,
    QUEUE_WIDTH = 20,
    NUMBER_WIDTH = 9
};

struct top {
    struct cli *cli;
    struct arena arena; /* of one frame */
    struct buf frame;
    uint64_t drawn_ns; /* of the frame before; 0: there was none */
    double submitted, finished;
    size_t rows, columns; /* 0: no terminal */
};

/* ------------------------------------------------------------------------------------------------
 * what the service says */

/* Its body; absent with err when it does not answer. It lives as long as the frame. */
static struct slice ask(struct top *t, const char *path, bool is_json, struct err *err)
{
    struct reply AUTO_REPLY reply = {0};
    struct call call = {.method = "GET", .path = path, .harmless = true};
    const bool ok = is_json ? facts_ask(t->cli, &call, &reply, err)
                            : client_ask(t->cli->client, &call, &reply, err);
    if (!ok)
        return (struct slice){0};
    const struct slice body = buf_slice(&reply.body);
    const char *copy = arena_dup(&t->arena, body);
    if (copy == NULL)
        (void)err_set(err, ERR_TOO_LARGE, "the answer is too long");
    return (struct slice){copy, copy == NULL ? 0 : body.len};
}

/* The items of a list, all of its pages; they live as long as the frame. */
struct items {
    struct slice *at;
    size_t n;
};

static bool collect(struct top *t, const char *path, struct items *ret, struct err *err)
{
    struct pages AUTO_PAGES pages = {
        .cli = t->cli, .path = path, .left = MAX_ITEMS, .size = PAGE_ITEMS};
    struct slice item;
    *ret = (struct items){.at = arena_alloc(&t->arena, MAX_ITEMS * sizeof *ret->at)};
    if (ret->at == NULL)
        return err_set(err, ERR_TOO_LARGE, "the answer is too long");
    do {
        if (!pages_next(&pages, err))
            return false;
        while (pages_item(&pages, &item)) {
            const char *copy = arena_dup(&t->arena, item);
            if (copy == NULL)
                return err_set(err, ERR_TOO_LARGE, "the answer is too long");
            ret->at[ret->n++] = (struct slice){copy, item.len};
        }
    } while (pages_more(&pages));
    return true;
}

/* Of the Prometheus text: the sum of the samples whose line begins so. */
static double metric(struct slice text, const char *begin)
{
    const size_t len = strlen(begin);
    double sum = 0;
    for (size_t at = 0; at < text.len;) {
        const char *line = text.ptr + at;
        const char *nl = memchr(line, '\n', text.len - at);
        const size_t n = nl == NULL ? text.len - at : (size_t)(nl - line);
        const char *value = memrchr(line, ' ', n);
        if (n > len && memcmp(line, begin, len) == 0 && value != NULL)
            sum += strtod(value, NULL);
        at += n + 1;
    }
    return sum;
}

/* ------------------------------------------------------------------------------------------------
 * one frame */

/* Cells are filled with spaces; the last one of a line needs none. */
static void end_line(struct top *t)
{
    while (t->frame.len > 0 && t->frame.ptr[t->frame.len - 1] == ' ')
        t->frame.len--;
    buf_putc(&t->frame, '\n');
}

static void put_pool(struct top *t, struct slice pool)
{
    struct buf *out = &t->frame;
    buf_puts(out, "pool ");
    cell_put(out, slice_of(json_text_at(pool, "name", &t->arena)), 0);
    buf_printf(out,
               ": %s, %" PRId64 " workers (%" PRId64 " busy, %" PRId64 " idle, %" PRId64
               " starting), %" PRId64 " jobs waiting\n",
               json_text_at(pool, "state", &t->arena), json_i64_at(pool, "size", 0),
               json_i64_at(pool, "busy", 0), json_i64_at(pool, "idle", 0),
               json_i64_at(pool, "booting", 0), json_i64_at(pool, "queued", 0));
    const char *reason = json_text_at(pool, "reason", &t->arena);
    if (reason[0] == '\0')
        return;
    buf_puts(out, "workers do not start: ");
    cell_put(out, slice_of(reason), 0);
    buf_putc(out, '\n');
}

static bool put_pools(struct top *t, struct err *err)
{
    struct items pools;
    if (!collect(t, "/v1/pools", &pools, err))
        return false;
    for (size_t i = 0; i < pools.n; i++)
        put_pool(t, pools.at[i]);
    return true;
}

/* Since the frame before; the first one has totals only. */
static bool put_rates(struct top *t, struct err *err)
{
    struct buf *out = &t->frame;
    const struct slice text = ask(t, "/metrics", false, err);
    if (text.ptr == NULL)
        return false;
    const double submitted = metric(text, "ganger_jobs_submitted_total ");
    const double finished = metric(text, "ganger_jobs_finished_total{");
    const uint64_t now_ns = clock_mono_ns();
    const double seconds = (double)(now_ns - t->drawn_ns) / 1e9;
    buf_printf(out, "jobs: %.0f accepted, %.0f ended", submitted, finished);
    buf_printf(out, " (%.0f succeeded, %.0f failed, %.0f cancelled)",
               metric(text, "ganger_jobs_finished_total{state=\"succeeded\"}"),
               metric(text, "ganger_jobs_finished_total{state=\"failed\"}"),
               metric(text, "ganger_jobs_finished_total{state=\"cancelled\"}"));
    if (t->drawn_ns != 0 && seconds > 0)
        buf_printf(out, "; per second %.1f accepted, %.1f ended",
                   (submitted - t->submitted) / seconds, (finished - t->finished) / seconds);
    buf_putc(out, '\n');
    t->submitted = submitted;
    t->finished = finished;
    t->drawn_ns = now_ns;
    return true;
}

/* Since when, how far, and which: of a job that may have ended meanwhile. */
static void put_job(struct top *t, const char *id)
{
    struct buf *out = &t->frame;
    char path[96], percent[24] = "-";
    struct buf AUTO_BUF age;
    struct err gone = {0};
    int64_t started_us = 0;
    buf_init(&age, 64);
    (void)snprintf(path, sizeof(path), "/v1/jobs/%.40s", id);
    const struct slice job = ask(t, path, true, &gone);
    if (job.ptr == NULL) {
        cell_put_column(out, "-", FOR_WIDTH);
        cell_put_column(out, "-", PERCENT_WIDTH);
        cell_put_column(out, id, 0);
        return;
    }
    const double fraction = json_double_at(job, "progress.fraction", -1);
    if (fraction >= 0)
        (void)snprintf(percent, sizeof(percent), "%.0f%%", fraction * 100);
    if (text_to_time_us(slice_of(json_text_at(job, "times.started", &t->arena)), &started_us))
        cell_put_duration(&age, MAX(clock_wall_us() - started_us, (int64_t)0));
    cell_put(out, buf_slice(&age), FOR_WIDTH);
    buf_putc(out, ' ');
    cell_put_column(out, percent, PERCENT_WIDTH);
    cell_put_column(out, json_text_at(job, "name", &t->arena), 0);
    buf_putc(out, '(');
    cell_put(out, slice_of(json_text_at(job, "queue", &t->arena)), 0);
    buf_puts(out, ") ");
    cell_put_column(out, json_text_at(job, "progress.message", &t->arena), 0);
}

static void put_worker(struct top *t, struct slice worker)
{
    struct buf *out = &t->frame;
    const char *job = json_text_at(worker, "job", &t->arena);
    const bool is_alive = json_is_true(json_at(worker, "alive"));
    cell_put_column(out, json_text_at(worker, "name", &t->arena), WORKER_WIDTH);
    cell_put_number(out, json_i64_at(worker, "pid", -1), PID_WIDTH);
    cell_put_column(out, !is_alive ? "starts" : job[0] != '\0' ? "busy" : "idle", STATE_WIDTH);
    cell_put_number(out, json_i64_at(worker, "jobs_done", 0), DONE_WIDTH);
    cell_put_size(out, json_i64_at(worker, "rss", -1), RSS_WIDTH);
    if (job[0] != '\0')
        put_job(t, job);
    end_line(t);
}

/* Busy ones first, since a screen may be too small for all. */
static bool put_workers(struct top *t, size_t max, struct err *err)
{
    struct items workers;
    size_t n = 0;
    if (!collect(t, "/v1/workers", &workers, err))
        return false;
    buf_printf(&t->frame, "\n%-*s %-*s %-*s %-*s %-*s %-*s %-*s %s\n", WORKER_WIDTH, "WORKER",
               PID_WIDTH, "PID", STATE_WIDTH, "STATE", DONE_WIDTH, "DONE", RSS_WIDTH, "RSS",
               FOR_WIDTH, "FOR", PERCENT_WIDTH, "%", "JOB (QUEUE)");
    for (int idle = 0; idle < 2; idle++) {
        for (size_t i = 0; i < workers.n; i++)
            if ((json_at(workers.at[i], "job").ptr == NULL) == (idle == 1) && n++ < max)
                put_worker(t, workers.at[i]);
    }
    if (n > max)
        buf_printf(&t->frame, "and %zu more\n", n - max);
    return true;
}

static bool has_work(struct slice queue)
{
    return json_i64_at(queue, "depth", 0) + json_i64_at(queue, "jobs.running", 0) +
               json_i64_at(queue, "jobs.scheduled", 0) + json_i64_at(queue, "jobs.blocked", 0) >
           0;
}

static void put_queue(struct top *t, struct slice queue)
{
    struct buf *out = &t->frame;
    cell_put_column(out, json_text_at(queue, "name", &t->arena), QUEUE_WIDTH);
    cell_put_number(out, json_i64_at(queue, "depth", 0), NUMBER_WIDTH);
    cell_put_number(out, json_i64_at(queue, "jobs.running", 0), NUMBER_WIDTH);
    cell_put_number(out, json_i64_at(queue, "jobs.scheduled", 0), NUMBER_WIDTH);
    cell_put_number(out, json_i64_at(queue, "jobs.blocked", 0), NUMBER_WIDTH);
    cell_put_column(out, json_is_true(json_at(queue, "paused")) ? "paused" : "open", 0);
    end_line(t);
}

static bool put_queues(struct top *t, struct err *err)
{
    struct items queues;
    size_t n = 0;
    if (!collect(t, "/v1/queues", &queues, err))
        return false;
    buf_printf(&t->frame, "\n%-*s %-*s %-*s %-*s %-*s %s\n", QUEUE_WIDTH, "QUEUE", NUMBER_WIDTH,
               "WAITING", NUMBER_WIDTH, "RUNNING", NUMBER_WIDTH, "SCHEDULED", NUMBER_WIDTH,
               "BLOCKED", "STATE");
    for (int idle = 0; idle < 2; idle++) {
        for (size_t i = 0; i < queues.n; i++)
            if (has_work(queues.at[i]) == (idle == 0) && n++ < MAX_QUEUES)
                put_queue(t, queues.at[i]);
    }
    if (n > MAX_QUEUES)
        buf_printf(&t->frame, "and %zu more\n", n - MAX_QUEUES);
    return true;
}

static bool make_frame(struct top *t, struct err *err)
{
    size_t max_workers = SIZE_MAX;
    if (t->rows != 0)
        max_workers = t->rows > OTHER_LINES + MAX_QUEUES ? t->rows - OTHER_LINES - MAX_QUEUES : 1;
    buf_clear(&t->frame);
    arena_clear(&t->arena);
    return put_pools(t, err) && put_rates(t, err) && put_workers(t, max_workers, err) &&
           put_queues(t, err);
}

/* ------------------------------------------------------------------------------------------------
 * the terminal */

static void measure(struct top *t)
{
    struct winsize size = {0};
    t->rows = 24;
    t->columns = 80;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0 && size.ws_col > 0) {
        t->rows = size.ws_row;
        t->columns = size.ws_col;
    }
}

/* The frame's text has no escape sequences: cells are cleaned. Lines are cut, so that none wraps.
 */
static bool draw(struct top *t)
{
    struct buf AUTO_BUF screen;
    const struct slice text = buf_slice(&t->frame);
    size_t column = 0, line = 1;
    buf_init(&screen, 2 * FRAME_MAX);
    buf_puts(&screen, SCREEN_HOME);
    for (size_t i = 0; i < text.len && line < t->rows; i++) {
        const unsigned char byte = (unsigned char)text.ptr[i];
        if (byte == '\n') {
            buf_puts(&screen, LINE_END);
            column = 0;
            line++;
            continue;
        }
        column += (byte & 0xc0) != 0x80; /* a character begins */
        if (column <= t->columns)
            buf_putc(&screen, (char)byte);
    }
    buf_puts(&screen, SCREEN_REST);
    return output_write(STDOUT_FILENO, buf_slice(&screen));
}

/* False: q, the end of the input, or a signal. */
static bool wait_for_key(const struct top *t)
{
    struct pollfd key = {.fd = STDIN_FILENO, .events = POLLIN};
    char typed = 0;
    if (client_interrupted(t->cli->client) != 0)
        return false;
    if (poll(&key, 1, REDRAW_MS) <= 0)
        return client_interrupted(t->cli->client) == 0;
    return read(STDIN_FILENO, &typed, 1) == 1 && typed != 'q' && typed != 'Q';
}

static bool run_screen(struct top *t, struct err *err)
{
    do {
        measure(t);
        if (!make_frame(t, err))
            return client_interrupted(t->cli->client) != 0;
        if (!draw(t))
            return err_sys(err, ERR_INTERNAL, "cannot write to the terminal");
    } while (wait_for_key(t));
    return true;
}

/* Keys come one by one and are not shown; afterwards the terminal is as it was. */
static bool on_terminal(struct top *t, struct err *err)
{
    struct termios before, raw;
    const bool has_keys = tcgetattr(STDIN_FILENO, &before) == 0;
    if (!client_catch_signals(t->cli->client, err))
        return false;
    if (has_keys) {
        raw = before;
        raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &raw);
    }
    (void)!output_write(STDOUT_FILENO, SLICE_LIT(SCREEN_BEGIN));
    const bool ok = run_screen(t, err);
    (void)!output_write(STDOUT_FILENO, SLICE_LIT(SCREEN_END));
    if (has_keys)
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
    return ok;
}

int command_top(struct cli *cli)
{
    struct top t = {.cli = cli};
    struct err err = {0};
    const bool is_screen = !args_has(cli->args, OPT_ONCE) && isatty(STDOUT_FILENO) == 1;
    arena_init(&t.arena, ARENA_BYTES);
    buf_init(&t.frame, FRAME_MAX);
    const bool ok = is_screen ? on_terminal(&t, &err)
                              : make_frame(&t, &err) && facts_write(&t.frame, &err);
    arena_release(&t.arena);
    buf_release(&t.frame);
    if (ok)
        return CLI_OK;
    output_error(cli->out, "%s", err.detail);
    return outcome_of_error(cli, &err);
}
