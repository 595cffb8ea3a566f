/* SPDX-License-Identifier: MIT */
/* The client subcommands around the jobs: failures, terminals, documents, completion. */
#include "integration/cli_call.h"
#include "integration/harness_queue.h"

#include <errno.h>
#include <limits.h>

/* ---- health and failures */

SERVER_TEST(cli, health_and_version_answer)
{
    AUTO_CALL health;
    cli_call_run(&health, s, WORDS("health"));
    expect_code(&health, 0);
    AUTO_CALL version;
    cli_call_run(&version, s, WORDS("version", "--json"));
    expect_code(&version, 0);
    CHECK(strstr(version.out, "\"server\":{") != NULL, "no server in %s", version.out);
}

PLAIN_TEST(cli, without_a_server_there_is_advice)
{
    char dir[128];
    temp_dir_make(dir, sizeof(dir));
    const char **calls[] = {WORDS("run", "true"), WORDS("ls"), WORDS("wait", "01")};
    for (size_t i = 0; i < COUNT_OF(calls); i++) {
        AUTO_CALL c;
        cli_call_start_in(&c, dir, NULL, calls[i]);
        cli_call_end(&c);
        expect_code(&c, 125);
        expect_err_has(&c, "start one with: ganger serve");
        expect_out(&c, "");
    }
    AUTO_CALL health;
    cli_call_start_in(&health, dir, NULL, WORDS("health"));
    cli_call_end(&health);
    expect_code(&health, 1);
    temp_dir_remove(dir);
}

PLAIN_TEST(cli, wrong_usage_is_two)
{
    AUTO_CALL c;
    cli_call_start_in(&c, "/nonexistent", NULL, WORDS("sumbit", "true"));
    cli_call_end(&c);
    expect_code(&c, 2);
    expect_err_has(&c, "did you mean submit?");
    expect_out(&c, "");
}

SERVER_TEST(cli, a_wrong_token_is_explained)
{
    struct text path = text_of("%s/token", s->dir);
    AUTO_TEXT token = file_read(path.s, NULL);
    CHECK(rename(path.s, text_of("%s/token.away", s->dir).s) == 0, "rename: %s", strerror(errno));
    AUTO_CALL c;
    cli_call_run(&c, s, WORDS("ls"));
    expect_code(&c, 1);
    expect_err_has(&c, "GANGER_TOKEN_FILE");
    AUTO_CALL health; /* needs none */
    cli_call_run(&health, s, WORDS("health"));
    expect_code(&health, 0);
    CHECK(rename(text_of("%s/token.away", s->dir).s, path.s) == 0, "rename: %s", strerror(errno));
}

static int64_t parked_count(struct server *s)
{
    AUTO_RESPONSE r = http_get(s, "/v1/stats");
    return json_int(r, "parked");
}

PLAIN_TEST(cli, a_wait_survives_a_restart_of_the_server)
{
    struct server s;
    struct server_options options = {.workers = 1};
    server_start(&s, &options);
    put_queue(&s, "held", "{'paused':true}");
    struct job_ref job = cli_submit(&s,
                                    WORDS("submit", "--queue", "held", "--", "sh", "-c", "exit 5"));
    AUTO_CALL wait;
    cli_call_start(&wait, &s, WORDS("wait", job.id));
    AWAIT(parked_count(&s) == 1, 20);
    server_kill(&s);
    server_restart(&s, &options);
    AWAIT(parked_count(&s) == 1, 20);
    queue_verb(&s, "held", "resume");
    cli_call_end(&wait);
    expect_code(&wait, 5);
    expect_err_has(&wait, "trying again");
    server_stop(&s);
}

