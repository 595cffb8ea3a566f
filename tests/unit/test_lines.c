/* SPDX-License-Identifier: MIT */
#include "cli/lines.h"

#include <criterion/criterion.h>

Test(lines, come_whole_from_pieces)
{
    int fds[2];
    struct lines lines;
    struct slice line;
    struct err err = {0};
    cr_assert_eq(pipe(fds), 0);
    lines_init(&lines, fds[0], '\n');
    cr_assert_eq(lines_take(&lines, &line), LINES_WANTED);
    cr_assert_eq(write(fds[1], "ab", 2), 2);
    bool ok = lines_fill(&lines, &err);
    cr_assert(ok);
    cr_assert_eq(lines_take(&lines, &line), LINES_WANTED);
    cr_assert_eq(write(fds[1], "c\n\nde", 5), 5);
    ok = lines_fill(&lines, &err);
    cr_assert(ok);
    cr_assert_eq(lines_take(&lines, &line), LINES_LINE);
    cr_assert(slice_is(line, "abc"));
    cr_assert_eq(lines_take(&lines, &line), LINES_LINE);
    cr_assert_eq(line.len, 0);
    cr_assert_eq(lines_take(&lines, &line), LINES_WANTED);
    (void)close(fds[1]);
    ok = lines_fill(&lines, &err);
    cr_assert(ok);
    cr_assert_eq(lines_take(&lines, &line), LINES_LINE);
    cr_assert(slice_is(line, "de"));
    cr_assert_eq(lines_take(&lines, &line), LINES_END);
    cr_assert_eq(lines.count, 3);
    lines_release(&lines);
    (void)close(fds[0]);
}

Test(lines, may_end_with_another_byte)
{
    int fds[2];
    struct lines lines;
    struct slice line;
    struct err err = {0};
    cr_assert_eq(pipe(fds), 0);
    cr_assert_eq(write(fds[1], "a\nb\0c", 5), 5);
    (void)close(fds[1]);
    lines_init(&lines, fds[0], '\0');
    bool ok = lines_next(&lines, &line, &err);
    cr_assert(ok);
    cr_assert(slice_is(line, "a\nb"));
    ok = lines_next(&lines, &line, &err);
    cr_assert(ok);
    cr_assert(slice_is(line, "c"));
    ok = lines_next(&lines, &line, &err);
    cr_assert(ok);
    cr_assert_null(line.ptr);
    lines_release(&lines);
    (void)close(fds[0]);
}
