/* SPDX-License-Identifier: MIT */
/* Native functions from a request to a result: what they return, how they fail, and that a call
 * that ends badly costs itself alone. */
#include "integration/harness_batch.h"
#include "integration/harness_config.h"
#include "integration/harness_runner.h"
#include "integration/harness_test.h"

#include <unistd.h>

static const char registry[] = "[function misbehave]\n"
                               "kind = native\n"
                               "module = " GANGER_HELPER_DIR "/native_misbehave.so\n"
                               "\n"
                               "[function fib]\n"
                               "kind = native\n"
                               "module = " EXAMPLE_MODULES "/fib.so\n"
                               "symbol = ganger_fib\n"
                               "args = [{\"name\":\"n\",\"type\":\"integer\",\"minimum\":0,"
                               "\"maximum\":60,\"default\":10}]\n"
                               "timeout = 30s\n"
                               "\n"
                               "[function primes]\n"
                               "kind = native\n"
                               "module = " EXAMPLE_MODULES "/primes.so\n"
                               "symbol = ganger_primes\n"
                               "\n"
                               "[function matrix]\n"
                               "kind = native\n"
                               "module = " EXAMPLE_MODULES "/matrix.so\n"
                               "symbol = ganger_matrix\n"
                               "\n"
                               "[function row_means]\n"
                               "kind = native\n"
                               "module = " EXAMPLE_MODULES "/row_means.so\n"
                               "symbol = ganger_row_means\n"
                               "\n"
                               "[function noop]\n"
                               "kind = native\n"
                               "module = " EXAMPLE_MODULES "/noop.so\n"
                               "symbol = ganger_noop\n";

#define NATIVE_TEST(name) CONFIGURED_TEST(native, name, registry)

/* What comes back with the end is not read again for the answer; so it must be what a reader would
 * have found. */
NATIVE_TEST(who_waits_gets_what_a_look_shows)
{
    static const char *const calls[] = {
        "{'function':'fib','args':[5]}",
        ("{'function':'fib','args':[5],'name':'n','queue':'q','priority':7,'labels':{'a':'b'},"
         "'metadata':{'x':[1,2]},'retry':{'max_attempts':3},'keep':'2h'}"),
        "{'function':'misbehave','args':['error']}",
        "{'command':['sh','-c','echo out; echo err >&2'],'result':'none'}",
        "{'command':['false']}",
        "{'command':['sh','-c','test $GANGER_ATTEMPT = 2'],'retry':{'max_attempts':2,'delay':0}}",
        "{'command':['true'],'delay':'10ms','unique':{'key':'k'}}",
    };
    for (size_t i = 0; i < COUNT_OF(calls); i++) {
        AUTO_RESPONSE ended = http(s, "POST", "/v1/jobs", calls[i], "Prefer: wait=30", NULL);
        expect_status(ended, 200);
        AUTO_RESPONSE seen = http_get(s, "/v1/jobs/%s", job_of(ended).id);
        cr_assert_str_eq(ended->body, seen->body, "%s", calls[i]);
        expect_header(seen, "ETag", header_of(ended, "ETag"));
    }
}

static bool are_workers_there(struct server *s)
{
    AUTO_RESPONSE r = http_get(s, "/v1/workers");
    return cJSON_IsNumber(json_find(r, "items.0.pid")) &&
           cJSON_IsNumber(json_find(r, "items.1.pid"));
}

static void expect_result(struct server *s, const char *call, const char *type, const char *value)
{
    AUTO_RESPONSE job = job_run(s, "%s", call);
    expect_outcome(job, "succeeded", NULL);
    AUTO_RESPONSE r = http_get(s, "/v1/jobs/%s/result", job_of(job).id);
    expect_status(r, 200);
    expect_header(r, "Content-Type", type);
    cr_assert_str_eq(r->body, value, "%s: %s", call, r->body);
}

/* ---- results ---- */

NATIVE_TEST(examples_give_what_they_should)
{
    static const char json[] = "application/json";
    expect_result(s, "{'function':'fib','args':[30]}", json, "832040");
    expect_result(s, "{'function':'fib','kwargs':{}}", json, "55");
    expect_result(s, "{'function':'primes','args':[100000]}", json, "9592");
    expect_result(s, "{'function':'matrix','args':[[[1,2],[3,4]],[[5,6],[7,8]]]}", json,
                  "[[19,22],[43,50]]");
    expect_result(s, "{'function':'row_means','args':[[[1,2,3],[4,5,6.5]]]}", json,
                  "[2,5.166666666666667]");
    expect_result(s, "{'function':'noop'}", json, "null");
}

