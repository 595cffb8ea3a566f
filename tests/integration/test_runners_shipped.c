/* SPDX-License-Identifier: MIT */
/* The runners in runners/: each behaviour with each of them. */
#include "integration/harness_blob.h"
#include "integration/harness_runner.h"

/* clang-format off */
#define TESTS GANGER_SOURCE_DIR "/tests/runners"
#define RUNNER(name, program, file) \
    "[function " name "]\nkind = runner\nrunner = [\"" program "\", \"" GANGER_SOURCE_DIR "/runners/" file "\"]\n"
#define PY(name) \
    RUNNER(name, "python3", "ganger_runner.py") "call = behave:behave\n" \
    "env = {\"PYTHONPATH\": \"" TESTS "\", \"PYTHONDONTWRITEBYTECODE\": \"1\"}\n"
#define PL(name) \
    RUNNER(name, "perl", "ganger_runner.pl") "call = Behave:behave\n" "env = {\"PERL5LIB\": \"" TESTS "\"}\n"
#define JS(name) RUNNER(name, "node", "ganger_runner.js") "call = " TESTS "/behave.js:behave\n"

static const char registry[] =
    PY("py")
    JS("js")
    PL("pl")
    RUNNER("sh", "sh", "ganger_runner.sh\", \"" TESTS "/behave.sh") "call = behave\n"
    PY("py_init") "init = behave:start\n"
    JS("js_init") "init = " TESTS "/behave.js:start\n"
    PL("pl_init") "init = Behave:start\n"
    PY("py_bad_init") "init = behave:fail_to_start\n"
    RUNNER("py_pickle", "python3", "ganger_runner.py\", \"--pickle") "call = behave:behave\n"
    "env = {\"PYTHONPATH\": \"" TESTS "\", \"PYTHONDONTWRITEBYTECODE\": \"1\"}\n"
    RUNNER("mean", "python3", "ganger_runner.py") "call = statistics:mean\n"
    RUNNER("len", "python3", "ganger_runner.py")
    RUNNER("basename", "node", "ganger_runner.js") "call = node:path:basename\n"
    RUNNER("eval", "sh", "ganger_runner.sh") "call = eval\n";
/* clang-format on */

RUNNER_TESTS(shipped, registry)
#define SHIPPED(name) RUNNER_TEST_OF(shipped, name)

/* One of them; sh takes one argument, and gives text. */
struct language {
    const char *name;
    bool is_sh;
};
static const struct language languages[] = {
    {"py", false}, {"js", false}, {"pl", false}, {"sh", true}};
#define EACH(l) for (const struct language *l = languages; l < languages + COUNT_OF(languages); l++)

/* Arguments in JSON with ': a word, and another one or a number. */
static struct text args_of(const struct language *l, const char *what, const char *arg)
{
    const bool is_text = arg[0] == '\'';
    if (!l->is_sh)
        return text_of("'%s',%s", what, arg);
    return text_of("'%s %.*s'", what, (int)strlen(arg) - 2 * is_text, arg + is_text);
}

static void gives(struct server *s, const struct language *l, const char *what, const char *arg,
                  const char *value)
{
    const bool is_bare = !l->is_sh || value[0] != '"';
    const struct text plain = is_bare ? text_of("%s", value)
                                      : text_of("%.*s", (int)strlen(value) - 2, value + 1);
    runner_value(s, l->name, args_of(l, what, arg).s, plain.s);
}

static int64_t pid_of(struct server *s, const struct language *l)
{
    return runner_int(s, l->name, args_of(l, "pid", "1").s);
}

SHIPPED(a_value_comes_back)
{
    EACH(l)
    {
        gives(s, l, "echo", "'hi'", "\"hi\"");
        gives(s, l, "echo", "'a \\\\ b'", l->is_sh ? "a \\ b" : "\"a \\\\ b\"");
        gives(s, l, "length", "'12345'", "5");
    }
    runner_value(s, "py", "'echo',{'a':[1,2.5,null,true]}", "{\"a\":[1,2.5,null,true]}");
    runner_value(s, "js", "'echo',{'a':[1,2.5,null,true]}", "{\"a\":[1,2.5,null,true]}");
    runner_value(s, "pl", "'echo',{'a':[1,null,true]}", "{\"a\":[1,null,true]}");
    runner_value(s, "sh", "'echo two\\nlines\\n'", "two\nlines\n");
}

SHIPPED(a_runner_remembers)
{
    EACH(l)
    {
        const int64_t pid = pid_of(s, l);
        cr_assert_eq(pid_of(s, l), pid, "%s", l->name);
    }
    runner_value(s, "py", "'calls'", "3");
    runner_value(s, "js", "'calls'", "3");
    runner_value(s, "pl", "'calls'", "3");
}

