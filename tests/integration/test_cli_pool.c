/* SPDX-License-Identifier: MIT */
/* ganger pool, workers, worker terminate and top, as a person or a script uses them. */
#include "integration/cli_call.h"
#include "integration/harness_pool.h"
#include "integration/harness_queue.h"

SERVER_TEST(cli, pool_verbs)
{
    AUTO_CALL show;
    cli_call_run(&show, s, WORDS("pool", "show"));
    expect_code(&show, 0);
    CHECK(strstr(show.out, "open") != NULL, "%s", show.out);
    AUTO_CALL set;
    cli_call_run(&set, s,
                 WORDS("pool", "set", "--size", "3", "--min", "1", "--idle", "5m", "--max-jobs",
                       "9", "--max-rss", "1GiB", "--on-worker-death", "retry", "--json"));
    expect_code(&set, 0);
    CHECK(strstr(set.out, "{\"size\":3,\"min\":1,\"idle\":300,\"max_jobs_per_worker\":9,"
                          "\"max_rss\":1073741824,\"start_timeout\":10,\"start_failures\":3,"
                          "\"on_worker_death\":\"retry\",\"isolation\":null}") != NULL,
          "%s", set.out);
    AUTO_CALL unset;
    cli_call_run(
        &unset, s,
        WORDS("pool", "set", "--idle", "none", "--max-jobs", "0", "--max-rss", "0", "--json"));
    CHECK(strstr(unset.out, "\"idle\":null,\"max_jobs_per_worker\":null,\"max_rss\":null") != NULL,
          "%s", unset.out);
    AUTO_CALL open;
    cli_call_run(&open, s, WORDS("pool", "join"));
    expect_code(&open, 1);
    expect_err_has(&open, "takes more jobs");
    AUTO_CALL close;
    cli_call_run(&close, s, WORDS("pool", "close", "--cancel-queued"));
    expect_code(&close, 0);
    AUTO_CALL refused;
    cli_call_run(&refused, s, WORDS("submit", "--", "true"));
    expect_code(&refused, 1);
    expect_err_has(&refused, "closed");
    AUTO_CALL joined;
    cli_call_run(&joined, s, WORDS("pool", "join", "--timeout", "20s"));
    expect_code(&joined, 0);
    AUTO_CALL reopen;
    cli_call_run(&reopen, s, WORDS("pool", "reopen"));
    expect_code(&reopen, 0);
    expect_pool_state(s, "open");
}

SERVER_TEST(cli, pools_are_made_listed_and_forgotten)
{
    AUTO_CALL made;
    cli_call_run(&made, s,
                 WORDS("pool", "new", "media", "--size", "2", "--min", "1", "--isolation", "exec"));
    expect_code(&made, 0);
    AUTO_CALL names;
    cli_call_run(&names, s, WORDS("pool", "ls", "-q"));
    expect_out(&names, "default\nmedia\n");
    AUTO_CALL list;
    cli_call_run(&list, s, WORDS("pool", "ls"));
    CHECK(strstr(list.out, "media        open") != NULL, "%s", list.out);
    AUTO_CALL ran;
    cli_call_run(&ran, s, WORDS("run", "--queue", "media", "--", "echo", "there"));
    expect_out(&ran, "there\n");
    AUTO_CALL named;
    cli_call_run(&named, s, WORDS("run", "--pool", "media", "--", "echo", "here"));
    expect_out(&named, "here\n");
    struct job_ref job = cli_submit(s, WORDS("submit", "--pool", "media", "--wait", "--", "true"));
    AUTO_RESPONSE where = job_show(s, job);
    expect_text(where, "queue", "media");
    AUTO_CALL nowhere;
    cli_call_run(&nowhere, s, WORDS("map", "--pool", "none", "echo", ":::", "a"));
    expect_err_has(&nowhere, "there is no pool none; GET /v1/pools lists them");
    AUTO_CALL workers;
    cli_call_run(&workers, s, WORDS("workers", "--pool", "media", "-q"));
    AUTO_RESPONSE all = http_get(s, "/v1/workers?pool=media");
    CHECK(strncmp(workers.out, json_text(all, "items.0.name"), 8) == 0 &&
              strstr(workers.out, "worker-0") == NULL,
          "%s", workers.out);
    AUTO_CALL top;
    cli_call_run(&top, s, WORDS("top"));
    CHECK(strstr(top.out, "pool media: open, 2 workers") != NULL, "%s", top.out);
    AUTO_CALL set;
    cli_call_run(&set, s, WORDS("pool", "set", "media", "--size", "1", "--isolation", "none"));
    expect_code(&set, 0);
    AUTO_CALL close;
    cli_call_run(&close, s, WORDS("pool", "close", "media"));
    expect_code(&close, 0);
    AUTO_CALL joined;
    cli_call_run(&joined, s, WORDS("pool", "join", "media"));
    expect_code(&joined, 0);
    AUTO_CALL gone;
    cli_call_run(&gone, s, WORDS("pool", "rm", "media"));
    expect_code(&gone, 0);
    AUTO_CALL none;
    cli_call_run(&none, s, WORDS("pool", "show", "media"));
    expect_code(&none, 1);
    AUTO_CALL taken;
    cli_call_run(&taken, s, WORDS("pool", "new", "default", "--size", "1"));
    expect_code(&taken, 1);
}

