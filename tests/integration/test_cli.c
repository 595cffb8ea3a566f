/* SPDX-License-Identifier: MIT */
/* The client subcommands that handle jobs: the real binary against a real server. */
#include "integration/cli_call.h"

#include <signal.h>

/* ---- run */

SERVER_TEST(cli, run_gives_output_and_exit_code)
{
    AUTO_CALL c;
    cli_call_run(&c, s, WORDS("run", "--", "sh", "-c", "echo out; echo err >&2; exit 7"));
    expect_code(&c, 7);
    expect_out(&c, "out\n");
    CHECK(strcmp(c.err, "err\n") == 0, "stderr is \"%s\"", c.err);
}

SERVER_TEST(cli, run_says_how_else_it_ended)
{
    static const struct {
        const char *script;
        int code;
    } cases[] = {
        {"kill -KILL $$", 137},
        {"kill -TERM $$", 143},
        {"exec /nonexistent/program", 127}, /* the shell's own 127 */
        {"exit 255", 255},
        {"true", 0},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        AUTO_CALL c;
        cli_call_run(&c, s, WORDS("run", "--", "sh", "-c", cases[i].script));
        expect_code(&c, cases[i].code);
    }
    AUTO_CALL missing;
    cli_call_run(&missing, s, WORDS("run", "--", "no-such-program-anywhere"));
    expect_code(&missing, 127);
    expect_err_has(&missing, "No such file or directory: no-such-program-anywhere");
    AUTO_CALL directory;
    cli_call_run(&directory, s, WORDS("run", "--", "/etc"));
    expect_code(&directory, 126);
    AUTO_CALL late;
    cli_call_run(&late, s,
                 WORDS("run", "--timeout", "200ms", "--", "sh", "-c", "while :; do :; done"));
    expect_code(&late, 124);
    expect_err_has(&late, "failed: timeout");
}

SERVER_TEST(cli, run_sends_its_standard_input)
{
    char bytes[4096];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)(i * 7 + i / 256);
    struct text path = file_with(s, "input", bytes, sizeof(bytes));
    AUTO_CALL c;
    cli_call_start_in(&c, s->dir, path.s, WORDS("run", "--", "cat"));
    cli_call_end(&c);
    expect_code(&c, 0);
    CHECK(c.out_len == sizeof(bytes) && memcmp(c.out, bytes, sizeof(bytes)) == 0,
          "%zu bytes came back, not the %zu that were sent", c.out_len, sizeof(bytes));

    AUTO_CALL none;
    cli_call_start_in(&none, s->dir, path.s, WORDS("run", "--no-stdin", "--", "cat"));
    cli_call_end(&none);
    expect_code(&none, 0);
    expect_out(&none, "");
}

SERVER_TEST(cli, run_passes_every_kind_of_byte)
{
    AUTO_CALL c;
    cli_call_run(&c, s, WORDS("run", "--", "printf", "a\\0b\\033[1m\\342\\200\\256\\377"));
    expect_code(&c, 0);
    static const char bytes[] = "a\0b\033[1m\342\200\256\377";
    CHECK(c.out_len == sizeof(bytes) - 1 && memcmp(c.out, bytes, c.out_len) == 0,
          "%zu other bytes came", c.out_len);
}

SERVER_TEST(cli, run_refuses_input_that_is_too_large)
{
    char *bytes = need_alloc((1 << 20) + 1);
    memset(bytes, 'x', (1 << 20) + 1);
    struct text path = file_with(s, "large", bytes, (1 << 20) + 1);
    free(bytes);
    AUTO_CALL c;
    cli_call_start_in(&c, s->dir, path.s, WORDS("run", "--", "wc", "-c"));
    cli_call_end(&c);
    expect_code(&c, 125);
    expect_err_has(&c, "larger than 1 MiB");
}

SERVER_TEST(cli, run_shows_output_while_the_job_runs)
{
    struct text fifo = fifo_make(s, "hold");
    AUTO_CALL c;
    cli_call_start(
        &c, s, WORDS("run", "--", "sh", "-c", text_of("echo early; cat %s; echo late", fifo.s).s));
    AWAIT(file_has(c.out_path, "early\n"), 20);
    CHECK(!file_has(c.out_path, "late"), "the job did not wait");
    fifo_release(fifo.s);
    cli_call_end(&c);
    expect_code(&c, 0);
    expect_out(&c, "early\nlate\n");
}