NATIVE_TEST(arguments_arrive_as_they_were_given)
{
    expect_result(s,
                  "{'function':'misbehave','args':['args', 1.50, {'k' : [ ]}],"
                  "'kwargs':{'x':'y'}}",
                  "application/json", "[[\"args\",1.50,{\"k\" : [ ]}],{\"x\":\"y\"}]");
}

NATIVE_TEST(a_result_has_its_type)
{
    expect_result(s, "{'function':'misbehave','args':['text']}", "text/plain; charset=utf-8",
                  "h\xc3\xa4");
    AUTO_RESPONSE job = job_run(s, "{'function':'misbehave','args':['bytes']}");
    AUTO_RESPONSE r = http_get(s, "/v1/jobs/%s/result", job_of(job).id);
    expect_header(r, "Content-Type", "application/octet-stream");
    cr_assert(r->len == 3 && memcmp(r->body, "\x00\xff\x01", 3) == 0);
}

NATIVE_TEST(a_large_result_is_served_whole_and_in_parts)
{
    AUTO_RESPONSE job = job_run(s, "{'function':'misbehave','args':['large']}");
    const struct job_ref ref = job_of(job);
    expect_outcome(job, "succeeded", NULL);
    AUTO_RESPONSE all = http_get(s, "/v1/jobs/%s/result", ref.id);
    cr_assert_eq(all->len, 300u << 10);
    AUTO_RESPONSE part = http(s, "GET", text_of("/v1/jobs/%s/result", ref.id).s, NULL,
                              "Range: bytes=26-28", NULL);
    expect_status(part, 206);
    cr_assert_str_eq(part->body, "abc");
    const struct text path = text_of("%s/spool/01/1.1.res", s->dir); /* the first job */
    cr_assert_eq(access(path.s, F_OK), 0);
    AUTO_RESPONSE gone = http(s, "DELETE", text_of("/v1/jobs/%s", ref.id).s, NULL, NULL);
    expect_status(gone, 204);
    AWAIT(access(path.s, F_OK) != 0, 20);
}

NATIVE_TEST(a_result_outlives_a_restart)
{
    AUTO_RESPONSE job = job_run(s, "{'function':'fib','args':[20]}");
    const struct job_ref ref = job_of(job);
    server_kill(s);
    server_restart_configured(s, 2, registry);
    AUTO_TEXT value = job_read(s, ref, "result");
    cr_assert_str_eq(value, "6765");
}

NATIVE_TEST(what_it_prints_is_its_output)
{
    AUTO_RESPONSE job = job_run(s, "{'function':'misbehave','args':['print']}");
    expect_output(s, job_of(job), "stdout", "to stdout\n");
    expect_output(s, job_of(job), "stderr", "to stderr\n");
}

NATIVE_TEST(a_call_costs_no_process)
{
    AWAIT(are_workers_there(s), 20);
    AUTO_RESPONSE workers = http_get(s, "/v1/workers");
    for (int i = 0; i < 10; i++) {
        AUTO_RESPONSE job = job_run(s, "{'function':'misbehave','args':['pid']}");
        AUTO_TEXT pid = job_read(s, job_of(job), "result");
        const long value = strtol(pid, NULL, 10);
        cr_assert(value == json_int(workers, "items.0.pid") ||
                      value == json_int(workers, "items.1.pid"),
                  "%s is no worker: %s", pid, workers->body);
    }
}

/* ---- failures ---- */

