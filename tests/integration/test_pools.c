/* SPDX-License-Identifier: MIT */
/* The pool as its clients see it: size, close, join, terminate, workers. Rows 25, 37, 38 and 39 of
 * Python's tutorial. */
#include "integration/harness_batch.h"
#include "integration/harness_pool.h"

#include <signal.h>

/* ------------------------------------------------------------------------------------------------
 * settings and size */

SERVER_TEST(pools, settings_are_shown_and_changed)
{
    AUTO_RESPONSE first = http_get(s, "/v1/pool");
    expect_text(first, "name", "default");
    expect_text(first, "state", "open");
    expect_int(first, "size", 2);
    expect_int(first, "max_size", 64);
    expect_int(first, "settings.min", 2);
    expect_int(first, "settings.start_failures", 3);
    expect_text(first, "settings.on_worker_death", "fail_job");
    cr_assert(json_is_null(first, "settings.max_rss") && json_is_null(first, "reason"));
    expect_header(first, "ETag", "\"1\"");
    AUTO_RESPONSE some = http(s, "PATCH", "/v1/pool",
                              "{'size':3,'min':1,'idle':'2m','max_jobs_per_worker':7,"
                              "'max_rss':'64MiB','start_failures':5,'on_worker_death':'retry'}",
                              "If-Match: \"1\"", NULL);
    expect_status(some, 200);
    expect_header(some, "ETag", "\"2\"");
    expect_int(some, "size", 3);
    expect_int(some, "settings.min", 1);
    expect_int(some, "settings.idle", 120);
    expect_int(some, "settings.max_jobs_per_worker", 7);
    expect_int(some, "settings.max_rss", 64 << 20);
    expect_text(some, "settings.on_worker_death", "retry");
    AUTO_RESPONSE late = http(s, "PATCH", "/v1/pool", "{'size':4}", "If-Match: \"1\"", NULL);
    expect_problem(late, 412, "version-mismatch");
    AUTO_RESPONSE back = http(s, "PATCH", "/v1/pool", "{'min':null,'idle':null,'max_rss':null}",
                              NULL);
    expect_int(back, "settings.min", 3);
    expect_int(back, "settings.max_jobs_per_worker", 7);
    cr_assert(json_is_null(back, "settings.idle") && json_is_null(back, "settings.max_rss"));
}

static const struct {
    const char *body, *pointer;
} bad_settings[] = {
    {"{'sise':1}", "/sise"},
    {"{'busy':1}", "/busy"},
    {"{'size':0}", "/size"},
    {"{'size':65}", "/size"},
    {"{'size':null}", "/size"},
    {"{'size':'2'}", "/size"},
    {"{'min':3}", "/min"},
    {"{'min':-1}", "/min"},
    {"{'idle':0}", "/idle"},
    {"{'idle':'soon'}", "/idle"},
    {"{'max_jobs_per_worker':0}", "/max_jobs_per_worker"},
    {"{'max_rss':'1KiB'}", "/max_rss"},
    {"{'max_rss':'2TiB'}", "/max_rss"},
    {"{'start_timeout':'1ms'}", "/start_timeout"},
    {"{'start_timeout':'2h'}", "/start_timeout"},
    {"{'start_failures':0}", "/start_failures"},
    {"{'on_worker_death':'breaks'}", "/on_worker_death"},
    {"{'on_worker_death':1}", "/on_worker_death"},
};

SERVER_TEST(pools, bad_settings_are_refused_by_place)
{
    for (size_t i = 0; i < COUNT_OF(bad_settings); i++) {
        AUTO_RESPONSE r = http(s, "PATCH", "/v1/pool", bad_settings[i].body, NULL);
        expect_invalid(r, bad_settings[i].pointer);
    }
    AUTO_RESPONSE close = http(s, "POST", "/v1/pool/close", "{'signal':'TERM'}", NULL);
    expect_invalid(close, "/signal");
    AUTO_RESPONSE stop = http(s, "POST", "/v1/pool/terminate", "{'signal':'NONE'}", NULL);
    expect_invalid(stop, "/signal");
    AUTO_RESPONSE open = http(s, "POST", "/v1/pool/reopen", "{'x':1}", NULL);
    expect_problem(open, 422, "invalid-request");
    AUTO_RESPONSE same = http_get(s, "/v1/pool");
    expect_header(same, "ETag", "\"1\"");
    AUTO_RESPONSE other = http_get(s, "/v1/workers?pool=none");
    expect_problem(other, 404, "not-found");
}

