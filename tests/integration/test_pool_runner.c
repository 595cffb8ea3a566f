/* SPDX-License-Identifier: MIT */
/* Pools with a runner of their own: one warm program in each worker, with what it loads before the
 * first call, for all functions that have none. The runner is Python's. */
#include "integration/harness_config.h"
#include "integration/harness_pool.h"
#include "integration/harness_queue.h"

#include <signal.h>
#include <unistd.h>

#define RUNNER "['python3','" GANGER_SOURCE_DIR "/runners/ganger_runner.py']"
#define FUNCTION(name, call) "[function " name "]\nkind = runner\ncall = " call "\n"

static const char registry[] = FUNCTION("getpid", "os:getpid") FUNCTION("getenv", "os:getenv")
    FUNCTION("loaded", "sys:modules.__contains__") FUNCTION("leave", "os:_exit")
        FUNCTION("text", "builtins:str") FUNCTION("limit", "resource:getrlimit");

#define RUNNER_TEST(name) CONFIGURED_TEST(pools, name, registry)

static struct response *post_pool(struct server *s, const char *more)
{
    return http(s, "POST", "/v1/pools", text_of("{'name':'p','size':1%s}", more).s, NULL);
}

static void make_pool(struct server *s, const char *more)
{
    AUTO_RESPONSE r = post_pool(s, more);
    expect_status(r, 201);
}

static void await_pool(struct server *s, const char *state)
{
    for (uint64_t until = deadline_in(20);;) {
        AUTO_RESPONSE r = http_get(s, "/v1/pools/p");
        if (strcmp(json_text(r, "state"), state) == 0)
            return;
        CHECK(!deadline_passed(until), "the pool is not %s: %s", state, r->body);
        pause_ms(5);
    }
}

/* The initializer of these pools fails until this file is there. */
struct flag {
    struct text path, runner;
};
static struct flag flag_of(const struct server *s)
{
    struct flag flag = {.path = text_of("%s/flag", s->scratch)};
    flag.runner = text_of(
        ",'runner':{'command':" RUNNER
        ",'initializer':'{\\\"fn\\\":\\\"os:stat\\\",\\\"args\\\":[\\\"%s\\\"]}'}",
        flag.path.s);
    return flag;
}

/* Row 25 with initializer and initargs; functions that share one program. */
RUNNER_TEST(one_warm_program_is_for_all_functions_of_a_pool)
{
    make_pool(
        s,
        ",'runner':{'command':" RUNNER ",'preload':['colorsys','wave'],'initializer':"
        "'{\\\"fn\\\":\\\"os:environ.__setitem__\\\",\\\"args\\\":[\\\"MARK\\\",\\\"set\\\"]}'}");
    AUTO_RESPONSE pid = job_run(s, "{'pool':'p','function':'getpid'}");
    AUTO_TEXT first = job_read(s, job_of(pid), "result");
    expect_value(s, "'function':'getpid'", first);
    expect_value(s, "'function':'getenv','args':['MARK']", "\"set\"");
    expect_value(s, "'function':'getenv','args':['GANGER_POOL']", "\"p\"");
    expect_value(s, "'function':'loaded','args':['colorsys']", "true");
    expect_value(s, "'function':'loaded','args':['wave']", "true");
    expect_value(s, "'function':'loaded','args':['chunk_that_is_not']", "false");
    AUTO_RESPONSE pool = http_get(s, "/v1/pools/p");
    expect_text(pool, "runner.command.0", "python3");
    expect_text(pool, "runner.preload.1", "wave");
    cr_assert_not_null(strstr(pool->body, "\"has_init\":true"));
    cr_assert_null(strstr(pool->body, "init_base64"), "it may be a secret: %s", pool->body);
    AUTO_RESPONSE elsewhere = http(s, "POST", "/v1/jobs", "{'function':'getpid'}", NULL);
    expect_invalid(elsewhere, "/pool");
    AUTO_RESPONSE command = job_run(s, "{'pool':'p','command':['true']}");
    expect_outcome(command, "succeeded", NULL);
}

RUNNER_TEST(a_pool_and_its_runner_survive_kill_9)
{
    make_pool(s, ",'runner':{'command':" RUNNER ",'init_base64':'dGltZTp0aW1l','codec':'json'}");
    expect_value(s, "'function':'text','args':[1]", "\"1\"");
    server_kill(s);
    server_restart_configured(s, 2, registry);
    expect_value(s, "'function':'text','args':[2]", "\"2\"");
}

