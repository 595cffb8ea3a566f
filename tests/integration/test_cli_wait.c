/* SPDX-License-Identifier: MIT */
/* ganger wait on several, and the verbs on many jobs and on queues. */
#include "integration/cli_call.h"

#include <signal.h>

/* A job that runs until the pipe is let go. */
static struct job_ref held(struct server *s, const char *fifo)
{
    return cli_submit(s, WORDS("submit", "--", "cat", fifo));
}

/* ---- wait */

SERVER_TEST(cli_wait, any_ends_with_the_first_one)
{
    struct text fifo = fifo_make(s, "hold");
    struct job_ref slow = held(s, fifo.s);
    struct job_ref quick = cli_submit(s, WORDS("submit", "--", "sh", "-c", "exit 6"));
    AUTO_CALL c, late;
    cli_call_run(&c, s, WORDS("wait", "--any", slow.id, quick.id));
    expect_code(&c, 6);
    expect_out(&c, text_of("%s\n", quick.id).s);
    cli_call_run(&late, s, WORDS("wait", "--any", "--timeout", "0.2", slow.id));
    expect_code(&late, 124);
    fifo_release(fifo.s);
    AUTO_CALL all;
    cli_call_run(&all, s, WORDS("wait", "--all", slow.id, quick.id));
    expect_code(&all, 6);
}

SERVER_TEST(cli_wait, first_error_ends_with_a_failure_or_with_all)
{
    struct text fifo = fifo_make(s, "hold");
    struct job_ref slow = held(s, fifo.s);
    struct job_ref good = cli_submit(s, WORDS("submit", "--", "true"));
    AUTO_CALL c, all;
    cli_call_start(&c, s, WORDS("wait", "--first-error", slow.id, good.id));
    fifo_release(fifo.s);
    cli_call_end(&c);
    expect_code(&c, 0);
    expect_out(&c, text_of("%s\n%s\n", slow.id, good.id).s);
    struct text other = fifo_make(s, "other");
    struct job_ref held_back = held(s, other.s);
    struct job_ref bad = cli_submit(s, WORDS("submit", "--", "sh", "-c", "exit 5"));
    cli_call_run(&all, s, WORDS("wait", "--first-error", held_back.id, bad.id));
    expect_code(&all, 5);
    fifo_release(other.s);
}

SERVER_TEST(cli_wait, batches_and_jobs_together)
{
    AUTO_CALL batch, good, bad, any;
    cli_call_run(&batch, s,
                 WORDS("map", "--detach", "--", "sh", "-c", "exit $0", "{}", ":::", "0", "1"));
    expect_code(&batch, 0);
    batch.out[36] = '\0';
    struct job_ref job = cli_submit(s, WORDS("submit", "--", "true"));
    cli_call_run(&bad, s, WORDS("wait", job.id, batch.out));
    expect_code(&bad, 1);
    expect_err_has(&bad, "failed, 2 of 2, 1 failed");
    cli_call_run(&good, s, WORDS("wait", "--json", batch.out));
    expect_code(&good, 1);
    CHECK(strstr(good.out, "\"kind\":\"items\"") != NULL, "not a batch: %s", good.out);
    cli_call_run(&any, s, WORDS("wait", "--any", batch.out, job.id));
    expect_out(&any, text_of("%s\n%s\n", batch.out, job.id).s);
    AUTO_CALL usage;
    cli_call_run(&usage, s, WORDS("wait", "--any", "--all", job.id));
    expect_code(&usage, 2);
}

/* ---- many jobs at once */

static int count_in_state(struct server *s, const char *state)
{
    AUTO_CALL c;
    cli_call_run(&c, s, WORDS("ls", "-q", "--state", state, "--limit", "100"));
    expect_code(&c, 0);
    return (int)(c.out_len / 37);
}