/* Row 25, and the complaint "the size cannot change". */
SERVER_TEST_WITH(pools, row_25_the_size_changes_under_running_jobs, .workers = 1)
{
    struct text holds[3];
    struct job_ref jobs[3];
    for (size_t i = 0; i < COUNT_OF(jobs); i++) {
        holds[i] = fifo_make(s, text_of("hold%zu", i).s);
        jobs[i] = job_submit(s, "{'command':['cat','%s']}", holds[i].s);
    }
    response_free(job_await_state(s, jobs[0], "running"));
    AUTO_RESPONSE waits = job_show(s, jobs[1]);
    expect_text(waits, "state", "queued");
    pool_set(s, "{'size':3}");
    response_free(job_await_state(s, jobs[1], "running"));
    response_free(job_await_state(s, jobs[2], "running"));
    cr_assert_eq(workers_alive(s), 3);
    pool_set(s, "{'size':1}"); /* who runs a job ends it first */
    AUTO_RESPONSE small = http_get(s, "/v1/pool");
    expect_int(small, "size", 1);
    struct job_ref last = job_submit(s, "{'command':['echo','last']}");
    for (size_t i = 0; i < COUNT_OF(jobs); i++) {
        fifo_release(holds[i].s);
        AUTO_RESPONSE r = job_await(s, jobs[i]);
        expect_outcome(r, "succeeded", NULL);
        expect_int(r, "attempt", 1);
    }
    AWAIT(workers_alive(s) == 1, 10);
    AUTO_RESPONSE r = job_await(s, last);
    expect_outcome(r, "succeeded", NULL);
    cr_assert_eq(metric_of(s, "ganger_worker_deaths_total"), 0);
}

/* Under load nothing is lost, run twice or left behind by workers that come and go. */
SERVER_TEST_WITH(pools, a_size_that_changes_under_load_loses_nothing, .workers = 2)
{
    enum { JOBS = 300 };
    static const int sizes[] = {5, 1, 4, 2, 6, 1, 3};
    struct text_builder items = {0};
    for (int i = 0; i < JOBS; i++)
        text_add(&items, "%s%d", i == 0 ? "" : ",", i);
    struct job_ref batch = batch_submit(
        s, "{'command':['sh','-c','echo {} >>%s/ran'],'items':[%s]}", s->scratch, items.text);
    for (size_t i = 0; i < COUNT_OF(sizes); i++)
        pool_set(s, text_of("{'size':%d}", sizes[i]).s);
    AUTO_RESPONSE r = batch_await(s, batch);
    expect_text(r, "state", "succeeded");
    size_t len = 0, lines = 0;
    AUTO_TEXT ran = file_read(text_of("%s/ran", s->scratch).s, &len);
    for (size_t i = 0; i < len; i++)
        lines += ran[i] == '\n';
    cr_assert_eq(lines, (size_t)JOBS, "%zu lines", lines);
    AWAIT(workers_alive(s) == 3, 10);
    text_free(&items);
}

SERVER_TEST_WITH(pools, a_size_lasts_until_the_configuration_changes, .workers = 2)
{
    pool_set(s, "{'size':3}");
    server_kill(s);
    server_restart(s, NULL);
    AUTO_RESPONSE again = http_get(s, "/v1/pool");
    expect_int(again, "size", 3);
    AWAIT(workers_alive(s) == 3, 10);
    server_kill(s);
    server_restart(s, &(struct server_options){.workers = 1});
    AUTO_RESPONSE other = http_get(s, "/v1/pool");
    expect_int(other, "size", 1);
    server_kill(s);
    server_restart(s, NULL);
    AUTO_RESPONSE first = http_get(s, "/v1/pool");
    expect_int(first, "size", 2);
}

/* ------------------------------------------------------------------------------------------------
 * close, reopen, join */