NATIVE_TEST(each_end_has_its_reason)
{
    static const struct {
        const char *word, *more, *reason;
    } ways[] = {
        {"fail", "", "function_error"},
        {"silent", "", "function_error"},
        {"segfault", "", "signal"},
        {"abort", "", "signal"},
        {"overflow", "", "signal"},
        {"exit3", "", "exit_code"},
        {"exit0", "", "function_error"},
        {"loop", ",'timeout':0.2", "timeout"},
        {"loop", ",'deadline':0.2", "deadline"},
    };
    for (size_t i = 0; i < COUNT_OF(ways); i++) {
        AUTO_RESPONSE r = job_run(s, "{'function':'misbehave','args':['%s']%s}", ways[i].word,
                                  ways[i].more);
        expect_outcome(r, "failed", ways[i].reason);
    }
    AUTO_RESPONSE error = job_run(s, "{'function':'misbehave','args':['fail']}");
    expect_text(error, "error.detail", "ValueError: this is not right");
    AUTO_RESPONSE exit_code = job_run(s, "{'function':'misbehave','args':['exit3']}");
    expect_int(exit_code, "exit_code", 3);
    AUTO_RESPONSE crash = job_run(s, "{'function':'misbehave','args':['segfault']}");
    expect_output(s, job_of(crash), "stderr", "last words\n");
    expect_result(s, "{'function':'noop'}", "application/json", "null");
}

NATIVE_TEST(a_failed_call_is_tried_again)
{
    AUTO_RESPONSE r = job_run(s, "{'function':'misbehave','args':['segfault'],"
                                 "'retry':{'max_attempts':3,'delay':0}}");
    expect_outcome(r, "failed", "signal");
    expect_int(r, "attempt", 3);
}

NATIVE_TEST(a_cancelled_call_ends)
{
    static const char *const words[] = {"cancel", "loop"};
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        const struct job_ref job = job_submit(s, "{'function':'misbehave','args':['%s']}",
                                              words[i]);
        AUTO_RESPONSE shown = NULL;
        for (uint64_t until = deadline_in(20);;) {
            response_free(shown);
            shown = job_show(s, job);
            const cJSON *text = json_find(shown, "progress.message");
            if (cJSON_IsString(text))
                break;
            CHECK(!deadline_passed(until), "no progress: %s", shown->body);
            pause_ms(5);
        }
        expect_text(shown, "progress.message", i == 0 ? "until cancelled" : "round and round");
        AUTO_RESPONSE r = job_cancel(s, job, "{'grace':0.1}", 0);
        AUTO_RESPONSE end = job_await(s, job);
        expect_outcome(end, "cancelled", NULL);
    }
    expect_result(s, "{'function':'noop'}", "application/json", "null");
}

/* Nothing wakes the stream for it: the function does not come by again. */
NATIVE_TEST(the_last_progress_of_a_burst_is_an_event)
{
    const struct job_ref job = job_submit(s, "{'function':'misbehave','args':['burst']}");
    AUTO_CONN c = conn_open(s);
    cr_assert(conn_request(c, s, text_of("GET /v1/jobs/%s/events", job.id).s,
                           "Accept: text/event-stream\r\n", NULL));
    cr_assert(conn_await_text(c, "\"message\":\"last\"", 10), "%s", c->body);
    AUTO_RESPONSE over = job_cancel(s, job, "{}", 20);
}

/* Warm runners are children of another thread of the worker, and stay. */
PLAIN_TEST(native, children_of_a_thread_are_ended_beside_a_warm_runner)
{
    static const char both[] = "[function misbehave]\n"
                               "kind = native\n"
                               "module = " GANGER_HELPER_DIR "/native_misbehave.so\n"
                               "\n"
                               "[function odd]\n"
                               "kind = runner\n"
                               "runner = [\"python3\", \"" GANGER_SOURCE_DIR
                               "/tests/runners/odd.py\"]\n";
    struct server server;
    server_start_configured(&server, 1, both);
    const int64_t runner = runner_int(&server, "odd", "'pid'");
    for (int i = 0; i < 2; i++) {
        AUTO_RESPONSE r = job_run(&server, "{'function':'misbehave','args':['thread']}");
        expect_outcome(r, "succeeded", NULL);
        expect_int(r, "usage.processes_killed", 1);
    }
    cr_assert_eq(runner_int(&server, "odd", "'pid'"), runner);
    server_stop(&server);
}

/* ---- batches ---- */

