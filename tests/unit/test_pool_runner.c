/* SPDX-License-Identifier: MIT */
#include "service/base/json.h"
#include "service/base/pool_runner.h"

#include <criterion/criterion.h>

static bool read_text(const char *text, char ret[POOL_RUNNER_MAX], struct err *err)
{
    return json_validate(slice_of(text), JSON_LIMITS_DEFAULT, err) &&
           pool_runner_read(slice_of(text), "/runner", ret, err);
}

Test(pool_runner, what_was_read_is_a_program)
{
    static const char text[] = "{\"codec\":\"raw\", \"command\" : [\"a\", \"b\\u0041 \\\"\"],\n"
                               "\"preload\":[\"x.y\",\"z\"],\"initializer\":\"m:f\"}";
    char runner[POOL_RUNNER_MAX];
    struct err err = {0};
    struct arena a;
    struct function f;
    arena_init(&a, 1u << 16);
    cr_assert(read_text(text, runner, &err), "%s", err.detail);
    cr_assert_str_eq(runner, "{\"codec\":\"raw\",\"command\":[\"a\",\"bA \\\"\"],"
                             "\"preload\":[\"x.y\",\"z\"],\"init_base64\":\"bTpm\"}");
    cr_assert(pool_runner_program(runner, &a, &f, &err), "%s", err.detail);
    cr_assert_eq(f.n_argv, 2);
    cr_assert(slice_is(f.argv[1], "bA \""));
    cr_assert(slice_is(f.preload, "x.y,z") && slice_is(f.init, "m:f"));
    cr_assert_str_eq(f.codec->text, "raw");
    arena_release(&a);
}

Test(pool_runner, keys_of_the_configuration_are_the_same)
{
    char text[POOL_RUNNER_MAX] = "", same[POOL_RUNNER_MAX];
    struct err err = {0};
    cr_assert(pool_runner_is_key("runner") && !pool_runner_is_key("size"));
    cr_assert(pool_runner_finish(text, &err) && text[0] == '\0');
    cr_assert(pool_runner_set(text, "initializer", SLICE_LIT("a \"b\""), &err));
    cr_assert(pool_runner_set(text, "runner", SLICE_LIT("[\"x\"]"), &err));
    cr_assert(pool_runner_finish(text, &err), "%s", err.detail);
    cr_assert(read_text("{\"initializer\":\"a \\\"b\\\"\",\"command\":[\"x\"]}", same, &err));
    cr_assert_str_eq(text, same);
}

static const struct {
    const char *key, *value, *says;
} bad_keys[] = {
    {"runner", "python3", "must be a JSON array"},
    {"runner", "[]", "runner must be an array of strings"},
    {"preload", "[\"x\"]", "runner is missing"},
    {"codec", "xml", "codec must be"},
};

Test(pool_runner, bad_keys_are_named)
{
    for (size_t i = 0; i < ARRAY_LEN(bad_keys); i++) {
        char text[POOL_RUNNER_MAX] = "";
        struct err err = {0};
        cr_assert_not(pool_runner_set(text, bad_keys[i].key, slice_of(bad_keys[i].value), &err) &&
                      pool_runner_finish(text, &err));
        cr_assert_not_null(strstr(err.detail, bad_keys[i].says), "%s", err.detail);
    }
}

Test(pool_runner, what_is_too_long_is_refused)
{
    char text[POOL_RUNNER_MAX] = "", large[POOL_RUNNER_MAX + 1], runner[POOL_RUNNER_MAX];
    AUTO_BUF struct buf json = {0};
    struct err err = {0};
    memset(large, 'x', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    cr_assert_not(pool_runner_set(text, "initializer", slice_of(large), &err));
    buf_init(&json, 2 * POOL_RUNNER_MAX);
    buf_printf(&json, "{\"command\":[\"%s\"]}", large);
    buf_putc(&json, '\0');
    cr_assert_not(read_text(json.ptr, runner, &err));
    cr_assert_str_eq(err.pointer, "/runner");
}
