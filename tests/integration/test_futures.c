/* SPDX-License-Identifier: MIT */
/* The job as a future: waiting, long polls, results, deleting. */
#include "integration/harness_test.h"

SERVER_TEST(futures, waiting_longer_than_the_job_takes_answers_at_its_end)
{
    struct text hold = fifo_make(s, "hold");
    struct job_ref job = job_submit(s, "{'command':['cat','%s']}", hold.s);
    AUTO_CONN c = conn_open(s);
    conn_request(c, s, text_of("GET /v1/jobs/%s", job.id).s, "Prefer: wait=40\r\n", NULL);
    cr_assert_not(conn_await_head(c, 0.2), "the wait ended before the job: %s", c->head);
    fifo_release(hold.s);
    cr_assert(conn_await_end(c, 20), "no answer though the job has ended");
    cr_assert_eq(c->status, 200);
    cr_assert_str_eq(conn_header(c, "Preference-Applied").s, "wait=40");
    cr_assert(strstr(c->body, "\"done\":true") != NULL, "%s", c->body);
}

SERVER_TEST(futures, a_wait_that_runs_out_answers_with_the_job_as_it_is)
{
    struct job_ref job = job_submit(s, "{'command':['true'],'delay':'1h'}");
    uint64_t start = now_ns();
    AUTO_CONN query = conn_open(s);
    AUTO_CONN posted = conn_open(s);
    cr_assert(conn_request(query, s, text_of("GET /v1/jobs/%s?wait=1", job.id).s, "", NULL));
    cr_assert(
        conn_request(posted, s, "POST /v1/jobs?wait=1", "", "{'command':['true'],'delay':'1h'}"));
    while (seconds_since(start) < 0.3) {
        const bool ended = conn_await_end(query, 0.01) || conn_await_end(posted, 0.01);
        cr_assert(!ended || seconds_since(start) > 0.9, "one of them is not held");
    }
    AUTO_RESPONSE r = http(s, "GET", text_of("/v1/jobs/%s", job.id).s, NULL, "Prefer: wait=1",
                           NULL);
    expect_status(r, 200);
    expect_header(r, "Preference-Applied", "wait=1");
    expect_text(r, "state", "scheduled");
    cr_assert_gt(seconds_since(start), 0.9);
    cr_assert(conn_await_end(query, 20) && conn_await_end(posted, 20));
    cr_assert_eq(query->status, 200);
    cr_assert_not_null(strstr(query->body, "\"state\":\"scheduled\""), "%s", query->body);
    cr_assert_eq(posted->status, 202);
}

SERVER_TEST_WITH(futures, waits_are_lowered_to_55_seconds, .args = {"--http-max-wait", "1s"})
{
    struct job_ref job = job_submit(s, "{'command':['true'],'delay':'1h'}");
    AUTO_RESPONSE r = http(s, "GET", text_of("/v1/jobs/%s", job.id).s, NULL, "Prefer: wait=600",
                           NULL);
    expect_status(r, 200);
    expect_header(r, "Preference-Applied", "wait=1");
}

SERVER_TEST(futures, a_request_without_a_wait_is_not_held)
{
    struct job_ref job = job_submit(s, "{'command':['true'],'delay':'1h'}");
    AUTO_RESPONSE r = job_show(s, job);
    cr_assert_null(header_of(r, "Preference-Applied"));
    AUTO_RESPONSE zero = http(s, "GET", text_of("/v1/jobs/%s", job.id).s, NULL, "Prefer: wait=0",
                              NULL);
    expect_status(zero, 200);
    AUTO_RESPONSE bad = http_get(s, "/v1/jobs/%s?wait=soon", job.id);
    cr_assert(bad->status == 400 || bad->status == 422, "%ld", bad->status);
}

SERVER_TEST(futures, an_etag_changes_with_the_state)
{
    struct text hold = fifo_make(s, "hold");
    struct job_ref job = job_submit(s, "{'command':['cat','%s'],'delay':'300ms'}", hold.s);
    AUTO_RESPONSE before = job_show(s, job);
    AUTO_RESPONSE running = job_await_state(s, job, "running");
    cr_assert_not_null(header_of(before, "ETag"));
    cr_assert_str_neq(header_of(before, "ETag"), header_of(running, "ETag"));
    fifo_release(hold.s);
    AUTO_RESPONSE done = job_await(s, job);
    AUTO_RESPONSE again = job_show(s, job);
    cr_assert_str_neq(header_of(done, "ETag"), header_of(running, "ETag"));
    cr_assert_str_eq(header_of(done, "ETag"), header_of(again, "ETag"));
}

