/* SPDX-License-Identifier: MIT */
#include "api/range.h"

#include <criterion/criterion.h>

Test(http_range, serves_one_part_or_everything)
{
    static const struct {
        const char *header;
        uint64_t total;
        enum range_kind kind;
        uint64_t first, len;
    } rows[] = {
        {NULL, 10, RANGE_ALL, 0, 10},
        {"bytes=0-0", 10, RANGE_PART, 0, 1},
        {"bytes=0-9", 10, RANGE_PART, 0, 10},
        {"bytes=0-99", 10, RANGE_PART, 0, 10},
        {"bytes=3-", 10, RANGE_PART, 3, 7},
        {"bytes=-4", 10, RANGE_PART, 6, 4},
        {"bytes=-40", 10, RANGE_PART, 0, 10},
        {"bytes=9-9", 10, RANGE_PART, 9, 1},
        {"bytes=10-", 10, RANGE_OUTSIDE, 0, 0},
        {"bytes=0-", 0, RANGE_OUTSIDE, 0, 0},
        {"bytes=-0", 10, RANGE_OUTSIDE, 0, 0},
        {"bytes=5-3", 10, RANGE_ALL, 0, 10},
        {"bytes=0-1,3-4", 10, RANGE_ALL, 0, 10},
        {"bytes=a-b", 10, RANGE_ALL, 0, 10},
        {"bytes=", 10, RANGE_ALL, 0, 10},
        {"bytes=-", 10, RANGE_ALL, 0, 10},
        {"bytes=--1", 10, RANGE_ALL, 0, 10},
        {"lines=0-1", 10, RANGE_ALL, 0, 10},
        {"bytes=0-99999999999999999999", 10, RANGE_ALL, 0, 10},
        {"bytes=9223372036854775807-", 10, RANGE_OUTSIDE, 0, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct range range = range_parse(slice_of(rows[i].header), rows[i].total);
        cr_assert_eq(range.kind, rows[i].kind, "%s", rows[i].header);
        cr_assert_eq(range.first, rows[i].first, "%s", rows[i].header);
        cr_assert_eq(range.len, rows[i].len, "%s", rows[i].header);
    }
}
