/* SPDX-License-Identifier: MIT */
/* A step of the engine that fails by a bug of ours costs what it was to do, and nothing else is
 * refused for it. Needs a build with fault points. */
#include "integration/harness_batch.h"
#include "integration/harness_blob.h"
#include "integration/harness_pool.h"

#include <signal.h>

#define DROPPED "ganger_steps_dropped_total"

/* The transaction of the first failure is refused, once. */
static struct job_ref submit_at_last(struct server *s, const char *body)
{
    uint64_t until = deadline_in(10);
    for (;;) {
        AUTO_RESPONSE r = http(s, "POST", "/v1/jobs", body, NULL);
        if (r->status == 202)
            return job_of(r);
        expect_problem(r, 503, "storage-unavailable");
        CHECK(!deadline_passed(until), "the store refuses for good: %s", r->body);
        pause_ms(20);
    }
}

SERVER_TEST_WITH(guard, a_reaction_that_fails_is_dropped_alone, .env = {"GANGER_BUG=reaction"})
{
    struct job_ref fails = job_submit(s, "{'command':['false']}");
    struct job_ref child = submit_at_last(
        s,
        text_of("{'command':['echo','x'],'depends_on':['%s'],'on_parent_failure':'run'}", fails.id)
            .s);
    AUTO_RESPONSE end = job_await(s, fails);
    expect_outcome(end, "failed", "exit_code");
    AUTO_RESPONSE after = job_await(s, child);
    expect_outcome(after, "succeeded", NULL);
    cr_assert_geq(metric_of(s, DROPPED), 1);
    cr_assert(server_log_has(s, "let a batch go on"), "the log names the step");
    cr_assert(server_log_has(s, fails.id), "the log names the job");
    /* The bug is still there, and from now on refuses nobody. */
    for (int i = 0; i < 5; i++) {
        AUTO_RESPONSE again = job_run(s, "{'command':['false']}");
        expect_outcome(again, "failed", "exit_code");
    }
    cr_assert_geq(metric_of(s, DROPPED), 6);
    server_kill(s);
    server_restart(s, NULL);
    AUTO_RESPONSE kept = job_show(s, fails);
    expect_outcome(kept, "failed", "exit_code");
}

/* Of three children one or two have an even number, whose telling fails. */
SERVER_TEST_WITH(guard, a_child_that_cannot_be_told_does_not_hold_up_its_siblings,
                 .env = {"GANGER_BUG=tell"})
{
    struct text hold = fifo_make(s, "hold");
    struct job_ref parent = job_submit(s, "{'command':['cat','%s']}", hold.s), child[3];
    for (int i = 0; i < 3; i++)
        child[i] = job_submit(s, "{'command':['true'],'depends_on':['%s']}", parent.id);
    fifo_release(hold.s);
    AUTO_RESPONSE end = job_await(s, parent);
    expect_outcome(end, "succeeded", NULL);
    AWAIT(job_is_done(s, child[0]) + job_is_done(s, child[1]) + job_is_done(s, child[2]) > 0, 20);
    AWAIT(metric_of(s, DROPPED) >= 2, 20); /* the family's telling as a whole, then a child's */
    struct job_ref other = submit_at_last(s, "{'command':['true']}");
    AUTO_RESPONSE ended = job_await(s, other);
    expect_outcome(ended, "succeeded", NULL);
    int left = 0;
    for (int i = 0; i < 3; i++)
        left += job_is_done(s, child[i]) ? 0 : 1;
    cr_assert(left == 1 || left == 2, "%d", left);
}

/* What a step has decided is forgotten with it: the file of a blob whose row is still there. */
SERVER_TEST_WITH(guard, due_times_that_fail_take_no_files, .env = {"GANGER_BUG=due-times"})
{
    struct job_ref blob = blob_put(s, "kept", 4, "?keep=50ms");
    AWAIT(metric_of(s, DROPPED) >= 1, 20);
    struct job_ref job = submit_at_last(s, "{'command':['true']}");
    AUTO_RESPONSE end = job_await(s, job);
    expect_outcome(end, "succeeded", NULL);
    AUTO_RESPONSE kept = http_get(s, "/v1/blobs/%s", blob.id);
    expect_status(kept, 200);
    cr_assert_str_eq(kept->body, "kept");
    cr_assert_eq(blob_files(s), 1);
}

