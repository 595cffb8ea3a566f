/* SPDX-License-Identifier: MIT */
#include "api/codec.h"

#include <criterion/criterion.h>

static char rule[] = "a.org";
static const struct config on = {
    .job_cwd = (char[]){""}, .job_output = 1, .callback_hosts = {{rule}, 1}};
static const struct config off = {.job_cwd = (char[]){""}, .job_output = 1};

static bool read_job(const struct config *cfg, const char *callback, struct job_spec *ret,
                     struct err *err)
{
    static struct arena arena; /* each test has a process of its own */
    char body[512];
    arena_release(&arena);
    arena_init(&arena, 1u << 20);
    (void)snprintf(body, sizeof body, "{\"command\":[\"a\"],\"callback\":%s}", callback);
    char *copy = arena_dup(&arena, slice_of(body));
    return codec_read_job(slice_of(copy), cfg, &arena, ret, err);
}

Test(codec_callback, all_ends_are_told_unless_some_are_named)
{
    struct job_spec spec;
    struct err err = {0};
    cr_assert(read_job(&on, "{\"url\":\"https:\\/\\/a.org\\/x\"}", &spec, &err), "%s", err.detail);
    cr_assert(slice_is(spec.callback_url, "https://a.org/x"));
    cr_assert(slice_is(spec.callback_receiver, "https://a.org:443"));
    cr_assert_eq(spec.callback_states, TO(SUCCEEDED) | TO(FAILED) | TO(CANCELLED));
    cr_assert(
        read_job(&on, "{\"on\":[\"failed\",\"cancelled\"],\"url\":\"https://a.org\"}", &spec, &err),
        "%s", err.detail);
    cr_assert_eq(spec.callback_states, TO(FAILED) | TO(CANCELLED));
}

Test(codec_callback, what_cannot_be_called_is_refused_at_its_place)
{
    static const struct {
        const char *callback, *pointer;
    } rows[] = {
        {"1", "/callback"},
        {"null", "/callback"},
        {"{}", "/callback/url"},
        {"{\"on\":[\"failed\"]}", "/callback/url"},
        {"{\"url\":7}", "/callback/url"},
        {"{\"url\":\"https://b.org\"}", "/callback/url"},
        {"{\"url\":\"http://a.org\"}", "/callback/url"},
        {"{\"url\":\"https://a.org\",\"on\":[]}", "/callback/on"},
        {"{\"url\":\"https://a.org\",\"on\":\"failed\"}", "/callback/on"},
        {"{\"url\":\"https://a.org\",\"on\":[\"running\"]}", "/callback/on"},
        {"{\"url\":\"https://a.org\",\"on\":[7]}", "/callback/on"},
        {"{\"url\":\"https://a.org\",\"secret\":\"x\"}", "/callback/secret"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct job_spec spec;
        struct err err = {0};
        cr_assert_not(read_job(&on, rows[i].callback, &spec, &err), "%s", rows[i].callback);
        cr_assert_eq(err.code, ERR_INVALID, "%s: %s", rows[i].callback, err.detail);
        cr_assert_str_eq(err.pointer, rows[i].pointer, "%s", rows[i].callback);
    }
}

Test(codec_callback, a_service_that_calls_nobody_says_which_option)
{
    struct job_spec spec;
    struct err err = {0};
    cr_assert_not(read_job(&off, "{\"url\":\"https://a.org\"}", &spec, &err));
    cr_assert_eq(err.code, ERR_INVALID);
    cr_assert_not_null(strstr(err.detail, "callbacks.hosts"), "%s", err.detail);
}
