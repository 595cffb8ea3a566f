/* SPDX-License-Identifier: MIT */
/* When a job runs, how long, how often, and what is kept of it. */
#include "integration/harness_test.h"

#include <time.h>

/* With one worker, what runs is the order in which jobs append to a file. */
SERVER_TEST_WITH(jobs, higher_priority_first_then_oldest, .workers = 1)
{
    struct text hold = fifo_make(s, "hold"), order = text_of("%s/order", s->scratch);
    struct job_ref first = job_submit(s, "{'command':['cat','%s']}", hold.s);
    AUTO_RESPONSE running = job_await_state(s, first, "running");
    static const int priorities[] = {0, -5, 7, 0, 100, 7, -100};
    struct job_ref jobs[COUNT_OF(priorities)];
    for (size_t i = 0; i < COUNT_OF(priorities); i++) {
        jobs[i] = job_submit(s, "{'command':['sh','-c','echo %zu >> %s'],'priority':%d}", i,
                             order.s, priorities[i]);
    }
    fifo_release(hold.s);
    for (size_t i = 0; i < COUNT_OF(jobs); i++) {
        AUTO_RESPONSE r = job_await(s, jobs[i]);
        expect_outcome(r, "succeeded", NULL);
    }
    AUTO_TEXT seen = file_read(order.s, NULL);
    cr_assert_str_eq(seen, "4\n2\n5\n0\n3\n1\n6\n");
}

/* A reserved job is overtaken by a more urgent one that comes later. */
SERVER_TEST_WITH(jobs, an_urgent_job_overtakes_the_next_one, .workers = 1)
{
    struct text hold = fifo_make(s, "hold"), order = text_of("%s/order", s->scratch);
    struct job_ref first = job_submit(s, "{'command':['cat','%s']}", hold.s);
    AUTO_RESPONSE running = job_await_state(s, first, "running");
    struct job_ref low = job_submit(s, "{'command':['sh','-c','echo low >> %s']}", order.s);
    AUTO_RESPONSE seen_low = job_show(s, low);
    expect_text(seen_low, "state", "queued");
    struct job_ref high = job_submit(s, "{'command':['sh','-c','echo high >> %s'],'priority':1}",
                                     order.s);
    fifo_release(hold.s);
    AUTO_RESPONSE a = job_await(s, low);
    AUTO_RESPONSE b = job_await(s, high);
    expect_outcome(a, "succeeded", NULL);
    expect_outcome(b, "succeeded", NULL);
    AUTO_TEXT seen = file_read(order.s, NULL);
    cr_assert_str_eq(seen, "high\nlow\n");
}

SERVER_TEST(jobs, a_delay_makes_it_scheduled_first)
{
    uint64_t start = now_ns();
    AUTO_RESPONSE r = http(s, "POST", "/v1/jobs", "{'command':['true'],'delay':'400ms'}", NULL);
    expect_status(r, 202);
    expect_text(r, "state", "scheduled");
    AUTO_RESPONSE end = job_await(s, job_of(r));
    expect_outcome(end, "succeeded", NULL);
    cr_assert_gt(seconds_since(start), 0.4);
    AUTO_RESPONSE number = http(s, "POST", "/v1/jobs", "{'command':['true'],'delay':0.2}", NULL);
    expect_text(number, "state", "scheduled");
    AUTO_RESPONSE number_end = job_await(s, job_of(number));
    expect_outcome(number_end, "succeeded", NULL);
}

