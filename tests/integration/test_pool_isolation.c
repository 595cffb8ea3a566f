/* SPDX-License-Identifier: MIT */
/* In which process a call runs: isolation of pools. Rows 2 and 22 of Python's tutorials. */
#include "integration/harness_batch.h"
#include "integration/harness_config.h"
#include "integration/harness_pool.h"

#define PYTHON "['python3','" GANGER_SOURCE_DIR "/runners/ganger_runner.py']"
#define FUNCTION(name, call) "[function " name "]\nkind = runner\ncall = " call "\n"

/* clang-format off */
static const char registry[] =
    FUNCTION("getpid", "os:getpid") FUNCTION("getppid", "os:getppid") FUNCTION("exit", "sys:exit")
    FUNCTION("abort", "os:abort") FUNCTION("sleep", "time:sleep") FUNCTION("get", "os:getenv")
    FUNCTION("set", "os:environ.__setitem__") FUNCTION("loaded", "sys:modules.__contains__")
    FUNCTION("spawn", "subprocess:Popen") FUNCTION("bytes", "builtins:bytes")
    "[function odd]\nkind = runner\nrunner = [\"python3\", \"" GANGER_SOURCE_DIR
    "/tests/runners/odd.py\"]\n"
    "[function forks]\nkind = runner\nrunner = [\"python3\", \"" GANGER_SOURCE_DIR
    "/tests/runners/odd.py\", \"well\", \"fork\"]\n"
    "[function limited]\nkind = runner\nrunner = [\"python3\", \"" GANGER_SOURCE_DIR
    "/tests/runners/odd.py\", \"well\", \"fork\"]\nlimits = {\"memory\":1073741824}\n"
    "[function misbehave]\nkind = native\nmodule = " GANGER_HELPER_DIR "/native_misbehave.so\n";
/* clang-format on */

#define ISOLATION_TEST(name) CONFIGURED_TEST(pools, name, registry)

static void make_pool(struct server *s, const char *isolation, const char *more)
{
    AUTO_RESPONSE r = http(
        s, "POST", "/v1/pools",
        text_of("{'name':'p','size':1,'isolation':'%s','runner':{'command':" PYTHON "%s}}",
                isolation, more)
            .s,
        NULL);
    expect_status(r, 201);
    expect_text(r, "settings.isolation", isolation);
}

static int64_t call_int(struct server *s, const char *function)
{
    AUTO_RESPONSE r = job_run(s, "{'pool':'p','function':'%s'}", function);
    expect_outcome(r, "succeeded", NULL);
    AUTO_TEXT text = job_read(s, job_of(r), "result");
    return strtoll(text, NULL, 10);
}

/* Row 2: what one call leaves behind is not there for the next one; what was loaded before is. */
ISOLATION_TEST(row_2_a_forked_call_begins_clean)
{
    make_pool(
        s, "fork",
        ",'preload':['colorsys'],'initializer':"
        "'{\\\"fn\\\":\\\"os:environ.__setitem__\\\",\\\"args\\\":[\\\"A\\\",\\\"init\\\"]}'");
    const int64_t zygote = call_int(s, "getppid"), first = call_int(s, "getpid");
    cr_assert_eq(call_int(s, "getppid"), zygote);
    cr_assert_neq(first, zygote);
    cr_assert_neq(call_int(s, "getpid"), first);
    expect_value(s, "'function':'loaded','args':['colorsys']", "true");
    expect_value(s, "'function':'set','args':['A','other']", "null");
    expect_value(s, "'function':'get','args':['A']", "\"init\"");
    cr_assert_eq(metric_of(s, "ganger_runner_start_failures_total"), 0);
}

/* Row 22: exec is spawn, fork is the fork server, reuse is the worker of a Pool. */
ISOLATION_TEST(row_22_each_isolation_has_its_process)
{
    make_pool(s, "reuse", "");
    const int64_t warm = call_int(s, "getpid");
    cr_assert_eq(call_int(s, "getpid"), warm);
    AUTO_RESPONSE command = http(s, "POST", "/v1/jobs", "{'pool':'p','command':['true']}", NULL);
    expect_invalid(command, "/pool");
    AUTO_RESPONSE exec = http(s, "PATCH", "/v1/pools/p", "{'isolation':'exec'}", NULL);
    expect_status(exec, 200);
    const int64_t fresh = call_int(s, "getpid");
    cr_assert_neq(fresh, warm);
    cr_assert_neq(call_int(s, "getpid"), fresh);
    AWAIT(!proc_is_alive((pid_t)fresh), 10);
    AUTO_RESPONSE program = job_run(s, "{'pool':'p','command':['true']}");
    expect_outcome(program, "succeeded", NULL);
    AUTO_RESPONSE native = http(s, "POST", "/v1/jobs", "{'pool':'p','function':'misbehave'}", NULL);
    expect_invalid(native, "/pool");
}

/* The death of a forked call costs that call only: its runner goes on. */
ISOLATION_TEST(a_forked_call_that_dies_costs_itself_alone)
{
    static const struct {
        const char *call, *reason;
    } cases[] = {
        {"'function':'abort'", "signal"},
        {"'function':'exit','args':[3]", "exit_code"},
        {"'function':'sleep','args':[60],'timeout':'50ms','stop':{'grace':0}", "timeout"},
        {"'function':'bytes','args':['x']", "function_error"},
    };
    make_pool(s, "fork", "");
    AUTO_RESPONSE set = http(s, "PATCH", "/v1/pools/p", "{'on_worker_death':'break'}", NULL);
    expect_status(set, 200);
    const int64_t zygote = call_int(s, "getppid");
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        AUTO_RESPONSE r = job_run(s, "{'pool':'p',%s}", cases[i].call);
        expect_outcome(r, "failed", cases[i].reason);
        cr_assert_eq(call_int(s, "getppid"), zygote, "after %s", cases[i].call);
    }
}