SERVER_TEST(futures, if_none_match_answers_304)
{
    AUTO_RESPONSE r = job_run(s, "{'command':['true']}");
    struct job_ref job = job_of(r);
    AUTO_RESPONSE shown = job_show(s, job);
    struct text path = text_of("/v1/jobs/%s", job.id),
                match = text_of("If-None-Match: %s", header_of(shown, "ETag"));
    AUTO_RESPONSE same = http(s, "GET", path.s, NULL, match.s, NULL);
    expect_status(same, 304);
    cr_assert_eq(same->len, 0);
    expect_header(same, "ETag", header_of(shown, "ETag"));
    AUTO_RESPONSE other = http(s, "GET", path.s, NULL, "If-None-Match: \"other\"", NULL);
    expect_status(other, 200);
}

SERVER_TEST(futures, a_long_poll_ends_with_the_first_change)
{
    struct text hold = fifo_make(s, "hold");
    struct job_ref job = job_submit(s, "{'command':['cat','%s']}", hold.s);
    AUTO_RESPONSE running = job_await_state(s, job, "running");
    struct text headers = text_of("If-None-Match: %s\r\nPrefer: wait=40\r\n",
                                  header_of(running, "ETag"));
    AUTO_CONN c = conn_open(s);
    conn_request(c, s, text_of("GET /v1/jobs/%s", job.id).s, headers.s, NULL);
    cr_assert_not(conn_await_head(c, 0.2), "the poll ended without a change");
    fifo_release(hold.s);
    cr_assert(conn_await_end(c, 20));
    cr_assert_eq(c->status, 200);
    cr_assert(strstr(c->body, "\"succeeded\"") != NULL, "%s", c->body);
}

SERVER_TEST(futures, a_long_poll_without_a_change_answers_304_at_its_end)
{
    struct job_ref job = job_submit(s, "{'command':['true'],'delay':'1h'}");
    AUTO_RESPONSE shown = job_show(s, job);
    AUTO_RESPONSE r = http(s, "GET", text_of("/v1/jobs/%s", job.id).s, NULL, "Prefer: wait=1",
                           text_of("If-None-Match: %s", header_of(shown, "ETag")).s, NULL);
    expect_status(r, 304);
    expect_header(r, "Preference-Applied", "wait=1");
}

SERVER_TEST(futures, a_result_that_is_not_there_yet_is_202_with_retry_after)
{
    struct text hold = fifo_make(s, "hold");
    struct job_ref job = job_submit(s, "{'command':['sh','-c','cat %s; echo value']}", hold.s);
    struct text path = text_of("/v1/jobs/%s/result", job.id);
    AUTO_RESPONSE early = http_get(s, "%s", path.s);
    expect_status(early, 202);
    cr_assert_not_null(header_of(early, "Retry-After"));
    AUTO_RESPONSE waited = http(s, "GET", path.s, NULL, "Prefer: wait=1", NULL);
    expect_status(waited, 202);
    AUTO_CONN c = conn_open(s);
    conn_request(c, s, text_of("GET %s", path.s).s, "Prefer: wait=40\r\n", NULL);
    fifo_release(hold.s);
    cr_assert(conn_await_end(c, 20));
    cr_assert_eq(c->status, 200);
    cr_assert_str_eq(c->body, "value\n");
}

SERVER_TEST(futures, the_result_of_a_failed_job_is_409_with_its_error)
{
    AUTO_RESPONSE failed = job_run(s, "{'command':['sh','-c','exit 3']}");
    AUTO_RESPONSE r = http_get(s, "/v1/jobs/%s/result", job_of(failed).id);
    expect_problem(r, 409, "job-failed");
    AUTO_RESPONSE no_exec = job_run(s, "{'command':['no-such-program-of-ours']}");
    AUTO_RESPONSE exec = http_get(s, "/v1/jobs/%s/result", job_of(no_exec).id);
    expect_problem(exec, 409, "job-failed");
    cr_assert(strstr(exec->body, "no-such-program-of-ours") != NULL, "%s", exec->body);
}

SERVER_TEST(futures, the_result_of_a_cancelled_job_is_410)
{
    struct job_ref job = job_submit(s, "{'command':['true'],'delay':'1h'}");
    AUTO_RESPONSE cancelled = job_cancel(s, job, NULL, 5);
    expect_status(cancelled, 200);
    AUTO_RESPONSE r = http_get(s, "/v1/jobs/%s/result", job.id);
    expect_problem(r, 410, "job-cancelled");
}

SERVER_TEST(futures, any_number_of_readers_gets_the_result)
{
    AUTO_RESPONSE done = job_run(s, "{'command':['echo','again']}");
    for (int i = 0; i < 5; i++)
        expect_output(s, job_of(done), "result", "again\n");
}

