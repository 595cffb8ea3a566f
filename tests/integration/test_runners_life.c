/* SPDX-License-Identifier: MIT */
/* Runners that die, grow, do not start or say something before their end. */
#include "integration/runner_registry.h"

#include <signal.h>
#include <unistd.h>

RUNNER_TESTS(runners, registry)

/* ---- complaints about other pools ---- */

/* Pool.get() hangs for ever when a worker dies; ProcessPoolExecutor loses all jobs. */
RUNNER_TEST(a_worker_that_dies_takes_its_runner_along_and_one_job)
{
    const pid_t pid = (pid_t)runner_int(s, "odd", "'pid'");
    const struct job_ref job = job_submit(s, "{'function':'odd','args':['ignore']}");
    const struct job_ref next = job_submit(s, "{'function':'odd','args':['pid']}");
    await_progress(s, job, "waits");
    cr_assert_eq(kill(proc_parent(pid), SIGKILL), 0);
    AUTO_RESPONSE end = job_await(s, job);
    expect_outcome(end, "failed", "lost");
    AWAIT(!proc_is_alive(pid), 20);
    AUTO_RESPONSE other = job_await(s, next);
    expect_outcome(other, "succeeded", NULL);
}

/* max_tasks_per_child stops ProcessPoolExecutor. */
RUNNER_TEST(workers_that_are_replaced_stop_nothing)
{
    AUTO_RESPONSE set = http(s, "PATCH", "/v1/pool", "{'max_jobs_per_worker':2}", NULL);
    expect_status(set, 200);
    const struct job_ref batch = batch_submit(
        s, "{'function':'odd','star':true,'items':[['pid'],['pid'],['pid'],['pid'],['pid'],"
           "['pid'],['pid'],['pid'],['pid'],['pid']]}");
    AUTO_RESPONSE over = batch_await(s, batch);
    expect_int(over, "counts.succeeded", 10);
    AUTO_RESPONSE pids = http_get(s, "/v1/batches/%s/results?order=index", batch.id);
    for (int i = 0; i < 10; i++) {
        int same = 0;
        for (int k = 0; k < 10; k++)
            same += json_int(pids, text_of("%d.value", i).s) ==
                    json_int(pids, text_of("%d.value", k).s);
        cr_assert_leq(same, 2, "%d tasks by one runner: %s", same, pids->body);
    }
}

/* Workers grow. */
RUNNER_TEST(a_runner_that_grows_is_replaced)
{
    AUTO_RESPONSE set = http(s, "PATCH", "/v1/pool", "{'max_rss':'150MiB'}", NULL);
    expect_status(set, 200);
    const pid_t pid = (pid_t)runner_int(s, "odd", "'hold',200000000");
    AWAIT(!proc_is_alive(pid), 20);
    cr_assert_neq(runner_int(s, "odd", "'pid'"), pid);
}

RUNNER_TEST(an_error_can_say_that_another_try_is_in_vain)
{
    AUTO_RESPONSE r = job_run(s, "{'function':'odd','args':['for_ever'],"
                                 "'retry':{'max_attempts':5,'delay':0}}");
    expect_outcome(r, "failed", "function_error");
    expect_int(r, "attempt", 1);
    AUTO_RESPONSE twice = job_run(s, "{'function':'odd','args':['error'],"
                                     "'retry':{'max_attempts':2,'delay':0}}");
    expect_int(twice, "attempt", 2);
}

RUNNER_TEST(starts_are_counted)
{
    runner_value(s, "odd", "'bytes',[104]", "h");
    runner_value(s, "odd", "'bytes',[104]", "h");
    AUTO_RESPONSE fails = runner_call(s, "fails", "1");
    expect_outcome(fails, "failed", "exec");
    cr_assert_eq(metric_of(s, "ganger_runner_starts_total"), 4);
    cr_assert_eq(metric_of(s, "ganger_runner_start_failures_total"), 3);
}

/* ---- partial results ---- */

static const char four[] = "{\"index\":0,\"value\":1}\n{\"index\":1,\"value\":\"two\"}\n"
                           "{\"index\":2,\"value\":{\"$bytes\":\"/w==\"}}\n"
                           "{\"index\":3,\"value\":{\"$py\":\"gC4=\"}}\n";

