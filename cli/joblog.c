/* SPDX-License-Identifier: MIT */
#include "cli/joblog.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/mman.h>

#include "cli/output.h"
#include "cli/watch.h"
#include "service/base/template.h"

#define LINE_MAX_BYTES ((size_t)64 << 20)
#define TMP_NAME "/tmp" /* where TMPDIR says nothing */

struct joblog {
    struct joblog_wish wish;
    int fd;           /* of the log */
    int items;        /* of the items, one after the other */
    int64_t *offsets; /* n + 1 of them, into items */
    int64_t n, room;
};

static int open_nameless(void)
{
    const char *dir = getenv("TMPDIR");
    int fd = open(dir != NULL && dir[0] != '\0' ? dir : TMP_NAME, O_TMPFILE | O_RDWR | O_CLOEXEC,
                  0600);
    /* Not every file system has files without a name. */
    return fd >= 0 ? fd : memfd_create("ganger-items", MFD_CLOEXEC);
}

bool joblog_open(const struct joblog_wish *wish, struct joblog **ret, struct err *err)
{
    struct joblog *log = must_alloc(sizeof(*log));
    *log = (struct joblog){.wish = *wish, .items = -1};
    log->fd = open(wish->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    bool ok = log->fd >= 0 || err_sys(err, ERR_BAD_REQUEST, "%.160s", wish->path);
    if (ok) {
        log->items = open_nameless();
        ok = log->items >= 0 || err_sys(err, ERR_INTERNAL, "a file for the items");
    }
    static const char head[] =
        "Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand\n";
    if (ok && !output_write(log->fd, SLICE_LIT(head)))
        ok = err_sys(err, ERR_BAD_REQUEST, "%.160s", wish->path);
    if (!ok) {
        joblog_close(log);
        return false;
    }
    *ret = log;
    return true;
}

void joblog_close(struct joblog *log)
{
    if (log == NULL)
        return;
    if (log->fd >= 0)
        (void)close(log->fd);
    if (log->items >= 0)
        (void)close(log->items);
    free(log->offsets);
    free(log);
}

bool joblog_item(struct joblog *log, struct slice item, struct err *err)
{
    if (log->n + 2 > log->room) {
        log->room = MAX(log->room * 2, 256);
        log->offsets = must_realloc(log->offsets, (size_t)log->room * sizeof(*log->offsets));
    }
    if (log->n == 0)
        log->offsets[0] = 0;
    if (!output_write(log->items, item))
        return err_sys(err, ERR_INTERNAL, "cannot keep the items for the log");
    log->offsets[log->n + 1] = log->offsets[log->n] + (int64_t)item.len;
    log->n++;
    return true;
}

/* In single quotes, unless that is not needed. */
static void put_quoted(struct buf *out, struct slice word)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
                                "%+,-./:=@_";
    size_t n = 0;
    while (n < word.len && memchr(plain, word.ptr[n], sizeof(plain) - 1) != NULL)
        n++;
    if (n == word.len && n > 0) {
        buf_append(out, word.ptr, word.len);
        return;
    }
    buf_putc(out, '\'');
    for (size_t i = 0; i < word.len; i++) {
        if (word.ptr[i] == '\'')
            buf_puts(out, "'\\''");
        else
            buf_putc(out, word.ptr[i]);
    }
    buf_putc(out, '\'');
}

static void put_word(struct buf *out, struct slice word)
{
    if (out->len > 0)
        buf_putc(out, ' ');
    put_quoted(out, word);
}

/* The item as last words, for a command without a placeholder. */
static void put_appended(struct buf *out, const struct joblog_wish *wish, struct slice item)
{
    struct json_iter it;
    struct slice element;
    struct buf AUTO_BUF text;
    buf_init(&text, LINE_MAX_BYTES);
    if (!wish->star) {
        template_put_value(item, &text);
        put_word(out, buf_slice(&text));
        return;
    }
    json_iter_init(&it, item);
    while (json_next_element(&it, &element)) {
        buf_clear(&text);
        template_put_value(element, &text);
        put_word(out, buf_slice(&text));
    }
}

/* As `ganger call` takes it. */
static void put_call(struct buf *out, const struct joblog_wish *wish, struct slice item)
{
    put_word(out, slice_of(wish->words[0]));
    put_appended(out, wish, item);
    for (int i = 1; i < wish->n; i++)
        put_word(out, slice_of(wish->words[i]));
}

void joblog_put_command(struct buf *out, const struct joblog_wish *wish, struct slice item,
                        int64_t index)
{
    struct template_item values = {.raw = item, .index = index, .star = wish->star};
    struct buf AUTO_BUF word;
    size_t holes = 0;
    int64_t highest = 0;
    buf_init(&word, LINE_MAX_BYTES);
    if (wish->is_call) {
        put_call(out, wish, item);
        return;
    }
    for (int i = 0; i < wish->n; i++) {
        buf_clear(&word);
        holes += template_holes(slice_of(wish->words[i]), wish->star, &highest);
        template_put(slice_of(wish->words[i]), &values, &word);
        put_word(out, buf_slice(&word));
    }
    if (holes == 0)
        put_appended(out, wish, item);
}

static bool put_kept_command(const struct joblog *log, int64_t index, struct buf *out,
                             struct err *err)
{
    if (index < 0 || index >= log->n) /* somebody else has given it to the batch */
        return true;
    size_t len = (size_t)(log->offsets[index + 1] - log->offsets[index]);
    struct buf AUTO_BUF item, command;
    buf_init(&item, LINE_MAX_BYTES);
    buf_init(&command, LINE_MAX_BYTES);
    char *room = buf_reserve(&item, len);
    PRE(room != NULL);
    if (pread(log->items, room, len, log->offsets[index]) != (ssize_t)len)
        return err_sys(err, ERR_INTERNAL, "cannot read the items back");
    buf_commit(&item, len);
    joblog_put_command(&command, &log->wish, buf_slice(&item), index);
    for (size_t i = 0; i < command.len; i++) /* one line, as the columns are apart by tabs */
        buf_putc(out, strchr("\t\n\r", command.ptr[i]) == NULL ? command.ptr[i] : ' ');
    return true;
}

bool joblog_write(struct cli *cli, struct joblog *log, const struct result *result, struct err *err)
{
    struct watch AUTO_WATCH watch;
    struct buf AUTO_BUF line;
    int64_t started_us = 0;
    watch_init(&watch, cli, result->id);
    buf_init(&line, LINE_MAX_BYTES);
    if (!watch_look(&watch, err))
        return false;
    const struct json_job *job = &watch.job;
    if (!text_to_time_us(slice_of(json_text_at(job->raw, "times.started", &watch.arena)),
                         &started_us))
        return true; /* it has never begun */
    bool by_signal = job->signal > 0;
    int code = by_signal ? 0 : result_exit_code(result);
    buf_printf(&line, "%" PRId64 "\t:\t%.3f\t%10.3f\t0\t%" PRIu64 "\t%d\t%d\t", result->index + 1,
               (double)started_us / 1e6, json_double_at(job->raw, "usage.wall", 0),
               job->output_bytes[0], code, job->signal);
    if (!put_kept_command(log, result->index, &line, err))
        return false;
    buf_putc(&line, '\n');
    return output_write(log->fd, buf_slice(&line)) ||
           err_sys(err, ERR_INTERNAL, "cannot write the log");
}
