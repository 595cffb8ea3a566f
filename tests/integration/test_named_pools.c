/* SPDX-License-Identifier: MIT */
/* Pools beside the default one: workers and a queue of their own, made by a client or named by the
 * configuration. */
#include "integration/cli_call.h"
#include "integration/harness_batch.h"
#include "integration/harness_config.h"
#include "integration/harness_pool.h"

#include <unistd.h>

static size_t workers_of(struct server *s, const char *pool)
{
    AUTO_RESPONSE r = http_get(s, "/v1/workers?pool=%s", pool);
    const cJSON *worker;
    size_t n = 0;
    cJSON_ArrayForEach(worker, json_find(r, "items"))
    {
        cr_assert_str_eq(cJSON_GetObjectItem(worker, "pool")->valuestring, pool);
        n += cJSON_IsTrue(cJSON_GetObjectItem(worker, "alive")) ? 1 : 0;
    }
    return n;
}

SERVER_TEST(pools, a_named_pool_is_made_shown_changed_and_forgotten)
{
    AUTO_RESPONSE made = http(s, "POST", "/v1/pools",
                              "{'name':'media','size':2,'min':1,'isolation':'exec'}", NULL);
    expect_status(made, 201);
    expect_header(made, "Location", "/v1/pools/media");
    expect_text(made, "name", "media");
    expect_int(made, "size", 2);
    expect_int(made, "settings.min", 1);
    expect_int(made, "settings.idle", 60);
    expect_text(made, "settings.isolation", "exec");
    AWAIT(workers_of(s, "media") == 1, 10);
    static const char keyed[] = "{'name':'once','size':1}";
    AUTO_RESPONSE once = http(s, "POST", "/v1/pools", keyed, "Idempotency-Key: k", NULL);
    expect_status(once, 201);
    AUTO_RESPONSE again = http(s, "POST", "/v1/pools", keyed, "Idempotency-Key: k", NULL);
    expect_status(again, 201);
    expect_header(again, "Idempotency-Replayed", "true");
    AUTO_RESPONSE reused = http(s, "POST", "/v1/pools", "{'name':'x','size':1}",
                                "Idempotency-Key: k", NULL);
    expect_problem(reused, 422, "key-reused");
    cr_assert_eq(metric_of(s, "ganger_pool_workers{pool=\"media\"}"), 1);
    AUTO_RESPONSE over = http(s, "DELETE", "/v1/pools/once", NULL, NULL);
    expect_status(over, 204);
    AUTO_RESPONSE taken = http(s, "POST", "/v1/pools", "{'name':'media','size':1}", NULL);
    expect_problem(taken, 409, "name-taken");
    cr_assert_null(header_of(taken, "Location"));
    AUTO_RESPONSE list = http_get(s, "/v1/pools");
    expect_text(list, "items.0.name", "default");
    expect_text(list, "items.1.name", "media");
    AUTO_RESPONSE patch = http(s, "PATCH", "/v1/pools/media", "{'size':3,'min':3}", NULL);
    expect_status(patch, 200);
    AWAIT(workers_of(s, "media") == 3, 10);
    AUTO_RESPONSE alias = http_get(s, "/v1/pools/default");
    expect_text(alias, "name", "default");
    expect_int(alias, "size", 2);
    AUTO_RESPONSE gone = http(s, "DELETE", "/v1/pools/media", NULL, NULL);
    expect_status(gone, 204);
    AWAIT(workers_alive(s) == 2, 10);
    AUTO_RESPONSE none = http_get(s, "/v1/pools/media");
    expect_problem(none, 404, "not-found");
    AUTO_RESPONSE stays = http(s, "DELETE", "/v1/pools/default", NULL, NULL);
    expect_problem(stays, 409, "state-conflict");
}

static const struct {
    const char *body, *pointer;
} bad_pools[] = {
    {"{'size':1}", "/name"},
    {"{'name':'a b','size':1}", "/name"},
    {"{'name':'p'}", "/size"},
    {"{'name':'p','size':0}", "/size"},
    {"{'name':'p','size':63}", "/size"},
    {"{'name':'p','size':2,'min':3}", "/min"},
    {"{'name':'p','size':2,'isolation':'none'}", "/isolation"},
    {"{'name':'p','size':2,'session':'s_1'}", "/session"},
    {"{'name':'p','size':2,'runner':{'command':[]}}", "/runner/command"},
    {"{'name':'p','size':2,'init_base64':''}", "/init_base64"},
    {"{'name':'p','size':2,'sise':2}", "/sise"},
};

