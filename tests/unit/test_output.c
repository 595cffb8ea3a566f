/* SPDX-License-Identifier: MIT */
#include "cli/output.h"

#include "cli/cell.h"

#include <criterion/criterion.h>

/* Cleans `dirty`, cut into two feeds at every possible place, and compares each time. */
static void cleaned(struct slice dirty, const char *expected)
{
    for (size_t cut = 0; cut <= dirty.len; cut++) {
        struct cleaner cleaner = {0};
        struct buf AUTO_BUF out;
        buf_init(&out, 4096);
        cleaner_feed(&cleaner, (struct slice){dirty.ptr, cut}, &out);
        cleaner_feed(&cleaner, (struct slice){dirty.ptr + cut, dirty.len - cut}, &out);
        cleaner_end(&cleaner, &out);
        cr_assert(slice_is(buf_slice(&out), expected), "cut at %zu: \"%.*s\" instead of \"%s\"",
                  cut, (int)out.len, out.ptr, expected);
    }
}
#define CLEANED(dirty, expected) cleaned(SLICE_LIT(dirty), expected)

Test(output, text_passes_unchanged)
{
    CLEANED("plain\ttext\r\nwith ä, €, 😀\n", "plain\ttext\r\nwith ä, €, 😀\n");
    CLEANED("", "");
}

Test(output, escape_sequences_go)
{
    CLEANED("a\x1b[31mred\x1b[0mb", "aredb");
    CLEANED("a\x1b[?1049h\x1b[2J\x1b[Hb", "ab");
    CLEANED("a\x1b]0;title\x07z", "az");
    CLEANED("a\x1b]52;c;ZXZpbA==\x1b\\z", "az");
    CLEANED("a\x1bP1$r0m\x1b\\z", "az");
    CLEANED("a\x1b(Bz\x1b"
            "7y\x1b"
            "cx",
            "azyx");
    CLEANED("a\x1b\x1b[31mz", "az");
}

Test(output, an_open_sequence_swallows_no_line)
{
    CLEANED("a\x1b]0;never closed\nnext", "a\nnext");
    CLEANED("a\x1b[31\nnext", "a\nnext");
    CLEANED("end\x1b", "end");
}

Test(output, controls_and_direction_go)
{
    CLEANED("a\x07\x08\x0b\x0c\x7f\0z", "az");
    CLEANED("a\u202Eevil\u202C\u2066z", "aevilz");
    CLEANED("a\xC2\x9B"
            "31mz",
            "a31mz"); /* U+009B, a control sequence in one character */
}

Test(output, what_is_not_utf8_is_marked)
{
    CLEANED("a\xFFz", "a\uFFFDz");
    CLEANED("a\x9B"
            "31mz",
            "a\uFFFD31mz");
    CLEANED("a\xE2\x82z", "a\uFFFDz");
    CLEANED("a\xC0\xAFz", "a\uFFFD\uFFFDz");
    CLEANED("a\xED\xA0\x80z", "a\uFFFDz");
    CLEANED("a\xE2\x82", "a\uFFFD");
    CLEANED("a\xE2\x1b[31mz", "a\uFFFDz");
}

static void cell(const char *text, size_t width, const char *expected)
{
    struct buf AUTO_BUF out;
    buf_init(&out, 4096);
    cell_put(&out, slice_of(text), width);
    cr_assert(slice_is(buf_slice(&out), expected), "\"%.*s\" instead of \"%s\"", (int)out.len,
              out.ptr, expected);
}

Test(output, cells_have_their_width)
{
    cell("abc", 5, "abc  ");
    cell("abc", 3, "abc");
    cell("abcd", 3, "ab…");
    cell("äöü", 4, "äöü ");
    cell("äöüß", 3, "äö…");
    cell("", 2, "  ");
    cell("as\nit\x1b[1m is", 0, "as it is");
}

static void duration(int64_t us, const char *expected)
{
    struct buf AUTO_BUF out;
    buf_init(&out, 64);
    cell_put_duration(&out, us);
    cr_assert(slice_is(buf_slice(&out), expected), "\"%.*s\" instead of \"%s\"", (int)out.len,
              out.ptr, expected);
}

Test(output, durations_read_well)
{
    duration(-5, "0ms");
    duration(850000, "850ms");
    duration(12900000, "12s");
    duration(310000000, "5m10s");
    duration(3600000000, "1h");
    duration(12000000000, "3h20m");
    duration(187200000000, "2d4h");
}