SERVER_TEST(cli_select, jobs_are_cancelled_and_forgotten_by_what_they_are)
{
    for (int i = 0; i < 3; i++)
        (void)cli_submit(s, WORDS("submit", "--delay", "1h", "-l", "kind=late", "true"));
    struct job_ref other = cli_submit(s, WORDS("submit", "--delay", "1h", "true"));
    AUTO_CALL refused, dry, done, rm, usage;
    cli_call_run(&refused, s, WORDS("cancel", "--label", "kind=late"));
    expect_code(&refused, 1);
    expect_err_has(&refused, "3 jobs would be cancelled; nothing is changed without --yes");
    cli_call_run(&dry, s, WORDS("cancel", "--label", "kind=late", "--dry-run"));
    expect_code(&dry, 0);
    expect_out(&dry, "3 would be cancelled\n");
    CHECK(count_in_state(s, "scheduled") == 4, "something was cancelled");
    cli_call_run(&done, s, WORDS("cancel", "--state", "scheduled", "-l", "kind=late", "--yes"));
    expect_code(&done, 0);
    expect_out(&done, "3 cancelled\n");
    AWAIT(count_in_state(s, "cancelled") == 3, 20);
    cli_call_run(&rm, s, WORDS("rm", "--all", "--yes", "--json"));
    expect_code(&rm, 0);
    AWAIT(count_in_state(s, "cancelled") == 0, 20);
    CHECK(count_in_state(s, "scheduled") == 1, "a job that had not ended was forgotten");
    cli_call_run(&usage, s, WORDS("cancel", other.id, "--all"));
    expect_code(&usage, 2);
}

SERVER_TEST(cli_select, jobs_are_tried_again)
{
    struct text mark = text_of("%s/mark", s->scratch);
    struct job_ref job = cli_submit(s, WORDS("submit", "--", "test", "-e", mark.s));
    struct job_ref other = cli_submit(s, WORDS("submit", "--", "test", "-e", mark.s));
    AUTO_CALL first, retry, again, many;
    cli_call_run(&first, s, WORDS("wait", job.id, other.id));
    expect_code(&first, 1);
    (void)file_with(s, "mark", "", 0);
    cli_call_run(&retry, s, WORDS("retry", job.id));
    expect_code(&retry, 0);
    cli_call_run(&again, s, WORDS("wait", job.id));
    expect_code(&again, 0);
    cli_call_run(&many, s, WORDS("retry", "--state", "failed"));
    expect_code(&many, 0);
    expect_out(&many, "1 retried\n");
    AUTO_CALL end;
    cli_call_run(&end, s, WORDS("wait", other.id));
    expect_code(&end, 0);
}

/* ---- queues */

SERVER_TEST(cli_queue, limits_are_set_shown_and_forgotten)
{
    AUTO_CALL set, show, ls, names, rm, gone;
    cli_call_run(&set, s,
                 WORDS("queue", "set", "--concurrency", "2", "--rate", "10/1s", "--weight", "3",
                       "--max-length", "7", "--defaults", "{\"timeout\":\"5m\"}", "media"));
    expect_code(&set, 0);
    cli_call_run(&show, s, WORDS("queue", "show", "--json", "media"));
    expect_code(&show, 0);
    static const char *const facts[] = {"\"concurrency\":2", "\"rate\":\"10/1s\"", "\"weight\":3",
                                        "\"max_length\":7"};
    for (size_t i = 0; i < COUNT_OF(facts); i++)
        CHECK(strstr(show.out, facts[i]) != NULL, "no %s in %s", facts[i], show.out);
    cli_call_run(&ls, s, WORDS("queue", "ls"));
    expect_code(&ls, 0);
    CHECK(strstr(ls.out, "media") != NULL && strstr(ls.out, "10/1s") != NULL, "ls says: %s",
          ls.out);
    cli_call_run(&names, s, WORDS("queue", "ls", "-q"));
    CHECK(strstr(names.out, "media\n") != NULL, "ls -q says: %s", names.out);
    AUTO_CALL none;
    cli_call_run(&none, s, WORDS("queue", "set", "--concurrency", "0", "--rate", "none", "media"));
    expect_code(&none, 0);
    cli_call_run(&gone, s, WORDS("queue", "show", "--json", "media"));
    CHECK(strstr(gone.out, "\"concurrency\":null") != NULL, "show says: %s", gone.out);
    cli_call_run(&rm, s, WORDS("queue", "rm", "media"));
    expect_code(&rm, 1);
    expect_err_has(&rm, "nothing is forgotten without --yes");
    AUTO_CALL sure;
    cli_call_run(&sure, s, WORDS("queue", "rm", "--yes", "media"));
    expect_code(&sure, 0);
}