/* Cancelled by its own name: softly, and by force. */
ISOLATION_TEST(a_forked_call_is_cancelled)
{
    static const char *const bodies[] = {NULL, "{'grace':0}"};
    make_pool(s, "fork", "");
    const int64_t zygote = call_int(s, "getppid");
    for (size_t i = 0; i < COUNT_OF(bodies); i++) {
        struct job_ref job = job_submit(s, "{'pool':'p','function':'sleep','args':[60]}");
        for (uint64_t until = deadline_in(20);;) { /* its own process is known */
            AUTO_RESPONSE r = job_show(s, job);
            const cJSON *pid = json_find(r, "worker.job_pid");
            if (cJSON_IsNumber(pid) && (int64_t)pid->valuedouble != zygote)
                break;
            CHECK(!deadline_passed(until), "it does not begin: %s", r->body);
            pause_ms(2);
        }
        AUTO_RESPONSE over = job_cancel(s, job, bodies[i], 20);
        expect_status(over, 200);
        expect_text(over, "job.state", "cancelled");
        cr_assert_eq(call_int(s, "getppid"), zygote);
    }
}

/* What it has forked itself ends with it, and large results come through. */
ISOLATION_TEST(a_forked_call_leaves_nothing_and_brings_all)
{
    make_pool(s, "fork", "");
    AUTO_RESPONSE left = job_run(s, "{'pool':'p','function':'spawn','args':[['sleep','600']],"
                                    "'kwargs':{'env':{'GANGER_LEFT':'isolation'}}}");
    cr_assert(json_int(left, "usage.processes_killed") >= 1, "%s", left->body);
    no_process_left("GANGER_LEFT=isolation", 5);
    AUTO_RESPONSE large = job_run(s, "{'pool':'p','function':'bytes','args':[1000000]}");
    expect_outcome(large, "succeeded", NULL);
    AUTO_RESPONSE value = http_get(s, "/v1/jobs/%s/result", job_of(large).id);
    cr_assert_eq(value->len, 1000000);
    struct job_ref batch = batch_submit(s, "{'pool':'p','function':'bytes','items':[1,2,3]}");
    response_free(batch_await(s, batch));
    cr_assert_eq(batch_count(s, batch, "succeeded"), 3);
}

/* The process of such a call ends before its outcome is known, and with it what it has forked. */
ISOLATION_TEST(a_call_with_a_process_of_its_own_leaves_nothing)
{
    make_pool(s, "exec", "");
    AUTO_RESPONSE left = job_run(s, "{'pool':'p','function':'spawn','args':[['sleep','600']],"
                                    "'kwargs':{'env':{'GANGER_LEFT':'isolation'}}}");
    expect_outcome(left, "failed", "function_error"); /* a Popen is no JSON */
    expect_int(left, "usage.processes_killed", 1);
    no_process_left("GANGER_LEFT=isolation", 5);
}

/* Whoever does not fork cannot be in such a pool. */
ISOLATION_TEST(a_pool_that_forks_takes_nothing_else)
{
    pool_make(s, "{'name':'p','size':1,'isolation':'fork'}");
    AUTO_RESPONSE native = http(s, "POST", "/v1/jobs", "{'pool':'p','function':'misbehave'}", NULL);
    expect_invalid(native, "/pool");
    AUTO_RESPONSE command = http(s, "POST", "/v1/jobs", "{'pool':'p','command':['true']}", NULL);
    expect_invalid(command, "/pool");
    AUTO_RESPONSE r = job_run(s, "{'pool':'p','function':'odd','args':['pid']}");
    expect_outcome(r, "failed", "exec");
    cr_assert_not_null(strstr(json_text(r, "error.detail"), "\"fork\""), "%s", r->body);
    AUTO_RESPONSE bad = http(s, "PATCH", "/v1/pools/p", "{'isolation':'spawn'}", NULL);
    expect_invalid(bad, "/isolation");
}

/* The frames of a runner that forks, each by hand; those that make no sense cost the runner. */
ISOLATION_TEST(frames_of_a_runner_that_forks_are_checked)
{
    static const struct {
        const char *function, *frames, *reason, *detail;
    } cases[] = {
        {"forks", "['FORKED',' pid=1']", "function_error", "ProtocolError: FORKED without a pid"},
        {"forks", "['FORKED','']", "function_error", "ProtocolError: FORKED without a pid"},
        {"forks", "['EXITED',' status=256']", "function_error",
         "ProtocolError: EXITED without a status"},
        {"forks", "['EXITED',' status=0']", "function_error",
         "Exit: the runner has ended with exit code 0 and without an answer"},
        {"forks", "['EXITED',' status=3']", "exit_code", NULL},
        {"forks", "['FORKED',' pid=4194000'],['EXITED',' status=-9']", "signal", NULL},
        {"limited", "['EXITED',' status=-6 rss=1073741824']", "oom", NULL},
        {"limited", "['EXITED',' status=-6 rss=500000000']", "signal", NULL},
        {"forks", "['EXITED',' status=-6 rss=1073741824']", "signal", NULL},
        {"odd", "['EXITED',' status=0']", "function_error", NULL},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        AUTO_RESPONSE r = job_run(s, "{'function':'%s','args':['frames',[%s]]}", cases[i].function,
                                  cases[i].frames);
        expect_outcome(r, "failed", cases[i].reason);
        if (cases[i].detail != NULL)
            expect_text(r, "error.detail", cases[i].detail);
    }
}
