/* SPDX-License-Identifier: MIT */
#include "cli/output.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>

#define MESSAGE_MAX 2048u
#define PROGRESS_NS UINT64_C(100000000) /* 10 Hz */

void output_init(struct output *out, bool quiet, bool raw)
{
    const char *term = getenv("TERM");
    bool dumb = term == NULL || strcmp(term, "dumb") == 0;
    *out = (struct output){
        .quiet = quiet,
        .raw = raw,
        .progress = !quiet && !dumb && isatty(STDERR_FILENO) == 1,
    };
}

bool output_write(int fd, struct slice bytes)
{
    while (bytes.len > 0) {
        ssize_t n = write(fd, bytes.ptr, bytes.len);
        if (n < 0 && errno == EAGAIN) {
            /* Somebody else made the terminal or pipe that we share non-blocking. */
            struct pollfd wait = {.fd = fd, .events = POLLOUT};
            (void)poll(&wait, 1, -1);
            continue;
        }
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        bytes.ptr += n;
        bytes.len -= (size_t)n;
    }
    return true;
}

static bool write_clean(int fd, struct slice text)
{
    struct cleaner cleaner = {0};
    struct buf AUTO_BUF clean;
    buf_init(&clean, text.len * 3 + 4); /* U+FFFD is three bytes for one */
    cleaner_feed(&cleaner, text, &clean);
    cleaner_end(&cleaner, &clean);
    return output_write(fd, buf_slice(&clean));
}

bool output_text(struct slice text)
{
    if (isatty(STDOUT_FILENO) == 1)
        return write_clean(STDOUT_FILENO, text);
    return output_write(STDOUT_FILENO, text);
}

bool output_json(struct slice json)
{
    struct buf AUTO_BUF line;
    buf_init(&line, json.len + 1);
    for (size_t i = 0; i < json.len; i++) /* inside strings they are escaped, RFC 8259 section 7 */
        buf_putc(&line, json.ptr[i] == '\n' || json.ptr[i] == '\r' ? ' ' : json.ptr[i]);
    buf_putc(&line, '\n');
    return output_text(buf_slice(&line));
}

static void say(struct output *out, const char *fmt, va_list args) PRINTF_LIKE(2, 0);
static void say(struct output *out, const char *fmt, va_list args)
{
    char text[MESSAGE_MAX] = "ganger: ";
    size_t start = strlen(text);
    output_progress_end(out);
    (void)vsnprintf(text + start, sizeof(text) - start - 1, fmt, args);
    size_t len = strlen(text);
    text[len] = '\n';
    (void)!write_clean(STDERR_FILENO, (struct slice){text, len + 1});
}

void output_error(struct output *out, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    say(out, fmt, args);
    va_end(args);
}

void output_note(struct output *out, const char *fmt, ...)
{
    if (out->quiet)
        return;
    va_list args;
    va_start(args, fmt);
    say(out, fmt, args);
    va_end(args);
}

bool output_confirm(struct output *out, const char *fmt, ...)
{
    char question[240], answer[16];
    if (isatty(STDIN_FILENO) != 1 || isatty(STDERR_FILENO) != 1)
        return false;
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(question, sizeof(question), fmt, args);
    va_end(args);
    output_progress_end(out);
    (void)!write_clean(STDERR_FILENO, slice_of(question));
    (void)!output_write(STDERR_FILENO, SLICE_LIT(" [y/N] "));
    ssize_t n = read(STDIN_FILENO, answer, sizeof(answer));
    return n > 0 && (answer[0] == 'y' || answer[0] == 'Y');
}

void output_progress(struct output *out, const char *fmt, ...)
{
    uint64_t now = clock_mono_ns();
    if (!out->progress || (out->progress_shown && now - out->progress_ns < PROGRESS_NS))
        return;
    char text[160];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    (void)!output_write(STDERR_FILENO, SLICE_LIT("\r"));
    (void)!write_clean(STDERR_FILENO, slice_of(text));
    (void)!output_write(STDERR_FILENO, SLICE_LIT("\x1b[K"));
    out->progress_shown = true;
    out->progress_ns = now;
}

void output_progress_end(struct output *out)
{
    if (!out->progress_shown)
        return;
    (void)!output_write(STDERR_FILENO, SLICE_LIT("\r\x1b[K"));
    out->progress_shown = false;
}
