/* SPDX-License-Identifier: MIT */
/* PATCH and retry: what may be changed while a job waits, and a finished job once more. */
#include "integration/harness_batch.h"

#include <signal.h>

static struct response *change(struct server *s, struct job_ref job, const char *body)
{
    return http(s, "PATCH", text_of("/v1/jobs/%s", job.id).s, body, NULL);
}

static struct response *retry(struct server *s, struct job_ref job)
{
    return http(s, "POST", text_of("/v1/jobs/%s/retry", job.id).s, NULL, NULL);
}

/* The only worker is taken; what is submitted now waits, reserved or offered as a rule. */
static struct job_ref hold_worker(struct server *s, const struct text *hold)
{
    struct job_ref job = job_submit(s, "{'command':['cat','%s']}", hold->s);
    AUTO_RESPONSE running = job_await_state(s, job, "running");
    return job;
}

SERVER_TEST_WITH(verbs, everything_can_be_changed_while_it_waits, .workers = 1)
{
    struct text hold = fifo_make(s, "hold");
    struct job_ref first = hold_worker(s, &hold);
    struct job_ref job = job_submit(s, "{'command':['sh','-c','ulimit -n; sleep 60']}");
    AUTO_RESPONSE before = job_show(s, job);
    AUTO_RESPONSE member = http(s, "POST", text_of("/v1/jobs/%s/retry", job.id).s, "{'x':1}", NULL);
    expect_invalid(member, "/x");
    AUTO_RESPONSE r = change(s, job,
                             "{'priority':7,'queue':'other','name':'renamed','labels':{'k':'v'},"
                             "'metadata':{'n':[1, 2]},'keep':'3h','queue_timeout':'1h',"
                             "'deadline':'2h','timeout':'200ms','limits':{'open_files':99},"
                             "'retry':{'max_attempts':2,'on':['lost']}}");
    expect_status(r, 200);
    expect_text(r, "state", "queued");
    expect_int(r, "priority", 7);
    expect_text(r, "queue", "other");
    expect_text(r, "name", "renamed");
    expect_text(r, "labels.k", "v");
    expect_int(r, "max_attempts", 2);
    cr_assert_not_null(strstr(r->body, "\"metadata\":{\"n\":[1, 2]}"), "byte for byte");
    expect_header(r, "ETag", "\"2\"");
    expect_header(before, "ETag", "\"1\"");
    fifo_release(hold.s);
    AUTO_RESPONSE end = job_await(s, job);
    expect_outcome(end, "failed", "timeout");
    expect_output(s, job, "stdout", "99\n");
    AUTO_RESPONSE over = job_await(s, first);
}

SERVER_TEST_WITH(verbs, a_due_time_moves_the_job_both_ways, .workers = 1)
{
    struct job_ref later = job_submit(s, "{'command':['true'],'delay':'1h'}");
    AUTO_RESPONSE sooner = change(s, later, "{'delay':0}");
    expect_status(sooner, 200);
    AUTO_RESPONSE end = job_await(s, later);
    expect_outcome(end, "succeeded", NULL);

    struct text hold = fifo_make(s, "hold");
    struct job_ref first = hold_worker(s, &hold);
    struct job_ref job = job_submit(s, "{'command':['true']}");
    AUTO_RESPONSE held = change(s, job, "{'run_at':'2999-01-01T00:00:00Z'}");
    expect_status(held, 200);
    expect_text(held, "state", "scheduled");
    cr_assert(json_is_null(held, "times.queued"));
    fifo_release(hold.s);
    AUTO_RESPONSE over = job_await(s, first);
    AUTO_RESPONSE other = job_run(s, "{'command':['true']}");
    AUTO_RESPONSE still = job_show(s, job);
    expect_text(still, "state", "scheduled");
    AUTO_RESPONSE soon = change(s, job, "{'delay':'50ms'}");
    expect_text(soon, "state", "scheduled");
    AUTO_RESPONSE done = job_await(s, job);
    expect_outcome(done, "succeeded", NULL);
}

