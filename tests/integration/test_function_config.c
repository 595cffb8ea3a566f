/* SPDX-License-Identifier: MIT */
/* A registered function that cannot work ends the start of the service, in words that name the
 * line, the function and the key. */
#include "integration/cli_call.h"
#include "integration/harness_config.h"
#include "integration/harness_test.h"

#define NATIVE "[function f]\nkind = native\n"

PLAIN_TEST(function_config, what_is_wrong_in_a_section_is_named)
{
    static const char *const cases[][2] = {
        {"[function f]\nkinds = native\n",
         "line 2: the function f: unknown key kinds; did you mean kind?"},
        {"[function f]\nkind = thread\n",
         "line 2: the function f: kind: must be command, native or runner"},
        {"[function f]\nkind = command\n", "line 2: the function f lacks command = "},
        {"[function f]\nkind = command\ncommand = ls -l\n",
         "line 3: the function f: command: is not JSON"},
        {"[function f]\nkind = command\ncommand = [\"ls\", \"{n}\"]\n"
         "args = [{\"name\": \"n\", \"type\": \"int\"}]\n",
         "the function f: args/0/type must be string"},
        {"[function f]\nkind = command\ncommand = [\"ls\"]\ntimeout = soon\n",
         "the function f: timeout: "},
        {"[function f]\nkind = command\ncommand = [\"ls\"]\nlimits = {\"memroy\": 1}\n",
         "the function f: limits/memroy: is not known here"},
        {"[function f]\nkind = command\ncommand = [\"ls\"]\ncwd = here\n",
         "line 4: the function f: cwd: must be an absolute path"},
        {"[function f]\nkind = command\ncommand = [\"ls\"]\npure = true\n",
         "line 2: the function f: pure: is of native functions and runners"},
        {"[function f]\nkind = native\npure = maybe\n",
         "line 3: the function f: pure: must be true or false"},
        {"[function f]\nkind = command\ncommand = [\"ls\"]\n[pool]\nworkers = 1\n[function f]\n"
         "kind = command\n",
         "line 7: the function f: kind: was given before"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        expect_no_start(cases[i][0], cases[i][1]);
}

PLAIN_TEST(function_config, a_module_that_does_not_fit_is_named)
{
    static const char *const cases[][2] = {
        {NATIVE, "the function f lacks module = "},
        {NATIVE "module = /nowhere/at/all.so\n",
         "line 2: the function f: module: cannot be loaded: /nowhere/at/all.so"},
        {NATIVE "module = /etc/passwd\n", "the function f: module: cannot be loaded: /etc/passwd"},
        {NATIVE "module = libsqlite3.so.0\n", "the function f: module: does not say GANGER_PLUGIN"},
        {NATIVE "module = " GANGER_HELPER_DIR "/native_old_abi.so\n",
         "the function f: module: was built for version 999 of the plug-in interface"},
        {NATIVE "module = " GANGER_HELPER_DIR "/native_misbehave.so\nsymbol = behave\n",
         "the function f: symbol: is not in its module"},
        /* The one that ends its process is named, not the first or the last one. */
        {"[function a]\nkind = native\nmodule = " GANGER_HELPER_DIR "/native_misbehave.so\n"
         "symbol = misbehave\n"
         "[function b]\nkind = command\ncommand = [\"true\"]\n" NATIVE "module = " GANGER_HELPER_DIR
         "/native_exits.so\nsymbol = exits\n[function z]\nkind = command\ncommand = [\"true\"]\n",
         "line 9: the function f: module: ends the process that loads it"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++)
        expect_no_start(cases[i][0], cases[i][1]);
}

/* The same mistakes are found without a start. */
PLAIN_TEST(function_config, a_check_of_the_configuration_finds_them_too)
{
    const struct config_file file = config_write("[function f]\nkind = command\n"
                                                 "command = [\"ls\"]\nretry = {\"max\": 1}\n");
    AUTO_CALL c;
    cli_call_start_in(&c, "/nonexistent", NULL,
                      WORDS("serve", "--config", file.path, "--print-config"));
    cli_call_end(&c);
    expect_code(&c, 2);
    expect_err_has(&c, "the function f: retry/max: ");
    config_remove(&file);
}
