/* SPDX-License-Identifier: MIT */
#include "service/base/log.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <pty.h>

#include "service/base/config.h"
#include "service/base/json.h"

/* A logger into a file without a name. */
static struct log open_log(enum log_level level, int format)
{
    char path[] = "/tmp/ganger-test-log-XXXXXX";
    int fd = mkostemp(path, O_CLOEXEC | O_APPEND);
    cr_assert_geq(fd, 0);
    cr_assert_eq(unlink(path), 0);
    struct log log;
    log_init(&log, fd, level, format);
    return log;
}

static struct slice written(const struct log *log, char *out, size_t size)
{
    ssize_t n = pread(log->fd, out, size, 0);
    cr_assert_geq(n, 0);
    return (struct slice){out, (size_t)n};
}

static void expect_member(struct slice line, const char *key, const char *raw)
{
    struct slice value = {NULL, 0};
    cr_assert(json_find(line, key, &value), "%s is there", key);
    cr_assert(slice_is(value, raw), "%s is %.*s, not %s", key, (int)value.len, value.ptr, raw);
}

Test(log, json_lines_are_json)
{
    struct log log = open_log(LOG_DEBUG, LOG_FORMAT_JSON);
    log_event(&log, LOG_INFO, "job finished", LOG_STR("job", "a\"b\n\x1b[31m\xff"),
              LOG_STR("none", NULL), LOG_INT("exit_code", -9), LOG_SECONDS_US("took", 1500000),
              LOG_END);
    char text[4096];
    struct slice line = written(&log, text, sizeof(text));
    cr_assert_eq(line.ptr[line.len - 1], '\n');
    line.len--;
    cr_assert_null(memchr(line.ptr, '\n', line.len), "one line");
    cr_assert(json_validate(line, JSON_LIMITS_DEFAULT, NULL), "%.*s", (int)line.len, line.ptr);
    expect_member(line, "level", "\"info\"");
    expect_member(line, "event", "\"job finished\"");
    expect_member(line, "job", "\"a\\\"b\\n\\u001b[31m\xEF\xBF\xBD\"");
    expect_member(line, "none", "null");
    expect_member(line, "exit_code", "-9");
    expect_member(line, "took", "1.5");
    struct slice value;
    cr_assert(json_find(line, "time", &value) && value.len == 29);
    (void)close(log.fd);
}

Test(log, text_lines_hold_no_control_characters)
{
    struct log log = open_log(LOG_DEBUG, LOG_FORMAT_TEXT);
    log_event(&log, LOG_WARN, "odd", LOG_STR("plain", "word-1.x"),
              LOG_STR("odd", "two words\x1b]0;title\x07\xC2\x9B"), LOG_INT("n", 3), LOG_END);
    char text[4096];
    struct slice line = written(&log, text, sizeof(text));
    text[line.len - 1] = '\0';
    cr_assert_not_null(
        strstr(text, "warn  odd plain=word-1.x odd=\"two words\\u001b]0;title\\u0007\\u009b\" n=3"),
        "%s", text);
    for (size_t i = 0; i < line.len - 1; i++)
        cr_assert((unsigned char)text[i] >= 0x20 && (unsigned char)text[i] < 0x7f);
    (void)close(log.fd);
}

Test(log, levels_filter)
{
    for (int level = LOG_ERROR; level <= LOG_DEBUG; level++) {
        struct log log = open_log((enum log_level)level, LOG_FORMAT_JSON);
        for (int at = LOG_ERROR; at <= LOG_DEBUG; at++)
            log_event(&log, (enum log_level)at, "x", LOG_END);
        char text[4096];
        struct slice lines = written(&log, text, sizeof(text));
        int n_lines = 0;
        for (size_t i = 0; i < lines.len; i++)
            n_lines += lines.ptr[i] == '\n';
        cr_assert_eq(n_lines, level + 1);
        (void)close(log.fd);
    }
}

Test(log, level_names)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    for (int i = 0; i < 4; i++) {
        enum log_level level = LOG_ERROR;
        cr_assert(log_level_parse(slice_of(names[i]), &level));
        cr_assert_eq((int)level, i);
    }
    enum log_level level = LOG_WARN;
    cr_assert_not(log_level_parse(SLICE_LIT("trace"), &level));
    cr_assert_eq(level, LOG_WARN);
}

Test(log, long_values_are_clipped)
{
    struct log log = open_log(LOG_INFO, LOG_FORMAT_JSON);
    static char huge[300000];
    memset(huge, 1, sizeof(huge) - 1); /* each byte becomes six */
    struct log_field fields[40];
    for (size_t i = 0; i < 40; i++)
        fields[i] = LOG_STR("k", huge);
    log_fields(&log, LOG_INFO, "one", fields, 1);
    log_fields(&log, LOG_INFO, "forty", fields, 40);
    static char text[100000];
    struct slice all = written(&log, text, sizeof(text));
    cr_assert_lt(all.len, 20000);
    char *second = memchr(all.ptr, '\n', all.len);
    cr_assert_not_null(second);
    struct slice line = {second + 1, (size_t)(all.ptr + all.len - second - 2)};
    cr_assert(json_validate(line, JSON_LIMITS_DEFAULT, NULL));
    expect_member(line, "event", "\"forty\"");
    (void)close(log.fd);
}

Test(log, errors_carry_code_detail_and_errno)
{
    struct log log = open_log(LOG_ERROR, LOG_FORMAT_JSON);
    struct err err = {0};
    errno = ENOSPC;
    (void)err_sys(&err, ERR_DISK_FULL, "cannot write");
    errno = EINTR;
    log_error(&log, "commit failed", &err);
    cr_assert_eq(errno, EINTR, "errno is kept");
    char text[4096];
    struct slice line = written(&log, text, sizeof(text));
    line.len--;
    expect_member(line, "error", "\"disk-full\"");
    expect_member(line, "detail", "\"cannot write: No space left on device\"");
    expect_member(line, "errno", "\"ENOSPC\"");
    (void)close(log.fd);
}

Test(log, auto_is_text_on_a_terminal_only)
{
    int leader = -1, terminal = -1;
    cr_assert_eq(openpty(&leader, &terminal, NULL, NULL, NULL), 0);
    struct log log;
    log_init(&log, terminal, LOG_INFO, LOG_FORMAT_AUTO);
    cr_assert_not(log.json);
    log_init(&log, terminal, LOG_INFO, LOG_FORMAT_JSON);
    cr_assert(log.json);
    (void)close(leader);
    (void)close(terminal);
    log = open_log(LOG_INFO, LOG_FORMAT_AUTO);
    cr_assert(log.json);
    (void)close(log.fd);
}