SERVER_TEST(cli, ctrl_c_leaves_the_job_running)
{
    struct text fifo = fifo_make(s, "hold");
    AUTO_CALL c;
    cli_call_start(
        &c, s, WORDS("run", "--", "sh", "-c", text_of("echo begun; cat %s; echo ended", fifo.s).s));
    AWAIT(file_has(c.out_path, "begun\n"), 20);
    (void)kill(c.pid, SIGINT);
    cli_call_end(&c);
    expect_code(&c, 130);
    char *id = strstr(c.err, "ganger logs -f ");
    CHECK(id != NULL && strlen(id) > 15 + 36, "no advice on how to follow: %s", c.err);
    struct job_ref job = {0};
    memcpy(job.id, id + 15, 36);

    AUTO_CALL logs;
    cli_call_start(&logs, s, WORDS("logs", "-f", job.id));
    AWAIT(file_has(logs.out_path, "begun\n"), 20);
    fifo_release(fifo.s);
    cli_call_end(&logs);
    expect_code(&logs, 0);
    expect_out(&logs, "begun\nended\n");
    AUTO_RESPONSE ended = job_await(s, job);
    expect_outcome(ended, "succeeded", NULL);
}

SERVER_TEST(cli, run_shows_each_attempt_once)
{
    struct text mark = text_of("%s/tried", s->scratch);
    AUTO_CALL c;
    cli_call_run(&c, s,
                 WORDS("run", "--retries", "2", "--", "sh", "-c",
                       text_of("if [ -e %s ]; then echo second; else : >%s; echo first; exit 3; fi",
                               mark.s, mark.s)
                           .s));
    expect_code(&c, 0);
    CHECK(strstr(c.out, "second\n") != NULL, "the last attempt's output is missing: \"%s\"", c.out);
    CHECK(strcmp(c.out, "first\nsecond\n") == 0 || strcmp(c.out, "second\n") == 0,
          "output is repeated or mixed: \"%s\"", c.out);
}

SERVER_TEST(cli, run_gives_the_job_a_clean_environment)
{
    AUTO_CALL c;
    (void)setenv("CLI_TEST_GIVEN", "yes", 1);
    (void)setenv("CLI_TEST_OTHER", "no", 1);
    cli_call_run(&c, s,
                 WORDS("run", "-e", "CLI_TEST_GIVEN", "-e", "CLI_TEST_SET=a=b", "--cwd", "/usr",
                       "--", "sh", "-c",
                       "echo $CLI_TEST_GIVEN $CLI_TEST_OTHER $CLI_TEST_SET; pwd"));
    expect_code(&c, 0);
    expect_out(&c, "yes a=b\n/usr\n");
}

/* ---- submit, wait, logs */

SERVER_TEST(cli, submit_wait_show_logs_rm)
{
    struct job_ref job = cli_submit(s, WORDS("submit", "--name", "thumb", "--queue", "media", "-p",
                                             "5", "-l", "tenant=a", "--", "sh", "-c",
                                             "echo done; echo oops >&2; exit 4"));
    AUTO_CALL wait;
    cli_call_run(&wait, s, WORDS("wait", job.id));
    expect_code(&wait, 4);
    expect_out(&wait, "");
    expect_err_has(&wait, "failed: exit code 4");

    AUTO_CALL show;
    cli_call_run(&show, s, WORDS("show", job.id));
    expect_code(&show, 0);
    static const char *const facts[] = {"failed: exit code 4", "thumb",
                                        "media, priority 5",   "1 of 1",
                                        "5 bytes on stdout",   "{\"tenant\":\"a\"}"};
    for (size_t i = 0; i < COUNT_OF(facts); i++)
        CHECK(strstr(show.out, facts[i]) != NULL, "show lacks \"%s\":\n%s", facts[i], show.out);

    AUTO_CALL json;
    cli_call_run(&json, s, WORDS("show", "--json", job.id));
    expect_code(&json, 0);
    CHECK(strchr(json.out, '\n') == json.out + json.out_len - 1, "not one line: %s", json.out);
    CHECK(strstr(json.out, "\"exit_code\":4") != NULL, "no exit code: %s", json.out);

    AUTO_CALL logs;
    cli_call_run(&logs, s, WORDS("logs", job.id));
    expect_code(&logs, 0);
    expect_out(&logs, "done\n");
    CHECK(strcmp(logs.err, "oops\n") == 0, "stderr is \"%s\"", logs.err);
    AUTO_CALL only_err;
    cli_call_run(&only_err, s, WORDS("logs", "--stderr", job.id));
    expect_out(&only_err, "oops\n");
    CHECK(only_err.err[0] == '\0', "stderr is \"%s\"", only_err.err);

    AUTO_CALL rm;
    cli_call_run(&rm, s, WORDS("rm", job.id));
    expect_code(&rm, 0);
    AUTO_CALL gone;
    cli_call_run(&gone, s, WORDS("show", job.id));
    expect_code(&gone, 1);
    AUTO_CALL wait_gone;
    cli_call_run(&wait_gone, s, WORDS("wait", job.id));
    expect_code(&wait_gone, 125); /* 1 could be the job's own code */
}

