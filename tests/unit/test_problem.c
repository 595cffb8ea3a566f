/* SPDX-License-Identifier: MIT */
#include "api/problem.h"

#include <criterion/criterion.h>

#include "service/base/json.h"

static struct slice member(struct slice object, const char *name)
{
    struct slice value = {0};
    cr_assert(json_find(object, name, &value), "%s is missing", name);
    return value;
}

static void render(const struct problem *problem, struct buf *out)
{
    struct err err = {0};
    buf_init(out, 65536);
    problem_write(problem, out);
    cr_assert(buf_ok(out));
    cr_assert(json_validate(buf_slice(out), JSON_LIMITS_DEFAULT, &err), "%s: %.*s", err.detail,
              (int)out->len, out->ptr);
}

Test(problem, every_failure_has_its_document)
{
    for (int i = ERR_NONE + 1; i < ERR_COUNT_; i++) {
        struct err err = {.code = (enum err_code)i};
        struct problem problem = {
            .err = &err, .instance = SLICE_LIT("/v1/jobs"), .request_id = "r-1"};
        AUTO_BUF struct buf out = {0};
        char type[64];
        int64_t status = 0;
        render(&problem, &out);
        (void)snprintf(type, sizeof type, "/problems/%s", err_slug(err.code));
        cr_assert(json_string_eq(member(buf_slice(&out), "type"), type));
        cr_assert(json_string_eq(member(buf_slice(&out), "title"), err_title(err.code)));
        cr_assert(json_to_i64(member(buf_slice(&out), "status"), &status));
        cr_assert_eq(status, err_status(err.code));
        cr_assert(json_string_eq(member(buf_slice(&out), "request_id"), "r-1"));
        cr_assert(json_string_eq(member(buf_slice(&out), "instance"), "/v1/jobs"));
        cr_assert_gt(member(buf_slice(&out), "detail").len, 2,
                     "without a detail the advice speaks");
    }
}

Test(problem, errors_point_at_the_member)
{
    struct err err = {0};
    struct problem problem = {.err = &err};
    AUTO_BUF struct buf out = {0};
    struct slice first = {0};
    struct json_iter it;
    (void)err_at(&err, ERR_INVALID, "/retry/max_attempts", "must be a \"number\"\n");
    render(&problem, &out);
    json_iter_init(&it, member(buf_slice(&out), "errors"));
    cr_assert(json_next_element(&it, &first));
    cr_assert(json_string_eq(member(first, "pointer"), "/retry/max_attempts"));
    cr_assert(json_string_eq(member(first, "detail"), "must be a \"number\"\n"));
    struct slice ignored;
    cr_assert_not(json_find(buf_slice(&out), "request_id", &ignored));
}

Test(problem, carries_further_members)
{
    struct err err = {0};
    struct problem problem = {.err = &err, .extra = SLICE_LIT(",\"line\":7")};
    AUTO_BUF struct buf out = {0};
    int64_t line = 0;
    (void)err_set(&err, ERR_TOO_LARGE, "too long");
    render(&problem, &out);
    cr_assert(json_to_i64(member(buf_slice(&out), "line"), &line));
    cr_assert_eq(line, 7);
}

Test(problem, asks_to_come_back_only_when_that_helps)
{
    cr_assert_eq(problem_retry_after_s(ERR_OVERLOADED), 1);
    cr_assert_eq(problem_retry_after_s(ERR_TOO_MANY_WAITERS), 1);
    cr_assert_eq(problem_retry_after_s(ERR_DISK_FULL), 1);
    cr_assert_eq(problem_retry_after_s(ERR_INVALID), 0);
    cr_assert_eq(problem_retry_after_s(ERR_INTERNAL), 0);
}

Test(problem, every_kind_has_a_page)
{
    for (int i = ERR_NONE + 1; i < ERR_COUNT_; i++) {
        AUTO_BUF struct buf out = {0};
        struct err err = {0};
        buf_init(&out, 65536);
        problem_write_page((enum err_code)i, &out);
        cr_assert(json_validate(buf_slice(&out), JSON_LIMITS_DEFAULT, &err), "%s", err.detail);
        cr_assert(json_string_eq(member(json_trim(buf_slice(&out)), "advice"),
                                 err_advice((enum err_code)i)));
    }
}