/* A call that ends the program costs itself; the next one is served by another program. */
RUNNER_TEST(a_runner_that_dies_is_started_again)
{
    make_pool(s, ",'runner':{'command':" RUNNER "}");
    AUTO_RESPONSE dies = job_run(s, "{'pool':'p','function':'leave','args':[3]}");
    expect_outcome(dies, "failed", "exit_code");
    expect_value(s, "'function':'text','args':[2]", "\"2\"");
    AUTO_RESPONSE pool = http_get(s, "/v1/pools/p");
    expect_text(pool, "state", "open");
}

/* All functions share the program, so nothing depends on whose call has started it. */
RUNNER_TEST(no_call_limits_the_runner_of_its_pool)
{
    make_pool(s, ",'runner':{'command':" RUNNER "}");
    put_queue(s, "p", "{'defaults':{'limits':{'open_files':77}}}");
    AUTO_RESPONSE r = job_run(s, "{'pool':'p','function':'limit','args':[7]}");
    AUTO_TEXT at_first = job_read(s, job_of(r), "result");
    cr_assert_not(strstr(at_first, "77"), "%s", at_first);
    AUTO_RESPONSE dies = job_run(s, "{'pool':'p','function':'leave','args':[3]}");
    expect_outcome(dies, "failed", "exit_code");
    expect_value(s, "'function':'limit','args':[7]", at_first);
}

/* While nothing runs; what is written about it names the pool. */
RUNNER_TEST(an_idle_runner_that_is_killed_is_replaced)
{
    make_pool(s, ",'runner':{'command':" RUNNER "}");
    AUTO_RESPONSE r = job_run(s, "{'pool':'p','function':'getpid'}");
    AUTO_TEXT pid = job_read(s, job_of(r), "result");
    cr_assert_eq(kill((pid_t)strtol(pid, NULL, 10), SIGKILL), 0);
    AWAIT(server_log_has(s, "idle runner is replaced\",\"pool\":\"p\""), 10);
    expect_value(s, "'function':'text','args':[2]", "\"2\"");
}

/* gh-87472: a failing initializer made Pool start 150 processes in a second, for ever, while the
 * caller waited. */
RUNNER_TEST(complaint_a_failing_initializer_breaks_the_pool_without_a_storm)
{
    const struct flag flag = flag_of(s);
    cr_assert_eq(metric_of(s, "ganger_worker_deaths_total"), 0);
    make_pool(s, flag.runner.s);
    struct job_ref job = job_submit(s, "{'pool':'p','function':'text','args':[1]}");
    await_pool(s, "broken");
    const uint64_t broken = now_ns();
    AUTO_RESPONSE pool = http_get(s, "/v1/pools/p");
    expect_int(pool, "start_failures", 3);
    cr_assert_not_null(strstr(json_text(pool, "reason"), "FileNotFoundError"), "%s", pool->body);
    AUTO_RESPONSE refused = http(s, "POST", "/v1/jobs", "{'pool':'p','command':['true']}", NULL);
    expect_problem(refused, 409, "pool-broken");
    cr_assert_not_null(strstr(refused->body, "FileNotFoundError"), "%s", refused->body);
    AUTO_RESPONSE why = http_get(s, "/v1/jobs/%s/explain", job.id);
    cr_assert_not_null(strstr(why->body, "FileNotFoundError"), "%s", why->body);
    cr_assert_geq(metric_of(s, "ganger_worker_deaths_total"), 3);
    while (seconds_since(broken) < 0.2)
        cr_assert_leq(metric_of(s, "ganger_worker_deaths_total"), 4);
    file_make(flag.path.s);
    AUTO_RESPONSE again = http(s, "POST", "/v1/pools/p/reopen", NULL, NULL);
    expect_status(again, 200);
    AUTO_RESPONSE r = job_await(s, job);
    expect_outcome(r, "succeeded", NULL);
    expect_int(r, "attempt", 1);
    await_pool(s, "open");
}

/* The program was there, and does not come up again: no call is lost by it. */
RUNNER_TEST(a_runner_that_cannot_start_again_costs_no_call)
{
    const struct flag flag = flag_of(s);
    file_make(flag.path.s);
    make_pool(s, flag.runner.s);
    expect_value(s, "'function':'text','args':[1]", "\"1\"");
    cr_assert_eq(unlink(flag.path.s), 0);
    AUTO_RESPONSE dies = job_run(s, "{'pool':'p','function':'leave','args':[3]}");
    expect_outcome(dies, "failed", "exit_code");
    struct job_ref job = job_submit(s, "{'pool':'p','function':'text','args':[2]}");
    await_pool(s, "broken");
    file_make(flag.path.s);
    AUTO_RESPONSE again = http(s, "POST", "/v1/pools/p/reopen", NULL, NULL);
    AUTO_RESPONSE r = job_await(s, job);
    expect_outcome(r, "succeeded", NULL);
    expect_int(r, "attempt", 1);
}

