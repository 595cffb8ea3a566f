/* SPDX-License-Identifier: MIT */
/* GET /v1/jobs/{id}/explain: what a job waits for, its place in the line, and an estimate. */
#include "integration/harness_batch.h"
#include "integration/harness_queue.h"

static struct response *explain(struct server *s, struct job_ref job)
{
    struct response *r = http_get(s, "/v1/jobs/%s/explain", job.id);
    expect_status(r, 200);
    expect_text(r, "id", job.id);
    return r;
}

static void expect_types(struct response *r, const char *types)
{
    char have[200] = "";
    const cJSON *blocker;
    cJSON_ArrayForEach(blocker, json_find(r, "blockers"))
    {
        size_t at = strlen(have);
        (void)snprintf(have + at, sizeof have - at, "%s%s", at == 0 ? "" : " ",
                       json_at(blocker, "type")->valuestring);
    }
    CHECK(strcmp(have, types) == 0, "want \"%s\": %s", types, r->body);
}

static struct job_ref hold_worker(struct server *s, const struct text *hold)
{
    struct job_ref job = job_submit(s, "{'command':['cat','%s']}", hold->s);
    AUTO_RESPONSE running = job_await_state(s, job, "running");
    return job;
}

SERVER_TEST(explain, what_does_not_wait_has_no_blockers)
{
    struct text hold = fifo_make(s, "hold");
    struct job_ref job = hold_worker(s, &hold);
    AUTO_RESPONSE running = explain(s, job);
    expect_types(running, "");
    expect_text(running, "state", "running");
    cr_assert(json_is_null(running, "position") && json_is_null(running, "estimate"));
    fifo_release(hold.s);
    AUTO_RESPONSE end = job_await(s, job);
    AUTO_RESPONSE over = explain(s, job);
    expect_types(over, "");
    expect_text(over, "state", "succeeded");
    AUTO_RESPONSE none = http_get(s, "/v1/jobs/01990000-0000-7001-8000-000000000000/explain");
    expect_problem(none, 404, "not-found");
}

SERVER_TEST(explain, a_due_time)
{
    struct job_ref job = job_submit(s, "{'command':['true'],'run_at':'2999-01-01T00:00:00Z'}");
    AUTO_RESPONSE r = explain(s, job);
    expect_types(r, "schedule");
    expect_text(r, "blockers.0.until", "2999-01-01T00:00:00.000000Z");
    cr_assert_gt(json_number(r, "estimate"), 365.0 * 86400);
    struct job_ref again = job_submit(s, "{'command':['false'],'retry':{'max_attempts':2,"
                                         "'delay':'4m','jitter':false}}");
    AUTO_RESPONSE shown = job_await_state(s, again, "scheduled");
    AUTO_RESPONSE retry = explain(s, again);
    expect_types(retry, "schedule");
    cr_assert_not_null(strstr(json_text(retry, "blockers.0.detail"), "next attempt"));
    double seconds = json_number(retry, "estimate");
    cr_assert(seconds > 120 && seconds <= 240, "%f", seconds);
}

SERVER_TEST(explain, parents)
{
    struct job_ref parent = job_submit(s, "{'command':['true'],'delay':'1h'}");
    struct job_ref job = job_submit(s, "{'command':['true'],'depends_on':['%s']}", parent.id);
    AUTO_RESPONSE r = explain(s, job);
    expect_text(r, "state", "blocked");
    expect_types(r, "dependency");
    expect_text(r, "blockers.0.parent", parent.id);
    expect_text(r, "blockers.0.state", "scheduled");
    cr_assert(json_is_null(r, "position") && json_is_null(r, "estimate"));
    struct text_builder ids = {0};
    for (int i = 0; i < 25; i++) {
        struct job_ref one = job_submit(s, "{'command':['true'],'delay':'1h'}");
        text_add(&ids, "%s\"%s\"", i == 0 ? "" : ",", one.id);
    }
    AUTO_TEXT body = json_of("{'command':['true'],'delay':'1h','depends_on':[%s]}", ids.text);
    AUTO_RESPONSE many = http(s, "POST", "/v1/jobs", body, NULL);
    AUTO_RESPONSE all = explain(s, job_of(many));
    text_free(&ids);
    cr_assert_eq(cJSON_GetArraySize(json_find(all, "blockers")), 22);
    expect_text(all, "blockers.0.type", "schedule");
    expect_text(all, "blockers.20.type", "dependency");
    expect_text(all, "blockers.21.detail", "It depends on 5 more");
}

SERVER_TEST(explain, the_limit_of_its_batch)
{
    struct text hold = fifo_make(s, "hold");
    struct job_ref batch = batch_submit(
        s, "{'command':['cat','%s'],'max_parallel':1,'items':[1,2]}", hold.s);
    struct job_ref first = element_of(s, batch, 0), second = element_of(s, batch, 1);
    AUTO_RESPONSE running = job_await_state(s, first, "running");
    AUTO_RESPONSE r = explain(s, second);
    expect_text(r, "state", "blocked");
    expect_types(r, "batch");
    cr_assert_not_null(strstr(json_text(r, "blockers.0.detail"), "max_parallel 1"));
    AUTO_RESPONSE over = job_cancel(s, first, NULL, 20);
    AUTO_RESPONSE next = job_await_state(s, second, "running");
    AUTO_RESPONSE over_too = job_cancel(s, second, NULL, 20);
}

