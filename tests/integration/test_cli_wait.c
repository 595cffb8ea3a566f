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

/* ---- jobs that are tied to others */

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
