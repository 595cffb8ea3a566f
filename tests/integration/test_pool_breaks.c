/* SPDX-License-Identifier: MIT */
/* on_worker_death "break": the rule of concurrent.futures, that the death of one worker ends all
 * jobs of its pool (BrokenProcessPool). */
#include "integration/harness_batch.h"
#include "integration/harness_config.h"
#include "integration/harness_pool.h"

#include <signal.h>

static void expect_state_of(struct server *s, const char *pool, const char *state)
{
    AUTO_RESPONSE r = http_get(s, "/v1/pools/%s", pool);
    expect_text(r, "state", state);
}

static void join(struct server *s, const char *pool)
{
    AUTO_RESPONSE r = http_get(s, "/v1/pools/%s/join?wait=30", pool);
    expect_status(r, 200);
}

static void reopen(struct server *s, const char *pool)
{
    join(s, pool);
    AUTO_RESPONSE r = http(s, "POST", text_of("/v1/pools/%s/reopen", pool).s, NULL, NULL);
    expect_status(r, 200);
    expect_text(r, "state", "open");
    cr_assert(json_is_null(r, "reason"));
}

static void expect_broken(struct server *s, struct job_ref job, const char *why)
{
    AUTO_RESPONSE r = job_await(s, job);
    expect_outcome(r, "failed", "lost");
    expect_text(r, "error.detail", why);
}

SERVER_TEST_WITH(pools, a_death_fails_all_jobs_of_a_pool_that_breaks, .workers = 1)
{
    pool_make(s, "{'name':'p','size':2,'on_worker_death':'break'}");
    struct text hold = fifo_make(s, "hold");
    struct job_ref elsewhere = job_submit(s, "{'command':['cat','%s']}", hold.s);
    struct job_ref victim = job_submit(s, "{'pool':'p','command':['sleep','60'],"
                                          "'retry':{'max_attempts':3,'delay':0}}");
    struct job_ref beside = job_submit(s, "{'pool':'p','command':['sleep','60'],"
                                          "'retry':{'max_attempts':3,'delay':0}}");
    response_free(job_await_state(s, beside, "running"));
    struct job_ref waiting = job_submit(s, "{'pool':'p','command':['true']}");
    struct job_ref later = job_submit(s, "{'pool':'p','command':['true'],'delay':'1h'}");
    struct job_ref batch = batch_submit(
        s, "{'pool':'p','command':['true'],'items':[1,2,3],'chunksize':2}");
    const struct text why = worker_kill(s, victim);
    expect_broken(s, victim, why.s);
    expect_broken(s, beside, why.s);
    expect_broken(s, waiting, why.s);
    expect_broken(s, later, why.s);
    AUTO_RESPONSE never = job_show(s, waiting);
    expect_int(never, "attempt", 0);
    AUTO_RESPONSE elements = batch_await(s, batch);
    expect_int(elements, "counts.failed", 3);

    join(s, "p");
    AUTO_RESPONSE pool = http_get(s, "/v1/pools/p");
    expect_text(pool, "state", "broken");
    expect_text(pool, "reason", why.s);
    cr_assert_eq(metric_of(s, "ganger_pool_broken{pool=\"p\"}"), 1);
    AWAIT(workers_alive(s) == 1, 10); /* the other pool's */
    AUTO_RESPONSE refused = http(s, "POST", "/v1/jobs", "{'pool':'p','command':['true']}", NULL);
    expect_problem(refused, 409, "pool-broken");
    cr_assert_not_null(strstr(refused->body, why.s));
    AUTO_RESPONSE again = http(s, "POST", text_of("/v1/jobs/%s/retry", waiting.id).s, NULL, NULL);
    expect_problem(again, 409, "pool-broken");

    reopen(s, "p");
    AUTO_RESPONSE retried = http(s, "POST", text_of("/v1/jobs/%s/retry", waiting.id).s, NULL, NULL);
    expect_status(retried, 202);
    AUTO_RESPONSE ends = job_await(s, waiting);
    expect_outcome(ends, "succeeded", NULL);
    fifo_release(hold.s);
    AUTO_RESPONSE other = job_await(s, elsewhere);
    expect_outcome(other, "succeeded", NULL);
}