SERVER_TEST(futures, job_bytes_are_served_so_that_a_browser_runs_nothing)
{
    AUTO_RESPONSE done = job_run(s, "{'command':['echo','<script>alert(1)</script>']}");
    static const char *const streams[] = {"result", "stdout", "stderr"};
    for (size_t i = 0; i < COUNT_OF(streams); i++) {
        AUTO_RESPONSE r = http_get(s, "/v1/jobs/%s/%s", job_of(done).id, streams[i]);
        expect_status(r, 200);
        expect_header(r, "X-Content-Type-Options", "nosniff");
        expect_header(r, "Content-Security-Policy", "default-src 'none'; sandbox");
        const char *disposition = header_of(r, "Content-Disposition");
        cr_assert(disposition != NULL && strncmp(disposition, "attachment", 10) == 0);
        cr_assert_null(strstr(header_of(r, "Content-Type"), "html"));
    }
}

SERVER_TEST(futures, an_unknown_job_is_404)
{
    static const char *const ids[] = {"01990000-0000-7000-8000-000000000000", "nonsense", "self%00",
                                      "1"};
    static const char *const tails[] = {"", "/result", "/stdout", "/stderr", "/events"};
    for (size_t i = 0; i < COUNT_OF(ids); i++) {
        for (size_t k = 0; k < COUNT_OF(tails); k++) {
            AUTO_RESPONSE r = http_get(s, "/v1/jobs/%s%s", ids[i], tails[k]);
            if (strchr(ids[i], '%') != NULL)
                cr_assert(r->status == 400 || r->status == 404, "%ld", r->status);
            else
                expect_problem(r, 404, "not-found");
        }
    }
}

SERVER_TEST(futures, a_finished_job_can_be_forgotten)
{
    AUTO_RESPONSE done = job_run(s, "{'command':['sh','-c','head -c 200000 /dev/zero']}");
    struct text path = text_of("/v1/jobs/%s", job_of(done).id);
    AUTO_RESPONSE stale = http(s, "DELETE", path.s, NULL, "If-Match: \"stale\"", NULL);
    expect_problem(stale, 412, "version-mismatch");
    AUTO_RESPONSE r = http(s, "DELETE", path.s, NULL, NULL);
    expect_status(r, 204);
    AUTO_RESPONSE gone = http_get(s, "%s", path.s);
    expect_problem(gone, 404, "not-found");
    AUTO_RESPONSE twice = http(s, "DELETE", path.s, NULL, NULL);
    expect_problem(twice, 404, "not-found");
}

SERVER_TEST(futures, a_job_that_has_not_ended_cannot_be_forgotten)
{
    struct job_ref job = job_submit(s, "{'command':['true'],'delay':'1h'}");
    AUTO_RESPONSE r = http(s, "DELETE", text_of("/v1/jobs/%s", job.id).s, NULL, NULL);
    expect_problem(r, 409, "state-conflict");
    AUTO_RESPONSE still = job_show(s, job);
    expect_text(still, "state", "scheduled");
}

SERVER_TEST(futures, five_hundred_waiters_on_one_job_are_all_answered)
{
    enum { WAITERS = 500 };
    struct text hold = fifo_make(s, "hold");
    struct job_ref job = job_submit(s, "{'command':['cat','%s']}", hold.s);
    AUTO_RESPONSE running = job_await_state(s, job, "running");
    struct conn **c = need_alloc(WAITERS * sizeof(struct conn *));
    for (int i = 0; i < WAITERS; i++) {
        c[i] = conn_open(s);
        conn_request(c[i], s, text_of("GET /v1/jobs/%s%s", job.id, i % 2 == 0 ? "" : "/result").s,
                     "Prefer: wait=50\r\n", NULL);
    }
    AUTO_RESPONSE alive = http_get(s, "/v1/pool"); /* others are served meanwhile */
    expect_status(alive, 200);
    fifo_release(hold.s);
    int answered = 0;
    for (int i = 0; i < WAITERS; i++) {
        answered += conn_await_end(c[i], 30) && c[i]->status == 200 ? 1 : 0;
        conn_close(c[i]);
    }
    free(c);
    cr_assert_eq(answered, WAITERS);
}

SERVER_TEST(futures, a_waiter_that_leaves_disturbs_nobody)
{
    struct text hold = fifo_make(s, "hold");
    struct job_ref job = job_submit(s, "{'command':['cat','%s']}", hold.s);
    for (int i = 0; i < 50; i++) {
        AUTO_CONN c = conn_open(s);
        conn_request(c, s, text_of("GET /v1/jobs/%s", job.id).s, "Prefer: wait=50\r\n", NULL);
    }
    AUTO_CONN stays = conn_open(s);
    conn_request(stays, s, text_of("GET /v1/jobs/%s", job.id).s, "Prefer: wait=50\r\n", NULL);
    fifo_release(hold.s);
    cr_assert(conn_await_end(stays, 30));
    cr_assert_eq(stays->status, 200);
}
