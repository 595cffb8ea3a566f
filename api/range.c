/* SPDX-License-Identifier: MIT */
#include "api/range.h"

#include "service/base/text.h"

static bool read_number(struct slice s, uint64_t *ret)
{
    int64_t n;
    if (s.len == 0 || s.ptr[0] == '-' || !text_to_i64(s, &n))
        return false;
    *ret = (uint64_t)n;
    return true;
}

/* "-n": the last n bytes. */
static struct range suffix(struct slice text, uint64_t total, struct range all)
{
    uint64_t n;
    if (!read_number(text, &n))
        return all;
    if (n == 0 || total == 0)
        return (struct range){RANGE_OUTSIDE, 0, 0};
    n = MIN(n, total);
    return (struct range){RANGE_PART, total - n, n};
}

struct range range_parse(struct slice header, uint64_t total)
{
    static const char unit[] = "bytes=";
    struct range all = {RANGE_ALL, 0, total};
    size_t unit_len = sizeof(unit) - 1;
    if (header.ptr == NULL || header.len <= unit_len || memcmp(header.ptr, unit, unit_len) != 0)
        return all;
    struct slice spec = {header.ptr + unit_len, header.len - unit_len};
    const char *dash = memchr(spec.ptr, '-', spec.len);
    if (dash == NULL || memchr(spec.ptr, ',', spec.len) != NULL)
        return all;
    struct slice from = {spec.ptr, (size_t)(dash - spec.ptr)};
    struct slice to = {dash + 1, spec.len - from.len - 1};
    uint64_t first, last = UINT64_MAX;
    if (from.len == 0)
        return suffix(to, total, all);
    if (!read_number(from, &first) || (to.len > 0 && !read_number(to, &last)) || last < first)
        return all;
    if (first >= total)
        return (struct range){RANGE_OUTSIDE, 0, 0};
    last = MIN(last, total - 1);
    return (struct range){RANGE_PART, first, last - first + 1};
}