SERVER_TEST_WITH(cli, pool_terminate_and_worker_terminate, .workers = 1)
{
    struct job_ref job = cli_submit(s, WORDS("submit", "--", "sleep", "600"));
    response_free(job_await_state(s, job, "running"));
    AUTO_CALL workers;
    cli_call_run(&workers, s, WORDS("workers"));
    expect_code(&workers, 0);
    CHECK(strstr(workers.out, "worker-0") != NULL && strstr(workers.out, job.id) != NULL, "%s",
          workers.out);
    AUTO_CALL kick;
    cli_call_run(&kick, s, WORDS("worker", "terminate", "worker-0"));
    expect_code(&kick, 0);
    AUTO_RESPONSE killed = job_await(s, job);
    expect_outcome(killed, "failed", "signal");
    AUTO_CALL nobody;
    cli_call_run(&nobody, s, WORDS("worker", "terminate", "worker-9"));
    expect_code(&nobody, 1);
    struct job_ref next = cli_submit(s, WORDS("submit", "--", "sleep", "600"));
    AUTO_CALL timeout;
    response_free(http(s, "POST", "/v1/pool/close", NULL, NULL));
    cli_call_run(&timeout, s, WORDS("pool", "join", "--timeout", "100ms"));
    expect_code(&timeout, 124);
    AUTO_CALL asked;
    cli_call_run(&asked, s, WORDS("pool", "terminate"));
    expect_code(&asked, 1);
    expect_err_has(&asked, "--yes");
    AUTO_CALL all;
    cli_call_run(&all, s, WORDS("pool", "terminate", "--yes", "--signal", "KILL"));
    expect_code(&all, 0);
    AUTO_CALL joined;
    cli_call_run(&joined, s, WORDS("pool", "join"));
    expect_code(&joined, 0);
    AUTO_RESPONSE r = job_show(s, next);
    expect_text(r, "state", "cancelled");
}

/* ------------------------------------------------------------------------------------------------
 * top */

static struct job_ref submit_slow(struct server *s)
{
    struct job_ref job = job_submit(
        s, "{'command':['sh','-c','echo progress 0.5 half of it >&3; exec sleep 600'],"
           "'name':'slow-one','queue':'media'}");
    uint64_t until = deadline_in(20);
    for (;;) {
        AUTO_RESPONSE r = job_show(s, job);
        if (!json_is_null(r, "progress"))
            return job;
        CHECK(!deadline_passed(until), "no progress");
        pause_ms(5);
    }
}