PLAIN_TEST(cli, a_run_survives_a_restart_of_the_server)
{
    struct server s;
    struct server_options options = {.workers = 1};
    server_start(&s, &options);
    struct text fifo = fifo_make(&s, "hold");
    AUTO_CALL run;
    cli_call_start(&run, &s,
                   WORDS("run", "--retries", "1", "--", "sh", "-c",
                         text_of("echo begun; cat %s; echo ended", fifo.s).s));
    AWAIT(file_has(run.out_path, "begun\n"), 20);
    server_kill(&s); /* what ran is lost, and its policy allows another attempt */
    server_restart(&s, &options);
    AWAIT(file_has(run.out_path, "begun\nbegun\n"), 30);
    fifo_release(fifo.s);
    cli_call_end(&run);
    expect_code(&run, 0);
    expect_out(&run, "begun\nbegun\nended\n");
    expect_err_has(&run, "attempt 2:");
    server_stop(&s);
}

/* ---- terminals */

#define COLOURED "sh", "-c", "printf 'a\\033[31mred\\033]0;title\\007z\\n'"

SERVER_TEST(cli, a_job_cannot_operate_the_terminal)
{
    AUTO_TEXT clean = cli_on_terminal(s, "TERM=dumb", WORDS("run", "--", COLOURED));
    CHECK(strcmp(clean, "aredz\r\n") == 0, "\"%s\"", clean);
    AUTO_TEXT raw = cli_on_terminal(s, "TERM=dumb", WORDS("run", "--raw", "--", COLOURED));
    CHECK(strcmp(raw, "a\033[31mred\033]0;title\007z\r\n") == 0, "\"%s\"", raw);

    AUTO_CALL c; /* a file gets the bytes */
    cli_call_run(&c, s, WORDS("run", "--", COLOURED));
    expect_out(&c, "a\033[31mred\033]0;title\007z\n");
}

SERVER_TEST(cli, progress_is_shown_on_a_terminal_only)
{
    const struct text hold = fifo_make(s, "hold");
    struct job_ref job = cli_submit(s, WORDS("submit", "cat", hold.s));
    AUTO_CALL c;
    cli_call_start(&c, s, WORDS("wait", job.id));
    const struct typed seen = {"running, 1 s", .fifo = hold.s};
    AUTO_TEXT shown = cli_typing(s, &seen, WORDS("wait", job.id));
    CHECK(strstr(shown, seen.text) != NULL, "no progress: \"%s\"", shown);
    cli_call_end(&c);
    expect_code(&c, 0);
    CHECK(c.err[0] == '\0', "off a terminal there is \"%s\"", c.err);
}

/* ---- documents and completion */

PLAIN_TEST(cli, the_document_is_what_the_tables_say)
{
    AUTO_CALL c;
    cli_call_start_in(&c, "/nonexistent", NULL, WORDS("help", "markdown"));
    cli_call_end(&c);
    AUTO_TEXT document = file_read(GANGER_SOURCE_DIR "/docs/cli.md", NULL);
    CHECK(document != NULL && strcmp(document, c.out) == 0,
          "docs/cli.md differs; write it with: ganger help markdown > docs/cli.md");
}

SERVER_TEST(cli, bash_completes_commands_options_and_ids)
{
    struct job_ref job = cli_submit(s, WORDS("submit", "--wait", "true"));
    char script[2 * PATH_MAX], binary[PATH_MAX];
    CHECK(realpath(ganger_binary(), binary) != NULL, "no binary: %s", strerror(errno));
    (void)snprintf(
        script, sizeof(script),
        "export GANGER_DATA='%s'; unset GANGER_TOKEN; ganger() { '%s' \"$@\"; }; eval \"$(ganger "
        "completion bash)\"\n"
        "try() { COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); _ganger; echo \"${COMPREPLY[@]}\"; "
        "}\n"
        "try ganger sub; try ganger ls --sta; try ganger ls --state succ; try ganger wait %.8s",
        s->dir, binary, job.id);
    struct text path = file_with(s, "try.sh", script, strlen(script));
    AUTO_CALL c;
    cli_call_run(&c, s, WORDS("run", "--", "bash", path.s));
    expect_code(&c, 0);
    CHECK(strncmp(c.out, "submit\n--state\nsucceeded\n", 25) == 0, "stdout: %s", c.out);
    CHECK(strstr(c.out, job.id) != NULL, "the id is not offered: %s", c.out);
}