/* A worker that names the file of another blob makes its job fail, and refuses nobody. */
SERVER_TEST_WITH(guard, outputs_that_are_somebody_elses_fail_their_job_alone,
                 .env = {"GANGER_BUG=one-output-file"})
{
    for (int i = 0; i < 2; i++) {
        AUTO_RESPONSE twice = job_run(
            s, "{'command':['sh','-c','echo x >a; echo y >b'],'outputs':['a','b']}");
        expect_outcome(twice, "failed", "function_error");
        cr_assert_not_null(strstr(json_text(twice, "error.detail"), "damaged"));
        AUTO_RESPONSE end = job_run(s, "{'command':['sh','-c','echo x >a'],'outputs':['a']}");
        expect_outcome(end, i == 0 ? "succeeded" : "failed", i == 0 ? NULL : "function_error");
    }
    AUTO_RESPONSE list = http_get(s, "/v1/blobs");
    cr_assert_eq(cJSON_GetArraySize(json_find(list, "items")), 1);
    cr_assert_eq(metric_of(s, "ganger_commit_failures_total"), 0);
}

/* Whether it has been taken: the first failure refuses one request. */
static bool pool_is_terminated(struct server *s)
{
    AUTO_RESPONSE r = http(s, "POST", "/v1/pools/p/terminate", NULL, NULL);
    return r->status == 200;
}

/* Its jobs stay as they were, and the pool can be told again. */
SERVER_TEST_WITH(guard, a_termination_that_fails_is_given_up, .env = {"GANGER_BUG=pool-walk"})
{
    pool_make(s, "{'name':'p','size':1}");
    struct text hold = fifo_make(s, "hold");
    struct job_ref first = job_submit(s, "{'command':['cat','%s'],'pool':'p'}", hold.s);
    AUTO_RESPONSE runs = job_await_state(s, first, "running");
    struct job_ref waits = job_submit(s, "{'command':['true'],'pool':'p'}");
    AUTO_RESPONSE over = http(s, "POST", "/v1/pools/p/terminate", NULL, NULL);
    expect_problem(over, 503, "storage-unavailable"); /* the first failure */
    AWAIT(pool_is_terminated(s), 20);
    AWAIT(metric_of(s, DROPPED) >= 1, 20);
    struct job_ref other = submit_at_last(s, "{'command':['true']}");
    AUTO_RESPONSE ended = job_await(s, other);
    expect_outcome(ended, "succeeded", NULL);
    AUTO_RESPONSE stopped = job_await(s, first);
    expect_outcome(stopped, "cancelled", NULL);
    AUTO_RESPONSE kept = job_show(s, waits);
    expect_text(kept, "state", "queued");
    AUTO_RESPONSE open = http(s, "POST", "/v1/pools/p/reopen", NULL, NULL);
    expect_status(open, 200);
    AUTO_RESPONSE end = job_await(s, waits);
    expect_outcome(end, "succeeded", NULL);
}

/* What was done of it stays, and who waits for it hears. */
SERVER_TEST_WITH(guard, a_verb_on_many_jobs_that_fails_is_given_up, .env = {"GANGER_BUG=chore"})
{
    struct text_builder b = {0};
    text_add(&b, "{'command':['true'],'delay':'1h','items':[0");
    for (int i = 1; i < 1500; i++)
        text_add(&b, ",0");
    text_add(&b, "]}");
    AUTO_RESPONSE made = http(s, "POST", "/v1/batches", b.text, NULL);
    text_free(&b);
    struct job_ref batch = job_of(made);
    AUTO_RESPONSE purged = http(s, "POST", "/v1/queues/default/purge", NULL, NULL);
    expect_problem(purged, 500, "internal");
    cr_assert_geq(metric_of(s, DROPPED), 1);
    cr_assert_eq(batch_count(s, batch, "cancelled"), 500, "the first step");
    struct job_ref other = submit_at_last(s, "{'command':['true']}");
    AUTO_RESPONSE ended = job_await(s, other);
    expect_outcome(ended, "succeeded", NULL);
}

