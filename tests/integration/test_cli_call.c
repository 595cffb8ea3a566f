/* SPDX-License-Identifier: MIT */
/* Calling registered functions from a shell: ganger call, functions, submit and map --function. */
#include "integration/cli_call.h"
#include "integration/harness_batch.h"
#include "integration/harness_config.h"

#include <signal.h>

static const char registry[] =
    "[function echo]\n"
    "kind = command\n"
    "command = [\"sh\", \"-c\", \"echo $1; echo to stderr >&2; exit $2\", \"sh\", \"{text}\","
    " \"{code}\"]\n"
    "args = [{\"name\": \"text\"}, {\"name\": \"code\", \"type\": \"integer\", \"default\": 0}]\n"
    "doc = Says something\n"
    "queue = talk\n"
    "[function cat]\n"
    "kind = command\n"
    "command = [\"cat\"]\n"
    "[function pair]\n"
    "kind = command\n"
    "command = [\"printf\", \"%s %s\\\\n\", \"{1}\", \"{2}\"]\n"
    "[function misbehave]\n"
    "kind = native\n"
    "module = " GANGER_HELPER_DIR "/native_misbehave.so\n"
    "[function fib]\n"
    "kind = native\n"
    "module = " EXAMPLE_MODULES "/fib.so\n"
    "symbol = ganger_fib\n"
    "args = [{\"name\": \"n\", \"type\": \"integer\", \"maximum\": 60}]\n";

#define CALL_TEST(name) CONFIGURED_TEST(cli_call, name, registry)

CALL_TEST(the_result_is_printed)
{
    AUTO_CALL fib;
    cli_call_run(&fib, s, WORDS("call", "fib", "20"));
    expect_code(&fib, 0);
    expect_out(&fib, "6765\n");
    AUTO_CALL echo;
    cli_call_run(&echo, s, WORDS("call", "echo", "two words"));
    expect_code(&echo, 0);
    expect_out(&echo, "two words\n");
    expect_err_has(&echo, "to stderr\n");
    AUTO_CALL bytes;
    cli_call_run(&bytes, s, WORDS("call", "misbehave", "bytes"));
    expect_code(&bytes, 0);
    CHECK(bytes.out_len == 3 && memcmp(bytes.out, "\x00\xff\x01", 3) == 0, "other bytes");
    AUTO_CALL large;
    cli_call_run(&large, s, WORDS("call", "misbehave", "large"));
    expect_code(&large, 0);
    CHECK(large.out_len == 300u << 10, "%zu bytes", large.out_len);
}