/* The line is shown in its order; with a mean run time there is an estimate. */
SERVER_TEST_WITH(explain, workers_and_those_before_it, .workers = 1)
{
    AUTO_RESPONSE ran = job_run(s, "{'command':['sleep','0.2']}");
    struct text hold = fifo_make(s, "hold");
    struct job_ref first = hold_worker(s, &hold);
    struct job_ref jobs[4];
    for (size_t i = 0; i < COUNT_OF(jobs); i++)
        jobs[i] = job_submit(s, "{'command':['true'],'priority':%d}", i == 3 ? 1 : 0);
    static const int64_t places[] = {2, 3, 4, 1};
    for (size_t i = 0; i < COUNT_OF(jobs); i++) {
        AUTO_RESPONSE r = explain(s, jobs[i]);
        expect_types(r, places[i] == 1 ? "workers" : "workers order");
        expect_int(r, "position", places[i]);
        double seconds = json_number(r, "estimate");
        double least = 0.19 * (double)places[i];
        cr_assert(seconds >= least && seconds < least * 5 * slow_factor(), "%s", r->body);
    }
    AUTO_RESPONSE last = explain(s, jobs[2]);
    expect_text(last, "blockers.0.detail", "All 1 workers are busy");
    expect_text(last, "blockers.1.detail", "3 jobs of queue default come before it");
    fifo_release(hold.s);
    AUTO_RESPONSE over = job_await(s, first);
}

SERVER_TEST_WITH(explain, without_experience_there_is_no_estimate, .workers = 1)
{
    struct text hold = fifo_make(s, "hold");
    struct job_ref first = hold_worker(s, &hold);
    struct job_ref job = job_submit(s, "{'command':['true']}");
    AUTO_RESPONSE r = explain(s, job);
    expect_int(r, "position", 1);
    cr_assert(json_is_null(r, "estimate"), "no attempt has ended yet: %s", r->body);
    fifo_release(hold.s);
    AUTO_RESPONSE over = job_await(s, first);
}

/* Counted up to 1,000, and not further. */
SERVER_TEST_WITH(explain, a_place_far_behind_is_not_counted, .workers = 1)
{
    struct text hold = fifo_make(s, "hold");
    struct job_ref first = hold_worker(s, &hold);
    AUTO_RESPONSE lines = submit_lines(s, 999, "{'command':['true']}");
    struct job_ref counted = job_submit(s, "{'command':['true']}");
    struct job_ref beyond = job_submit(s, "{'command':['true']}");
    AUTO_RESPONSE a = explain(s, counted);
    expect_int(a, "position", 1000);
    AUTO_RESPONSE b = explain(s, beyond);
    cr_assert(json_is_null(b, "position"));
    expect_types(b, "workers order");
    expect_text(b, "blockers.1.detail", "More than 999 jobs of queue default come before it");
    AUTO_RESPONSE gone = http(s, "POST", "/v1/jobs/cancel", "{'state':'queued'}", NULL);
    fifo_release(hold.s);
    AUTO_RESPONSE over = job_await(s, first);
}

SERVER_TEST(explain, what_its_queue_allows)
{
    put_queue(s, "still", "{'paused':true}");
    struct job_ref paused = job_submit(s, "{'command':['true'],'queue':'still'}");
    AUTO_RESPONSE a = explain(s, paused);
    expect_types(a, "paused");
    expect_int(a, "position", 1);
    cr_assert(json_is_null(a, "estimate"));

    put_queue(s, "one", "{'concurrency':1}");
    struct text hold = fifo_make(s, "hold");
    struct job_ref first = job_submit(s, "{'command':['cat','%s'],'queue':'one'}", hold.s);
    AUTO_RESPONSE running = job_await_state(s, first, "running");
    struct job_ref second = job_submit(s, "{'command':['true'],'queue':'one'}");
    AUTO_RESPONSE b = explain(s, second);
    expect_types(b, "concurrency");
    expect_text(b, "blockers.0.detail", "Queue one runs 1 jobs at a time, and 1 are running");

    put_queue(s, "slow", "{'rate':'1/1h'}");
    AUTO_RESPONSE ran = job_run(s, "{'command':['true'],'queue':'slow'}");
    struct job_ref third = job_submit(s, "{'command':['true'],'queue':'slow'}");
    struct job_ref fourth = job_submit(s, "{'command':['true'],'queue':'slow'}");
    AUTO_RESPONSE c = explain(s, third);
    expect_types(c, "rate");
    AUTO_RESPONSE d = explain(s, fourth);
    expect_types(d, "rate order");
    double seconds = json_number(d, "estimate");
    cr_assert(seconds >= 3600 && seconds < 3700, "%f", seconds);
    fifo_release(hold.s);
    AUTO_RESPONSE end = job_await(s, second);
}
