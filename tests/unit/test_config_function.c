/* SPDX-License-Identifier: MIT */
/* Sections [function NAME] of the configuration. */
#include "service/base/json.h"
#include "unit/base_config.h"

#include <criterion/criterion.h>

static struct config_set *parse(const char *text, struct err *err)
{
    clean_environment();
    return config_parse_text(slice_of(text), err);
}

Test(config_function, each_kind_is_read_whole)
{
    struct err err = {0};
    struct config_set *set = parse("[function thumb]\n"
                                   "kind = command\n"
                                   "command = [\"convert\", \"{in}\", \"a ; b\"]\n"
                                   "timeout = 30s\n"
                                   "env = {\"K\": \"v=w\"}\n"
                                   "[pool]\n"
                                   "workers = 3\n"
                                   "[function fib]\n"
                                   "kind = native\n"
                                   "module = /opt/fib.so\n"
                                   "symbol = fib_of\n"
                                   "args = [{\"type\": \"integer\"}]\n"
                                   "[function mean]\n"
                                   "kind = runner\n"
                                   "runner = [\"python3\", \"r.py\"]\n"
                                   "call = stats:mean\n",
                                   &err);
    cr_assert_not_null(set, "%s", err.detail);
    const struct config *cfg = config_get(set);
    cr_assert_eq(cfg->pool_workers, 3);
    cr_assert_eq(cfg->functions.n, 3);
    const struct function *thumb = function_find(&cfg->functions, SLICE_LIT("thumb"));
    cr_assert_eq(thumb->kind, FUNCTION_COMMAND);
    cr_assert_eq(thumb->n_argv, 3);
    cr_assert_str_eq(thumb->argv[2].ptr, "a ; b");
    cr_assert(slice_is(thumb->timeout, "\"30s\""));
    cr_assert_eq(thumb->n_env, 1);
    cr_assert_str_eq(thumb->env[0].ptr, "K=v=w");
    const struct function *fib = function_find(&cfg->functions, SLICE_LIT("fib"));
    cr_assert_str_eq(fib->module, "/opt/fib.so");
    cr_assert_str_eq(fib->symbol, "fib_of");
    cr_assert_eq(json_type_of(fib->args), JSON_ARRAY);
    const struct function *mean = function_find(&cfg->functions, SLICE_LIT("mean"));
    cr_assert_str_eq(mean->call, "stats:mean");
    cr_assert_str_eq(mean->argv[1].ptr, "r.py");
    cr_assert_null(function_find(&cfg->functions, SLICE_LIT("none")));
    config_free(set);
}

Test(config_function, what_is_wrong_is_said_with_its_line)
{
    static const struct {
        const char *text, *needle;
    } cases[] = {
        {"[function a]\nkind = thread\n",
         "line 2: the function a: kind: must be command, native or runner"},
        {"[function a]\nkind = command\ncommand = ls\n",
         "line 3: the function a: command: is not JSON"},
        {"[function a]\nkind = command\ncommand = [\"\"]\n", "must name a program"},
        {"[function a]\nkind = command\ncommand = [1]\n", "array of at most"},
        {"[function a]\nkind = command\n", "the function a lacks command"},
        {"[function a]\nkind = native\n", "the function a lacks module"},
        {"[function a]\ncommand = [\"ls\"]\n", "the function a lacks kind"},
        {"[function a]\nkinds = native\n", "the function a: unknown key kinds; did you mean kind?"},
        {"[function a b]\nkind = native\n", "a function's name has"},
        {"[function a]\nkind = native\nmodule = x\n[function b]\nkind = native\nmodule = x\n"
         "[function a]\nkind = native\n",
         "the function a was there before"},
        {"[function a]\nkind = native\nenv = {\"A\": 1}\n", "object of strings"},
        {"[function a]\nkind = native\nkind = native\n",
         "line 3: the function a: kind: was given before"},
        {"[function a]\nkind = native\nretry = 3\n", "retry: must be a JSON object"},
        {"[function a]\nkind = native\ncwd = here\n", "absolute path"},
        {"[function]\nkind = native\n", "unknown section"},
        {"\n[function a]\nkind = command\ncommand = [\"x\", \"{n}\"]\nargs = {}\n",
         "line 3: the function a: args must be an array"},
        {"[function a]\nkind = command\ncommand = [\"x\", \"{n}\"]\nargs = [{\"name\": \"m\"}]\n",
         "args do not say what {n} in the command is"},
        {"[function a]\nkind = command\ncommand = [\"x\"]\nargs = [{\"name\": \"m\"}]\n",
         "args name m, but {m} is nowhere"},
        {"[function a]\nkind = command\ncommand = [\"{n}\", \"{1}\"]\n", "args must be given"},
        {"[function a]\nkind = command\ncommand = [\"x\", \"{n}\"]\n"
         "args = [{\"name\": \"n\", \"type\": \"int\"}]\n",
         "args/0/type must be string, integer"},
        {"[function a]\nkind = runner\nlimits = {\"output\": 5, \"memory\": 99}\n",
         "line 2: the function a: limits/memory: is of a runner's process, and without \"runner\""},
        {"[function aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa]\nkind = native\n",
         "unknown section"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err err = {0};
        expect_refusal(parse(cases[i].text, &err), &err, cases[i].needle);
    }
}
