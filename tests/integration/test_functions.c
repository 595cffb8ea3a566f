/* SPDX-License-Identifier: MIT */
/* Functions of kind command: what is called, with which arguments, and what is refused before a job
 * is made. */
#include "integration/harness_batch.h"
#include "integration/harness_config.h"
#include "integration/harness_pipeline.h"
#include "integration/harness_queue.h"

static const char registry[] =
    "[function greet]\n"
    "kind = command\n"
    "command = [\"printf\", \"%s|\", \"{greeting}\", \"-n\", \"{name}\", \"{times}\"]\n"
    "args = [{\"name\":\"name\",\"type\":\"string\",\"minLength\":1,\"maxLength\":8},"
    " {\"name\":\"greeting\",\"enum\":[\"hello\",\"bye\"],\"default\":\"hello\"},"
    " {\"name\":\"times\",\"type\":\"integer\",\"minimum\":1,\"maximum\":9,\"required\":false}]\n"
    "doc = Greets somebody\n"
    "queue = social\n"
    "timeout = 90s\n"
    "retry = {\"max_attempts\": 3, \"delay\": 0}\n"
    "\n"
    "[function where]\n"
    "kind = command\n"
    "command = [\"sh\", \"-c\", \"echo ${A} $B; pwd; ulimit -n\"]\n"
    "env = {\"A\": \"one\", \"B\": \"two\"}\n"
    "cwd = /tmp\n"
    "limits = {\"open_files\": 99, \"output\": \"1KiB\"}\n"
    "\n"
    "[function pair]\n"
    "kind = command\n"
    "command = [\"printf\", \"%s,\", \"{2}\", \"<{1}>\", \"{3\", \"{}\"]\n"
    "\n"
    "[function upper]\n"
    "kind = command\n"
    "command = [\"tr\", \"{from}\", \"{to}\"]\n";

#define FUNCTION_TEST(name) CONFIGURED_TEST(functions, name, registry)

/* Refused with 422 at this pointer, in these words. */
static void expect_refused(struct server *s, const char *body, const char *pointer,
                           const char *needle)
{
    AUTO_RESPONSE r = http(s, "POST", "/v1/jobs", body, NULL);
    expect_invalid(r, pointer);
    cr_assert(strstr(r->body, needle) != NULL, "%s: %s", body, r->body);
}

FUNCTION_TEST(a_call_puts_its_arguments_into_the_command)
{
    AUTO_RESPONSE r = job_run(s, "{'function':'greet','args':['Eva \\u00e9','bye'],"
                                 "'kwargs':{'times':3}}");
    expect_outcome(r, "succeeded", NULL);
    expect_output(s, job_of(r), "stdout", "bye|-n|Eva \xc3\xa9|3|");
    expect_text(r, "queue", "social");
    expect_int(r, "max_attempts", 3);
}

FUNCTION_TEST(what_has_no_value_is_left_out_and_a_default_stands_in)
{
    AUTO_RESPONSE r = job_run(s, "{'function':'greet','kwargs':{'name':'Eva'}}");
    expect_output(s, job_of(r), "stdout", "hello|-n|Eva|");
}

FUNCTION_TEST(arguments_are_data_whatever_is_in_them)
{
    AUTO_RESPONSE r = job_run(s, "{'function':'pair','args':['{2} $(id) {}',{'k': [1, 2.50]}]}");
    expect_output(s, job_of(r), "stdout", "{\"k\": [1, 2.50]},<{2} $(id) {}>,{3,{},");
}

FUNCTION_TEST(the_job_stands_above_its_function)
{
    AUTO_RESPONSE r = job_run(s, "{'function':'greet','args':['Eva'],'queue':'mine',"
                                 "'retry':{'max_attempts':2}}");
    expect_text(r, "queue", "mine");
    expect_int(r, "max_attempts", 2);
    AUTO_RESPONSE plain = job_run(s, "{'function':'where'}");
    expect_output(s, job_of(plain), "stdout", "one two\n/tmp\n99\n");
    AUTO_RESPONSE own = job_run(s, "{'function':'where','env':{'B':'zwei'},'cwd':'/',"
                                   "'limits':{'processes':50}}");
    expect_output(s, job_of(own), "stdout", "one zwei\n/\n99\n");
    AUTO_RESPONSE limited = job_run(s, "{'function':'where','limits':{'open_files':98}}");
    expect_output(s, job_of(limited), "stdout", "one two\n/tmp\n98\n");
}