NATIVE_TEST(items_are_arguments)
{
    static const struct {
        const char *body, *values[2];
    } cases[] = {
        {"{'function':'fib','items':[10,20]}", {"55", "6765"}},
        {"{'function':'misbehave','items':[7,[1]]}", {"7", "[1]"}},
        {"{'function':'misbehave','star':true,'args':[9],'kwargs':{'a':1,'b':2},"
         "'items':[['args',2],{'b':3}]}",
         {"[[\"args\",2,9],{\"a\":1,\"b\":2}]", "9"}},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const struct job_ref batch = batch_submit(s, "%s", cases[i].body);
        AUTO_RESPONSE over = batch_await(s, batch);
        AUTO_RESPONSE r = http_get(s, "/v1/batches/%s/results?order=index", batch.id);
        for (int k = 0; k < 2; k++) {
            char *value = cJSON_PrintUnformatted(json_find(r, text_of("%d.value", k).s));
            cr_assert_str_eq(value, cases[i].values[k], "%s: %s", cases[i].body, r->body);
            free(value);
        }
    }
}

static const struct {
    const char *word, *reason;
} bad[] = {{"segfault", "signal"},
           {"abort", "signal"},
           {"exit3", "exit_code"},
           {"overflow", "signal"},
           {"eat", "oom"}};

/* One in a hundred ends badly, each in its turn. A sanitizer cannot live with a limit of the
 * memory: there the last way is left out. */
static bool is_bad(int i, size_t *ret_way)
{
    *ret_way = (size_t)(i / 100) % (COUNT_OF(bad) - (slow_factor() > 1));
    return i % 100 == 50;
}

static void expect_call(const cJSON *item, int i)
{
    size_t way;
    const bool bad_one = is_bad(i, &way);
    const char *said = cJSON_GetStringValue(json_at(item, bad_one ? "reason" : "state"));
    char *all = cJSON_PrintUnformatted(item);
    CHECK(said != NULL && strcmp(said, bad_one ? bad[way].reason : "succeeded") == 0 &&
              (bad_one || cJSON_GetNumberValue(json_at(item, "value")) == i),
          "%d, %s: %s", i, bad_one ? bad[way].word : "a good one", all);
    free(all);
}

NATIVE_TEST(one_bad_call_in_a_hundred_costs_nobody_else)
{
    enum { CALLS = 1200 };
    struct text_builder items = {0};
    size_t way;
    for (int i = 0; i < CALLS; i++) {
        const char *comma = i == 0 ? "" : ",";
        if (is_bad(i, &way))
            text_add(&items, "%s'%s'", comma, bad[way].word);
        else
            text_add(&items, "%s%d", comma, i);
    }
    const struct job_ref batch = batch_submit(
        s, "{'function':'misbehave'%s,'items':[%s]}",
        slow_factor() > 1 ? "" : ",'limits':{'memory':'32MiB'}", items.text);
    text_free(&items);
    /* Beside them, since a time limit is the wall's: on a busy machine it may hit anybody. */
    const struct job_ref loop = job_submit(
        s, "{'function':'misbehave','args':['loop'],'timeout':0.1}");
    AUTO_RESPONSE over = batch_await(s, batch);
    AUTO_RESPONSE r = http_get(s, "/v1/batches/%s/results?order=index", batch.id);
    const cJSON *all = json_find(r, "");
    cr_assert_eq(cJSON_GetArraySize(all), CALLS);
    int i = 0;
    for (const cJSON *item = all->child; item != NULL; item = item->next, i++)
        expect_call(item, i);
    expect_int(over, "counts.failed", CALLS / 100);
    AUTO_RESPONSE endless = job_await(s, loop);
    expect_outcome(endless, "failed", "timeout");
    AWAIT(are_workers_there(s), 20);
}

/* ---- what is refused ---- */

NATIVE_TEST(what_a_native_function_cannot_have_is_refused)
{
    static const char *const cases[][2] = {
        {"{'function':'noop','env':{'A':'b'}}", "/env"},
        {"{'function':'noop','cwd':'/'}", "/cwd"},
        {"{'function':'noop','stdin':'x'}", "/stdin"},
        {"{'function':'noop','files':{'a':'b'}}", "/files"},
        {"{'function':'noop','limits':{'processes':5}}", "/limits"},
        {"{'function':'fib','args':['x']}", "/args/0"},
        {"{'function':'fib','args':[61]}", "/args/0"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        AUTO_RESPONSE r = http(s, "POST", "/v1/jobs", cases[i][0], NULL);
        expect_invalid(r, cases[i][1]);
    }
}