static void expect_results(struct server *s, struct job_ref job, const char *query,
                           const char *lines)
{
    AUTO_RESPONSE r = http_get(s, "/v1/jobs/%s/results%s", job.id, query);
    expect_status(r, 200);
    expect_header(r, "Content-Type", "application/x-ndjson");
    cr_assert_str_eq(r->body, lines);
}

RUNNER_TEST(partial_results_are_there_while_it_runs_and_outlive_a_kill)
{
    const struct job_ref job = job_submit(s, "{'function':'soft','args':['data_wait']}");
    await_progress(s, job, "waits");
    expect_results(s, job, "", four);
    AUTO_RESPONSE r = job_cancel(s, job, "{'grace':20}", 20);
    AUTO_RESPONSE end = job_await(s, job);
    expect_outcome(end, "cancelled", NULL);
    server_kill(s);
    server_restart_configured(s, 1, registry);
    expect_results(s, job, "", four);
    const struct text path = text_of("%s/spool/01/1.1.dat", s->dir); /* the first job */
    cr_assert_eq(access(path.s, F_OK), 0);
    AUTO_RESPONSE gone = http(s, "DELETE", text_of("/v1/jobs/%s", job.id).s, NULL, NULL);
    expect_status(gone, 204);
    AWAIT(access(path.s, F_OK) != 0, 20);
}

RUNNER_TEST(partial_results_are_followed_to_the_end)
{
    AUTO_RESPONSE r = runner_call(s, "odd", "'data',[{'a':[1]},null]");
    expect_outcome(r, "succeeded", NULL);
    static const char both[] =
        "{\"index\":0,\"value\":{\"a\": [1]}}\n{\"index\":1,\"value\":null}\n";
    expect_results(s, job_of(r), "", both);
    expect_results(s, job_of(r), "?follow=1", both);
    AUTO_RESPONSE none = runner_call(s, "odd", "'pid'");
    expect_results(s, job_of(none), "", "");
    AUTO_RESPONSE part = http(s, "GET", text_of("/v1/jobs/%s/results", job_of(r).id).s, NULL,
                              "Range: bytes=1-7", NULL);
    expect_status(part, 206);
    cr_assert_str_eq(part->body, "\"index\"");
}

RUNNER_TEST(partial_results_have_their_limits)
{
    AUTO_RESPONSE bad = runner_call(s, "odd", "'data_not_json'");
    expect_outcome(bad, "failed", "function_error");
    AUTO_RESPONSE many = job_run(s, "{'function':'odd','args':['data',[1,2,3]],"
                                    "'limits':{'output':50}}");
    expect_outcome(many, "failed", "function_error");
    expect_text(many, "error.detail", "ResultTooLarge: the partial results pass limits.output");
    expect_results(s, job_of(many), "", "{\"index\":0,\"value\":1}\n{\"index\":1,\"value\":2}\n");
    /* Each by 1 MiB, of which the first one has as much as may be. */
    AUTO_RESPONSE fits = runner_call(s, "odd", "'data_large',1048576");
    expect_outcome(fits, "succeeded", NULL);
    AUTO_RESPONSE large = runner_call(s, "odd", "'data_large',1048577");
    expect_outcome(large, "failed", "function_error");
    expect_text(large, "error.detail", "ProtocolError: DATA with 1048577 bytes");
    expect_results(s, job_of(large), "", "");
}

PLAIN_TEST(runners, they_end_with_the_service)
{
    struct server s;
    server_start_configured(&s, 1, registry);
    const pid_t pid = (pid_t)runner_int(&s, "odd", "'pid'");
    cr_assert(proc_is_alive(pid));
    server_stop(&s);
    cr_assert_not(proc_is_alive(pid));
}

/* ---- starts that fail ---- */