SERVER_TEST(pools, bad_pools_are_refused_by_place)
{
    for (size_t i = 0; i < COUNT_OF(bad_pools); i++) {
        AUTO_RESPONSE r = http(s, "POST", "/v1/pools", bad_pools[i].body, NULL);
        expect_invalid(r, bad_pools[i].pointer);
    }
    AUTO_RESPONSE job = http(s, "POST", "/v1/jobs", "{'command':['true'],'pool':'none'}", NULL);
    expect_invalid(job, "/pool");
    pool_make(s, "{'name':'p','size':1,'isolation':'reuse'}");
    AUTO_RESPONSE command = http(s, "POST", "/v1/jobs", "{'command':['true'],'pool':'p'}", NULL);
    expect_invalid(command, "/pool");
    AUTO_RESPONSE both = http(s, "POST", "/v1/jobs", "{'command':['true'],'pool':'p','queue':'q'}",
                              NULL);
    expect_invalid(both, "/queue");
    AUTO_RESPONSE own_queue = http(s, "POST", "/v1/jobs",
                                   "{'command':['true'],'pool':'default','queue':'p'}", NULL);
    expect_invalid(own_queue, "/queue");
    AUTO_RESPONSE pipe = http(s, "POST", "/v1/pipelines",
                              "{'stages':[{'command':['true']}],'queue':'p'}", NULL);
    cr_assert_eq(pipe->status, 422, "%s", pipe->body);
    AUTO_RESPONSE own = http(s, "PATCH", "/v1/pool", "{'isolation':'exec'}", NULL);
    expect_invalid(own, "/isolation");
    for (int i = 1; i < 15; i++)
        pool_make(s, text_of("{'name':'p%d','size':1}", i).s);
    AUTO_RESPONSE many = http(s, "POST", "/v1/pools", "{'name':'one-more','size':1}", NULL);
    expect_problem(many, 422, "invalid-request");
}

/* Workers run the jobs of their own pool and no others, however long the line elsewhere. */
SERVER_TEST_WITH(pools, a_pool_runs_its_own_jobs_only, .workers = 1)
{
    struct text hold_default = fifo_make(s, "default"), hold_side = fifo_make(s, "side");
    pool_make(s, "{'name':'side','size':1}");
    struct job_ref first = job_submit(s, "{'command':['cat','%s']}", hold_default.s);
    response_free(job_await_state(s, first, "running"));
    struct job_ref waiting = job_submit(s, "{'command':['sh','-c','echo $PPID']}");
    for (int i = 0; i < 5; i++) {
        AUTO_RESPONSE r = job_run(s, "{'command':['true'],'pool':'side'}");
        expect_outcome(r, "succeeded", NULL);
        expect_text(r, "queue", "side");
    }
    AUTO_RESPONSE still = job_show(s, waiting);
    expect_text(still, "state", "queued");
    struct job_ref beside = job_submit(s, "{'command':['cat','%s'],'queue':'side'}", hold_side.s);
    response_free(job_await_state(s, beside, "running"));
    struct job_ref behind = job_submit(s, "{'command':['true'],'pool':'side'}");
    fifo_release(hold_default.s);
    response_free(job_await(s, first));
    response_free(job_await(s, waiting));
    AUTO_RESPONSE blocked = job_show(s, behind); /* the default worker is idle */
    expect_text(blocked, "state", "queued");
    AUTO_RESPONSE why = http_get(s, "/v1/jobs/%s/explain", behind.id);
    cr_assert_not_null(strstr(why->body, "All 1 workers are busy"), "%s", why->body);
    AUTO_RESPONSE side = http_get(s, "/v1/pools/side");
    expect_int(side, "busy", 1);
    expect_int(side, "queued", 1);
    AUTO_RESPONSE own = http_get(s, "/v1/pool");
    expect_int(own, "queued", 0);
    AUTO_RESPONSE all = http_get(s, "/v1/stats");
    expect_int(all, "workers.size", 2);
    expect_int(all, "workers.busy", 1);
    expect_int(all, "workers.idle", 1);
    expect_int(own, "idle", 1);
    fifo_release(hold_side.s);
    response_free(job_await(s, behind));
    struct job_ref batch = batch_submit(
        s, "{'command':['true'],'items':[1,2,3,4,5,6,7,8,9],'pool':'side'}");
    AUTO_RESPONSE r = batch_await(s, batch);
    expect_text(r, "state", "succeeded");
}