/* As BrokenProcessPool of an initializer that fails. */
RUNNER_TEST(a_failing_initializer_fails_all_jobs_of_a_pool_that_breaks)
{
    const struct flag flag = flag_of(s);
    make_pool(s, text_of("%s,'on_worker_death':'break','start_failures':1", flag.runner.s).s);
    AUTO_RESPONSE r = job_run(s, "{'pool':'p','function':'text','args':[1]}");
    expect_outcome(r, "failed", "lost");
    cr_assert_not_null(strstr(json_text(r, "error.detail"), "cannot start"), "%s", r->body);
    await_pool(s, "broken");
    file_make(flag.path.s);
    AUTO_RESPONSE joined = http_get(s, "/v1/pools/p/join?wait=20");
    expect_status(joined, 200);
    AUTO_RESPONSE again = http(s, "POST", "/v1/pools/p/reopen", NULL, NULL);
    expect_status(again, 200);
    expect_value(s, "'function':'text','args':[2]", "\"2\"");
}

RUNNER_TEST(bad_runners_of_pools_are_refused_by_place)
{
    static const struct {
        const char *runner, *pointer;
    } cases[] = {
        {"1", "/runner"},
        {"{}", "/runner/command"},
        {"{'command':[]}", "/runner/command"},
        {"{'command':['']}", "/runner/command"},
        {"{'command':'python3'}", "/runner/command"},
        {"{'command':['x'],'preload':['a b']}", "/runner/preload"},
        {"{'command':['x'],'preload':['a,b']}", "/runner/preload"},
        {"{'command':['x'],'preload':'a'}", "/runner/preload"},
        {"{'command':['x'],'init_base64':'?'}", "/runner/init_base64"},
        {"{'command':['x'],'initializer':''}", "/runner/initializer"},
        {"{'command':['x'],'initializer':'a','init_base64':'YQ=='}", "/runner/init_base64"},
        {"{'command':['x'],'codec':'xml'}", "/runner/codec"},
        {"{'command':['x'],'comand':['x']}", "/runner/comand"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        AUTO_RESPONSE r = post_pool(s, text_of(",'runner':%s", cases[i].runner).s);
        expect_invalid(r, cases[i].pointer);
    }
    AUTO_TEXT preload = need_alloc(700);
    memset(preload, 'x', 601);
    preload[601] = '\0';
    AUTO_RESPONSE much = post_pool(
        s, text_of(",'runner':{'command':['x'],'preload':['%s']}", preload).s);
    expect_invalid(much, "/runner/preload");
    make_pool(s, ",'runner':{'command':" RUNNER "}");
    AUTO_RESPONSE late = http(s, "PATCH", "/v1/pools/p", "{'runner':{'command':['x']}}", NULL);
    expect_invalid(late, "/runner");
    AUTO_RESPONSE top = http(s, "PATCH", "/v1/pools/p", "{'preload':['x']}", NULL);
    expect_invalid(top, "/preload");
}

RUNNER_TEST(a_runner_that_lacks_what_its_pool_asks_for_does_not_start)
{
    make_pool(s, ",'start_failures':1,'runner':{'command':" RUNNER ",'codec':'pickle'}");
    response_free(http(s, "POST", "/v1/jobs", "{'pool':'p','function':'getpid'}", NULL));
    await_pool(s, "broken");
    AUTO_RESPONSE pool = http_get(s, "/v1/pools/p");
    cr_assert_not_null(strstr(pool->body, "does not name the codec"), "%s", pool->body);
    AUTO_RESPONSE gone = http(s, "POST", "/v1/pools",
                              "{'name':'none','size':1,'min':1,'start_failures':1,"
                              "'runner':{'command':['/nowhere/at/all']}}",
                              NULL);
    expect_status(gone, 201);
    AWAIT(metric_of(s, "ganger_pool_broken{pool=\"none\"}") == 1, 20);
}

#define CONFIGURED                                                                         \
    "[pool p]\nsize = 1\nrunner = [\"python3\", \"" GANGER_SOURCE_DIR                      \
    "/runners/ganger_runner.py\", \"--pickle\"]\npreload = [\"colorsys\"]\ninitializer = " \
    "time:time\ncodec = pickle\n"

PLAIN_TEST(pools, a_pool_of_the_configuration_has_a_runner)
{
    struct server server, *s = &server;
    server_start_configured(s, 1, text_of(CONFIGURED "%s", registry).s);
    expect_value(s, "'function':'loaded','args':['colorsys']", "true");
    server_stop(s);
}
