/* SPDX-License-Identifier: MIT */
#include "service/base/buf.h"

#include <criterion/criterion.h>
#include <inttypes.h>

#include "service/base/json.h"
#include "service/base/text.h"

#define EXPECT(b, literal)                                                                       \
    cr_assert(slice_eq(buf_slice(b), SLICE_LIT(literal)), "got '%.*s', not '%s'", (int)(b)->len, \
              (b)->ptr, literal)

Test(buf, appends_in_order)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 1000);
    buf_puts(&b, "ab");
    buf_putc(&b, 'c');
    buf_append(&b, "d\0e", 3);
    buf_append(&b, NULL, 0);
    buf_printf(&b, "%d%s", 7, "!");
    cr_assert(buf_ok(&b));
    cr_assert(slice_eq(buf_slice(&b), (struct slice){"abcd\0e7!", 8}));
}

Test(buf, keeps_what_it_has_beyond_its_maximum)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 4);
    buf_puts(&b, "abc");
    cr_assert(buf_ok(&b));
    buf_puts(&b, "de");
    cr_assert_not(buf_ok(&b));
    EXPECT(&b, "abc");
    buf_putc(&b, 'd'); /* would fit, but the text would have a hole */
    EXPECT(&b, "abc");
    cr_assert_null(buf_steal(&b));
    buf_clear(&b);
    buf_puts(&b, "wxyz");
    cr_assert(buf_ok(&b));
    EXPECT(&b, "wxyz");
}

Test(buf, fills_up_to_the_last_byte)
{
    for (size_t max = 1; max < 2000; max += 37) {
        AUTO_BUF struct buf b;
        buf_init(&b, max);
        for (size_t i = 0; i < max; i++)
            buf_putc(&b, 'x');
        cr_assert(buf_ok(&b));
        cr_assert_eq(b.len, max);
        cr_assert_leq(b.cap, max);
        buf_putc(&b, 'x');
        cr_assert_not(buf_ok(&b), "max %zu", max);
    }
}

Test(buf, reserve_and_commit)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 100);
    char *room = buf_reserve(&b, 50);
    cr_assert_not_null(room);
    memset(room, 'r', 50);
    buf_commit(&b, 3);
    EXPECT(&b, "rrr");
    cr_assert_null(buf_reserve(&b, 98));
    cr_assert_not(buf_ok(&b));
}

Test(buf, steal_hands_over_and_empties)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 10);
    buf_puts(&b, "abc");
    AUTO_FREE char *text = buf_steal(&b);
    cr_assert_str_eq(text, "abc");
    cr_assert_eq(b.len, 0);
    buf_puts(&b, "0123456789");
    cr_assert(buf_ok(&b), "the maximum stays");
    AUTO_FREE char *full = buf_steal(&b);
    cr_assert_str_eq(full, "0123456789");
    AUTO_FREE char *empty = buf_steal(&b);
    cr_assert_str_eq(empty, "");
}

Test(buf, release_accepts_a_zeroed_one)
{
    struct buf b = {0};
    buf_release(&b);
    buf_puts(&b, "x");
    cr_assert_not(buf_ok(&b), "unusable until buf_init");
    cr_assert_null(b.ptr);
}

Test(buf, printf_of_any_length)
{
    static const int lengths[] = {0, 1, 254, 255, 256, 257, 5000};
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        AUTO_BUF struct buf b;
        buf_init(&b, 10000);
        buf_printf(&b, "%*s|", lengths[i], "");
        cr_assert_eq(b.len, (size_t)lengths[i] + 1);
        cr_assert_eq(b.ptr[b.len - 1], '|');
    }
    AUTO_BUF struct buf small;
    buf_init(&small, 300);
    buf_printf(&small, "%*s|", 300, "");
    cr_assert_not(buf_ok(&small));
    cr_assert_eq(small.len, 0);
}