FUNCTION_TEST(the_function_stands_above_the_queue)
{
    put_queue(s, "social",
              "{'defaults':{'retry':{'max_attempts':7},'priority':5,"
              "'cwd':'/usr','env':{'A':'queue'}}}");
    AUTO_RESPONSE r = job_run(s, "{'function':'greet','args':['Eva']}");
    expect_int(r, "max_attempts", 3);
    expect_int(r, "priority", 5);
    AUTO_RESPONSE where = job_run(s, "{'function':'where','queue':'social'}");
    expect_output(s, job_of(where), "stdout", "one two\n/tmp\n99\n");
}

FUNCTION_TEST(wrong_arguments_are_refused_where_they_stand)
{
    static const struct {
        const char *body, *pointer, *needle;
    } cases[] = {
        {"{'function':'great','args':[]}", "/function", "did you mean \\\"greet\\\""},
        {"{'function':'nothing-like-it'}", "/function", "GET /v1/functions"},
        {"{'function':7}", "/function", "must be a string"},
        {"{'function':'greet'}", "/args", "the argument name is missing"},
        {"{'function':'greet','args':[1]}", "/args/0", "name must be a string"},
        {"{'function':'greet','args':['']}", "/args/0", "at least 1 characters"},
        {"{'function':'greet','args':['\\u00e9\\u00e9\\u00e9\\u00e9\\u00e9\\u00e9\\u00e9\\u00e9x']"
         "}",
         "/args/0", "at most 8 characters"},
        {"{'function':'greet','args':['a','hallo']}", "/args/1", "must be one of"},
        {"{'function':'greet','args':['a','bye',1.5]}", "/args/2", "a whole number"},
        {"{'function':'greet','args':['a','bye',10]}", "/args/2", "at most 9"},
        {"{'function':'greet','args':['a','bye',1,2]}", "/args/3", "takes 3 arguments"},
        {"{'function':'greet','args':['a'],'kwargs':{'times':0}}", "/kwargs/times", "at least 1"},
        {"{'function':'greet','args':['a'],'kwargs':{'name':'b'}}", "/kwargs/name", "given twice"},
        {"{'function':'greet','args':['a'],'kwargs':{'nam':'b'}}", "/kwargs/nam", "parameter"},
        {"{'function':'greet','args':['a'],'kwargs':{'a/b~':'b'}}", "/kwargs", "parameter"},
        {"{'function':'greet','args':{}}", "/args", "must be an array"},
        {"{'function':'greet','kwargs':[]}", "/kwargs", "must be an object"},
        {"{'function':'where','command':['true']}", "/function", "must not come together"},
        {"{'command':['true'],'args':[]}", "/args", "is for a \\\"function\\\""},
        {"{'kwargs':{}}", "/kwargs", "is for a \\\"function\\\""},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        expect_refused(s, cases[i].body, cases[i].pointer, cases[i].needle);
    AUTO_RESPONSE none = http_get(s, "/v1/jobs");
    cr_assert_null(json_find(none, "items.0"), "a refused call made a job: %s", none->body);
}

FUNCTION_TEST(an_argument_that_no_system_takes_is_refused)
{
    struct text_builder body = {0};
    text_add(&body, "{\"function\":\"pair\",\"args\":[\"");
    for (int i = 0; i < 131071; i++)
        text_add(&body, "x");
    text_add(&body, "\",1]}");
    const struct call call = {
        .method = "POST", .path = "/v1/jobs", .body = body.text, .body_len = body.len};
    AUTO_RESPONSE r = http_send(s, &call);
    expect_invalid(r, "/args");
    text_free(&body);
}

FUNCTION_TEST(lines_of_ndjson_call_functions_too)
{
    AUTO_RESPONSE r = http(s, "POST", "/v1/jobs",
                           "{'function':'pair','args':[1,2]}\n{'function':'pair','args':[1]}\n",
                           "Content-Type: application/x-ndjson", NULL);
    expect_status(r, 200);
    cr_assert(strstr(r->body, "\"state\":\"queued\"") != NULL, "%s", r->body);
    cr_assert(strstr(r->body, "the argument 2 is missing") != NULL, "%s", r->body);
}

FUNCTION_TEST(each_item_of_a_batch_is_the_first_argument)
{
    struct job_ref batch = batch_submit(s, "{'function':'pair','args':['last'],"
                                           "'name':'pair {} {index}',"
                                           "'items':['a {index}',[1, 2],{'1':5}]}");
    AUTO_RESPONSE r = batch_await(s, batch);
    expect_int(r, "counts.succeeded", 3);
    expect_output(s, element_of(s, batch, 0), "stdout", "last,<a {index}>,{3,{},");
    expect_output(s, element_of(s, batch, 1), "stdout", "last,<[1, 2]>,{3,{},");
    expect_output(s, element_of(s, batch, 2), "stdout", "last,<{\"1\":5}>,{3,{},");
    AUTO_RESPONSE job = job_show(s, element_of(s, batch, 0));
    expect_text(job, "name", "pair a {index} 0");
}

FUNCTION_TEST(star_spreads_arrays_by_place_and_objects_by_name)
{
    struct job_ref batch = batch_submit(s, "{'function':'greet','star':true,'kwargs':{'times':2},"
                                           "'name':'{1}',"
                                           "'items':[['a'],['b','bye'],{'name':'c'}]}");
    AUTO_RESPONSE r = batch_await(s, batch);
    expect_int(r, "counts.succeeded", 3);
    expect_text(r, "queue", "social");
    expect_output(s, element_of(s, batch, 0), "stdout", "hello|-n|a|2|");
    expect_output(s, element_of(s, batch, 1), "stdout", "bye|-n|b|2|");
    expect_output(s, element_of(s, batch, 2), "stdout", "hello|-n|c|2|");
}

FUNCTION_TEST(items_are_checked_when_they_come)
{
    static const struct {
        const char *body, *pointer;
    } cases[] = {
        {"{'function':'greet','items':['a',2]}", "/items/1"},
        {"{'function':'greet','star':true,'items':[['a'],['b','no']]}", "/items/1/1"},
        {"{'function':'greet','star':true,'items':[{'nam':'a'}]}", "/items/0/nam"},
        {"{'function':'greet','star':true,'items':['a']}", "/items/0"},
        {"{'function':'greet','star':true,'items':[[]]}", "/items/0"},
        {"{'function':'where','items':[1]}", "/items/0"},
        {"{'function':'greet','kwargs':{'name':'x'},'items':['a']}", "/items/0"},
        {"{'function':'great','items':['a']}", "/function"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        AUTO_RESPONSE r = http(s, "POST", "/v1/batches", cases[i].body, NULL);
        expect_invalid(r, cases[i].pointer);
    }
}

FUNCTION_TEST(an_open_batch_keeps_to_its_function)
{
    struct job_ref batch = batch_submit(s, "{'function':'greet','open':true,'items':['a']}");
    AUTO_RESPONSE more = batch_post(s, batch, "jobs", "{'items':['b']}");
    expect_status(more, 202);
    AUTO_RESPONSE wrong = batch_post(s, batch, "jobs", "{'items':[3]}");
    expect_invalid(wrong, "/items/0");
    server_kill(s);
    /* The function is not registered any more; what was accepted knows all it needs. */
    const struct server_options plain = {.workers = 2, .dir = s->dir};
    server_restart(s, &plain);
    AUTO_RESPONSE late = batch_post(s, batch, "jobs", "{'items':['c']}");
    expect_status(late, 202);
    AUTO_RESPONSE closed = batch_post(s, batch, "close", NULL);
    expect_status(closed, 200);
    AUTO_RESPONSE r = batch_await(s, batch);
    expect_int(r, "counts.succeeded", 3);
    expect_output(s, element_of(s, batch, 2), "stdout", "hello|-n|c|");
}

FUNCTION_TEST(lines_of_an_upload_are_arguments)
{
    AUTO_RESPONSE r = http(s, "POST", "/v1/batches", "{'function':'greet'}\n'a'\n'b'\n",
                           "Content-Type: application/x-ndjson", NULL);
    expect_status(r, 202);
    struct job_ref batch = job_of(r);
    AUTO_RESPONSE over = batch_await(s, batch);
    expect_int(over, "counts.succeeded", 2);
    expect_output(s, element_of(s, batch, 1), "stdout", "hello|-n|b|");
    AUTO_RESPONSE wrong = http(s, "POST", "/v1/batches", "{'function':'greet'}\n'a'\n7\n",
                               "Content-Type: application/x-ndjson", NULL);
    expect_problem(wrong, 422, "invalid-request");
    cr_assert(strstr(wrong->body, "name must be a string") != NULL, "%s", wrong->body);
}

FUNCTION_TEST(stages_of_a_pipeline_are_functions_as_well)
{
    AUTO_RESPONSE r = http(s, "POST", "/v1/pipelines",
                           "{'stdin':'abc','stages':[{'function':'upper','args':['a-z','A-Z']},"
                           "{'function':'upper','kwargs':{'from':'B','to':'x'}}]}",
                           "Prefer: wait=30", NULL);
    expect_status(r, 200);
    expect_text(r, "state", "succeeded");
    expect_output(s, element_of(s, job_of(r), 1), "stdout", "AxC");
    AUTO_RESPONSE wrong = http(s, "POST", "/v1/pipelines",
                               "{'stages':[{'function':'upper','args':['a']}]}", NULL);
    expect_invalid(wrong, "/stages/0/args");
    AUTO_RESPONSE whole = http(s, "POST", "/v1/pipelines",
                               "{'function':'upper','stages':[{'command':['cat']}]}", NULL);
    expect_invalid(whole, "/function");
}

FUNCTION_TEST(jobs_of_a_graph_call_functions)
{
    AUTO_RESPONSE r = http(s, "POST", "/v1/batches",
                           "{'function':'greet','jobs':[{'ref':'a','args':['Eva']},"
                           "{'command':['tr','E','A'],'stdin_from':{'job':'a'}},"
                           "{'args':['Ute','bye'],'depends_on':['a']}]}",
                           NULL);
    expect_status(r, 202);
    struct job_ref batch = job_of(r);
    AUTO_RESPONSE over = batch_await(s, batch);
    expect_int(over, "counts.succeeded", 3);
    expect_output(s, element_of(s, batch, 1), "stdout", "hello|-n|Ava|");
    expect_output(s, element_of(s, batch, 2), "stdout", "bye|-n|Ute|");
    AUTO_RESPONSE wrong = http(s, "POST", "/v1/batches",
                               "{'function':'greet','jobs':[{'args':['Eva']},{'args':[7]}]}", NULL);
    expect_invalid(wrong, "/jobs/1/args/0");
}

FUNCTION_TEST(what_can_be_called_is_listed)
{
    AUTO_RESPONSE r = http_get(s, "/v1/functions");
    expect_status(r, 200);
    expect_text(r, "items.0.name", "greet");
    expect_text(r, "items.0.kind", "command");
    expect_text(r, "items.0.doc", "Greets somebody");
    expect_text(r, "items.0.queue", "social");
    expect_text(r, "items.0.args.0.name", "name");
    expect_int(r, "items.0.args.2.maximum", 9);
    cr_assert(json_is_null(r, "items.1.doc"));
    cr_assert_not_null(json_find(r, "items.2.args.1"), "two numbers are two parameters");
    cr_assert_null(json_find(r, "items.2.args.2"));
    expect_text(r, "items.3.args.1.name", "to");
    cr_assert(json_is_null(r, "next_cursor"));
    AUTO_RESPONSE first = http_get(s, "/v1/functions?limit=3");
    expect_text(first, "next_cursor", "pair");
    AUTO_RESPONSE next = http_get(s, "/v1/functions?limit=3&cursor=pair");
    expect_text(next, "items.0.name", "upper");
    cr_assert(json_is_null(next, "next_cursor"));
    AUTO_RESPONSE wrong = http_get(s, "/v1/functions?cursor=nobody");
    expect_problem(wrong, 422, "invalid-request");
}

SERVER_TEST(functions, without_a_configuration_there_are_none)
{
    AUTO_RESPONSE r = http_get(s, "/v1/functions");
    cr_assert_null(json_find(r, "items.0"));
    expect_refused(s, "{'function':'fib'}", "/function", "There is no function");
}