/* close, join and terminate concern one pool. */
SERVER_TEST_WITH(pools, verbs_on_one_pool_leave_the_others_alone, .workers = 1)
{
    pool_make(s, "{'name':'a','size':1}");
    pool_make(s, "{'name':'b','size':1}");
    struct job_ref in_a = job_submit(s, "{'command':['sleep','600'],'pool':'a'}");
    struct job_ref next_a = job_submit(s, "{'command':['true'],'pool':'a'}");
    struct job_ref in_b = job_submit(s, "{'command':['sleep','600'],'pool':'b'}");
    response_free(job_await_state(s, in_a, "running"));
    response_free(job_await_state(s, in_b, "running"));
    response_free(http(s, "POST", "/v1/pools/a/terminate", NULL, NULL));
    AUTO_RESPONSE joined = http_get(s, "/v1/pools/a/join?wait=20");
    expect_status(joined, 200);
    AUTO_RESPONSE first = job_show(s, in_a);
    expect_text(first, "state", "cancelled");
    AUTO_RESPONSE second = job_show(s, next_a);
    expect_text(second, "state", "cancelled");
    AUTO_RESPONSE refused = http(s, "POST", "/v1/jobs", "{'command':['true'],'pool':'a'}", NULL);
    expect_problem(refused, 409, "pool-closed");
    AUTO_RESPONSE other = job_show(s, in_b);
    expect_text(other, "state", "running");
    AUTO_RESPONSE busy = http(s, "DELETE", "/v1/pools/b", NULL, NULL);
    expect_problem(busy, 409, "state-conflict");
    AUTO_RESPONSE ran = job_run(s, "{'command':['true']}");
    expect_outcome(ran, "succeeded", NULL);
    pool_verb(s, "terminate", NULL);
    pool_join(s);
    AUTO_RESPONSE goes_on = job_show(s, in_b);
    expect_text(goes_on, "state", "running");
    response_free(job_cancel(s, in_b, NULL, 10));
    AUTO_RESPONSE b = job_run(s, "{'command':['true'],'pool':'b'}");
    expect_outcome(b, "succeeded", NULL);
    response_free(http(s, "POST", "/v1/pools/a/reopen", NULL, NULL));
    AUTO_RESPONSE again = job_run(s, "{'command':['true'],'pool':'a'}");
    expect_outcome(again, "succeeded", NULL);
}

SERVER_TEST_WITH(pools, pools_and_their_jobs_survive_kill_9, .workers = 1)
{
    pool_make(s, "{'name':'keep','size':1,'max_jobs_per_worker':3}");
    struct job_ref running = job_submit(
        s, "{'command':['sh','-c','echo begun; exec sleep 600'],'pool':'keep',"
           "'retry':{'max_attempts':2,'on':['lost'],'delay':0}}");
    AWAIT(job_has_said(s, running, "stdout", "begun"), 20);
    struct job_ref waiting = job_submit(s, "{'command':['true'],'pool':'keep'}");
    server_kill(s);
    server_restart(s, NULL);
    AUTO_RESPONSE pool = http_get(s, "/v1/pools/keep");
    expect_int(pool, "settings.max_jobs_per_worker", 3);
    AUTO_RESPONSE again = job_await_state(s, running, "running");
    expect_int(again, "attempt", 2);
    AUTO_RESPONSE still = job_show(s, waiting);
    expect_text(still, "state", "queued");
    response_free(job_cancel(s, running, NULL, 10));
    AUTO_RESPONSE r = job_await(s, waiting);
    expect_outcome(r, "succeeded", NULL);
}

/* A queue that has jobs becomes a pool's when the pool is made, and the default pool's again when
 * it is forgotten. */
SERVER_TEST_WITH(pools, a_queue_changes_its_pool_with_its_jobs, .workers = 1)
{
    struct text hold = fifo_make(s, "hold");
    struct job_ref first = job_submit(s, "{'command':['cat','%s']}", hold.s);
    response_free(job_await_state(s, first, "running"));
    struct job_ref waiting = job_submit(s, "{'command':['true'],'queue':'late'}");
    pool_make(s, "{'name':'late','size':1}");
    AUTO_RESPONSE r = job_await(s, waiting);
    expect_outcome(r, "succeeded", NULL);
    AUTO_RESPONSE gone = http(s, "DELETE", "/v1/pools/late", NULL, NULL);
    expect_status(gone, 204);
    struct job_ref last = job_submit(s, "{'command':['true'],'queue':'late'}");
    AUTO_RESPONSE waits = job_show(s, last);
    expect_text(waits, "state", "queued");
    fifo_release(hold.s);
    AUTO_RESPONSE ran = job_await(s, last);
    expect_outcome(ran, "succeeded", NULL);
}

