/* SPDX-License-Identifier: MIT */
#include "api/view.h"

#include <criterion/criterion.h>
#include <signal.h>

#include "service/base/json.h"

static struct slice member(struct slice object, const char *name)
{
    struct slice value = {0};
    cr_assert(json_find(object, name, &value), "%s is missing", name);
    return value;
}

static struct slice render(const struct job_view *job, struct buf *out)
{
    struct err err = {0};
    buf_init(out, 1u << 20);
    view_write_job(job, out);
    cr_assert(buf_ok(out));
    cr_assert(json_validate(buf_slice(out), JSON_LIMITS_DEFAULT, &err), "%s: %.*s", err.detail,
              (int)out->len, out->ptr);
    return buf_slice(out);
}

static struct job_view waiting_job(void)
{
    return (struct job_view){
        .id = {.ms = 1700000000000, .no = 7, .salt = 9},
        .state = JOB_QUEUED,
        .reason = REASON_NONE,
        .max_attempts = 1,
        .version = 1,
        .name = "a \"name\"",
        .queue = "default",
        .created_us = 1700000000000000,
        .queued_us = 1700000000000000,
        .slot = -1,
        .progress_fraction = -1,
    };
}

static void assert_raw(struct slice job, const char *name, const char *wanted)
{
    struct slice value = member(job, name);
    cr_assert(slice_is(value, wanted), "%s is %.*s", name, (int)value.len, value.ptr);
}

Test(codec_view, a_waiting_job_knows_little)
{
    AUTO_BUF struct buf out = {0};
    struct job_view view = waiting_job();
    struct slice job = render(&view, &out);
    static const char *const nulls[] = {"reason", "batch",     "index",  "parent", "progress",
                                        "worker", "exit_code", "signal", "error",  "usage"};
    for (size_t i = 0; i < ARRAY_LEN(nulls); i++)
        assert_raw(job, nulls[i], "null");
    assert_raw(job, "done", "false");
    assert_raw(job, "labels", "{}");
    assert_raw(job, "metadata", "{}");
    assert_raw(job, "attempts", "[]");
    assert_raw(job, "name", "\"a \\\"name\\\"\"");
    assert_raw(member(job, "times"), "queued", "\"2023-11-14T22:13:20.000000Z\"");
    assert_raw(member(job, "times"), "started", "null");
    cr_assert_neq(memmem(member(member(job, "links"), "result").ptr, 64, "/result", 7), NULL);
}

Test(codec_view, a_death_by_signal_is_told_as_python_does)
{
    AUTO_BUF struct buf out = {0};
    struct job_view view = waiting_job();
    view.state = JOB_FAILED;
    view.reason = REASON_SIGNAL;
    view.has_exit_code = true;
    view.exit_code = -SIGSEGV;
    view.signal = SIGSEGV;
    view.started_us = view.created_us + 1;
    view.finished_us = view.created_us + 1500001;
    view.usage = (struct job_usage){.wall_us = 1500000, .user_us = 1, .max_rss_bytes = 4096};
    view.slot = 3;
    struct slice job = render(&view, &out);
    assert_raw(job, "exit_code", "-11");
    assert_raw(job, "signal", "\"SIGSEGV\"");
    assert_raw(job, "reason", "\"signal\"");
    assert_raw(job, "done", "true");
    assert_raw(member(job, "usage"), "wall", "1.5");
    assert_raw(member(job, "usage"), "user", "0.000001");
    assert_raw(member(job, "worker"), "name", "\"worker-3\"");
    assert_raw(member(job, "worker"), "job_pid", "null");
    assert_raw(member(job, "error"), "type", "\"signal\"");
}

Test(codec_view, payloads_come_back_byte_for_byte_or_on_one_line)
{
    AUTO_BUF struct buf out = {0}, line = {0};
    struct job_view view = waiting_job();
    view.metadata = SLICE_LIT("{\"n\": 9007199254740993,\n\t\"s\": \"a\\nb\"}");
    assert_raw(render(&view, &out), "metadata", "{\"n\": 9007199254740993,\n\t\"s\": \"a\\nb\"}");
    buf_init(&line, 65536);
    view_write_job_line(&view, &line);
    cr_assert_null(memchr(line.ptr, '\n', line.len));
    assert_raw(buf_slice(&line), "metadata", "{\"n\": 9007199254740993, \t\"s\": \"a\\nb\"}");
}

Test(codec_view, earlier_attempts_are_listed)
{
    AUTO_BUF struct buf out = {0};
    struct job_view view = waiting_job();
    struct job_attempt attempts[2] = {
        {.attempt = 1,
         .state = JOB_FAILED,
         .reason = REASON_EXIT_CODE,
         .has_exit_code = true,
         .exit_code = 3,
         .started_us = 1,
         .finished_us = 2},
        {.attempt = 2, .state = JOB_FAILED, .reason = REASON_LOST},
    };
    view.attempts = attempts;
    view.n_attempts = 2;
    struct slice first, second, list = member(render(&view, &out), "attempts");
    struct json_iter it;
    json_iter_init(&it, list);
    cr_assert(json_next_element(&it, &first) && json_next_element(&it, &second));
    assert_raw(first, "exit_code", "3");
    assert_raw(second, "exit_code", "null");
    assert_raw(second, "reason", "\"lost\"");
    assert_raw(second, "usage", "null");
}

Test(codec_view, a_birth_is_the_same_whenever_it_is_told)
{
    AUTO_BUF struct buf at_once = {0}, later = {0};
    struct arena a;
    struct err err = {0};
    struct job_view first, second;
    struct submit_item item = {
        .spec = {.queue = SLICE_LIT("default"),
                 .labels = SLICE_LIT("{\"a\":\"b\"}"),
                 .max_attempts = 3,
                 .priority = 4},
        .id = {.ms = 1700000000000, .no = 12, .salt = 5},
        .created_us = 1700000000000000,
        .due_us = 1700000000000000,
        .birth = JOB_QUEUED,
    };
    arena_init(&a, 65536);
    cr_assert(view_at_birth(&item, &a, &first, &err));
    second = first;
    second.state = JOB_SUCCEEDED;
    second.attempt = 1;
    second.version = 5;
    second.started_us = second.finished_us = second.created_us + 5;
    second.slot = 0;
    second.has_exit_code = true;
    view_make_birth(&second);
    cr_assert(slice_eq(render(&first, &at_once), render(&second, &later)), "%.*s", (int)later.len,
              later.ptr);
    cr_assert_str_eq(first.name, "job-12");
    arena_release(&a);
}
