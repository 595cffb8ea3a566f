/* SPDX-License-Identifier: MIT */
#include "service/base/buf.h"

#include "service/base/hex.h"
#include "service/base/text.h"

#include <stdarg.h>

#define FIRST_CAP 256u

void buf_init(struct buf *b, size_t max)
{
    PRE(max > 0 && max < SIZE_MAX / 2);
    *b = (struct buf){.max = max};
}

void buf_release(struct buf *b)
{
    free(b->ptr);
    *b = (struct buf){.failed = true};
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    b->failed = false;
}

/* Grows to hold `len` more bytes. Doubling keeps appends O(1) on average; the last step stops at
 * max. */
static bool grow(struct buf *b, size_t len)
{
    if (b->failed || len > b->max - b->len) {
        b->failed = true;
        return false;
    }
    size_t cap = MAX(b->cap * 2, FIRST_CAP);
    cap = MIN(MAX(cap, b->len + len), MAX(b->max, 1u));
    char *ptr = realloc(b->ptr, cap);
    if (ptr == NULL) {
        b->failed = true;
        return false;
    }
    b->ptr = ptr;
    b->cap = cap;
    POST(b->cap - b->len >= len);
    return true;
}

static inline bool make_room(struct buf *b, size_t len)
{
    if (!b->failed && len <= b->cap - b->len && b->ptr != NULL)
        return true;
    return grow(b, len);
}

void buf_append(struct buf *b, const void *bytes, size_t len)
{
    if (len == 0 || !make_room(b, len))
        return;
    memcpy(b->ptr + b->len, bytes, len);
    b->len += len;
}

void buf_puts(struct buf *b, const char *s)
{
    buf_append(b, s, strlen(s));
}

void buf_putc(struct buf *b, char c)
{
    if (make_room(b, 1))
        b->ptr[b->len++] = c;
}

char *buf_reserve(struct buf *b, size_t len)
{
    return make_room(b, len) ? b->ptr + b->len : NULL;
}

void buf_commit(struct buf *b, size_t len)
{
    PRE(len <= b->cap - b->len);
    b->len += len;
}

bool buf_ok(const struct buf *b)
{
    return !b->failed;
}

char *buf_steal(struct buf *b)
{
    if (b->failed)
        return NULL;
    char *ptr = realloc(b->ptr, b->len + 1);
    if (ptr == NULL) {
        b->failed = true;
        return NULL;
    }
    ptr[b->len] = '\0';
    buf_init(b, b->max);
    return ptr;
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    char small[256];
    int len = vsnprintf(small, sizeof(small), fmt, args);
    va_end(args);
    PRE(len >= 0);
    if ((size_t)len < sizeof(small)) {
        buf_append(b, small, (size_t)len);
    } else if (make_room(b, (size_t)len)) {
        AUTO_FREE char *large = malloc((size_t)len + 1);
        if (large == NULL) {
            b->failed = true;
        } else {
            (void)vsnprintf(large, (size_t)len + 1, fmt, again);
            buf_append(b, large, (size_t)len);
        }
    }
    va_end(again);
}

void buf_put_i64(struct buf *b, int64_t v)
{
    char text[21];
    buf_append(b, text, text_from_i64(v, text));
}

/* True when none of the eight bytes needs a look: all are 0x20…0x7E, neither quote nor backslash.
 * Each term sets the top bit of a byte that is too small, equal to the named one, or not ASCII. */
static inline bool eight_are_plain(const char *p)
{
    const uint64_t ones = 0x0101010101010101u, tops = 0x8080808080808080u;
    uint64_t w;
    memcpy(&w, p, sizeof(w));
    uint64_t quote = w ^ (ones * '"'), backslash = w ^ (ones * '\\'), del = w ^ (ones * 0x7F);
    uint64_t hit = (w - ones * 0x20) | (quote - ones) | (backslash - ones) | (del - ones) | w;
    return (hit & tops) == 0;
}

static inline bool is_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x7F && c != '"' && c != '\\';
}

/* Characters that can garble a terminal, a log viewer or a JavaScript source: C1, U+2028 and
 * U+2029, and the bidirectional controls. */
static bool is_treacherous(uint32_t c)
{
    return (c >= 0x80 && c < 0xA0) || c == 0x061C || c == 0x200E || c == 0x200F ||
           (c >= 0x2028 && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
}

static void put_u_escape(struct buf *b, uint32_t c)
{
    char text[6] = {'\\', 'u'};
    hex_put_number(text + 2, c, 4);
    buf_append(b, text, sizeof(text));
}

static void put_ascii_escape(struct buf *b, unsigned char c)
{
    static const char short_forms[0x20] = {
        ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
    char letter = c == '"' || c == '\\' ? (char)c : c < 0x20 ? short_forms[c] : 0;
    if (letter == 0) {
        put_u_escape(b, c);
        return;
    }
    const char text[2] = {'\\', letter};
    buf_append(b, text, sizeof(text));
}

/* Handles the one character at p that is_plain refused; returns its length. */
static size_t put_special(struct buf *b, const char *p, size_t left)
{
    unsigned char c = (unsigned char)*p;
    if (c < 0x80) {
        put_ascii_escape(b, c);
        return 1;
    }
    uint32_t code = 0;
    size_t len = text_utf8_step(p, left, &code);
    if (len == 0) {
        buf_append(b, "\xEF\xBF\xBD", 3); /* U+FFFD stands for a byte that is not UTF-8 */
        return 1;
    }
    if (is_treacherous(code))
        put_u_escape(b, code);
    else
        buf_append(b, p, len);
    return len;
}

void buf_json_string(struct buf *b, struct slice s)
{
    const char *p = s.ptr, *end = s.ptr + s.len;
    if (!make_room(b, s.len + 2))
        return;
    buf_putc(b, '"');
    while (p < end) {
        const char *run = p;
        while (end - p >= 8 && eight_are_plain(p))
            p += 8;
        while (p < end && is_plain((unsigned char)*p))
            p++;
        buf_append(b, run, (size_t)(p - run));
        if (p < end)
            p += put_special(b, p, (size_t)(end - p));
    }
    buf_putc(b, '"');
}

void buf_json_time(struct buf *b, int64_t wall_us)
{
    if (wall_us == 0) {
        buf_append(b, "null", 4);
        return;
    }
    char *out = buf_reserve(b, 30);
    if (out == NULL)
        return;
    out[0] = '"';
    text_from_time_us(wall_us, out + 1);
    out[28] = '"'; /* in place of the NUL */
    buf_commit(b, 29);
}

void buf_json_seconds_us(struct buf *b, int64_t us)
{
    char text[32] = "-";
    size_t len = us < 0;
    uint64_t v = us < 0 ? 0 - (uint64_t)us : (uint64_t)us;
    uint64_t fraction = v % 1000000;
    len += text_from_i64((int64_t)(v / 1000000), text + len);
    if (fraction != 0) {
        text[len] = '.';
        for (size_t i = len + 6; i > len; i--, fraction /= 10)
            text[i] = (char)('0' + fraction % 10);
        len += 7;
        while (text[len - 1] == '0')
            len--;
    }
    buf_append(b, text, len);
}