/* What a program does to itself is its own end, not its worker's; so is what was asked for. */
SERVER_TEST_WITH(pools, only_an_unasked_death_breaks_a_pool, .workers = 1)
{
    pool_set(s, "{'on_worker_death':'break'}");
    AUTO_RESPONSE crash = job_run(s, "{'command':['sh','-c','kill -SEGV $$']}");
    expect_outcome(crash, "failed", "signal");
    AUTO_RESPONSE late = job_run(s, "{'command':['sleep','60'],'timeout':'50ms'}");
    expect_outcome(late, "failed", "timeout");
    struct job_ref job = job_submit(s, "{'command':['sleep','60']}");
    AUTO_RESPONSE running = job_await_state(s, job, "running");
    const pid_t before = (pid_t)json_int(running, "worker.pid");
    AUTO_RESPONSE replaced = http(s, "POST", "/v1/workers/worker-0/terminate", NULL, NULL);
    expect_status(replaced, 200);
    AUTO_RESPONSE stopped = job_await(s, job);
    expect_outcome(stopped, "failed", "signal");
    const pid_t idle = worker_await_new(s, 0, before);
    cr_assert_eq(kill(idle, SIGKILL), 0); /* it runs nothing, and is given nothing any more */
    (void)worker_await_new(s, 0, idle);
    AUTO_RESPONSE next = job_run(s, "{'command':['true']}");
    expect_outcome(next, "succeeded", NULL);
    expect_pool_state(s, "open");
}

/* Hundreds at a time, and the rest after the restart. */
SERVER_TEST_WITH(pools, a_break_goes_on_after_kill_9, .workers = 1)
{
    enum { WAITING = 1600 };
    struct text_builder items = {0};
    for (int i = 0; i < WAITING; i++)
        text_add(&items, "%s%d", i == 0 ? "" : ",", i);
    pool_make(s, "{'name':'p','size':1,'on_worker_death':'break'}");
    struct job_ref victim = job_submit(s, "{'pool':'p','command':['sleep','60']}");
    response_free(job_await_state(s, victim, "running"));
    struct job_ref batch = batch_submit(
        s, "{'pool':'p','command':['true'],'items':[%s],'retry':{'max_attempts':2,'delay':0}}",
        items.text);
    text_free(&items);
    const struct text why = worker_kill(s, victim);
    AWAIT(batch_count(s, batch, "failed") > 0, 20);
    server_kill(s);
    server_restart(s, NULL);
    expect_broken(s, victim, why.s);
    AUTO_RESPONSE over = batch_await(s, batch);
    expect_int(over, "counts.failed", WAITING);
    expect_broken(s, element_of(s, batch, WAITING - 1), why.s);
    expect_state_of(s, "p", "broken");
    reopen(s, "p");
    AUTO_RESPONSE r = job_run(s, "{'pool':'p','command':['true']}");
    expect_outcome(r, "succeeded", NULL);
}

/* What ran beside the victim may not have ended when the service dies. */
SERVER_TEST_WITH(pools, what_runs_in_a_broken_pool_fails_over_kill_9, .workers = 1)
{
    pool_make(s, "{'name':'p','size':2,'on_worker_death':'break'}");
    struct job_ref victim = job_submit(s, "{'pool':'p','command':['sleep','60']}");
    struct job_ref stubborn = job_submit(
        s, "{'pool':'p','command':['sh','-c','trap : TERM; while :; do sleep 0.1; done'],"
           "'stop':{'grace':'60s'},'retry':{'max_attempts':3,'delay':0}}");
    response_free(job_await_state(s, stubborn, "running"));
    const struct text why = worker_kill(s, victim);
    response_free(job_await(s, victim));
    AUTO_RESPONSE early = http(s, "POST", "/v1/pools/p/reopen", NULL, NULL);
    expect_problem(early, 409, "state-conflict");
    server_kill(s);
    server_restart(s, NULL);
    expect_broken(s, stubborn, why.s);
    AUTO_RESPONSE r = job_show(s, stubborn);
    expect_int(r, "attempt", 1);
    reopen(s, "p");
}