SHIPPED(large_bodies_go_both_ways)
{
    EACH(l)
    {
        struct text_builder args = {0};
        text_add(&args, l->is_sh ? "'length " : "'length','");
        for (int i = 0; i < 30000; i++)
            text_add(&args, "0123456789");
        text_add(&args, "'");
        runner_value(s, l->name, args.text, "300000");
        text_free(&args);
        AUTO_RESPONSE job = runner_call(s, l->name, args_of(l, "big", "400000").s);
        AUTO_RESPONSE r = http_get(s, "/v1/jobs/%s/result", job_of(job).id);
        cr_assert_eq(r->len, l->is_sh ? 400000u : 400002u, "%s", l->name);
    }
}

SHIPPED(bytes_are_bytes)
{
    EACH(l)
    {
        AUTO_RESPONSE job = runner_call(s, l->name, args_of(l, "bytes", "1").s);
        AUTO_RESPONSE r = http_get(s, "/v1/jobs/%s/result", job_of(job).id);
        expect_header(r, "Content-Type", "application/octet-stream");
        cr_assert_eq((unsigned char)r->body[0], 0xff, "%s", l->name);
        cr_assert_eq(r->len, l->is_sh ? 1u : 2u, "%s", l->name);
    }
}

SHIPPED(an_error_is_told_and_costs_nothing)
{
    static const char *const details[] = {"ValueError: so it is", "RangeError: so it is",
                                          "Error: so it is", "exit: exit status 7"};
    EACH(l)
    {
        const int64_t pid = pid_of(s, l);
        AUTO_RESPONSE r = runner_call(s, l->name, args_of(l, "fail", "'so it is'").s);
        expect_outcome(r, "failed", "function_error");
        expect_text(r, "error.detail", details[l - languages]);
        AUTO_TEXT said = job_read(s, job_of(r), "stderr");
        cr_assert_not_null(strstr(said, "so it is"), "%s: %s", l->name, said);
        cr_assert_eq(pid_of(s, l), pid, "%s", l->name);
    }
}

SHIPPED(what_it_prints_is_the_tasks)
{
    EACH(l)
    {
        AUTO_RESPONSE r = runner_call(s, l->name, args_of(l, "print", "1").s);
        expect_outcome(r, "succeeded", NULL);
        expect_output(s, job_of(r), "stderr", "to stderr\n");
        expect_output(s, job_of(r), "stdout", l->is_sh ? "" : "to stdout\n");
        AUTO_RESPONSE quiet = runner_call(s, l->name, args_of(l, "echo", "'hi'").s);
        expect_output(s, job_of(quiet), "stderr", "");
    }
}

SHIPPED(a_log_line_is_in_the_log)
{
    EACH(l)
    {
        const struct text line = text_of("line of %s", l->name);
        AUTO_RESPONSE r = runner_call(s, l->name, args_of(l, "log", text_of("'%s'", line.s).s).s);
        expect_outcome(r, "succeeded", NULL);
        cr_assert(server_log_has(s, line.s));
    }
}

SHIPPED(a_waiting_task_can_be_cancelled)
{
    EACH(l)
    {
        const int64_t pid = pid_of(s, l);
        const struct job_ref job = job_submit(s, "{'function':'%s','args':[%s]}", l->name,
                                              args_of(l, "wait", "1").s);
        await_progress(s, job, "waits");
        AUTO_RESPONSE r = job_cancel(s, job, "{'grace':20}", 20);
        AUTO_RESPONSE end = job_await(s, job);
        expect_outcome(end, "cancelled", NULL);
        cr_assert_eq(pid_of(s, l) == pid, !l->is_sh, "%s", l->name);
    }
}

SHIPPED(a_task_that_does_not_stop_is_killed)
{
    EACH(l)
    {
        AUTO_RESPONSE r = job_run(s,
                                  "{'function':'%s','args':[%s],'timeout':%s,"
                                  "'stop':{'grace':0.02}}",
                                  l->name, args_of(l, "stubborn", "1").s, "0.15");
        expect_outcome(r, "failed", "timeout");
        gives(s, l, "length", "'12345'", "5");
    }
}

SHIPPED(a_death_is_the_answer)
{
    EACH(l)
    {
        AUTO_RESPONSE killed = runner_call(s, l->name, args_of(l, "kill", "1").s);
        expect_outcome(killed, "failed", "signal");
        expect_text(killed, "signal", "SIGKILL");
        if (l->is_sh)
            continue; /* a task is a subshell there */
        AUTO_RESPONSE three = runner_call(s, l->name, args_of(l, "exit", "3").s);
        expect_outcome(three, "failed", "exit_code");
        expect_int(three, "exit_code", 3);
        gives(s, l, "length", "'12345'", "5");
    }
}

