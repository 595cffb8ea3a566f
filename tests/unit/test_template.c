/* SPDX-License-Identifier: MIT */
#include "service/base/template.h"

#include "service/base/json.h"

#include <criterion/criterion.h>

static void expect(const char *text, const char *item, bool star, const char *want)
{
    AUTO_BUF struct buf out = {0};
    struct err err = {0};
    struct template_item it = {.raw = slice_of(item), .index = 42, .star = star};

    buf_init(&out, 4096);
    cr_assert(json_validate(it.raw, JSON_LIMITS_DEFAULT, &err), "%s", err.detail);
    template_put(slice_of(text), &it, &out);
    cr_assert(slice_is(buf_slice(&out), want), "%s with %s: %.*s instead of %s", text, item,
              (int)out.len, out.ptr, want);
}

Test(template, places_are_filled)
{
    expect("", "1", false, "");
    expect("plain", "1", false, "plain");
    expect("{}", "\"a\\n\\u00e9\"", false, "a\n\xc3\xa9");
    expect("<{}{}>", "1.50", false, "<1.501.50>");
    expect("{index}:{}", "null", false, "42:null");
    expect("{{}}", "1", false, "{1}");
    expect("{", "1", false, "{");
    expect("{inde", "1", false, "{inde");
    expect("{1}", "[5]", false, "{1}");
    expect("{2}{1}", "[\"a\",{\"k\": 1}]", true, "{\"k\": 1}a");
    expect("{0}{01}{12345}{3}", "[1]", true, "{0}{01}{12345}");
    expect("{}", "[1, 2]", true, "[1, 2]");
}

Test(template, places_are_counted)
{
    int64_t highest = 0;
    cr_assert_eq(template_holes(SLICE_LIT("a{}b{index}{x}{2}{"), true, &highest), 3);
    cr_assert_eq(highest, 2);
    cr_assert_eq(template_holes(SLICE_LIT("{2}"), false, &highest), 0);
    cr_assert_eq(template_holes((struct slice){NULL, 0}, false, &highest), 0);
}

Test(template, names_are_short_and_on_one_line)
{
    AUTO_ARENA struct arena a = {0};
    char item[1024];
    struct template_item it = {.index = 1};

    arena_init(&a, 65536);
    it.raw = SLICE_LIT("\"x\\ny\\u0001\"");
    cr_assert_str_eq(template_name(SLICE_LIT("j-{}"), &it, &a), "j-x y ");
    (void)snprintf(item, sizeof item, "\"%0*d\xc3\xa9\"", 254, 0);
    it.raw = slice_of(item);
    cr_assert_eq(strlen(template_name(SLICE_LIT("{}"), &it, &a)), 254, "no half character is left");
}

Test(template, damaged_bytes_are_refused)
{
    struct template_head head = {.version = 1};
    char bytes[sizeof head + 2];
    struct slice task;
    struct err err = {0};

    memcpy(bytes, &head, sizeof head);
    bytes[sizeof head] = 'x';
    cr_assert(template_open((struct slice){bytes, sizeof head + 1}, &head, &task, &err));
    cr_assert(slice_is(task, "x"));
    cr_assert_not(template_open((struct slice){bytes, sizeof head}, &head, &task, &err));
    cr_assert_not(template_open((struct slice){NULL, 0}, &head, &task, &err));
    bytes[0] = 2;
    cr_assert_not(template_open((struct slice){bytes, sizeof head + 1}, &head, &task, &err));
    cr_assert_eq(err.code, ERR_STORAGE);
}