static struct text time_in(double seconds)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    int64_t us = (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000 + (int64_t)(seconds * 1e6);
    time_t whole = (time_t)(us / 1000000);
    struct tm tm;
    (void)gmtime_r(&whole, &tm);
    char text[40];
    (void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    return text_of("%s.%06dZ", text, (int)(us % 1000000));
}

SERVER_TEST(jobs, run_at_is_obeyed)
{
    struct text due = time_in(0.5);
    AUTO_RESPONSE r = http(s, "POST", "/v1/jobs",
                           text_of("{'command':['true'],'run_at':'%s'}", due.s).s, NULL);
    expect_text(r, "state", "scheduled");
    AUTO_RESPONSE end = job_await(s, job_of(r));
    expect_outcome(end, "succeeded", NULL);
    cr_assert(strcmp(json_text(end, "times.started"), due.s) >= 0, "started %s, due %s",
              json_text(end, "times.started"), due.s);
    AUTO_RESPONSE past = job_run(s, "{'command':['true'],'run_at':'2001-01-01T01:00:00+01:00'}");
    expect_outcome(past, "succeeded", NULL);
    AUTO_RESPONSE both = http(s, "POST", "/v1/jobs",
                              text_of("{'command':['true'],'run_at':'%s','delay':1}", due.s).s,
                              NULL);
    expect_problem(both, 422, "invalid-request");
}

SERVER_TEST(jobs, a_timeout_is_a_failure_with_the_output_so_far)
{
    uint64_t start = now_ns();
    AUTO_RESPONSE r = job_run(s,
                              "{'command':['sh','-c','echo before; sleep 60'],'timeout':'300ms'}");
    expect_outcome(r, "failed", "timeout");
    cr_assert_gt(seconds_since(start), 0.3);
    cr_assert_lt(seconds_since(start), 5 * slow_factor());
    expect_output(s, job_of(r), "stdout", "before\n");
}

SERVER_TEST(jobs, a_timeout_asks_first_and_kills_after_the_grace)
{
    AUTO_RESPONSE r = job_run(
        s, "{'command':['sh','-c','trap \\\"echo asked; exit 0\\\" TERM; sleep 60 & wait'],"
           "'timeout':0.3,'stop':{'signal':'TERM','grace':'20s'}}");
    expect_outcome(r, "failed", "timeout");
    expect_output(s, job_of(r), "stdout", "asked\n");
    uint64_t start = now_ns();
    AUTO_RESPONSE deaf = job_run(
        s, "{'command':['sh','-c','trap \\\"\\\" TERM; while :; do sleep 1; done'],"
           "'timeout':0.3,'stop':{'signal':'TERM','grace':'300ms'}}");
    expect_outcome(deaf, "failed", "timeout");
    cr_assert_gt(seconds_since(start), 0.6);
    expect_text(deaf, "signal", "SIGKILL");
}

SERVER_TEST(jobs, timeout_null_means_none)
{
    AUTO_RESPONSE r = job_run(
        s, "{'command':['true'],'timeout':null,'queue_timeout':null,'deadline':null}");
    expect_outcome(r, "succeeded", NULL);
}

SERVER_TEST_WITH(jobs, queue_timeout_ends_a_job_that_waits_too_long, .workers = 1)
{
    struct text hold = fifo_make(s, "hold");
    struct job_ref first = job_submit(s, "{'command':['cat','%s']}", hold.s);
    AUTO_RESPONSE running = job_await_state(s, first, "running");
    struct job_ref late = job_submit(s, "{'command':['touch','%s/ran'],'queue_timeout':'200ms'}",
                                     s->scratch);
    AUTO_RESPONSE r = job_await(s, late);
    expect_outcome(r, "failed", "queue_timeout");
    cr_assert(json_is_null(r, "times.started"));
    cr_assert(json_is_null(r, "exit_code"));
    fifo_release(hold.s);
    AUTO_RESPONSE end = job_await(s, first);
    expect_outcome(end, "succeeded", NULL);
    AUTO_TEXT ran = file_read(text_of("%s/ran", s->scratch).s, NULL);
    cr_assert_null(ran);
}

SERVER_TEST_WITH(jobs, a_deadline_ends_waiting_and_running_jobs, .workers = 1)
{
    AUTO_RESPONSE runs = job_run(s, "{'command':['sleep','60'],'deadline':'500ms'}");
    expect_outcome(runs, "failed", "deadline");
    AUTO_RESPONSE waits = job_run(s, "{'command':['true'],'delay':'1h','deadline':'300ms'}");
    expect_outcome(waits, "failed", "deadline");
    cr_assert(json_is_null(waits, "times.started"));
}

SERVER_TEST(jobs, retries_repeat_a_failed_command)
{
    AUTO_RESPONSE r = job_run(
        s,
        "{'command':['sh','-c','echo $GANGER_ATTEMPT; echo x >> %s/tries; test $(wc -l < "
        "%s/tries) -ge 3'],'retry':{'max_attempts':5,'delay':'20ms','jitter':false}}",
        s->scratch, s->scratch);
    expect_outcome(r, "succeeded", NULL);
    expect_int(r, "attempt", 3);
    expect_int(r, "max_attempts", 5);
    expect_int(r, "exit_code", 0);
    expect_output(s, job_of(r), "stdout", "3\n");
    cr_assert_eq(cJSON_GetArraySize(json_find(r, "attempts")), 2, "%s", r->body);
    expect_int(r, "attempts.0.attempt", 1);
    expect_text(r, "attempts.0.reason", "exit_code");
    expect_int(r, "attempts.0.exit_code", 1);
    expect_int(r, "attempts.1.attempt", 2);
}

SERVER_TEST(jobs, retries_end_with_the_last_failure)
{
    AUTO_RESPONSE r = job_run(
        s, "{'command':['sh','-c','exit 9'],'retry':{'max_attempts':3,'delay':'10ms'}}");
    expect_outcome(r, "failed", "exit_code");
    expect_int(r, "attempt", 3);
    expect_int(r, "exit_code", 9);
}

SERVER_TEST(jobs, retry_rules_name_what_is_repeated)
{
    static const struct {
        const char *command, *retry;
        int attempts;
    } rows[] = {
        {"['sh','-c','exit 75']", "'on':['exit:75']", 3},
        {"['sh','-c','exit 74']", "'on':['exit:75']", 1},
        {"['sh','-c','exit 2']", "'never_on':['exit:2']", 1},
        {"['sh','-c','exit 3']", "'never_on':['exit:2']", 3},
        {"['sh','-c','kill -9 $$']", "'on':['signal']", 3},
        {"['sh','-c','kill -9 $$']", "'on':['exit_code']", 1},
        {"['sh','-c','exit 1']", "'on':['signal','timeout','lost']", 1},
        {"['sh','-c','exit 1']", "'never_on':['exit_code']", 1},
        {"['no-such-program-of-ours']", "'factor':1", 1},
        {"['no-such-program-of-ours']", "'on':['exec']", 3},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        AUTO_RESPONSE r = job_run(s, "{'command':%s,'retry':{'max_attempts':3,'delay':'5ms',%s}}",
                                  rows[i].command, rows[i].retry);
        expect_text(r, "state", "failed");
        CHECK(json_int(r, "attempt") == rows[i].attempts, "%s with %s: %s", rows[i].command,
              rows[i].retry, r->body);
    }
}

SERVER_TEST(jobs, a_timeout_is_retried_when_asked)
{
    AUTO_RESPONSE r = job_run(s, "{'command':['sleep','60'],'timeout':'100ms','stop':{'grace':0},"
                                 "'retry':{'max_attempts':2,'delay':'10ms','on':['timeout']}}");
    expect_outcome(r, "failed", "timeout");
    expect_int(r, "attempt", 2);
}

/* 150 ms, then 300 ms: no jitter, factor 2. While it waits the job is scheduled again. */
SERVER_TEST(jobs, retry_delays_grow_by_the_factor)
{
    uint64_t start = now_ns();
    struct job_ref job = job_submit(
        s, "{'command':['false'],'retry':{'max_attempts':3,'delay':'150ms','factor':2,"
           "'jitter':false,'max_delay':'10s'}}");
    AUTO_RESPONSE waits = job_await_state(s, job, "scheduled");
    cr_assert_not(json_bool(waits, "done"));
    AUTO_RESPONSE r = job_await(s, job);
    expect_outcome(r, "failed", "exit_code");
    cr_assert_gt(seconds_since(start), 0.45);
    AUTO_RESPONSE capped = job_run(
        s, "{'command':['false'],'retry':{'max_attempts':3,'delay':'100ms','factor':1000,"
           "'jitter':false,'max_delay':'200ms'}}");
    expect_int(capped, "attempt", 3);
}

SERVER_TEST(jobs, output_beyond_the_limit_is_cut_exactly_and_drained)
{
    static const int limits[] = {1, 1000, 65536, 100000};
    for (size_t i = 0; i < COUNT_OF(limits); i++) {
        AUTO_RESPONSE r = job_run(
            s,
            "{'command':['sh','-c','head -c 300000 /dev/zero; echo end >&2; exit 4'],"
            "'limits':{'output':%d}}",
            limits[i]);
        expect_outcome(r, "failed", "exit_code");
        expect_int(r, "exit_code", 4);
        expect_int(r, "output.stdout_bytes", limits[i]);
        cr_assert(json_bool(r, "output.truncated"));
        AUTO_RESPONSE out = http_get(s, "/v1/jobs/%s/stdout", job_of(r).id);
        cr_assert_eq(out->len, (size_t)limits[i]);
    }
    AUTO_RESPONSE exact = job_run(s, "{'command':['printf','1234'],'limits':{'output':'4'}}");
    cr_assert_not(json_bool(exact, "output.truncated"));
    expect_output(s, job_of(exact), "stdout", "1234");
}

SERVER_TEST(jobs, output_beyond_the_limit_fails_the_job_when_asked)
{
    AUTO_RESPONSE r = job_run(s,
                              "{'command':['sh','-c','head -c 100000 /dev/zero; sleep 60'],"
                              "'limits':{'output':'1KiB','on_output':'fail'},'stop':{'grace':0}}");
    expect_outcome(r, "failed", "output_limit");
    expect_int(r, "output.stdout_bytes", 1024);
    cr_assert(json_bool(r, "output.truncated"));
}

/* After `keep` the output is gone; the job itself stays longer. */
SERVER_TEST(jobs, results_expire_after_keep)
{
    AUTO_RESPONSE r = job_run(s, "{'command':['echo','soon gone'],'keep':'1s'}");
    struct job_ref job = job_of(r);
    expect_output(s, job, "result", "soon gone\n");
    struct text path = text_of("/v1/jobs/%s/result", job.id);
    uint64_t until = deadline_in(30);
    long status = 200;
    while (status == 200) {
        cr_assert_not(deadline_passed(until), "the result is still there");
        pause_ms(50);
        AUTO_RESPONSE again = http_get(s, "%s", path.s);
        status = again->status;
    }
    AUTO_RESPONSE gone = http_get(s, "%s", path.s);
    expect_problem(gone, 410, "result-expired");
    AUTO_RESPONSE row = job_show(s, job);
    expect_outcome(row, "succeeded", NULL);
}

SERVER_TEST(jobs, a_result_may_be_json_or_none)
{
    AUTO_RESPONSE json = job_run(s,
                                 "{'command':['echo','{\\\"a\\\": [1, 2.50]}'],'result':'json'}");
    AUTO_RESPONSE value = http_get(s, "/v1/jobs/%s/result", job_of(json).id);
    expect_status(value, 200);
    expect_header(value, "Content-Type", "application/json");
    expect_int(value, "a.0", 1);
    AUTO_RESPONSE none = job_run(s, "{'command':['echo','x'],'result':'none'}");
    AUTO_RESPONSE empty = http_get(s, "/v1/jobs/%s/result", job_of(none).id);
    expect_status(empty, 204);
    cr_assert_eq(empty->len, 0);
    expect_output(s, job_of(none), "stdout", "x\n");
    AUTO_RESPONSE broken = job_run(s, "{'command':['echo','{'],'result':'json'}");
    AUTO_RESPONSE no_value = http_get(s, "/v1/jobs/%s/result", job_of(broken).id);
    expect_problem(no_value, 409, "job-failed");
}