/* A job, an element of a batch and a stage of a pipeline: each fails alone, and all others begin.
 */
SERVER_TEST_WITH(guard, a_job_that_cannot_be_read_fails_alone, .workers = 2,
                 .env = {"GANGER_BUG=unreadable"})
{
    AUTO_RESPONSE first = http(s, "POST", "/v1/jobs", "{'command':['true'],'name':'unreadable'}",
                               NULL);
    expect_problem(first, 503, "storage-unavailable"); /* claimed in the transaction of its birth */
    struct text hold = fifo_make(s, "hold");
    struct job_ref busy = submit_at_last(s, text_of("{'command':['cat','%s']}", hold.s).s);
    struct job_ref bad[2], good[2];
    for (int i = 0; i < 2; i++) {
        bad[i] = submit_at_last(s, "{'command':['true'],'name':'unreadable'}");
        good[i] = job_submit(s, "{'command':['true']}");
    }
    for (int i = 0; i < 2; i++) {
        AUTO_RESPONSE failed = job_await(s, bad[i]);
        expect_outcome(failed, "failed", "exec");
        cr_assert_not_null(strstr(json_text(failed, "error.detail"), "a seeded fault"));
        AUTO_RESPONSE end = job_await(s, good[i]);
        expect_outcome(end, "succeeded", NULL);
    }
    AUTO_RESPONSE pipe = http(s, "POST", "/v1/pipelines",
                              "{'stages':[{'command':['true'],'name':'unreadable'},"
                              "{'command':['cat']}]}",
                              NULL);
    expect_status(pipe, 202);
    fifo_release(hold.s);
    AUTO_RESPONSE ended = job_await(s, busy);
    expect_outcome(ended, "succeeded", NULL);
    AUTO_RESPONSE over = batch_await(s, job_of(pipe));
    expect_text(over, "state", "failed");
    cr_assert_geq(metric_of(s, DROPPED), 3);
    cr_assert(server_log_has(s, bad[0].id), "the log names the job");
    AUTO_RESPONSE after = job_run(s, "{'command':['true']}");
    expect_outcome(after, "succeeded", NULL);
}

/* The only worker. */
static pid_t worker_of(const struct server *s)
{
    struct pid_list list;
    pid_t found = 0;
    proc_find_descendants(s->pid, &list);
    for (size_t i = 0; i < list.n; i++)
        if (proc_parent(list.pids[i]) != s->pid)
            found = list.pids[i];
    CHECK(found != 0, "no worker");
    return found;
}

/* START has left, the cancel is stored, and then the worker cannot fork. */
SERVER_TEST_WITH(guard, a_job_that_could_not_begin_is_cancelled_all_the_same, .workers = 1,
                 .env = {"GANGER_FP=proc-clone:error:1"})
{
    pid_t worker = worker_of(s);
    CHECK(kill(worker, SIGSTOP) == 0, "cannot stop the worker");
    struct job_ref job = job_submit(s, "{'command':['true']}");
    AUTO_RESPONSE runs = job_await_state(s, job, "running");
    AUTO_RESPONSE cancel = job_cancel(s, job, NULL, 0);
    expect_status(cancel, 202);
    CHECK(kill(worker, SIGCONT) == 0, "cannot continue the worker");
    AUTO_RESPONSE end = job_await(s, job);
    expect_outcome(end, "cancelled", NULL);
    AUTO_RESPONSE next = job_run(s, "{'command':['true']}");
    expect_outcome(next, "succeeded", NULL);
}
