/* SPDX-License-Identifier: MIT */
#include "service/base/error.h"

#include <criterion/criterion.h>
#include <errno.h>

#include "service/base/text.h"

Test(error, every_row_can_be_raised_and_found_again)
{
    for (int i = ERR_NONE + 1; i < ERR_COUNT_; i++) {
        enum err_code code = (enum err_code)i;
        struct err err = {0};
        cr_assert_not(err_set(&err, code, "number %d", i));
        cr_assert_eq(err.code, code);
        cr_assert_eq(err_by_slug(slice_of(err_slug(code))), code, "%s is unique", err_slug(code));
    }
}

Test(error, every_row_is_complete)
{
    for (int i = ERR_NONE + 1; i < ERR_COUNT_; i++) {
        enum err_code code = (enum err_code)i;
        const char *slug = err_slug(code);
        cr_assert(err_status(code) >= 400 && err_status(code) <= 599, "%s", slug);
        cr_assert_eq(strspn(slug, "abcdefghijklmnopqrstuvwxyz-"), strlen(slug), "%s", slug);
        cr_assert_neq(err_title(code)[0], '\0', "%s", slug);
        cr_assert_gt(strlen(err_advice(code)), 40, "%s: advice must help", slug);
        cr_assert_eq(err_advice(code)[strlen(err_advice(code)) - 1], '.', "%s", slug);
    }
}

Test(error, statuses_are_those_of_the_contract)
{
    static const struct {
        const char *slug;
        int status;
    } some[] = {
        {"invalid-json", 400}, {"unauthorized", 401},    {"unknown-host", 421},
        {"not-found", 404},    {"state-conflict", 409},  {"result-expired", 410},
        {"too-large", 413},    {"invalid-request", 422}, {"queue-limit", 429},
        {"disk-full", 503},    {"outcome-unknown", 503}, {"internal", 500},
    };
    for (size_t i = 0; i < ARRAY_LEN(some); i++)
        cr_assert_eq(err_status(err_by_slug(slice_of(some[i].slug))), some[i].status, "%s",
                     some[i].slug);
}

Test(error, unknown_slugs_are_none)
{
    cr_assert_eq(err_by_slug(SLICE_LIT("")), ERR_NONE);
    cr_assert_eq(err_by_slug(SLICE_LIT("none")), ERR_NONE);
    cr_assert_eq(err_by_slug(SLICE_LIT("not-foun")), ERR_NONE);
    cr_assert_eq(err_by_slug(SLICE_LIT("not-found-x")), ERR_NONE);
}

Test(error, sys_keeps_errno_and_adds_its_text)
{
    struct err err = {0};
    errno = ENOSPC;
    cr_assert_not(err_sys(&err, ERR_DISK_FULL, "cannot write %s", "db"));
    cr_assert_eq(err.sys_errno, ENOSPC);
    cr_assert_str_eq(err.detail, "cannot write db: No space left on device");
}

Test(error, at_carries_the_pointer)
{
    struct err err = {0};
    cr_assert_not(err_at(&err, ERR_INVALID, "/retry/max_attempts", "must be %d or more", 1));
    cr_assert_str_eq(err.pointer, "/retry/max_attempts");
    cr_assert_str_eq(err.detail, "must be 1 or more");
}

Test(error, wrap_prepends_and_keeps_the_rest)
{
    struct err err = {0};
    (void)err_at(&err, ERR_INVALID, "/a", "inner");
    cr_assert_not(err_wrap(&err, "submit %d", 7));
    cr_assert_str_eq(err.detail, "submit 7: inner");
    cr_assert_str_eq(err.pointer, "/a");
    cr_assert_eq(err.code, ERR_INVALID);
}

Test(error, set_forgets_what_was_before)
{
    struct err err = {0};
    errno = EIO;
    (void)err_sys(&err, ERR_STORAGE, "x");
    (void)err_at(&err, ERR_INVALID, "/a", "y");
    (void)err_set(&err, ERR_INTERNAL, "z");
    cr_assert_eq(err.sys_errno, 0);
    cr_assert_str_empty(err.pointer);
}

Test(error, a_null_error_is_allowed)
{
    cr_assert_not(err_set(NULL, ERR_INTERNAL, "x"));
    cr_assert_not(err_sys(NULL, ERR_INTERNAL, "x"));
    cr_assert_not(err_at(NULL, ERR_INTERNAL, "", "x"));
    cr_assert_not(err_wrap(NULL, "x"));
}

/* Whatever the alignment of the characters at the cut, what is left is UTF-8 and nearly full. */
Test(error, long_texts_are_cut_between_characters)
{
    static const char *const units[] = {"a", "é", "€", "😀"};
    for (size_t u = 0; u < ARRAY_LEN(units); u++) {
        for (size_t shift = 0; shift < 8; shift++) {
            char text[1024] = "........";
            size_t len = shift, step = strlen(units[u]);
            for (; len + step < sizeof(text) - 1; len += step)
                memcpy(text + len, units[u], step + 1);
            struct err err = {0};
            (void)err_set(&err, ERR_INVALID, "%s", text);
            cr_assert(text_is_utf8(slice_of(err.detail)), "unit %zu, shift %zu", u, shift);
            cr_assert_geq(strlen(err.detail), sizeof(err.detail) - 4);
            (void)err_wrap(&err, "%.*s", (int)shift, "outer...");
            cr_assert(text_is_utf8(slice_of(err.detail)), "wrapped: unit %zu, shift %zu", u, shift);
        }
    }
}