/* ------------------------------------------------------------------------------------------------
 * [pool NAME] */

static const char registry[] = "[pool warm]\n"
                               "size = 2\n"
                               "min = 1\n"
                               "isolation = reuse\n"
                               "max_jobs_per_worker = 2\n"
                               "[function misbehave]\n"
                               "kind = native\n"
                               "module = " GANGER_HELPER_DIR "/native_misbehave.so\n"
                               "pool = warm\n";

PLAIN_TEST(pools, a_function_runs_in_the_pool_of_the_configuration)
{
    struct server server, *s = &server;
    server_start_configured(s, 1, registry);
    AUTO_RESPONSE pool = http_get(s, "/v1/pools/warm");
    expect_int(pool, "size", 2);
    expect_text(pool, "settings.isolation", "reuse");
    AWAIT(workers_of(s, "warm") == 1, 10);
    int64_t pids[6];
    for (size_t i = 0; i < COUNT_OF(pids); i++) {
        AUTO_RESPONSE r = job_run(s, "{'function':'misbehave','args':['pid']}");
        expect_outcome(r, "succeeded", NULL);
        expect_text(r, "queue", "warm");
        AUTO_TEXT pid = job_read(s, job_of(r), "result");
        pids[i] = strtoll(pid, NULL, 10);
    }
    for (size_t i = 0; i + 2 < COUNT_OF(pids); i++) /* recycled, and never by the default pool's */
        cr_assert(pids[i] != pids[i + 2]);
    AUTO_RESPONSE functions = http_get(s, "/v1/functions");
    expect_text(functions, "items.0.queue", "warm");
    AUTO_RESPONSE own = http_get(s, "/v1/workers?pool=default");
    expect_int(own, "items.0.jobs_done", 0);
    AUTO_RESPONSE command = http(s, "POST", "/v1/jobs", "{'command':['true'],'pool':'warm'}", NULL);
    expect_invalid(command, "/pool");
    AUTO_RESPONSE stays = http(s, "DELETE", "/v1/pools/warm", NULL, NULL);
    expect_problem(stays, 409, "state-conflict");
    server_stop(s);
}

/* Also when the configuration says the same as the client did. */
SERVER_TEST_WITH(pools, a_pool_that_the_configuration_has_taken_over_goes_with_it, .workers = 1)
{
    pool_make(s, "{'name':'taken','size':1}");
    server_kill(s);
    server_restart_configured(s, 1, "[pool taken]\nsize = 1\n");
    AUTO_RESPONSE stays = http(s, "DELETE", "/v1/pools/taken", NULL, NULL);
    expect_problem(stays, 409, "state-conflict");
    server_kill(s);
    server_restart_configured(s, 1, "");
    AUTO_RESPONSE gone = http_get(s, "/v1/pools/taken");
    expect_problem(gone, 404, "not-found");
}

PLAIN_TEST(pools, a_bad_pool_of_the_configuration_is_named)
{
    static const char *const cases[][2] = {
        {"[pool x]\nmin = 1\n", "pool x, line 2: its size is missing"},
        {"[pool x]\nsize = 0\n", "line 2: pool x, size: must be a number from 1 to 1024"},
        {"[pool x]\nsize = 1\nsise = 1\n", "line 3: pool x, sise: is not a setting of a pool"},
        {"[pool default]\nsize = 1\n", "line 2: the name of a pool has 1 to 40 letters"},
        {"[pool x]\nsize = 64\n", "the pools together have 66 workers"},
        {"[pool x]\nsize = 1\nmin = 2\n", "pool x, line 2: min is above size"},
        {"[pool x]\nsize = 1\nisolation = spawn\n",
         "line 3: pool x, isolation: \"spawn\" is not supported"},
        {"[pool x]\nsize = 1\nstart_timeout = 2h\n",
         "line 3: pool x, start_timeout: must be a time"},
        {"[pool x]\nsize = 1\nmax_rss = 1KiB\n", "line 3: pool x, max_rss: must be a size"},
        {"[pool]\nmax_rss = 1KiB\n", "pool.max_rss: at least 1MiB"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        expect_no_start(cases[i][0], cases[i][1]);
}