static const char registry[] = "[pool calls]\n"
                               "size = 1\n"
                               "on_worker_death = break\n"
                               "[function misbehave]\n"
                               "kind = native\n"
                               "pool = calls\n"
                               "module = " GANGER_HELPER_DIR "/native_misbehave.so\n"
                               "[function odd]\n"
                               "kind = runner\n"
                               "pool = calls\n"
                               "runner = [\"python3\", \"" GANGER_SOURCE_DIR
                               "/tests/runners/odd.py\"]\n";

/* A call that ends the process in which calls run, a worker or a warm runner. */
CONFIGURED_TEST(pools, a_call_that_kills_its_process_breaks_the_pool, registry)
{
    static const struct {
        const char *function, *args, *reason, *why;
    } cases[] = {
        {"misbehave", "'abort'", "signal", "worker-2 died (SIGABRT) under job "},
        {"misbehave", "'exit3'", "exit_code", "worker-2 died (exit code 3) under job "},
        {"odd", "'die',11", "signal", "the runner of worker-2 died (SIGSEGV) under job "},
        {"odd", "'exit',3", "exit_code", "the runner of worker-2 died (exit code 3) under job "},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        AUTO_RESPONSE r = job_run(s,
                                  "{'function':'%s','args':[%s],"
                                  "'retry':{'max_attempts':3,'delay':0}}",
                                  cases[i].function, cases[i].args);
        expect_outcome(r, "failed", cases[i].reason);
        expect_int(r, "attempt", 1);
        expect_text(r, "error.detail", text_of("%s%s", cases[i].why, job_of(r).id).s);
        expect_state_of(s, "calls", "broken");
        reopen(s, "calls");
    }
    AUTO_RESPONSE error = job_run(s, "{'function':'misbehave','args':['no_json']}");
    expect_outcome(error, "failed", "function_error");
    expect_state_of(s, "calls", "open");
}

/* "Pool hangs for ever when a worker dies": there get() never returns, and terminate() hangs too.
 */
SERVER_TEST_WITH(pools, complaint_after_the_death_of_a_worker_nothing_hangs, .workers = 2)
{
    struct job_ref victim = job_submit(s, "{'command':['sleep','60']}");
    struct job_ref beside = job_submit(s, "{'command':['sleep','60']}");
    response_free(job_await_state(s, beside, "running"));
    struct job_ref waiting = job_submit(s, "{'command':['true']}");
    (void)worker_kill(s, victim);
    AUTO_RESPONSE end = job_await(s, victim);
    expect_outcome(end, "failed", "lost");
    AUTO_RESPONSE other = job_await(s, waiting);
    expect_outcome(other, "succeeded", NULL);
    (void)worker_kill(s, beside);
    pool_verb(s, "terminate", NULL);
    pool_join(s);
    AUTO_RESPONSE last = job_show(s, beside);
    cr_assert(strcmp(json_text(last, "state"), "failed") == 0 ||
              strcmp(json_text(last, "state"), "cancelled") == 0);
}

/* "fork and threads": who forks the workers has one thread, however many the server has.
 * ThreadSanitizer adds one to every process. */
SERVER_TEST_WITH(pools, complaint_what_forks_has_one_thread, .workers = 1)
{
    struct pid_list all;
    size_t n_zygotes = 0;
    proc_find_descendants(s->pid, &all);
    for (size_t i = 0; i < all.n; i++) {
        size_t len;
        AUTO_TEXT status = file_read(text_of("/proc/%d/status", all.pids[i]).s, &len);
        AUTO_TEXT line = file_read(text_of("/proc/%d/cmdline", all.pids[i]).s, &len);
        if (line == NULL || strcmp(line, "ganger: zygote") != 0)
            continue;
        n_zygotes++;
        cr_assert(slow_factor() > 1 || strstr(status, "\nThreads:\t1\n") != NULL, "%s", status);
    }
    cr_assert_eq(n_zygotes, 1);
}