RUNNER_TEST(a_runner_that_cannot_start_is_told)
{
    static const struct {
        const char *function, *detail;
    } cases[] = {
        {"gone", "the runner of gone cannot start: No such file or directory: /nowhere/at/all"},
        {"silent", "the runner of silent cannot start: no HELLO in time"},
        {"version", "the runner of version cannot start: it speaks version 2 of the protocol, "
                    "not 1"},
        {"early", "the runner of early cannot start: PONG before HELLO"},
        {"codecs", "the runner of codecs cannot start: HELLO names neither codec \"json\" nor "
                   "\"raw\": warming up"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        AUTO_RESPONSE r = runner_call(s, cases[i].function, "1");
        expect_outcome(r, "failed", "exec");
        expect_text(r, "error.detail", cases[i].detail);
    }
}

static int count_in(const char *text, const char *needle)
{
    int n = 0;
    for (const char *at = text; (at = strstr(at, needle)) != NULL; at++)
        n++;
    return n;
}

RUNNER_TEST(a_broken_runner_costs_three_starts_and_a_back_off)
{
    for (int i = 0; i < 3; i++) {
        AUTO_RESPONSE r = runner_call(s, "fails", "1");
        expect_outcome(r, "failed", "exec");
        expect_text(r, "error.detail",
                    "the runner of fails cannot start: exit code 1: no such thing as a module");
    }
    size_t len;
    AUTO_TEXT log = file_read(s->log, &len);
    cr_assert_eq(count_in(log, "\"runner cannot start\""), 3, "%s", log);
    runner_value(s, "odd", "'bytes',[104]", "h");
}

/* Rule 6: the task that was meant for the first one has not begun, and is not tried again. */
PLAIN_TEST(runners, a_task_waits_for_the_next_runner)
{
    struct server server, *s = &server;
    char dir[128];
    temp_dir_make(dir, sizeof dir);
    server_start_configured(
        s, 1, text_of("[function slow]\nkind = runner\n" ODD ", \"once:%s/flag\"]\n", dir).s);
    AUTO_RESPONSE r = runner_call(s, "slow", "'pid'");
    expect_outcome(r, "succeeded", NULL);
    expect_int(r, "attempt", 1);
    cr_assert_eq(metric_of(s, "ganger_runner_start_failures_total"), 1);
    server_stop(s);
    temp_dir_remove(dir);
}

/* Rule 6. */
PLAIN_TEST(runners, one_that_can_start_again_is_used_after_the_back_off)
{
    struct server server, *s = &server;
    char dir[128];
    temp_dir_make(dir, sizeof dir);
    const struct text flag = text_of("%s/flag", dir);
    server_start_configured(
        s, 1, text_of("[function late]\nkind = runner\n" ODD ", \"until:%s\"]\n", flag.s).s);
    const uint64_t start = now_ns();
    AUTO_RESPONSE fails = runner_call(s, "late", "'pid'");
    expect_outcome(fails, "failed", "exec");
    file_make(flag.s);
    struct response *r = runner_call(s, "late", "'pid'");
    for (const uint64_t until = deadline_in(20); strcmp(json_text(r, "state"), "failed") == 0;) {
        expect_outcome(r, "failed", "exec");
        CHECK(!deadline_passed(until), "it is never tried again");
        response_free(r);
        r = runner_call(s, "late", "'pid'");
    }
    expect_outcome(r, "succeeded", NULL);
    cr_assert_geq(seconds_since(start), 1);
    AUTO_TEXT pid = job_read(s, job_of(r), "result");
    response_free(r);
    runner_value(s, "late", "'pid'", pid);
    cr_assert_eq(metric_of(s, "ganger_runner_starts_total"), 4);
    cr_assert_eq(metric_of(s, "ganger_runner_start_failures_total"), 3);
    server_stop(s);
    temp_dir_remove(dir);
}

/* ---- what is refused ---- */

RUNNER_TEST(what_a_call_of_a_runner_cannot_have_is_refused)
{
    static const char *const cases[][2] = {
        {"{'function':'odd','env':{'A':'b'}}", "/env"},
        {"{'function':'odd','cwd':'/'}", "/cwd"},
        {"{'function':'odd','stdin':'x'}", "/stdin"},
        {"{'function':'odd','files':{'a':'b'}}", "/files"},
        {"{'function':'odd','limits':{'memory':500000000}}", "/limits"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        AUTO_RESPONSE r = http(s, "POST", "/v1/jobs", cases[i][0], NULL);
        expect_invalid(r, cases[i][1]);
    }
}