SERVER_TEST(cli, ls_filters)
{
    struct job_ref red = cli_submit(
        s, WORDS("submit", "--wait", "--name", "red", "-l", "k=v w&x", "true"));
    struct job_ref blue = cli_submit(s,
                                     WORDS("submit", "--queue", "other", "--delay", "1h", "true"));
    static const struct {
        const char *option, *value;
        bool red, blue;
    } cases[] = {
        {"--name", "red", true, false},        {"--queue", "other", false, true},
        {"--label", "k=v w&x", true, false},   {"--label", "k=v", false, false},
        {"--state", "scheduled", false, true}, {"--state", "scheduled,succeeded", true, true},
        {"--limit", "1", false, true},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        AUTO_CALL c;
        cli_call_run(&c, s, WORDS("ls", "-q", cases[i].option, cases[i].value));
        expect_code(&c, 0);
        struct text wanted = text_of("%s%s%s%s", cases[i].blue ? blue.id : "",
                                     cases[i].blue ? "\n" : "", cases[i].red ? red.id : "",
                                     cases[i].red ? "\n" : "");
        CHECK(strcmp(c.out, wanted.s) == 0, "%s %s gives \"%s\"", cases[i].option, cases[i].value,
              c.out);
    }
    AUTO_CALL table;
    cli_call_run(&table, s, WORDS("ls"));
    expect_code(&table, 0);
    CHECK(strncmp(table.out, "ID ", 3) == 0 && strstr(table.out, red.id) != NULL &&
              strstr(table.out, blue.id) != NULL,
          "no table: %s", table.out);
}

SERVER_TEST(cli, a_job_has_limits)
{
    AUTO_CALL memory, deadline, queue;
    cli_call_run(&memory, s,
                 WORDS("run", "--limit-memory", "512MiB", "--limit-output", "1MiB", "--", "sh",
                       "-c", "ulimit -v"));
    expect_out(&memory, "524288\n");
    cli_call_run(&deadline, s, WORDS("run", "--deadline", "100ms", "--", "sleep", "60"));
    expect_code(&deadline, 124);
    expect_err_has(&deadline, "deadline");
    struct text fifo = fifo_make(s, "hold");
    for (int i = 0; i < 2; i++) /* both workers */
        response_free(
            job_await_state(s, job_submit(s, "{'command':['cat','%s']}", fifo.s), "running"));
    cli_call_run(&queue, s, WORDS("run", "--queue-timeout", "100ms", "--", "true"));
    expect_err_has(&queue, "queue_timeout");
    fifo_release(fifo.s);
}

SERVER_TEST(cli, what_waits_can_be_changed)
{
    struct job_ref job = cli_submit(s, WORDS("submit", "--delay", "1h", "-l", "a=1", "true"));
    AUTO_CALL c, nothing;
    cli_call_run(&c, s,
                 WORDS("change", "--json", "--priority", "7", "--queue", "q", "--name", "n", "-l",
                       "b=2", "--delay", "0", "--timeout", "none", "--retries", "2", job.id));
    expect_code(&c, 0);
    AUTO_RESPONSE r = job_await(s, job);
    expect_outcome(r, "succeeded", NULL);
    expect_int(r, "priority", 7);
    expect_text(r, "queue", "q");
    expect_text(r, "name", "n");
    expect_text(r, "labels.b", "2");
    cr_assert_null(json_find(r, "labels.a"));
    expect_int(r, "max_attempts", 3);
    CHECK(strstr(c.out, "\"name\":\"n\"") != NULL, "%s", c.out);
    cli_call_run(&nothing, s, WORDS("change", job.id));
    expect_code(&nothing, 1);
    expect_err_has(&nothing, "say what to change");
    AUTO_CALL late;
    cli_call_run(&late, s, WORDS("change", "--priority", "1", job.id));
    expect_code(&late, 1);
    expect_err_has(&late, "only a job that waits can be changed");
}

SERVER_TEST(cli, a_result_is_waited_for_and_printed_alone)
{
    struct text fifo = fifo_make(s, "hold");
    struct job_ref job = cli_submit(
        s, WORDS("submit", "sh", "-c", text_of("cat %s; echo out; echo err >&2", fifo.s).s));
    AUTO_CALL early, c, failed;
    cli_call_run(&early, s, WORDS("result", "--timeout", "100ms", job.id));
    expect_code(&early, 124);
    expect_out(&early, "");
    fifo_release(fifo.s);
    cli_call_run(&c, s, WORDS("result", job.id));
    expect_code(&c, 0);
    expect_out(&c, "out\n");
    CHECK(c.err[0] == '\0', "more than the result: %s", c.err);
    struct job_ref bad = cli_submit(s, WORDS("submit", "sh", "-c", "echo half; exit 3"));
    cli_call_run(&failed, s, WORDS("result", bad.id));
    expect_code(&failed, 3);
    expect_out(&failed, "");
    expect_err_has(&failed, "exit code 3");
}