/* The rules that are the runner's own, without a service: the end of what it reads ends it, and so
 * does QUIT. */
SHIPPED(the_end_of_the_service_is_its_end)
{
    static const char *const programs[][2] = {{"python3", "ganger_runner.py"},
                                              {"node", "ganger_runner.js"},
                                              {"perl", "ganger_runner.pl"},
                                              {"sh", "ganger_runner.sh"}};
    static const char *const said[] = {"", "PING 1 0\\nQUIT 0 0\\n"};
    for (size_t i = 0; i < 2 * COUNT_OF(programs); i++) {
        AUTO_RESPONSE r = job_run(
            s,
            "{'command':['sh','-c','cat | %s %s/%s 3<&0 4>&1 6>outbox </dev/null'],"
            "'stdin':'%s','timeout':20}",
            programs[i / 2][0], GANGER_SOURCE_DIR "/runners", programs[i / 2][1], said[i % 2]);
        expect_outcome(r, "succeeded", NULL);
        AUTO_TEXT out = job_read(s, job_of(r), "stdout");
        CHECK(strncmp(out, "HELLO 1 ", 8) == 0, "%s: %s", programs[i / 2][0], out);
        CHECK((strstr(out, "\nPONG 1 0\n") != NULL) == (i % 2 == 1), "%s: %s", programs[i / 2][0],
              out);
    }
}

SHIPPED(an_init_comes_first)
{
    runner_value(s, "py_init", "'calls'", "101");
    runner_value(s, "js_init", "'calls'", "101");
    runner_value(s, "pl_init", "'calls'", "101");
    AUTO_RESPONSE r = runner_call(s, "py_bad_init", "'calls'");
    expect_outcome(r, "failed", "exec");
    expect_text(r, "error.detail",
                "the runner of py_bad_init cannot start: RuntimeError: not today");
}

/* CPython's pools hang, or lose all workers, by a result that cannot be encoded or a worker that
 * dies. */
SHIPPED(a_result_that_cannot_be_encoded_fails_one_job)
{
    const int64_t pid = runner_int(s, "py", "'pid'");
    AUTO_RESPONSE r = runner_call(s, "py", "'set'");
    expect_outcome(r, "failed", "function_error");
    expect_text(r, "error.detail", "TypeError: Object of type set is not JSON serializable");
    cr_assert_eq(runner_int(s, "py", "'pid'"), pid);
    AUTO_RESPONSE job = runner_call(s, "py_pickle", "'set'");
    AUTO_RESPONSE value = http_get(s, "/v1/jobs/%s/result", job_of(job).id);
    expect_header(value, "Content-Type", "application/octet-stream");
    cr_assert_eq((unsigned char)value->body[0], 0x80, "it is no pickle");
}

/* pickle.dumps((["echo", {1, 2}], {})) and pickle.dumps({1, 2}), protocol 2 */
SHIPPED(pickles_pass_unseen)
{
    AUTO_RESPONSE job = runner_call(
        s, "py_pickle",
        "{'$py':'gAJdcQAoWAQAAABlY2hvcQFjX19idWlsdGluX18Kc2V0CnECXXEDKEsBSwJlhXEEUnEFZX1xBoZxBy4='"
        "}");
    expect_outcome(job, "succeeded", NULL);
    AUTO_RESPONSE value = http_get(s, "/v1/jobs/%s/result", job_of(job).id);
    expect_header(value, "Content-Type", "application/octet-stream");
    cr_assert_eq((unsigned char)value->body[0], 0x80);
    AUTO_RESPONSE unasked = runner_call(s, "py", "'echo',{'$py':'gAI='}");
    expect_outcome(unasked, "succeeded", NULL);
}

SHIPPED(a_death_in_a_batch_fails_one_element)
{
    const struct job_ref batch = batch_submit(
        s, "{'function':'py','star':true,'items':[['echo',0],['kill'],['echo',2],['exit',3],"
           "['echo',4]]}");
    AUTO_RESPONSE over = batch_await(s, batch);
    expect_int(over, "counts.failed", 2);
    expect_int(over, "counts.succeeded", 3);
    AUTO_RESPONSE r = http_get(s, "/v1/batches/%s/results?order=index", batch.id);
    expect_int(r, "0.value", 0);
    expect_int(r, "2.value", 2);
    expect_int(r, "4.value", 4);
}

