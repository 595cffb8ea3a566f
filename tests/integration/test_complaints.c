/* SPDX-License-Identifier: MIT */
/* What people complain about in process pools elsewhere, one test for each complaint that this
 * version answers. */
#include "integration/harness_pool.h"

#include <signal.h>

/* "One crash breaks the whole pool." */
SERVER_TEST(jobs, complaint_one_crash_breaks_only_its_job)
{
    enum { JOBS = 12 };
    struct job_ref jobs[JOBS];
    for (size_t i = 0; i < JOBS; i++)
        jobs[i] = job_submit(s, "{'command':['sh','-c','%s; echo %zu']}",
                             i % 3 == 0 ? "kill -SEGV $$" : ":", i);
    for (size_t i = 0; i < JOBS; i++) {
        AUTO_RESPONSE r = job_await(s, jobs[i]);
        if (i % 3 == 0) {
            expect_outcome(r, "failed", "signal");
        } else {
            expect_outcome(r, "succeeded", NULL);
            expect_output(s, jobs[i], "stdout", text_of("%zu\n", i).s);
        }
    }
    AUTO_RESPONSE pool = http_get(s, "/v1/pool");
    expect_text(pool, "state", "open");
}

/* "A running job cannot be cancelled", "and neither can the next ones". */
SERVER_TEST_WITH(cancel, complaint_a_running_job_can_be_cancelled, .workers = 1)
{
    struct job_ref jobs[6];
    for (size_t i = 0; i < COUNT_OF(jobs); i++)
        jobs[i] = job_submit(s, "{'command':['sleep','600']}");
    AUTO_RESPONSE running = job_await_state(s, jobs[0], "running");
    for (size_t i = COUNT_OF(jobs); i-- > 0;) {
        AUTO_RESPONSE r = job_cancel(s, jobs[i], NULL, 20);
        expect_status(r, 200);
        cr_assert(json_bool(r, "cancelled"), "%s", r->body);
        cr_assert(json_is_null(r, "job.times.started") == (i > 0),
                  "only the first one had started: %s", r->body);
    }
}

/* "The pool hangs for ever when a worker dies." */
SERVER_TEST_WITH(jobs, complaint_a_dead_worker_costs_one_job_and_no_hang, .workers = 1)
{
    struct text mark = text_of("%s.worker", s->dir);
    struct job_ref job = job_submit(
        s, "{'command':['sh','-c','setsid sleep 600 & sleep 600'],'env':{'MARK':'%s'}}", mark.s);
    struct job_ref next = job_submit(s, "{'command':['echo','next']}");
    AWAIT(proc_count_marked(mark.s) >= 3, 20);
    AUTO_RESPONSE shown = job_show(s, job);
    pid_t worker = (pid_t)json_int(shown, "worker.pid");
    (void)kill(worker, SIGKILL);
    AUTO_RESPONSE r = job_await(s, job);
    expect_outcome(r, "failed", "lost");
    no_process_left(mark.s, 2);
    AUTO_RESPONSE other = job_await(s, next);
    expect_outcome(other, "succeeded", NULL);
    AUTO_RESPONSE list = http_get(s, "/v1/workers");
    cr_assert(json_bool(list, "items.0.alive"));
    cr_assert_neq((pid_t)json_int(list, "items.0.pid"), worker);
}

SERVER_TEST_WITH(jobs, a_dead_worker_s_job_follows_its_retry_policy, .workers = 1)
{
    struct job_ref job = job_submit(
        s, "{'command':['sh','-c','test $GANGER_ATTEMPT = 2 || sleep 600'],"
           "'retry':{'max_attempts':2,'delay':'10ms','on':['lost']}}");
    (void)worker_kill(s, job);
    AUTO_RESPONSE r = job_await(s, job);
    expect_outcome(r, "succeeded", NULL);
    expect_int(r, "attempt", 2);
    expect_text(r, "attempts.0.reason", "lost");
}

/* A job may even kill its own worker. */
SERVER_TEST(jobs, a_job_that_kills_its_worker_harms_only_itself)
{
    AUTO_RESPONSE r = job_run(s, "{'command':['sh','-c','kill -9 $PPID; sleep 600']}");
    expect_outcome(r, "failed", "lost");
    AUTO_RESPONSE next = job_run(s, "{'command':['true']}");
    expect_outcome(next, "succeeded", NULL);
}

