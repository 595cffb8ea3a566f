/* SPDX-License-Identifier: MIT */
#include "cli/cell.h"

#include <inttypes.h>

#include "cli/output.h"
#include "service/base/text.h"

#define SECOND INT64_C(1000000)

/* Characters are counted, not columns: wide ones are rare in names, and only the look suffers. */
void cell_put(struct buf *out, struct slice text, size_t width)
{
    struct cleaner cleaner = {0};
    struct buf AUTO_BUF clean;
    buf_init(&clean, text.len * 3 + 4);
    cleaner_feed(&cleaner, text, &clean);
    cleaner_end(&cleaner, &clean);
    size_t n = 0, at = 0;
    for (size_t i = 0; i < clean.len; i++) {
        if (clean.ptr[i] == '\n' || clean.ptr[i] == '\r' || clean.ptr[i] == '\t')
            clean.ptr[i] = ' ';
    }
    while (at < clean.len && (width == 0 || n < width)) {
        uint32_t code = 0;
        size_t len = MAX(text_utf8_step(clean.ptr + at, clean.len - at, &code), 1u);
        bool is_last = width > 0 && n + 1 == width && at + len < clean.len;
        if (is_last)
            buf_puts(out, "…");
        else
            buf_append(out, clean.ptr + at, len);
        at += len;
        n++;
    }
    for (; n < width; n++)
        buf_putc(out, ' ');
}

void cell_put_column(struct buf *out, const char *text, size_t width)
{
    cell_put(out, slice_of(text), width);
    buf_putc(out, ' ');
}

void cell_put_number(struct buf *out, int64_t n, size_t width)
{
    char text[24] = "-";
    if (n >= 0)
        (void)snprintf(text, sizeof(text), "%" PRId64, n);
    cell_put_column(out, text, width);
}

static void put_two(struct buf *out, int64_t value, int64_t big, const char *names[2])
{
    int64_t small = big == 86400 ? 3600 : big / 60;
    buf_printf(out, "%" PRId64 "%s", value / big, names[0]);
    if (value % big / small > 0)
        buf_printf(out, "%" PRId64 "%s", value % big / small, names[1]);
}

void cell_put_duration(struct buf *out, int64_t us)
{
    int64_t s = us / SECOND;
    if (us < SECOND)
        buf_printf(out, "%" PRId64 "ms", MAX(us, 0) / 1000);
    else if (s < 60)
        buf_printf(out, "%" PRId64 "s", s);
    else if (s < 3600)
        put_two(out, s, 60, (const char *[]){"m", "s"});
    else if (s < 86400)
        put_two(out, s, 3600, (const char *[]){"h", "m"});
    else
        put_two(out, s, 86400, (const char *[]){"d", "h"});
}

void cell_put_bytes(struct buf *out, uint64_t bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
    if (bytes < 1024) {
        buf_printf(out, "%" PRIu64 " byte%s", bytes, bytes == 1 ? "" : "s");
        return;
    }
    double value = (double)bytes / 1024;
    size_t unit = 0;
    for (; value >= 1024 && unit + 1 < ARRAY_LEN(units); unit++)
        value /= 1024;
    buf_printf(out, "%.1f %s", value, units[unit]);
}

void cell_put_size(struct buf *out, int64_t bytes, size_t width)
{
    struct buf AUTO_BUF text;
    buf_init(&text, 64);
    if (bytes >= 0)
        cell_put_bytes(&text, (uint64_t)bytes);
    else
        buf_putc(&text, '-');
    cell_put(out, buf_slice(&text), width);
    buf_putc(out, ' ');
}