SHIPPED(what_is_yielded_is_a_partial_result)
{
    EACH(l)
    {
        AUTO_RESPONSE job = runner_call(s, l->name, args_of(l, "data", "3").s);
        expect_outcome(job, "succeeded", NULL);
        AUTO_TEXT end = job_read(s, job_of(job), "result");
        cr_assert_str_eq(end, l->is_sh ? "end" : "\"end\"", "%s: %s", l->name, end);
        AUTO_RESPONSE r = http_get(s, "/v1/jobs/%s/results", job_of(job).id);
        const char *const lines = l->is_sh ? "{\"index\":0,\"value\":\"{\\\"i\\\":0}\"}\n"
                                           : "{\"index\":0,\"value\":{\"i\":0}}\n"
                                             "{\"index\":1,\"value\":{\"i\":1}}\n"
                                             "{\"index\":2,\"value\":{\"i\":2}}\n";
        cr_assert(strncmp(r->body, lines, strlen(lines)) == 0, "%s: %s", l->name, r->body);
    }
}

SHIPPED(what_a_task_has_forked_is_ended)
{
    AUTO_RESPONSE r = runner_call(s, "py", "'fork'");
    expect_outcome(r, "succeeded", NULL);
    expect_int(r, "usage.processes_killed", 1);
}

SHIPPED(a_task_knows_its_job)
{
    AUTO_RESPONSE r = job_run(s, "{'function':'py','args':['task'],'name':'the name'}");
    AUTO_TEXT value = job_read(s, job_of(r), "result");
    cr_assert_str_eq(value, "[\"the name\",1,true]");
    AUTO_RESPONSE named = job_run(s,
                                  "{'function':'py','args':['echo','a'],'kwargs':{'suffix':'b'}}");
    AUTO_TEXT both = job_read(s, job_of(named), "result");
    cr_assert_str_eq(both, "\"ab\"");
}

SHIPPED(a_blob_is_a_file_that_it_can_read)
{
    AUTO_RESPONSE blob = blob_put_text(s, "of all of them");
    EACH(l)
    {
        AUTO_RESPONSE r = job_run(
            s, "{'function':'%s','args':[%s],'inputs':{'some.data':{'blob':'%s'}}}", l->name,
            args_of(l, "input", "'some.data'").s, job_of(blob).id);
        expect_outcome(r, "succeeded", NULL);
        expect_output(s, job_of(r), "result", "of all of them");
    }
}

/* A program that it starts asks the service as this job. */
SHIPPED(a_task_asks_as_its_job)
{
    EACH(l)
    {
        AUTO_RESPONSE r = runner_call(s, l->name,
                                      args_of(l, "self", text_of("'%s'", ganger_binary()).s).s);
        expect_outcome(r, "succeeded", NULL);
        AUTO_TEXT value = job_read(s, job_of(r), "result");
        cr_assert_not_null(strstr(value, job_of(r).id), "%s", value);
        cr_assert_not_null(strstr(value, "running"), "%s", value);
    }
}

/* The same runner, and another token for each task: also for those of one turn. It dies with it. */
SHIPPED(a_token_is_of_one_task)
{
    EACH(l)
    {
        const struct text item = l->is_sh ? text_of("'token'") : text_of("['token']");
        struct job_ref batch = batch_submit(
            s, "{'function':'%s','items':[%s,%s,%s],'star':%s,'chunksize':3}", l->name, item.s,
            item.s, item.s, l->is_sh ? "false" : "true");
        AUTO_RESPONSE over = batch_await(s, batch);
        expect_text(over, "state", "succeeded");
        AUTO_RESPONSE all = http_get(s, "/v1/batches/%s/results", batch.id);
        for (int i = 0; i < 3; i++) {
            const char *token = json_text(all, text_of("%d.value", i).s);
            const char *id = json_text(all, text_of("%d.id", i).s);
            cr_assert(strncmp(token, id, strlen(id)) == 0 && token[strlen(id)] == '.', "%s", token);
            AUTO_RESPONSE late = http(s, "GET", "/v1/jobs/self", NULL,
                                      text_of("Authorization: Bearer %s", token).s, NULL);
            expect_problem(late, 401, "unauthorized");
        }
    }
}

SHIPPED(functions_of_libraries_need_no_code)
{
    runner_value(s, "mean", "[1,2,6]", "3");
    runner_value(s, "len", "[1,2,6]", "3");
    runner_value(s, "basename", "'/a/b.c'", "\"b.c\"");
    runner_value(s, "eval", "'echo $((6 * 7))'", "42\n");
}