/* Rows 37 and 39: after close() nothing new is taken, what was accepted runs, join() waits. */
SERVER_TEST_WITH(pools, row_37_a_closed_pool_runs_what_it_has_accepted, .workers = 1)
{
    struct text hold = fifo_make(s, "hold");
    AUTO_RESPONSE ended = job_run(s, "{'command':['false']}");
    struct job_ref failed = job_of(ended);
    struct job_ref open = batch_submit(s, "{'command':['true'],'items':[1],'open':true}");
    response_free(job_run(s, "{'command':['true'],'unique':{'key':'k','on_conflict':'return'}}"));
    struct job_ref first = job_submit(s, "{'command':['cat','%s']}", hold.s);
    struct job_ref next = job_submit(
        s, "{'command':['true'],'unique':{'key':'k','on_conflict':'return'}}");
    struct job_ref later = job_submit(s, "{'command':['true'],'delay':'300ms'}");
    pool_verb(s, "close", NULL);
    pool_verb(s, "close", NULL); /* again is the same */
    expect_pool_state(s, "closed");
    static const struct {
        const char *path, *body;
    } refused[] = {
        {"/v1/jobs", "{'command':['true']}"},
        {"/v1/jobs", "{'command':['true'],'delay':'1h'}"},
        {"/v1/batches", "{'command':['true'],'items':[1,2]}"},
        {"/v1/batches", "{'jobs':[{'command':['true']}]}"},
        {"/v1/pipelines", "{'stages':[{'command':['true']},{'command':['true']}]}"},
    };
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        AUTO_RESPONSE r = http(s, "POST", refused[i].path, refused[i].body, NULL);
        expect_problem(r, 409, "pool-closed");
    }
    AUTO_RESPONSE lines = http(s, "POST", "/v1/jobs",
                               "{'command':['true']}\n{'command':['true']}\n",
                               "Content-Type: application/x-ndjson", NULL);
    expect_status(lines, 200);
    cr_assert_not_null(strstr(lines->body, "pool-closed"), "%s", lines->body);
    cr_assert_null(strstr(lines->body, "\"state\":\"queued\""), "%s", lines->body);
    AUTO_RESPONSE add = batch_post(s, open, "jobs", "{'items':[2]}");
    expect_problem(add, 409, "pool-closed");
    AUTO_RESPONSE retry = http(s, "POST", text_of("/v1/jobs/%s/retry", failed.id).s, NULL, NULL);
    expect_problem(retry, 409, "pool-closed");
    AUTO_RESPONSE bulk = http(s, "POST", "/v1/jobs/retry", "{'state':'failed'}", NULL);
    expect_int(bulk, "changed", 0);
    AUTO_RESPONSE same = http(s, "POST", "/v1/jobs",
                              "{'command':['true'],'unique':{'key':'k','on_conflict':'return'}}",
                              NULL);
    expect_status(same, 200); /* no new job */
    expect_text(same, "id", next.id);
    AUTO_RESPONSE early = http_get(s, "/v1/pool/join");
    expect_status(early, 202);
    expect_int(early, "busy", 1);
    fifo_release(hold.s);
    pool_join(s);
    struct job_ref accepted[] = {first, next, later};
    for (size_t i = 0; i < COUNT_OF(accepted); i++) {
        AUTO_RESPONSE r = job_show(s, accepted[i]);
        expect_text(r, "state", "succeeded");
    }
    pool_verb(s, "reopen", NULL);
    AUTO_RESPONSE after = job_run(s, "{'command':['true']}");
    expect_outcome(after, "succeeded", NULL);
    response_free(batch_post(s, open, "close", NULL));
}

/* Row 39: joining an open pool is an error, as Pool.join() says. */
SERVER_TEST(pools, row_39_joining_an_open_pool_is_an_error)
{
    AUTO_RESPONSE open = http_get(s, "/v1/pool/join?wait=5");
    expect_problem(open, 409, "pool-open");
    pool_verb(s, "close", NULL);
    AUTO_RESPONSE empty = http_get(s, "/v1/pool/join");
    expect_status(empty, 200);
    expect_text(empty, "state", "closed");
    server_kill(s); /* closed is closed, whatever happens to the service */
    server_restart(s, NULL);
    expect_pool_state(s, "closed");
    AUTO_RESPONSE r = http(s, "POST", "/v1/jobs", "{'command':['true']}", NULL);
    expect_problem(r, 409, "pool-closed");
    pool_verb(s, "reopen", NULL);
    AUTO_RESPONSE ran = job_run(s, "{'command':['true']}");
    expect_outcome(ran, "succeeded", NULL);
}

