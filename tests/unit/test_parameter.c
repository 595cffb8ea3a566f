/* SPDX-License-Identifier: MIT */
/* Descriptions of parameters, and the values that they allow. */
#include "service/base/json.h"
#include "service/base/parameter.h"

#include <criterion/criterion.h>

static struct arena a;

static void setup(void)
{
    arena_init(&a, 1u << 20);
}

static void teardown(void)
{
    arena_release(&a);
}

TestSuite(parameter, .init = setup, .fini = teardown, .timeout = 60);

static bool read_list(const char *text, struct parameter_list *ret, struct err *err)
{
    struct slice json = slice_of(text);
    cr_assert(json_validate(json, JSON_LIMITS_DEFAULT, err), "%s: %s", text, err->detail);
    *err = (struct err){0};
    return parameters_read(json_trim(json), &a, ret, err);
}

Test(parameter, a_description_is_read_whole)
{
    struct parameter_list list;
    struct err err = {0};
    cr_assert(
        read_list(
            "[{\"name\":\"n\",\"type\":\"integer\",\"minimum\":0,\"maximum\":90,\"doc\":\"d\"},"
            "{\"type\":\"string\",\"default\":\"x\",\"minLength\":1,\"maxLength\":3},"
            "{\"name\":\"c\",\"required\":false,\"enum\":[1,\"a\"]}]",
            &list, &err),
        "%s %s", err.pointer, err.detail);
    cr_assert_eq(list.n, 3);
    cr_assert_str_eq(list.items[0].name, "n");
    cr_assert_eq(list.items[0].type, PARAMETER_INTEGER);
    cr_assert(list.items[0].is_required && list.items[0].has_maximum);
    cr_assert_str_eq(list.items[1].name, "2", "without a name it is its place");
    cr_assert_not(list.items[1].is_required);
    cr_assert(slice_is(list.items[1].fallback, "\"x\""));
    cr_assert_eq(list.items[2].type, PARAMETER_ANY);
    cr_assert_eq(parameter_find(&list, SLICE_LIT("c")), &list.items[2]);
    cr_assert_null(parameter_find(&list, SLICE_LIT("d")));
}

Test(parameter, what_is_wrong_is_named_with_its_place)
{
    static const struct {
        const char *text, *pointer;
    } cases[] = {
        {"{}", ""},
        {"[7]", "/0"},
        {"[{\"name\":\"a b\"}]", "/0/name"},
        {"[{\"name\":\"1a\"}]", "/0/name"},
        {"[{\"name\":\"\"}]", "/0/name"},
        {"[{},{\"type\":\"int\"}]", "/1/type"},
        {"[{\"type\":3}]", "/0/type"},
        {"[{\"type\":\"number\",\"minimum\":\"0\"}]", "/0/minimum"},
        {"[{\"type\":\"string\",\"minimum\":0}]", "/0"},
        {"[{\"type\":\"integer\",\"maxLength\":1}]", "/0"},
        {"[{\"type\":\"string\",\"maxLength\":-1}]", "/0/maxLength"},
        {"[{\"enum\":[]}]", "/0/enum"},
        {"[{\"enum\":3}]", "/0/enum"},
        {"[{\"type\":\"integer\",\"default\":\"x\"}]", "/0/default"},
        {"[{\"default\":1,\"required\":true}]", "/0"},
        {"[{\"required\":1}]", "/0/required"},
        {"[{\"doc\":1}]", "/0/doc"},
        {"[{\"pattern\":\"x\"}]", "/0"},
        {"[{\"name\":\"a\"},{\"name\":\"a\"}]", "/1"},
        {"[{\"default\":1},{}]", "/1"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct parameter_list list;
        struct err err = {0};
        cr_assert_not(read_list(cases[i].text, &list, &err), "%s", cases[i].text);
        cr_assert_eq(err.code, ERR_INVALID);
        cr_assert_str_eq(err.pointer, cases[i].pointer, "%s: %s", cases[i].text, err.detail);
    }
}

Test(parameter, there_are_no_more_than_a_call_has_room_for)
{
    AUTO_BUF struct buf text = {0};
    struct parameter_list list;
    struct err err = {0};
    buf_init(&text, 4096);
    for (int i = 0; i < MAX_PARAMETERS; i++)
        buf_puts(&text, i == 0 ? "[{}" : ",{}");
    buf_puts(&text, "]");
    cr_assert(parameters_read(buf_slice(&text), &a, &list, &err), "%s", err.detail);
    text.len--;
    buf_puts(&text, ",{}]");
    cr_assert_not(parameters_read(buf_slice(&text), &a, &list, &err));
}

Test(parameter, a_value_fits_or_not)
{
    static const struct {
        const char *description, *value;
        bool fits;
    } cases[] = {
        {"{}", "null", true},
        {"{\"type\":\"string\"}", "\"\"", true},
        {"{\"type\":\"string\"}", "1", false},
        {"{\"type\":\"integer\"}", "1.0", true},
        {"{\"type\":\"integer\"}", "1e3", true},
        {"{\"type\":\"integer\"}", "1.5", false},
        {"{\"type\":\"integer\"}", "99999999999999999999", false},
        {"{\"type\":\"integer\"}", "\"1\"", false},
        {"{\"type\":\"number\"}", "-1.5e-3", true},
        {"{\"type\":\"number\"}", "1e999", false},
        {"{\"type\":\"number\"}", "true", false},
        {"{\"type\":\"boolean\"}", "false", true},
        {"{\"type\":\"boolean\"}", "0", false},
        {"{\"type\":\"array\"}", "[]", true},
        {"{\"type\":\"array\"}", "{}", false},
        {"{\"type\":\"object\"}", "{}", true},
        {"{\"type\":\"object\"}", "null", false},
        {"{\"type\":\"integer\",\"minimum\":0,\"maximum\":90}", "0", true},
        {"{\"type\":\"integer\",\"minimum\":0,\"maximum\":90}", "90", true},
        {"{\"type\":\"integer\",\"minimum\":0,\"maximum\":90}", "91", false},
        {"{\"type\":\"integer\",\"minimum\":0,\"maximum\":90}", "-1", false},
        {"{\"type\":\"string\",\"minLength\":2,\"maxLength\":2}", "\"\\u00e9\\ud83d\\ude00\"",
         true},
        {"{\"type\":\"string\",\"minLength\":2,\"maxLength\":2}", "\"a\"", false},
        {"{\"type\":\"string\",\"minLength\":2,\"maxLength\":2}", "\"abc\"", false},
        {"{\"enum\":[1,\"a\",null,[1]]}", "1.0", true},
        {"{\"enum\":[1,\"a\",null,[1]]}", "\"\\u0061\"", true},
        {"{\"enum\":[1,\"a\",null,[1]]}", "null", true},
        {"{\"enum\":[1,\"a\",null,[1]]}", "[1]", true},
        {"{\"enum\":[1,\"a\",null,[1]]}", "\"1\"", false},
        {"{\"enum\":[1,\"a\",null,[1]]}", "2", false},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct parameter_list list;
        struct err err = {0};
        char text[200];
        (void)snprintf(text, sizeof text, "[%s]", cases[i].description);
        cr_assert(read_list(text, &list, &err), "%s: %s", text, err.detail);
        bool fits = parameter_check(&list.items[0], slice_of(cases[i].value), &err);
        cr_assert_eq(fits, cases[i].fits, "%s for %s: %s", cases[i].value, text, err.detail);
    }
}