CALL_TEST(arguments_are_json_or_strings)
{
    static const struct {
        const char *words[9];
        const char *out;
    } cases[] = {
        {{"call", "misbehave", "args", "-5", "a b", "[1, 2]", "null", "\"7\""},
         "[[\"args\",-5,\"a b\",[1, 2],null,\"7\"],{}]\n"},
        {{"call", "--strings", "misbehave", "args", "-5", "{\"a\":1}", ""},
         "[[\"args\",\"-5\",\"{\\\"a\\\":1}\",\"\"],{}]\n"},
        {{"call", "--args", "[\"args\", 1.50]", "--kwargs", "{\"x\": \"y\"}", "misbehave"},
         "[[\"args\",1.50],{\"x\":\"y\"}]\n"},
        {{"call", "--kwarg", "x=1", "--kwarg", "y=no=where", "--kwarg", "x=true", "misbehave",
          "args"},
         "[[\"args\"],{\"y\":\"no=where\",\"x\":true}]\n"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const char *words[10] = {NULL};
        memcpy(words, cases[i].words, sizeof(cases[i].words));
        AUTO_CALL c;
        cli_call_run(&c, s, words);
        expect_code(&c, 0);
        expect_out(&c, cases[i].out);
    }
}

CALL_TEST(its_input_is_a_file_when_it_is_named)
{
    struct text path = file_with(s, "input", "some text", 9);
    AUTO_CALL c;
    cli_call_run(&c, s, WORDS("call", "--stdin", path.s, "cat"));
    expect_code(&c, 0);
    expect_out(&c, "some text");
}

CALL_TEST(the_exit_code_tells_how_it_ended)
{
    static const struct {
        const char *words[6];
        int code;
        const char *says;
    } cases[] = {
        {{"call", "echo", "x", "7"}, 7, "exit code 7"},
        {{"call", "misbehave", "fail"}, 1, "failed: ValueError: this is not right"},
        {{"call", "misbehave", "segfault"}, 139, "ended by SIGSEGV"},
        {{"call", "misbehave", "exit3"}, 3, "exit code 3"},
        {{"call", "--timeout", "200ms", "misbehave", "loop"}, 124, "failed: timeout"},
        {{"call", "fib", "61"}, 125, "at most 60"},
        {{"call", "fib", "abc"}, 125, "GET /v1/functions says what \"fib\" takes"},
        {{"call", "fub", "1"}, 125, "did you mean \"fib\"?"},
        {{"call", "--args", "[1]", "fib", "2"}, 125, "--args stands for the words"},
        {{"call", "--args", "{}", "fib"}, 2, "--args wants a JSON array"},
        {{"call"}, 2, "call needs the name of a function"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const char *words[7] = {NULL};
        memcpy(words, cases[i].words, sizeof(cases[i].words));
        AUTO_CALL c;
        cli_call_run(&c, s, words);
        expect_code(&c, cases[i].code);
        expect_err_has(&c, cases[i].says);
    }
    AUTO_CALL failed; /* what a command had written by then is not lost */
    cli_call_run(&failed, s, WORDS("call", "echo", "half", "1"));
    expect_out(&failed, "half\n");
}

CALL_TEST(ctrl_c_leaves_the_call_running)
{
    AUTO_CALL c;
    cli_call_start(&c, s, WORDS("call", "--name", "long", "misbehave", "cancel"));
    AUTO_CALL ls = {0};
    for (uint64_t until = deadline_in(20);;) {
        cli_call_release(&ls);
        cli_call_run(&ls, s, WORDS("ls", "-q", "--state", "running", "--name", "long"));
        if (ls.out_len == 37)
            break;
        CHECK(!deadline_passed(until), "it does not run: %s", ls.err);
    }
    /* The client has its id, and minds signals, a moment later: until then one just ends it. */
    AWAIT(proc_minds_signal(c.pid, SIGINT), 20);
    (void)kill(c.pid, SIGINT);
    cli_call_end(&c);
    expect_code(&c, 130);
    struct job_ref job = {0};
    memcpy(job.id, ls.out, 36);
    expect_err_has(&c, text_of("ganger logs -f %s", job.id).s);
    expect_err_has(&c, text_of("ganger cancel %s", job.id).s);
    AUTO_RESPONSE shown = job_show(s, job);
    expect_text(shown, "state", "running");
    AUTO_RESPONSE r = job_cancel(s, job, NULL, 20);
    expect_status(r, 200);
}

CALL_TEST(what_can_be_called_is_listed)
{
    AUTO_CALL c;
    cli_call_run(&c, s, WORDS("functions"));
    expect_code(&c, 0);
    static const char *const lines[] = {
        "NAME                 KIND     QUEUE        ARGUMENTS",
        "echo                 command  talk         text [code:integer=0]  ",
        "pair                 command  default      {1} {2}  ",
        "misbehave            native   default      …  ",
        "fib                  native   default      n:integer  ",
        "Says something\n",
    };
    for (size_t i = 0; i < COUNT_OF(lines); i++)
        CHECK(strstr(c.out, lines[i]) != NULL, "no \"%s\" in\n%s", lines[i], c.out);
    AUTO_CALL names;
    cli_call_run(&names, s, WORDS("functions", "-q"));
    expect_out(&names, "echo\ncat\npair\nmisbehave\nfib\n");
    AUTO_CALL json;
    cli_call_run(&json, s, WORDS("functions", "--json"));
    CHECK(strncmp(json.out, "{\"name\":\"echo\",\"kind\":\"command\",", 32) == 0, "%s", json.out);
}

CALL_TEST(a_call_is_submitted_and_waited_for)
{
    struct job_ref job = cli_submit(s, WORDS("submit", "--function", "fib", "10"));
    AUTO_CALL wait;
    cli_call_run(&wait, s, WORDS("wait", job.id));
    expect_code(&wait, 0);
    AUTO_TEXT value = job_read(s, job, "result");
    CHECK(strcmp(value, "55") == 0, "%s", value);
    AUTO_CALL none;
    cli_call_run(&none, s, WORDS("submit", "--kwarg", "a=1", "true"));
    expect_code(&none, 1);
    expect_err_has(&none, "--kwarg goes with --function only");
}

CALL_TEST(the_result_of_a_call_is_asked_for_later)
{
    AUTO_CALL submitted, c;
    cli_call_run(&submitted, s, WORDS("submit", "--function", "fib", "20"));
    struct text id = text_of("%.36s", submitted.out);
    cli_call_run(&c, s, WORDS("result", id.s));
    expect_code(&c, 0);
    expect_out(&c, "6765\n");
}

CALL_TEST(a_function_is_mapped_over_items)
{
    AUTO_CALL fib;
    cli_call_run(&fib, s, WORDS("map", "-k", "--function", "fib", ":::", "10", "11", "12"));
    expect_code(&fib, 0);
    expect_out(&fib, "55\n89\n144\n");
    AUTO_CALL lists; /* one word of each list is one argument */
    cli_call_run(&lists, s,
                 WORDS("map", "-k", "--function", "pair", ":::", "a", "2", ":::", "x", "y"));
    expect_code(&lists, 0);
    expect_out(&lists, "a x\na y\n2 x\n2 y\n");
    AUTO_CALL after;
    cli_call_run(&after, s, WORDS("map", "-k", "--function", "pair", "last", ":::", "a", "b"));
    expect_out(&after, "a last\nb last\n");
    struct text path = file_with(s, "items", "20\n21\n", 6);
    AUTO_CALL input;
    cli_call_start_in(&input, s->dir, path.s, WORDS("map", "-k", "--function", "fib"));
    cli_call_end(&input);
    expect_code(&input, 0);
    expect_out(&input, "6765\n10946\n");
    AUTO_CALL strings;
    cli_call_run(&strings, s, WORDS("map", "--strings", "--function", "fib", ":::", "10"));
    expect_code(&strings, 125);
    expect_err_has(&strings, "n must be a whole number");
    AUTO_CALL dry;
    cli_call_run(&dry, s, WORDS("map", "--dry-run", "--function", "pair", "{}", ":::", "a b", "c"));
    expect_code(&dry, 0);
    expect_out(&dry, "pair 'a b' '{}'\npair c '{}'\n");
}

CALL_TEST(items_are_added_to_a_batch_of_calls)
{
    AUTO_CALL open, add, close;
    cli_call_run(&open, s, WORDS("map", "--detach", "--open", "--function", "fib", ":::", "10"));
    expect_code(&open, 0);
    open.out[36] = '\0';
    cli_call_run(&add, s, WORDS("batch", "add", "--json-items", open.out, "11", "12"));
    expect_code(&add, 0);
    cli_call_run(&close, s, WORDS("batch", "close", open.out));
    expect_code(&close, 0);
    AUTO_CALL results;
    cli_call_run(&results, s, WORDS("batch", "results", "-f", "-k", open.out));
    expect_out(&results, "55\n89\n144\n");
}