Test(buf, integers_print_as_printf_does)
{
    int64_t values[200] = {0, -1, 9, 10, 99, 100, 101, -100, INT64_MAX, INT64_MIN, INT64_MIN + 1};
    size_t n = 11;
    for (int64_t power = 1; n + 3 < ARRAY_LEN(values) && power <= INT64_MAX / 10; power *= 10) {
        values[n++] = power;
        values[n++] = power - 1;
        values[n++] = -power;
    }
    for (size_t i = 0; i < n; i++) {
        char expected[32];
        AUTO_BUF struct buf b;
        buf_init(&b, 100);
        buf_put_i64(&b, values[i]);
        (void)snprintf(expected, sizeof(expected), "%" PRId64, values[i]);
        cr_assert(slice_is(buf_slice(&b), expected), "%s", expected);
    }
}

Test(buf_json, strings_are_escaped)
{
    const struct {
        struct slice in;
        const char *out;
    } rows[] = {
        {SLICE_LIT(""), "\"\""},
        {SLICE_LIT("plain text of more than eight bytes"),
         "\"plain text of more than eight bytes\""},
        {SLICE_LIT("a\"b\\c/d"), "\"a\\\"b\\\\c/d\""},
        {SLICE_LIT("\b\f\n\r\t"), "\"\\b\\f\\n\\r\\t\""},
        {SLICE_LIT("\0\x01\x1f\x7f"), "\"\\u0000\\u0001\\u001f\\u007f\""},
        {SLICE_LIT("é€😀"), "\"é€😀\""},
        {SLICE_LIT("\xC2\x80\xC2\x9F\xC2\xA0"), "\"\\u0080\\u009f\xC2\xA0\""},
        {SLICE_LIT("\xE2\x80\xA7\xE2\x80\xA8\xE2\x80\xA9"), "\"\xE2\x80\xA7\\u2028\\u2029\""},
        {SLICE_LIT("\xE2\x80\xAE\xE2\x81\xA6\xD8\x9C\xE2\x80\x8F"),
         "\"\\u202e\\u2066\\u061c\\u200f\""},
        {SLICE_LIT("a\xFFz\xC3"), "\"a\xEF\xBF\xBDz\xEF\xBF\xBD\""},
        {SLICE_LIT("1234567\n1234567\"12345678\\"), "\"1234567\\n1234567\\\"12345678\\\\\""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_BUF struct buf b;
        buf_init(&b, 1000);
        buf_json_string(&b, rows[i].in);
        cr_assert(slice_is(buf_slice(&b), rows[i].out), "row %zu: %.*s", i, (int)b.len, b.ptr);
    }
}

/* Every byte at every place of a word of eight, written and read back. */
Test(buf_json, every_byte_survives_at_every_position)
{
    for (unsigned c = 0; c < 0x80; c++) {
        for (size_t at = 0; at < 17; at++) {
            char text[17];
            memset(text, 'x', sizeof(text));
            text[at] = (char)c;
            AUTO_BUF struct buf b;
            AUTO_ARENA struct arena a;
            buf_init(&b, 1000);
            arena_init(&a, 4096);
            buf_json_string(&b, (struct slice){text, sizeof(text)});
            if (c != 0) /* the scanner refuses the escape of NUL */
                cr_assert(json_validate(buf_slice(&b), JSON_LIMITS_DEFAULT, NULL), "%#x", c);
            size_t len = 0;
            char *back = json_string_dup(buf_slice(&b), &a, &len);
            cr_assert(slice_eq((struct slice){back, len}, (struct slice){text, sizeof(text)}),
                      "%#x at %zu", c, at);
        }
    }
}

Test(buf_json, a_string_that_does_not_fit_leaves_a_failed_buffer)
{
    AUTO_BUF struct buf b;
    buf_init(&b, 10);
    buf_json_string(&b, SLICE_LIT("\n\n\n\n\n\n"));
    cr_assert_not(buf_ok(&b));
    cr_assert_leq(b.len, 10);
}

Test(buf_json, times)
{
    static const struct {
        int64_t us;
        const char *out;
    } rows[] = {
        {0, "null"},
        {1, "\"1970-01-01T00:00:00.000001Z\""},
        {-1, "\"1969-12-31T23:59:59.999999Z\""},
        {1796083200000000, "\"2026-12-01T00:00:00.000000Z\""},
        {1709208000123456, "\"2024-02-29T12:00:00.123456Z\""},
        {INT64_MAX, "\"9999-12-31T23:59:59.999999Z\""},
        {INT64_MIN, "\"0000-01-01T00:00:00.000000Z\""},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_BUF struct buf b;
        buf_init(&b, 100);
        buf_json_time(&b, rows[i].us);
        cr_assert(slice_is(buf_slice(&b), rows[i].out), "%.*s", (int)b.len, b.ptr);
    }
}

Test(buf_json, seconds_are_shortest)
{
    static const struct {
        int64_t us;
        const char *out;
    } rows[] = {
        {0, "0"},
        {1, "0.000001"},
        {1234567, "1.234567"},
        {1500000, "1.5"},
        {60000000, "60"},
        {100, "0.0001"},
        {-2500000, "-2.5"},
        {10000010, "10.00001"},
        {INT64_MAX, "9223372036854.775807"},
        {INT64_MIN, "-9223372036854.775808"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        AUTO_BUF struct buf b;
        buf_init(&b, 100);
        buf_json_seconds_us(&b, rows[i].us);
        cr_assert(slice_is(buf_slice(&b), rows[i].out), "%.*s", (int)b.len, b.ptr);
        cr_assert(json_validate(buf_slice(&b), JSON_LIMITS_DEFAULT, NULL));
    }
}

Test(arena, memory_is_zeroed_aligned_and_apart)
{
    AUTO_ARENA struct arena a;
    arena_init(&a, 1 << 20);
    unsigned char *before = NULL;
    for (size_t size = 0; size < 300; size++) {
        unsigned char *p = arena_alloc(&a, size);
        cr_assert_not_null(p);
        cr_assert_eq((uintptr_t)p % _Alignof(max_align_t), 0);
        for (size_t i = 0; i < size; i++)
            cr_assert_eq(p[i], 0);
        memset(p, 0xAB, size);
        cr_assert_neq(p, before);
        before = p;
    }
}

Test(arena, stops_at_its_maximum)
{
    AUTO_ARENA struct arena a;
    arena_init(&a, 1000);
    size_t n = 0;
    while (arena_alloc(&a, 16) != NULL)
        n++;
    cr_assert_eq(n, 62, "1000 bytes hold 62 times 16, not %zu", n);
    cr_assert_null(arena_alloc(&a, SIZE_MAX));
    cr_assert_null(arena_alloc(&a, 1001));
    arena_clear(&a);
    unsigned char *again = arena_alloc(&a, 900);
    cr_assert_not_null(again);
    cr_assert_eq(again[0] + again[899], 0, "cleared memory is zeroed again");
}

Test(arena, large_pieces_and_clear)
{
    AUTO_ARENA struct arena a;
    arena_init(&a, 10 << 20);
    for (int round = 0; round < 3; round++) {
        char *large = arena_alloc(&a, 1 << 20);
        cr_assert_not_null(large);
        memset(large, 'x', 1 << 20);
        char *small = arena_dup(&a, SLICE_LIT("text"));
        cr_assert_str_eq(small, "text");
        arena_clear(&a);
        cr_assert_eq(a.used, 0);
    }
    cr_assert_str_eq(arena_dup(&a, slice_of(NULL)), "");
}

Test(arena, release_accepts_a_zeroed_one)
{
    struct arena a = {0};
    arena_release(&a);
    cr_assert_null(arena_alloc(&a, 1));
}