SERVER_TEST(cli_queue, a_paused_one_explains_itself_and_is_purged)
{
    AUTO_CALL pause, explain, purge, resume;
    cli_call_run(&pause, s, WORDS("queue", "pause", "media"));
    expect_code(&pause, 0);
    struct job_ref job = cli_submit(s, WORDS("submit", "--queue", "media", "true"));
    cli_call_run(&explain, s, WORDS("explain", job.id));
    expect_code(&explain, 0);
    CHECK(strstr(explain.out, " is queued") != NULL && strstr(explain.out, "  paused") != NULL,
          "explain says: %s", explain.out);
    cli_call_run(&purge, s, WORDS("queue", "purge", "--yes", "media"));
    expect_code(&purge, 0);
    AUTO_RESPONSE ended = job_await(s, job);
    expect_outcome(ended, "cancelled", NULL);
    cli_call_run(&resume, s, WORDS("queue", "resume", "media"));
    expect_code(&resume, 0);
    AUTO_CALL run;
    cli_call_run(&run, s, WORDS("run", "--queue", "media", "echo", "on"));
    expect_code(&run, 0);
    expect_out(&run, "on\n");
}

/* ---- jobs that are tied to others */

SERVER_TEST(cli_ties, a_job_reads_what_another_wrote)
{
    struct text fifo = fifo_make(s, "hold");
    struct job_ref parent = cli_submit(
        s, WORDS("submit", "--", "sh", "-c", text_of("cat %s; echo b; echo a", fifo.s).s));
    struct job_ref child = cli_submit(s, WORDS("submit", "--stdin-from", parent.id, "sort"));
    struct job_ref never = cli_submit(s, WORDS("submit", "--depends-on", parent.id, "--depends-on",
                                               child.id, "--on-parent-failure", "cancel", "true"));
    AUTO_CALL explain, wait, logs;
    cli_call_run(&explain, s, WORDS("explain", child.id));
    expect_code(&explain, 0);
    CHECK(strstr(explain.out, "blocked") != NULL && strstr(explain.out, "dependency") != NULL,
          "explain says: %s", explain.out);
    fifo_release(fifo.s);
    cli_call_run(&wait, s, WORDS("wait", parent.id, child.id, never.id));
    expect_code(&wait, 0);
    cli_call_run(&logs, s, WORDS("logs", child.id));
    expect_out(&logs, "a\nb\n");
}

SERVER_TEST(cli_ties, one_living_job_per_key)
{
    struct job_ref first = cli_submit(s, WORDS("submit", "--delay", "1h", "--unique", "k", "true"));
    struct job_ref same = cli_submit(s, WORDS("submit", "--delay", "1h", "--unique", "k", "true"));
    CHECK(strcmp(first.id, same.id) == 0, "a second job was made");
    AUTO_CALL c;
    cli_call_run(&c, s, WORDS("submit", "--unique", "k", "--on-conflict", "reject", "true"));
    expect_code(&c, 1);
    struct job_ref other = cli_submit(
        s, WORDS("submit", "--unique", "k", "--on-conflict", "replace", "true"));
    CHECK(strcmp(first.id, other.id) != 0, "it was not replaced");
    AUTO_RESPONSE ended = job_await(s, first);
    expect_outcome(ended, "cancelled", NULL);
}

SERVER_TEST_WITH(cli_pipe, stages_are_joined, .workers = 4)
{
    AUTO_CALL c, code, input, early;
    cli_call_run(&c, s,
                 WORDS("pipe", "--", "seq", "10", ":::", "sort", "-rn", ":::", "head", "-n", "2"));
    expect_code(&c, 0);
    expect_out(&c, "10\n9\n");
    cli_call_run(&code, s,
                 WORDS("pipe", "--", "sh", "-c", "echo in; echo err >&2; exit 3", ":::", "cat"));
    expect_code(&code, 3);
    expect_out(&code, "in\n");
    expect_err_has(&code, "err\n");
    struct text path = file_with(s, "input", "b\na\n", 4);
    cli_call_run(&input, s, WORDS("pipe", "--stdin", path.s, "sort"));
    expect_code(&input, 0);
    expect_out(&input, "a\nb\n");
    cli_call_run(&early, s, WORDS("pipe", "--", "yes", ":::", "head", "-n", "1"));
    expect_code(&early, 0);
    expect_out(&early, "y\n");
}

SERVER_TEST(cli_events, changes_appear_as_they_happen)
{
    AUTO_CALL c;
    cli_call_start(&c, s, WORDS("events", "--json", "--queue", "media"));
    struct job_ref job = {0};
    /* Until it listens, jobs pass unseen: one after the other is sent until one is seen. */
    for (;;) {
        job = cli_submit(s, WORDS("submit", "--queue", "media", "--wait", "-q", "true"));
        if (file_has(c.out_path, job.id))
            break;
        pause_ms(20);
    }
    AWAIT(file_has(c.out_path, "\"succeeded\""), 20);
    (void)kill(c.pid, SIGINT);
    cli_call_end(&c);
    expect_code(&c, 130);
}
