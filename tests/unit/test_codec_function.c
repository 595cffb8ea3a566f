/* SPDX-License-Identifier: MIT */
/* Who may bring a command, and what a function may not say about itself. */
#include "api/codec_batch.h"
#include "api/codec_graph.h"
#include "api/codec_pipeline.h"
#include "unit/base_config.h"

#include <criterion/criterion.h>

static const char registry[] = "[function fib]\n"
                               "kind = command\n"
                               "command = [\"fib\", \"{n}\"]\n"
                               "env = {\"K\": \"v\"}\n"
                               "cwd = /srv\n"
                               "[function loaded]\n"
                               "kind = native\n"
                               "module = /a.so\n";

static struct config_set *load_text(const char *text)
{
    struct err err = {0};
    clean_environment();
    struct config_set *set = config_parse_text(slice_of(text), &err);
    cr_assert_not_null(set, "%s", err.detail);
    return set;
}

enum body_kind { JOB, BATCH, GRAPH, PIPELINE };

/* As a client without the scope exec. */
static void expect_refused(enum body_kind kind, const char *body, enum err_code code,
                           const char *pointer)
{
    struct config_set *set = load_text(registry);
    AUTO_ARENA struct arena a = {0};
    struct job_source source = {
        .body = slice_of(body), .cfg = config_get(set), .a = &a, .no_exec = true};
    struct job_spec spec;
    struct batch_request batch;
    struct graph_request graph;
    struct pipeline_request pipeline;
    struct err err = {0};
    bool ok;
    arena_init(&a, 4u << 20);
    if (kind == JOB)
        ok = codec_read_job_from(&source, &spec, &err);
    else if (kind == BATCH)
        ok = codec_read_batch(&source, false, &batch, &err);
    else if (kind == GRAPH)
        ok = codec_read_graph(&source, &graph, &err);
    else
        ok = codec_read_pipeline(&source, &pipeline, &err);
    cr_assert_eq(ok, code == ERR_NONE, "%s: %s", body, err.detail);
    cr_assert_eq(err.code, code, "%s: %s", body, err.detail);
    cr_assert_str_eq(err.pointer, pointer);
    cr_assert(code != ERR_FORBIDDEN || strstr(err.detail, "scope \"exec\"") != NULL);
    config_free(set);
}

Test(codec_function, a_command_needs_the_scope_exec)
{
    expect_refused(JOB, "{\"command\":[\"true\"]}", ERR_FORBIDDEN, "/command");
    expect_refused(BATCH, "{\"command\":[\"true\"],\"items\":[1]}", ERR_FORBIDDEN, "/command");
    expect_refused(PIPELINE,
                   "{\"stages\":[{\"function\":\"fib\",\"args\":[1]},"
                   "{\"command\":[\"sh\"]}]}",
                   ERR_FORBIDDEN, "/stages/1/command");
}

Test(codec_function, so_does_what_changes_how_a_function_runs)
{
    static const struct {
        const char *member, *pointer;
    } cases[] = {
        {"\"env\":{\"LD_PRELOAD\":\"/tmp/x.so\"}", "/env"},
        {"\"cwd\":\"/tmp\"", "/cwd"},
        {"\"stdin\":\"rm\"", "/stdin"},
        {"\"stdin_base64\":\"cm0=\"", "/stdin_base64"},
        {"\"files\":{\"a\":\"b\"}", "/files"},
        {"\"inputs\":{\".netrc\":{\"blob\":\"0199abcd-ef01-7abc-9234-5678deadbeef\"}}", "/inputs"},
        {"\"stdin_from\":{\"job\":\"0199abcd-ef01-7abc-9234-5678deadbeef\"}", "/stdin_from"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char body[200];
        (void)snprintf(body, sizeof body, "{\"function\":\"fib\",\"args\":[1],%s}",
                       cases[i].member);
        expect_refused(JOB, body, ERR_FORBIDDEN, cases[i].pointer);
    }
    expect_refused(PIPELINE,
                   "{\"env\":{\"A\":\"b\"},\"stages\":[{\"function\":\"fib\","
                   "\"args\":[1]}]}",
                   ERR_FORBIDDEN, "/env");
}

Test(codec_function, a_call_needs_no_more_than_submit)
{
    expect_refused(JOB, "{\"function\":\"fib\",\"args\":[1],\"timeout\":1}", ERR_NONE, "");
    expect_refused(BATCH, "{\"function\":\"fib\",\"items\":[1,2]}", ERR_NONE, "");
    expect_refused(JOB,
                   "{\"function\":\"loaded\",\"inputs\":{\"model\":{\"blob\":"
                   "\"0199abcd-ef01-7abc-9234-5678deadbeef\"}}}",
                   ERR_NONE, "");
    expect_refused(GRAPH, "{\"function\":\"fib\",\"jobs\":[{\"args\":[1]},{\"args\":[2]}]}",
                   ERR_NONE, "");
    expect_refused(PIPELINE, "{\"stages\":[{\"function\":\"fib\",\"args\":[1]}]}", ERR_NONE, "");
    expect_refused(JOB, "{\"function\":\"fib\"}", ERR_INVALID, "/args");
}

Test(codec_function, a_function_that_cannot_work_ends_the_start)
{
    static const struct {
        const char *text, *needle;
    } cases[] = {
        {"[function a]\nkind = command\ncommand = [\"x\"]\ntimeout = 0\n",
         "line 2: the function a: timeout: must be longer than zero"},
        {"\n[function a]\nkind = command\ncommand = [\"x\"]\nretry = {\"max_attempts\": 0}\n",
         "line 3: the function a: retry/max_attempts: must be a whole number from 1 to 20"},
        {"[function a]\nkind = command\ncommand = [\"x\"]\nlimits = {\"memroy\": 1}\n",
         "the function a: limits/memroy: is not known here"},
        {"[function a]\nkind = command\ncommand = [\"x\"]\nenv = {\"GANGER_X\": \"1\"}\n",
         "the function a: env: GANGER_X"},
        {"[function a]\nkind = native\nmodule = /a.so\nenv = {\"A\": \"1\"}\n",
         "the function a: env: is nothing that a call of a native function has: it gets its "
         "arguments alone"},
        {"[function a]\nkind = native\nmodule = /a.so\nlimits = {\"processes\": 3}\n",
         "the function a: limits: of a native function are \"memory\" and \"output\" alone"},
        {"[function a]\nkind = runner\nrunner = [\"r\"]\nlimits = {\"cpu\": 3}\n",
         "the function a: limits/cpu: cannot be kept for a runner, whose calls share one process"},
        {"[function a]\nkind = command\ncommand = [\"x\"]\npool = p\nqueue = q\n",
         "the function a: queue: does not go with the pool p, which has its own queue"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct config_set *set = load_text(cases[i].text);
        struct err err = {0};
        cr_assert_not(codec_check_functions(config_get(set), &err), "%s", cases[i].text);
        cr_assert(strstr(err.detail, cases[i].needle) != NULL, "%s", err.detail);
        config_free(set);
    }
    struct config_set *good = load_text(registry);
    struct err err = {0};
    cr_assert(codec_check_functions(config_get(good), &err), "%s", err.detail);
    config_free(good);
}
