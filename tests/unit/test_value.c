/* SPDX-License-Identifier: MIT */
#include "service/base/call.h"
#include "service/base/value.h"

#include <criterion/criterion.h>

Test(value, content_types_have_one_of_three_types)
{
    static const struct {
        const char *text;
        enum value_type type;
    } cases[] = {
        {"", VALUE_JSON},
        {"application/json", VALUE_JSON},
        {"Application/JSON; charset=utf-8", VALUE_JSON},
        {"text/plain", VALUE_TEXT},
        {"text/plain; charset=latin1", VALUE_TEXT},
        {"text/plainer", VALUE_BYTES},
        {"application/octet-stream", VALUE_BYTES},
        {"image/png", VALUE_BYTES},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        cr_assert_eq(value_type_of(slice_of(cases[i].text)), cases[i].type, "%s", cases[i].text);
    for (int type = 0; type < VALUE_TYPE_COUNT; type++)
        cr_assert_eq((int)value_type_of(slice_of(value_type_name((enum value_type)type))), type);
}

/* ---- the arguments of a call as JSON ---- */

static void expect_json(const struct call *call, const struct parameter_list *params,
                        const char *json)
{
    AUTO_BUF struct buf out = {0};
    struct err err = {0};
    buf_init(&out, 4096);
    cr_assert(call_json(call, params, &out, &err), "%s", err.detail);
    cr_assert(slice_is(buf_slice(&out), json), "%.*s", (int)out.len, out.ptr);
}

Test(value, arguments_are_written_as_they_were_given)
{
    const struct call none = {0};
    const struct call both = {.args = SLICE_LIT("[1.50, \"a\"]"),
                              .kwargs = SLICE_LIT("{ \"x\\u0041\" : [ ] }")};
    const struct call item = {.args = SLICE_LIT("[2]"), .item = SLICE_LIT("[1]")};
    const struct call star = {.args = SLICE_LIT("[2]"), .item = SLICE_LIT("[0,1]"), .star = true};
    const struct call named = {.args = SLICE_LIT("[2]"),
                               .kwargs = SLICE_LIT("{\"b\":1,\"c\":2}"),
                               .item = SLICE_LIT("{\"\\u0062\":3}"),
                               .star = true};
    expect_json(&none, NULL, "{\"args\":[],\"kwargs\":{}}");
    expect_json(&both, NULL, "{\"args\":[1.50,\"a\"],\"kwargs\":{\"x\\u0041\":[ ]}}");
    expect_json(&item, NULL, "{\"args\":[[1],2],\"kwargs\":{}}");
    expect_json(&star, NULL, "{\"args\":[0,1,2],\"kwargs\":{}}");
    expect_json(&named, NULL, "{\"args\":[2],\"kwargs\":{\"\\u0062\":3,\"c\":2}}");
}

Test(value, arguments_that_were_not_given_arrive_by_name)
{
    AUTO_ARENA struct arena a = {0};
    struct parameter_list params;
    struct err err = {0};
    const struct slice text = SLICE_LIT("[{\"name\":\"n\",\"type\":\"integer\"},"
                                        "{\"name\":\"m\",\"default\":{\"k\":1}}]");
    const struct call one = {.args = SLICE_LIT("[7]")};
    const struct call two = {.args = SLICE_LIT("[7,8]")};
    const struct call wrong = {.args = SLICE_LIT("[\"x\"]")};
    AUTO_BUF struct buf out = {0};
    buf_init(&out, 4096);
    arena_init(&a, 1u << 16);
    cr_assert(parameters_read(text, &a, &params, &err), "%s", err.detail);
    expect_json(&one, &params, "{\"args\":[7],\"kwargs\":{\"m\":{\"k\":1}}}");
    expect_json(&two, &params, "{\"args\":[7,8],\"kwargs\":{}}");
    cr_assert_not(call_json(&wrong, &params, &out, &err));
    cr_assert_str_eq(err.pointer, "/args/0");
}

Test(value, an_item_that_is_no_set_of_arguments_is_refused)
{
    const struct call star = {.item = SLICE_LIT("3"), .star = true};
    AUTO_BUF struct buf out = {0};
    struct err err = {0};
    buf_init(&out, 4096);
    cr_assert_not(call_json(&star, NULL, &out, &err));
    cr_assert_eq(err.code, ERR_INVALID);
}
