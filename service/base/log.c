/* SPDX-License-Identifier: MIT */
#include "service/base/log.h"

#include <errno.h>

#include "service/base/buf.h"
#include "service/base/config.h"
#include "service/base/text.h"

#define MAX_VALUE 2048u       /* a client's string cannot flood the log */
#define MAX_LINE (64u * 1024) /* 16 values with every byte escaped */

static const char *const level_names[] = {
    [LOG_ERROR] = "error", [LOG_WARN] = "warn", [LOG_INFO] = "info", [LOG_DEBUG] = "debug"};

void log_init(struct log *log, int fd, enum log_level level, int format)
{
    PRE((unsigned)level < ARRAY_LEN(level_names));
    bool json = format == LOG_FORMAT_JSON || (format == LOG_FORMAT_AUTO && isatty(fd) == 0);
    *log = (struct log){.fd = fd, .level = level, .json = json};
}

bool log_level_parse(struct slice name, enum log_level *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(level_names); i++) {
        if (slice_is(name, level_names[i])) {
            *ret = (enum log_level)i;
            return true;
        }
    }
    return false;
}

static struct slice clipped(const char *text)
{
    return (struct slice){text, strnlen(text, MAX_VALUE)};
}

static void put_json_value(struct buf *line, const struct log_field *field)
{
    switch (field->kind) {
    case LOG_KIND_STR:
        if (field->str == NULL)
            buf_puts(line, "null");
        else
            buf_json_string(line, clipped(field->str));
        break;
    case LOG_KIND_INT: buf_put_i64(line, field->num); break;
    case LOG_KIND_SECONDS: buf_json_seconds_us(line, field->num); break;
    case LOG_KIND_END: break;
    }
}

/* In the text form a plain word needs no quotes. */
static void put_text_value(struct buf *line, const struct log_field *field)
{
    if (field->kind == LOG_KIND_STR && field->str != NULL &&
        text_is_token(slice_of(field->str), MAX_VALUE))
        buf_puts(line, field->str);
    else
        put_json_value(line, field);
}

static void put_json_line(struct buf *line, enum log_level level, const char *event,
                          const struct log_field *fields, size_t n)
{
    buf_puts(line, "{\"time\":");
    buf_json_time(line, clock_wall_us());
    buf_puts(line, ",\"level\":");
    buf_json_string(line, slice_of(level_names[level]));
    buf_puts(line, ",\"pid\":");
    buf_put_i64(line, getpid());
    buf_puts(line, ",\"event\":");
    buf_json_string(line, slice_of(event));
    for (size_t i = 0; i < n && fields[i].kind != LOG_KIND_END; i++) {
        buf_putc(line, ',');
        buf_json_string(line, slice_of(fields[i].key));
        buf_putc(line, ':');
        put_json_value(line, &fields[i]);
    }
    buf_puts(line, "}\n");
}

static void put_text_line(struct buf *line, enum log_level level, const char *event,
                          const struct log_field *fields, size_t n)
{
    char now[28];
    text_from_time_us(clock_wall_us(), now);
    buf_printf(line, "%.12sZ %-5s %s", now + 11, level_names[level], event);
    for (size_t i = 0; i < n && fields[i].kind != LOG_KIND_END; i++) {
        buf_putc(line, ' ');
        buf_puts(line, fields[i].key);
        buf_putc(line, '=');
        put_text_value(line, &fields[i]);
    }
    buf_putc(line, '\n');
}

void log_fields(const struct log *log, enum log_level level, const char *event,
                const struct log_field *fields, size_t n)
{
    PRE((unsigned)level < ARRAY_LEN(level_names));
    if (level > log->level)
        return;
    int saved_errno = errno; /* callers log first and look at errno later */
    AUTO_BUF struct buf line;
    buf_init(&line, MAX_LINE);
    if (log->json)
        put_json_line(&line, level, event, fields, n);
    else
        put_text_line(&line, level, event, fields, n);
    if (!buf_ok(&line)) { /* too long: the event alone still tells something */
        buf_clear(&line);
        const struct log_field note[] = {LOG_STR("note", "fields left out: too long"), LOG_END};
        put_json_line(&line, level, event, note, ARRAY_LEN(note));
    }
    (void)!fd_write_all(log->fd, buf_slice(&line)); /* there is no place left to complain */
    errno = saved_errno;
}

void log_error(const struct log *log, const char *event, const struct err *err)
{
    PRE(err->code != ERR_NONE);
    bool has_errno = err->sys_errno != 0;
    log_event(log, LOG_ERROR, event, LOG_STR("error", err_slug(err->code)),
              LOG_STR("detail", err->detail),
              has_errno ? LOG_STR("errno", strerrorname_np(err->sys_errno)) : LOG_END, LOG_END);
}
