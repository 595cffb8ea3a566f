/* SPDX-License-Identifier: MIT */
/* Structured logs on stderr: one JSON object per line (text on a terminal), one write(2) each, so
 * lines of several threads and processes never mix. Client strings are escaped. The logger is a
 * value that its user holds; it is immutable after log_init and may be used by every thread. */
#ifndef GANGER_BASE_LOG_H
#define GANGER_BASE_LOG_H

#include "service/base/error.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
struct log {
    int fd;
    enum log_level level;
    bool json;
};
void log_init(struct log *log, int fd, enum log_level level, int format /* enum log_format */);
bool log_level_parse(struct slice name, enum log_level *ret);

/* One line: event (a constant), then pairs. Fields are made by the macros and end with LOG_END:
 *   log_event(log, LOG_INFO, "job finished", LOG_STR("job", id), LOG_INT("exit_code", 0), LOG_END);
 * A value longer than 2 KiB is cut; one that is not UTF-8 is repaired. Keeps errno. */
enum log_kind { LOG_KIND_END, LOG_KIND_STR, LOG_KIND_INT, LOG_KIND_SECONDS };
struct log_field {
    enum log_kind kind;
    const char *key;
    const char *str;
    int64_t num;
};
/* clang-format off */
#define LOG_END (struct log_field){LOG_KIND_END, NULL, NULL, 0}
#define LOG_STR(k, v) (struct log_field){LOG_KIND_STR, k, v, 0}
#define LOG_INT(k, v) (struct log_field){LOG_KIND_INT, k, NULL, (int64_t)(v)}
#define LOG_SECONDS_US(k, us) (struct log_field){LOG_KIND_SECONDS, k, NULL, (int64_t)(us)}
/* clang-format on */
void log_fields(const struct log *log, enum log_level level, const char *event,
                const struct log_field *fields, size_t n);
#define log_event(log, level, event, ...)                                        \
    log_fields((log), (level), (event), (const struct log_field[]){__VA_ARGS__}, \
               sizeof((const struct log_field[]){__VA_ARGS__}) / sizeof(struct log_field))
/* An error at the edge that gives up: logs code, detail and errno text. */
void log_error(const struct log *log, const char *event, const struct err *err);

#endif