SERVER_TEST(cli, a_pool_is_made_with_a_runner)
{
    AUTO_CALL made;
    cli_call_run(&made, s,
                 WORDS("pool", "new", "--size", "1", "--isolation", "fork", "--runner",
                       "python3  runner.py --pickle", "--preload", "numpy,pandas", "--initializer",
                       "app:start", "--codec", "pickle", "--on-worker-death", "break", "py"));
    expect_code(&made, 0);
    AUTO_RESPONSE pool = http_get(s, "/v1/pools/py");
    expect_text(pool, "runner.command.1", "runner.py");
    expect_text(pool, "runner.command.2", "--pickle");
    expect_text(pool, "runner.preload.1", "pandas");
    expect_text(pool, "runner.codec", "pickle");
    CHECK(cJSON_IsTrue(json_find(pool, "runner.has_init")), "%s", pool->body);
    expect_text(pool, "settings.isolation", "fork");
    expect_text(pool, "settings.on_worker_death", "break");
    AUTO_CALL json;
    cli_call_run(&json, s, WORDS("pool", "new", "--size", "1", "--runner", "[\"a b\"]", "other"));
    expect_code(&json, 0);
    AUTO_RESPONSE other = http_get(s, "/v1/pools/other");
    expect_text(other, "runner.command.0", "a b");
}

SERVER_TEST(cli, a_pool_is_not_made_with_half_a_runner)
{
    static const char *const parts[][2] = {
        {"--preload", "numpy"}, {"--initializer", "app:start"}, {"--codec", "json"}};
    static const char *const no_arrays[] = {"[1", "[\"true\"],\"preload\":[\"x\"]", "[] []"};
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        AUTO_CALL c;
        cli_call_run(&c, s, WORDS("pool", "new", "--size", "1", parts[i][0], parts[i][1], "p"));
        expect_code(&c, 2);
        expect_err_has(&c, "--preload, --initializer and --codec belong to --runner");
    }
    for (size_t i = 0; i < COUNT_OF(no_arrays); i++) {
        AUTO_CALL c;
        cli_call_run(&c, s, WORDS("pool", "new", "--size", "1", "--runner", no_arrays[i], "p"));
        expect_code(&c, 2);
        expect_err_has(&c, "--runner wants words, or a JSON array of them, not \"[");
    }
    AUTO_CALL names;
    cli_call_run(&names, s, WORDS("pool", "ls", "-q"));
    expect_out(&names, "default\n");
}

SERVER_TEST(cli, top_prints_once_where_there_is_no_terminal)
{
    struct job_ref job = submit_slow(s);
    const char **calls[] = {WORDS("top"), WORDS("top", "--once")};
    for (size_t i = 0; i < COUNT_OF(calls); i++) {
        AUTO_CALL c;
        cli_call_run(&c, s, calls[i]);
        expect_code(&c, 0);
        static const char *const parts[] = {"pool default: open, 2 workers (1 busy, 1 idle",
                                            "jobs: 1 accepted, 0 ended",
                                            "worker-0",
                                            "worker-1",
                                            "50%",
                                            "half of it",
                                            "(media)"};
        for (size_t k = 0; k < COUNT_OF(parts); k++)
            CHECK(strstr(c.out, parts[k]) != NULL, "no %s in %s", parts[k], c.out);
        CHECK(strchr(c.out, '\033') == NULL, "an escape sequence: %s", c.out);
    }
    response_free(job_cancel(s, job, NULL, 5));
}

/* Queues come in pages. */
SERVER_TEST(cli, top_shows_queues_with_work_wherever_they_stand)
{
    for (int i = 0; i < 101; i++)
        put_queue(s, text_of("a%d", i).s, "{}");
    response_free(
        http(s, "POST", "/v1/jobs", "{'command':['true'],'queue':'last','delay':'1h'}", NULL));
    AUTO_CALL c;
    cli_call_run(&c, s, WORDS("top"));
    CHECK(strstr(c.out, "\nlast ") != NULL, "%s", c.out);
    CHECK(strstr(c.out, "\nand 94 more\n") != NULL, "%s", c.out);
}

SERVER_TEST(cli, top_draws_on_a_terminal_until_q)
{
    struct job_ref job = submit_slow(s);
    const struct typed typed = {"per second", .keys = "q"}; /* in the second frame */
    AUTO_TEXT shown = cli_typing(s, &typed, WORDS("top"));
    CHECK(strstr(shown, "\033[?1049h") != NULL && strstr(shown, "\033[?1049l") != NULL,
          "the screen is not given back: %s", shown);
    CHECK(strstr(shown, "slow-one") != NULL && strstr(shown, "50%") != NULL, "%s", shown);
    response_free(job_cancel(s, job, NULL, 5));
}