SERVER_TEST(cli, wait_runs_out_of_time)
{
    struct text fifo = fifo_make(s, "hold");
    struct job_ref job = cli_submit(s, WORDS("submit", "cat", fifo.s));
    AUTO_CALL c;
    cli_call_run(&c, s, WORDS("wait", "--timeout", "300ms", job.id));
    expect_code(&c, 124);
    fifo_release(fifo.s);
    AUTO_CALL again;
    cli_call_run(&again, s, WORDS("wait", "--timeout", "60s", job.id));
    expect_code(&again, 0);
}

SERVER_TEST(cli, submit_with_a_key_makes_one_job)
{
    struct job_ref first = cli_submit(s, WORDS("submit", "--idempotency-key", "order 7", "true"));
    struct job_ref second = cli_submit(s, WORDS("submit", "--idempotency-key", "order 7", "true"));
    CHECK(strcmp(first.id, second.id) == 0, "two jobs: %s and %s", first.id, second.id);
    AUTO_CALL other;
    cli_call_run(&other, s, WORDS("submit", "--idempotency-key", "order 7", "false"));
    expect_code(&other, 1);
}

SERVER_TEST(cli, submit_from_a_file_names_the_lines_it_refuses)
{
    struct text path = text_of("%s/jobs.ndjson", s->scratch);
    FILE *file = fopen(path.s, "we");
    CHECK(file != NULL, "cannot write %s", path.s);
    for (int i = 1; i <= 1200; i++) {
        if (i == 3)
            (void)fprintf(file, "{\"command\":[\"true\"],\"comand\":1}\n");
        else if (i == 700)
            (void)fprintf(file, "{\"command\":\n");
        else if (i == 900)
            (void)fprintf(file, "\n");
        else
            (void)fprintf(file, "{\"command\":[\"true\"],\"name\":\"n%d\",\"delay\":3600}\n", i);
    }
    CHECK(fclose(file) == 0, "cannot write %s", path.s);
    AUTO_CALL c;
    cli_call_run(&c, s, WORDS("submit", "--from", path.s));
    expect_code(&c, 1);
    CHECK(c.out_len == (size_t)1197 * 37, "%zu ids instead of 1197", c.out_len / 37);
    expect_err_has(&c, "line 3: ");
    expect_err_has(&c, "/comand");
    expect_err_has(&c, "line 700: ");
    expect_err_has(&c, "1197 submitted, 2 refused");
    CHECK(strstr(c.err, "line 900") == NULL, "an empty line was sent: %s", c.err);

    AUTO_CALL ls;
    cli_call_run(&ls, s, WORDS("ls", "-q", "--state", "scheduled", "--limit", "5000"));
    expect_code(&ls, 0);
    CHECK(ls.out_len == (size_t)1197 * 37, "ls shows %zu jobs instead of 1197", ls.out_len / 37);
}

/* ---- cancel, rm */

SERVER_TEST(cli, cancel_ends_the_tree)
{
    struct text ready = text_of("%s/ready", s->scratch);
    struct job_ref job = cli_submit(
        s, WORDS("submit", "-e", "CLI_MARK=cancel-ends-the-tree", "--", "sh", "-c",
                 text_of("cat /dev/zero >/dev/null & : >%s; wait", ready.s).s));
    await_file(ready.s, 20);
    AUTO_CALL rm;
    cli_call_run(&rm, s, WORDS("rm", job.id));
    expect_code(&rm, 1);
    expect_err_has(&rm, "cancel it first");

    AUTO_CALL left;
    cli_call_run(&left, s, WORDS("cancel", "--if-queued", job.id));
    expect_code(&left, 1);
    CHECK(strstr(left.out, "running, left alone") != NULL, "stdout: %s", left.out);

    AUTO_CALL c;
    cli_call_run(&c, s, WORDS("cancel", "--signal", "KILL", "--grace", "1s", job.id));
    expect_code(&c, 0);
    CHECK(strncmp(c.out, job.id, 36) == 0 && strstr(c.out, " cancelled") != NULL, "stdout: %s",
          c.out);
    no_process_left("CLI_MARK=cancel-ends-the-tree", 2);

    AUTO_CALL wait;
    cli_call_run(&wait, s, WORDS("wait", job.id));
    expect_code(&wait, 137);
}

SERVER_TEST(cli, cancel_of_a_finished_job_fails)
{
    struct job_ref job = cli_submit(s, WORDS("submit", "--wait", "true"));
    AUTO_CALL c;
    cli_call_run(&c, s, WORDS("cancel", job.id));
    expect_code(&c, 1);
    CHECK(strstr(c.out, "succeeded before") != NULL, "stdout: %s", c.out);
}