/* shutdown(cancel_futures=True): what runs ends, what waits is cancelled. */
SERVER_TEST_WITH(pools, close_may_cancel_what_waits, .workers = 1)
{
    struct text hold = fifo_make(s, "hold");
    struct job_ref first = job_submit(s, "{'command':['cat','%s']}", hold.s);
    response_free(job_await_state(s, first, "running"));
    struct job_ref next = job_submit(s, "{'command':['true']}");
    struct job_ref later = job_submit(s, "{'command':['true'],'delay':'1h'}");
    pool_verb(s, "close", "{'cancel_queued':true}");
    AUTO_RESPONSE cancelled = job_await(s, next);
    expect_outcome(cancelled, "cancelled", NULL);
    response_free(job_await(s, later));
    AUTO_RESPONSE runs = job_show(s, first);
    expect_text(runs, "state", "running");
    fifo_release(hold.s);
    pool_join(s);
    AUTO_RESPONSE r = job_await(s, first);
    expect_outcome(r, "succeeded", NULL);
}

/* ------------------------------------------------------------------------------------------------
 * terminate */

/* Row 38, and the complaint "terminate() hangs". */
SERVER_TEST_WITH(pools, row_38_terminate_stops_all_now, .workers = 2)
{
    struct text mark = text_of("%s.all", s->dir);
    struct job_ref jobs[6];
    for (size_t i = 0; i < COUNT_OF(jobs); i++)
        jobs[i] = job_submit(
            s, "{'command':['sh','-c','sleep 600 & sleep 600'],'env':{'MARK':'%s'}%s}", mark.s,
            i == 5 ? ",'delay':'1h'" : "");
    struct job_ref batch = batch_submit(s, "{'command':['true'],'items':[1,2,3],'max_parallel':1}");
    struct job_ref child = job_submit(
        s, "{'command':['true'],'depends_on':['%s'],'on_parent_failure':'run'}", jobs[0].id);
    response_free(job_await_state(s, jobs[0], "running"));
    response_free(job_await_state(s, jobs[1], "running"));
    pool_verb(s, "terminate", NULL);
    expect_pool_state(s, "terminated");
    AUTO_RESPONSE refused = http(s, "POST", "/v1/jobs", "{'command':['true']}", NULL);
    expect_problem(refused, 409, "pool-closed");
    pool_join(s);
    for (size_t i = 0; i < COUNT_OF(jobs); i++) {
        AUTO_RESPONSE r = job_show(s, jobs[i]);
        expect_text(r, "state", "cancelled");
        cr_assert(json_is_null(r, "times.started") == (i > 1), "%s", r->body);
    }
    AUTO_RESPONSE kin = job_show(s, child);
    expect_text(kin, "state", "cancelled");
    AUTO_RESPONSE elements = batch_await(s, batch);
    expect_int(elements, "counts.cancelled", 3);
    no_process_left(mark.s, 5);
    AWAIT(workers_alive(s) == 0, 10);
    pool_verb(s, "reopen", NULL);
    AUTO_RESPONSE r = job_run(s, "{'command':['true']}");
    expect_outcome(r, "succeeded", NULL);
    cr_assert_eq(metric_of(s, "ganger_worker_deaths_total"), 0);
}

/* Elements that a worker has in its hand behind the one that runs. */
SERVER_TEST_WITH(pools, terminate_cancels_whole_chunks, .workers = 1)
{
    struct job_ref batch = batch_submit(
        s, "{'command':['sleep','600'],'items':[1,2,3,4,5,6],'chunksize':3}");
    AWAIT(batch_count(s, batch, "running") == 1, 10);
    pool_verb(s, "terminate", NULL);
    pool_join(s);
    cr_assert_eq(batch_count(s, batch, "cancelled"), 6);
    pool_verb(s, "reopen", NULL);
    AUTO_RESPONSE r = job_run(s, "{'command':['true']}");
    expect_outcome(r, "succeeded", NULL);
}