/* "A timeout does not stop the work": the child of a shell is stopped, too. */
SERVER_TEST(cancel, complaint_a_timeout_stops_the_tree)
{
    struct text mark = text_of("%s.timeout", s->dir);
    AUTO_RESPONSE r = job_run(s,
                              "{'command':['sh','-c','sh -c \\\"sleep 600\\\" & sleep 600 | cat'],"
                              "'timeout':'500ms','env':{'MARK':'%s'}}",
                              mark.s);
    expect_outcome(r, "failed", "timeout");
    cr_assert_geq(json_int(r, "usage.processes_killed"), 1);
    no_process_left(mark.s, 0);
}

/* "Grandchildren survive." */
SERVER_TEST(cancel, complaint_grandchildren_do_not_survive_a_normal_end)
{
    struct text mark = text_of("%s.grand", s->dir);
    uint64_t start = now_ns();
    AUTO_RESPONSE r = job_run(
        s,
        "{'command':['sh','-c','(setsid sleep 600 &); (sh -c \\\"sleep 600\\\" &); echo end'],"
        "'env':{'MARK':'%s'}}",
        mark.s);
    expect_outcome(r, "succeeded", NULL);
    expect_output(s, job_of(r), "stdout", "end\n");
    cr_assert_geq(json_int(r, "usage.processes_killed"), 2);
    no_process_left(mark.s, 0);
    cr_assert_lt(seconds_since(start), 10 * slow_factor(),
                 "the end does not wait for who holds the output open");
}

/* "Cancelled futures are not announced": those who wait see the state `cancelled`. */
SERVER_TEST_WITH(cancel, complaint_cancelled_is_a_final_state_that_waiters_see, .workers = 1)
{
    struct job_ref first = job_submit(s, "{'command':['sleep','600']}");
    struct job_ref second = job_submit(s, "{'command':['sleep','600']}");
    AUTO_RESPONSE running = job_await_state(s, first, "running");
    struct job_ref jobs[] = {first, second};
    for (size_t i = 0; i < COUNT_OF(jobs); i++) {
        AUTO_CONN waiter = conn_open(s);
        conn_request(waiter, s, text_of("GET /v1/jobs/%s", jobs[i].id).s, "Prefer: wait=50\r\n",
                     NULL);
        AUTO_RESPONSE r = job_cancel(s, jobs[i], NULL, 0);
        cr_assert(conn_await_end(waiter, 20), "the waiter hangs");
        cr_assert(strstr(waiter->body, "\"state\":\"cancelled\"") != NULL, "%s", waiter->body);
        cr_assert(strstr(waiter->body, "\"done\":true") != NULL, "%s", waiter->body);
    }
}

/* "No per-job timeout", "no priorities": test_members.c. "Memory of the whole input": */
SERVER_TEST_WITH(jobs, complaint_a_large_input_is_not_held_in_memory,
                 .args = {"--store-cache", "1MiB"})
{
    enum { LINE_BYTES = 1100 };
    const size_t n = slow_factor() == 1 ? 12000 : 1000; /* a sanitizer has memory of its own */
    const long before_kib = proc_rss_kib(s->pid);
    char *lines = need_alloc(n * LINE_BYTES);
    size_t len = 0;
    for (size_t i = 0; i < n; i++)
        len += (size_t)snprintf(
            lines + len, LINE_BYTES,
            "{\"command\":[\"true\"],\"delay\":\"1h\",\"metadata\":\"%01000zu\"}\n", i);
    const char *headers[] = {"Content-Type: application/x-ndjson", NULL};
    struct call call = {
        .method = "POST", .path = "/v1/jobs", .body = lines, .body_len = len, .headers = headers};
    s->unchecked = true; /* so many answer lines */
    AUTO_RESPONSE r = http_send(s, &call);
    s->unchecked = false;
    free(lines);
    expect_status(r, 200);
    const long grown_kib = proc_rss_kib(s->pid) - before_kib;
    if (n == 12000)
        cr_assert_lt(grown_kib, 10 * 1024, "13 MB of input cost %ld KiB", grown_kib);
}

/* "Zombies": none after many jobs with orphans. */
SERVER_TEST(jobs, no_zombie_and_no_descriptor_is_left_behind)
{
    AUTO_RESPONSE warm = job_run(s, "{'command':['true']}");
    size_t fds = proc_count_fds(s->pid);
    for (int i = 0; i < 25; i++) {
        AUTO_RESPONSE r = job_run(s,
                                  "{'command':['sh','-c','(sleep 600 &); (setsid true &); true']}");
        expect_outcome(r, "succeeded", NULL);
    }
    AWAIT(proc_count_zombies(s->pid) == 0, 5);
    cr_assert_leq(proc_count_fds(s->pid), fds + 3);
}