SERVER_TEST_WITH(verbs, a_changed_priority_decides_who_is_next, .workers = 1)
{
    struct text hold = fifo_make(s, "hold");
    struct job_ref first = hold_worker(s, &hold);
    struct job_ref jobs[12];
    for (size_t i = 0; i < COUNT_OF(jobs); i++)
        jobs[i] = job_submit(s, "{'command':['sh','-c','echo %zu >>%s/order']}", i, s->scratch);
    AUTO_RESPONSE up = change(s, jobs[11], "{'priority':50}");
    AUTO_RESPONSE down = change(s, jobs[0], "{'priority':-50}");
    expect_status(up, 200);
    expect_status(down, 200);
    fifo_release(hold.s);
    for (size_t i = 0; i < COUNT_OF(jobs); i++) {
        AUTO_RESPONSE end = job_await(s, jobs[i]);
        expect_outcome(end, "succeeded", NULL);
    }
    AUTO_TEXT order = file_read(text_of("%s/order", s->scratch).s, NULL);
    cr_assert_str_eq(order, "11\n1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n0\n");
    AUTO_RESPONSE over = job_await(s, first);
}

SERVER_TEST(verbs, what_has_started_cannot_be_changed)
{
    struct text hold = fifo_make(s, "hold");
    struct job_ref job = hold_worker(s, &hold);
    AUTO_RESPONSE running = change(s, job, "{'priority':1}");
    expect_problem(running, 409, "state-conflict");
    expect_text(running, "state", "running");
    cr_assert_not_null(json_find(running, "allowed.0"));
    fifo_release(hold.s);
    AUTO_RESPONSE end = job_await(s, job);
    AUTO_RESPONSE over = change(s, job, "{'priority':1}");
    expect_problem(over, 409, "state-conflict");
    cr_assert_not_null(strstr(over->body, "\"queued\""), "it may be retried: %s", over->body);
    AUTO_RESPONSE none = http(s, "PATCH", "/v1/jobs/01990000-0000-7001-8000-000000000000",
                              "{'priority':1}", NULL);
    expect_problem(none, 404, "not-found");
}