SERVER_TEST_WITH(pools, a_termination_goes_on_after_kill_9, .workers = 1)
{
    enum { JOBS = 1500 };
    struct text_builder items = {0};
    for (int i = 0; i < JOBS; i++)
        text_add(&items, "%s%d", i == 0 ? "" : ",", i);
    struct job_ref running = job_submit(s, "{'command':['sleep','600']}");
    response_free(job_await_state(s, running, "running"));
    struct job_ref batch = batch_submit(s, "{'command':['true'],'items':[%s]}", items.text);
    pool_verb(s, "terminate", "{'signal':'KILL'}");
    server_kill(s);
    server_restart(s, NULL);
    expect_pool_state(s, "terminated");
    pool_join(s);
    cr_assert_eq(batch_count(s, batch, "cancelled"), JOBS);
    AUTO_RESPONSE r = job_show(s, running);
    expect_text(r, "state", "cancelled");
    pool_verb(s, "reopen", NULL);
    AUTO_RESPONSE ran = job_run(s, "{'command':['true']}");
    expect_outcome(ran, "succeeded", NULL);
    text_free(&items);
}

/* ------------------------------------------------------------------------------------------------
 * workers */

SERVER_TEST_WITH(pools, a_worker_is_terminated_and_replaced, .workers = 1)
{
    pid_t first = worker_await_new(s, 0, 0);
    struct job_ref job = job_submit(s, "{'command':['sleep','600']}");
    response_free(job_await_state(s, job, "running"));
    struct job_ref next = job_submit(s, "{'command':['echo','next']}");
    AUTO_RESPONSE r = http(s, "POST", "/v1/workers/worker-0/terminate", NULL, NULL);
    expect_status(r, 200);
    AUTO_RESPONSE dead = job_await(s, job);
    expect_outcome(dead, "failed", "signal");
    expect_text(dead, "signal", "SIGKILL");
    AUTO_RESPONSE ran = job_await(s, next);
    expect_outcome(ran, "succeeded", NULL);
    (void)worker_await_new(s, 0, first);
    cr_assert(!proc_is_alive(first));
    AUTO_RESPONSE idle = http(s, "POST", "/v1/workers/worker-0/terminate",
                              "{'signal':'TERM','grace':1}", NULL);
    expect_status(idle, 200);
    cr_assert_eq(metric_of(s, "ganger_worker_deaths_total"), 0);
    AUTO_RESPONSE none = http(s, "POST", "/v1/workers/worker-1/terminate", NULL, NULL);
    expect_problem(none, 404, "not-found");
    AUTO_RESPONSE bad = http(s, "POST", "/v1/workers/worker-0/terminate", "{'if':'queued'}", NULL);
    expect_invalid(bad, "/if");
}

SERVER_TEST_WITH(pools, the_job_of_a_terminated_worker_follows_its_retry_policy, .workers = 1)
{
    struct job_ref job = job_submit(s,
                                    "{'command':['sh','-c','test $GANGER_ATTEMPT = 2 || exec sleep "
                                    "600'],'retry':{'max_attempts':2,'delay':0}}");
    response_free(job_await_state(s, job, "running"));
    response_free(http(s, "POST", "/v1/workers/worker-0/terminate", NULL, NULL));
    AUTO_RESPONSE r = job_await(s, job);
    expect_outcome(r, "succeeded", NULL);
    expect_int(r, "attempt", 2);
    expect_text(r, "attempts.0.reason", "signal");
}

/* A policy that does not name `lost` repeats it all the same when the pool says so. */
SERVER_TEST_WITH(pools, on_worker_death_retry_repeats_lost_jobs, .workers = 1)
{
    static const char job_text[] = "{'command':['sh','-c','test $GANGER_ATTEMPT = 2 || exec sleep "
                                   "600'],'retry':{'max_attempts':2,'delay':0,'on':['timeout']}}";
    for (int i = 0; i < 2; i++) {
        struct job_ref job = job_submit(s, "%s", job_text);
        (void)worker_kill(s, job);
        AUTO_RESPONSE r = job_await(s, job);
        expect_outcome(r, i == 0 ? "failed" : "succeeded", i == 0 ? "lost" : NULL);
        pool_set(s, "{'on_worker_death':'retry'}");
    }
}