SERVER_TEST(verbs, a_change_says_what_is_wrong_with_it)
{
    struct job_ref job = job_submit(s, "{'command':['true'],'delay':'1h'}");
    static const struct {
        const char *body, *pointer;
    } cases[] = {
        {"{'command':['false']}", "/command"},
        {"{'nonsense':1}", "/nonsense"},
        {"{'priority':101}", "/priority"},
        {"{'limits':{'memory':'lots'}}", "/limits/memory"},
        {"{'limits':{'speed':1}}", "/limits/speed"},
        {"{'delay':1,'run_at':'2999-01-01T00:00:00Z'}", "/run_at"},
        {"{'queue':'no spaces'}", "/queue"},
        {"{'timeout':0}", "/timeout"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        AUTO_RESPONSE r = change(s, job, cases[i].body);
        expect_invalid(r, cases[i].pointer);
    }
    AUTO_RESPONSE array = change(s, job, "[]");
    expect_problem(array, 422, "invalid-request");
    AUTO_RESPONSE empty = http(s, "PATCH", text_of("/v1/jobs/%s", job.id).s, NULL, NULL);
    expect_problem(empty, 400, "invalid-json");
    AUTO_RESPONSE nothing = change(s, job, "{}");
    expect_status(nothing, 200);
    expect_header(nothing, "ETag", "\"1\"");
}

SERVER_TEST(verbs, if_match_guards_a_change)
{
    struct job_ref job = job_submit(s, "{'command':['true'],'delay':'1h'}");
    struct text path = text_of("/v1/jobs/%s", job.id);
    const char *target = path.s;
    AUTO_RESPONSE one = http(s, "PATCH", target, "{'priority':1}", "If-Match: \"1\"", NULL);
    expect_status(one, 200);
    AUTO_RESPONSE stale = http(s, "PATCH", target, "{'priority':2}", "If-Match: \"1\"", NULL);
    expect_problem(stale, 412, "version-mismatch");
    AUTO_RESPONSE any = http(s, "PATCH", target, "{'priority':3}", "If-Match: *", NULL);
    expect_status(any, 200);
    AUTO_RESPONSE shown = job_show(s, job);
    expect_int(shown, "priority", 3);
    expect_header(shown, "ETag", "\"3\"");
}

static int64_t parked(struct server *s)
{
    AUTO_RESPONSE r = http_get(s, "/v1/stats");
    return json_int(r, "parked");
}

/* A long poll by entity tag hears of a change that is no move. */
SERVER_TEST(verbs, a_change_wakes_a_long_poll)
{
    struct job_ref job = job_submit(s, "{'command':['true'],'delay':'1h'}");
    AUTO_CONN c = conn_open(s);
    cr_assert(conn_request(c, s, text_of("GET /v1/jobs/%s", job.id).s,
                           "If-None-Match: \"1\"\r\nPrefer: wait=30\r\n", NULL));
    AWAIT(parked(s) == 1, 10);
    AUTO_RESPONSE r = change(s, job, "{'labels':{'now':'yes'}}");
    expect_status(r, 200);
    cr_assert(conn_await_end(c, 10));
    cr_assert_eq(c->status, 200);
    cr_assert_not_null(strstr(c->body, "\"now\":\"yes\""));
}

/* Every answer 200 takes effect, every other one is a 409: the job's name tells which it ran with.
 */
SERVER_TEST(verbs, a_change_races_with_the_start)
{
    for (int i = 0; i < 80; i++) {
        struct job_ref job = job_submit(s, "{'command':['sh','-c','echo $GANGER_JOB_NAME'],"
                                           "'name':'old'}");
        AUTO_RESPONSE r = change(s, job, "{'name':'new'}");
        AUTO_RESPONSE end = job_await(s, job);
        expect_outcome(end, "succeeded", NULL);
        if (r->status == 200) {
            expect_output(s, job, "stdout", "new\n");
        } else {
            expect_problem(r, 409, "state-conflict");
            expect_output(s, job, "stdout", "old\n");
        }
    }
}

SERVER_TEST_WITH(verbs, a_change_is_durable, .workers = 1)
{
    struct text hold = fifo_make(s, "hold");
    (void)hold_worker(s, &hold);
    struct job_ref job = job_submit(s, "{'command':['sh','-c','echo $GANGER_JOB_NAME']}");
    AUTO_RESPONSE r = change(s, job, "{'name':'kept','priority':4,'queue':'kept'}");
    expect_status(r, 200);
    server_kill(s);
    server_restart(s, NULL);
    AUTO_RESPONSE end = job_await(s, job);
    expect_outcome(end, "succeeded", NULL);
    expect_int(end, "priority", 4);
    expect_text(end, "queue", "kept");
    expect_output(s, job, "stdout", "kept\n");
}

/* ---- retry ---- */

SERVER_TEST(verbs, a_finished_job_runs_once_more)
{
    AUTO_RESPONSE first = job_run(s, "{'command':['sh','-c','echo $GANGER_ATTEMPT; exit "
                                     "$((3 - GANGER_ATTEMPT))']}");
    struct job_ref job = job_of(first);
    expect_outcome(first, "failed", "exit_code");
    AUTO_RESPONSE r = retry(s, job);
    expect_status(r, 202);
    expect_text(r, "id", job.id);
    cr_assert_not(json_bool(r, "done"));
    expect_int(r, "max_attempts", 2);
    expect_int(r, "attempts.0.exit_code", 2);
    AUTO_RESPONSE second = job_await(s, job);
    expect_outcome(second, "failed", "exit_code");
    expect_int(second, "attempt", 2);
    expect_int(second, "exit_code", 1);
    expect_output(s, job, "stdout", "2\n");
    AUTO_RESPONSE again = retry(s, job);
    expect_status(again, 202);
    AUTO_RESPONSE third = job_await(s, job);
    expect_outcome(third, "succeeded", NULL);
    cr_assert_eq(cJSON_GetArraySize(json_find(third, "attempts")), 2);
    AUTO_RESPONSE fourth = retry(s, job);
    expect_text(fourth, "attempts.2.state", "succeeded");
    AUTO_RESPONSE end = job_await(s, job);
    expect_int(end, "attempt", 4);
}

static bool spool_is_empty(struct server *s)
{
    AUTO_RESPONSE r = job_run(s, "{'command':['sh','-c','find %s/spool -type f | wc -l']}", s->dir);
    AUTO_TEXT n = job_read(s, job_of(r), "stdout");
    return strcmp(n, "0\n") == 0;
}

SERVER_TEST(verbs, only_the_last_attempts_output_is_kept)
{
    AUTO_RESPONSE first = job_run(s, "{'command':['sh','-c','[ $GANGER_ATTEMPT = 2 ] || "
                                     "seq 1 100000']}");
    struct job_ref job = job_of(first);
    AUTO_TEXT big = job_read(s, job, "stdout");
    cr_assert_gt(strlen(big), 500000);
    AUTO_RESPONSE r = retry(s, job);
    expect_status(r, 202);
    AUTO_RESPONSE second = job_await(s, job);
    expect_outcome(second, "succeeded", NULL);
    expect_output(s, job, "stdout", "");
    AWAIT(spool_is_empty(s), 10);
}

SERVER_TEST(verbs, a_cancelled_job_can_be_retried)
{
    struct text hold = fifo_make(s, "hold");
    struct job_ref job = job_submit(s, "{'command':['cat','%s']}", hold.s);
    AUTO_RESPONSE running = job_await_state(s, job, "running");
    AUTO_RESPONSE no = retry(s, job);
    expect_problem(no, 409, "state-conflict");
    AUTO_RESPONSE cancelled = job_cancel(s, job, "{'reason':'wrong'}", 20);
    expect_text(cancelled, "job.state", "cancelled");
    AUTO_RESPONSE r = retry(s, job);
    expect_status(r, 202);
    expect_text(r, "attempts.0.state", "cancelled");
    AUTO_RESPONSE again = job_await_state(s, job, "running");
    fifo_release(hold.s);
    AUTO_RESPONSE end = job_await(s, job);
    expect_outcome(end, "succeeded", NULL);
    expect_int(end, "attempt", 2);
}

SERVER_TEST(verbs, a_deadline_counts_from_the_retry)
{
    AUTO_RESPONSE first = job_run(s, "{'command':['sh','-c','[ $GANGER_ATTEMPT = 2 ] || sleep "
                                     "60'],'deadline':'300ms'}");
    expect_outcome(first, "failed", "deadline");
    AUTO_RESPONSE r = retry(s, job_of(first));
    expect_status(r, 202);
    AUTO_RESPONSE second = job_await(s, job_of(first));
    expect_outcome(second, "succeeded", NULL);
}

static bool result_is_gone(struct server *s, struct job_ref job)
{
    AUTO_RESPONSE r = http_get(s, "/v1/jobs/%s/result", job.id);
    return r->status == 410;
}

SERVER_TEST(verbs, an_expired_job_cannot_be_retried)
{
    AUTO_RESPONSE first = job_run(s, "{'command':['true'],'keep':'1ms'}");
    struct job_ref job = job_of(first);
    AWAIT(result_is_gone(s, job), 10);
    AUTO_RESPONSE r = retry(s, job);
    expect_problem(r, 410, "result-expired");
}

SERVER_TEST(verbs, a_retry_outlives_kill_9)
{
    AUTO_RESPONSE first = job_run(s, "{'command':['sh','-c','echo $GANGER_ATTEMPT']}");
    struct job_ref job = job_of(first);
    AUTO_RESPONSE held = http(s, "PATCH", text_of("/v1/jobs/%s", job.id).s, "{'delay':'1h'}", NULL);
    expect_problem(held, 409, "state-conflict");
    AUTO_RESPONSE r = retry(s, job);
    expect_status(r, 202);
    server_kill(s);
    server_restart(s, NULL);
    AUTO_RESPONSE end = job_await(s, job);
    CHECK(strcmp(json_text(end, "state"), "succeeded") == 0 ||
              strcmp(json_text(end, "reason"), "lost") == 0,
          "the second attempt has one outcome: %s", end->body);
    expect_int(end, "attempt", 2);
}

/* ---- elements of a batch ---- */

SERVER_TEST_WITH(verbs, an_element_changes_what_is_its_own, .workers = 1)
{
    struct text hold = fifo_make(s, "hold");
    struct job_ref first = hold_worker(s, &hold);
    struct job_ref batch = batch_submit(
        s, "{'command':['sh','-c','echo {} >>%s/order'],'items':[1,2,3],'labels':{'a':'b'}}",
        s->scratch);
    struct job_ref last = element_of(s, batch, 2), later = element_of(s, batch, 0);
    AUTO_RESPONSE up = change(s, last, "{'priority':9,'queue':'other','keep':'3h'}");
    expect_status(up, 200);
    expect_text(up, "labels.a", "b");
    AUTO_RESPONSE held = change(s, later, "{'delay':'1h'}");
    expect_text(held, "state", "scheduled");
    cr_assert_eq(batch_count(s, batch, "scheduled"), 1);
    static const struct {
        const char *body, *pointer;
    } shared[] = {
        {"{'labels':{}}", "/labels"},       {"{'name':'x'}", "/name"},
        {"{'timeout':'1m'}", "/timeout"},   {"{'limits':{'memory':'1GiB'}}", "/limits"},
        {"{'metadata':1}", "/metadata"},    {"{'retry':{}}", "/retry"},
        {"{'deadline':'1h'}", "/deadline"},
    };
    for (size_t i = 0; i < COUNT_OF(shared); i++) {
        AUTO_RESPONSE no = change(s, last, shared[i].body);
        expect_invalid(no, shared[i].pointer);
    }
    fifo_release(hold.s);
    AUTO_RESPONSE end = job_await(s, last);
    expect_outcome(end, "succeeded", NULL);
    AUTO_RESPONSE now = change(s, later, "{'delay':0}");
    expect_status(now, 200);
    AUTO_RESPONSE over = batch_await(s, batch);
    AUTO_TEXT order = file_read(text_of("%s/order", s->scratch).s, NULL);
    cr_assert_str_eq(order, "3\n2\n1\n");
    AUTO_RESPONSE end_too = job_await(s, first);
}

/* One that its batch holds back may be delayed, and is still let in only when there is room. */
SERVER_TEST(verbs, a_gate_outlasts_a_change)
{
    struct text hold = fifo_make(s, "hold");
    struct job_ref batch = batch_submit(
        s, "{'command':['cat','%s'],'max_parallel':1,'items':[1,2]}", hold.s);
    struct job_ref first = element_of(s, batch, 0), second = element_of(s, batch, 1);
    AUTO_RESPONSE running = job_await_state(s, first, "running");
    AUTO_RESPONSE later = change(s, second, "{'delay':'1h'}");
    expect_text(later, "state", "scheduled");
    AUTO_RESPONSE now = change(s, second, "{'delay':0}");
    expect_text(now, "state", "blocked");
    AUTO_RESPONSE over = job_cancel(s, first, NULL, 20);
    AUTO_RESPONSE next = job_await_state(s, second, "running");
    AUTO_RESPONSE over_too = job_cancel(s, second, NULL, 20);
    AUTO_RESPONSE end = batch_await(s, batch);
    cr_assert_eq(batch_count(s, batch, "cancelled"), 2);
}

SERVER_TEST(verbs, a_retried_element_keeps_to_max_parallel)
{
    struct text hold = fifo_make(s, "hold");
    struct job_ref batch = batch_submit(
        s, "{'command':['sh','-c','{}'],'max_parallel':1,'items':['true','cat %s']}", hold.s);
    struct job_ref first = element_of(s, batch, 0), second = element_of(s, batch, 1);
    AUTO_RESPONSE running = job_await_state(s, second, "running");
    AUTO_RESPONSE r = retry(s, first);
    expect_status(r, 202);
    expect_text(r, "state", "blocked");
    AUTO_RESPONSE over = job_cancel(s, second, NULL, 20);
    AUTO_RESPONSE end = job_await(s, first);
    expect_outcome(end, "succeeded", NULL);
    expect_int(end, "attempt", 2);
}

SERVER_TEST(verbs, a_retried_element_opens_its_batch_again)
{
    struct job_ref batch = batch_submit(
        s, "{'command':['sh','-c','[ $GANGER_ATTEMPT = 2 ] || exit {}'],'items':[0,3]}");
    AUTO_RESPONSE failed = batch_await(s, batch);
    expect_text(failed, "state", "failed");
    AUTO_RESPONSE r = retry(s, element_of(s, batch, 1));
    expect_status(r, 202);
    AUTO_RESPONSE end = job_await(s, element_of(s, batch, 1));
    expect_outcome(end, "succeeded", NULL);
    AUTO_RESPONSE over = batch_await(s, batch);
    expect_text(over, "state", "succeeded");
    cr_assert(json_is_null(over, "failed_first"));
}
