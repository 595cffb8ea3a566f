/* SPDX-License-Identifier: MIT */
/* Pipelines when processes die: never does a half of one run, nothing runs twice, and what is lost
 * is called so. */
#include "integration/harness_pipeline.h"

#include <signal.h>

/* Each stage leaves a mark when it begins. */
static struct job_ref submit_marking(struct server *s, const char *dir, const char *then)
{
    return pipeline_submit(s,
                           "{'env':{'MARK':'pipe-fault'},'stages':["
                           "{'command':['sh','-c','echo x >> %s/first; %s']},"
                           "{'command':['sh','-c','echo x >> %s/second; cat']}]}",
                           dir, then, dir);
}

static size_t marks(const char *dir, const char *name)
{
    size_t len = 0;
    AUTO_TEXT text = file_read(text_of("%s/%s", dir, name).s, &len);
    return text == NULL ? 0 : len / 2;
}

static void restart_healthy(struct server *s)
{
    static const struct server_options healthy;
    server_restart(s, &healthy);
}

SERVER_TEST(pipelines, stages_that_ran_when_the_server_was_killed_are_lost)
{
    struct job_ref p = submit_marking(s, s->scratch, "sleep 1000");
    AWAIT(marks(s->scratch, "first") == 1 && marks(s->scratch, "second") == 1, 20);
    server_kill(s);
    server_restart(s, NULL);
    AUTO_RESPONSE r = batch_await(s, p);
    expect_text(r, "state", "failed");
    expect_stage(s, r, 0, "failed", "lost");
    expect_stage(s, r, 1, "failed", "lost");
    no_process_left("MARK=pipe-fault", 5);
    cr_assert_eq(marks(s->scratch, "first"), 1, "and did not run again");
    AUTO_RESPONSE next = pipeline_run(s,
                                      "{'stages':[{'command':['echo','x']},{'command':['cat']}]}");
    expect_result(s, next, "x\n");
}

SERVER_TEST(pipelines, one_that_waits_outlives_a_kill)
{
    struct job_ref held = job_submit(s, "{'command':['sh','-c','echo begun; exec sleep 1000']}");
    AWAIT(job_has_said(s, held, "stdout", "begun"), 20);
    struct job_ref p = submit_marking(s, s->scratch, "echo out");
    server_kill(s);
    server_restart(s, NULL);
    AUTO_RESPONSE r = batch_await(s, p);
    expect_text(r, "state", "succeeded");
    expect_result(s, r, "out\n");
    cr_assert_eq(marks(s->scratch, "first"), 1);
}

SERVER_TEST(pipelines, a_stage_whose_worker_dies_is_lost_and_the_others_end)
{
    struct job_ref p = submit_marking(s, s->scratch, "sleep 1000");
    AUTO_RESPONSE running = job_await_state(s, stage(s, p, 0), "running");
    AWAIT(marks(s->scratch, "second") == 1 && marks(s->scratch, "first") == 1, 20);
    AUTO_RESPONSE job = job_show(s, stage(s, p, 0));
    cr_assert_eq(kill((pid_t)json_int(job, "worker.pid"), SIGKILL), 0);
    AUTO_RESPONSE r = batch_await(s, p);
    expect_text(r, "state", "failed");
    expect_stage(s, r, 0, "failed", "lost");
    expect_stage(s, r, 1, "succeeded", NULL);
    no_process_left("MARK=pipe-fault", 5);
}

/* The server dies when the first START has left: the second stage can never begin. */
SERVER_TEST_WITH(pipelines, a_half_that_had_begun_is_lost_and_the_other_never_begins,
                 .unchecked = true, .env = {"GANGER_FP=pool-after-start:kill:1"})
{
    AUTO_TEXT body = json_of("{'stages':[{'command':['sh','-c','echo x >> %s/first; sleep 0.3']},"
                             "{'command':['sh','-c','echo x >> %s/second; cat']}]}",
                             s->scratch, s->scratch);
    const char *headers[] = {"Idempotency-Key: half", NULL};
    const struct call call = {.method = "POST",
                              .path = "/v1/pipelines",
                              .body = body,
                              .body_len = strlen(body),
                              .headers = headers};
    AUTO_RESPONSE none = http_try(s, &call);
    cr_assert_eq(server_wait_exit(s, 20), 137);
    restart_healthy(s);
    AUTO_RESPONSE again = http_send(s, &call);
    expect_status(again, 202);
    expect_header(again, "Idempotency-Replayed", "true");
    AUTO_RESPONSE r = batch_await(s, job_of(again));
    AUTO_RESPONSE first = job_show(s, stage_of(r, 0));
    AUTO_RESPONSE second = job_show(s, stage_of(r, 1));
    if (strcmp(json_text(r, "state"), "succeeded") == 0) {
        /* Its worker was killed before it had read the START: then nothing of it had begun. */
        cr_assert_eq(marks(s->scratch, "first") + marks(s->scratch, "second"), 2);
        return;
    }
    expect_outcome(first, "failed", "lost");
    expect_outcome(second, "cancelled", NULL);
    cr_assert_eq(marks(s->scratch, "second"), 0);
    cr_assert_leq(marks(s->scratch, "first"), 1);
}

/* Killed at this commit: whatever was acknowledged runs once as a whole, or is lost as a whole.
 * False: it had no so many. */
static bool die_at_commit(int nth)
{
    struct server s;
    char fault[64];
    (void)snprintf(fault, sizeof(fault), "GANGER_FP=engine-after-commit:kill:%d", nth);
    struct server_options options = {.workers = 2, .unchecked = true, .env = {fault}};
    struct server_options healthy = {.workers = 2, .unchecked = true};
    server_start(&s, &options);
    AUTO_TEXT body = json_of("{'stages':[{'command':['sh','-c','echo x >> %s/first; echo out']},"
                             "{'command':['sh','-c','echo x >> %s/second; cat']}]}",
                             s.scratch, s.scratch);
    const char *headers[] = {"Idempotency-Key: p", "Prefer: wait=5", NULL};
    const struct call call = {.method = "POST",
                              .path = "/v1/pipelines",
                              .body = body,
                              .body_len = strlen(body),
                              .headers = headers};
    AUTO_RESPONSE alive = http_try(&s, &call);
    server_kill(&s);
    server_restart(&s, &healthy);
    AUTO_RESPONSE again = http_send(&s, &call);
    AUTO_RESPONSE r = batch_await(&s, job_of(again));
    const char *state = json_text(r, "state");
    size_t first = marks(s.scratch, "first"), second = marks(s.scratch, "second");
    CHECK(first <= 1 && second <= 1, "commit %d: a stage ran twice", nth);
    CHECK(strcmp(state, "succeeded") != 0 || (first == 1 && second == 1),
          "commit %d: succeeded without having run", nth);
    CHECK(strcmp(state, "succeeded") == 0 || strcmp(state, "failed") == 0, "commit %d: %s", nth,
          state);
    CHECK(json_int(r, "counts.queued") == 0 && json_int(r, "counts.blocked") == 0,
          "commit %d: a half of it waits", nth);
    server_kill(&s);
    server_forget(&s);
    return alive == NULL;
}

PLAIN_TEST(pipelines, a_kill_after_any_commit_leaves_no_half)
{
    SKIP_WITHOUT_FAULTS();
    int n = 0;
    while (n < 40 && die_at_commit(n + 1))
        n++;
    cr_assert(n >= 3 && n < 40, "%d commits", n);
}

SERVER_TEST_WITH(pipelines, one_that_cannot_begin_at_all_waits_again, .workers = 3,
                 .env = {"GANGER_FP=pool-pipe:error:1"})
{
    AUTO_RESPONSE r = pipeline_run(s, "{'stages':[{'command':['echo','x']},{'command':['cat']},"
                                      "{'command':['cat']}]}");
    expect_text(r, "state", "succeeded");
    expect_result(s, r, "x\n");
    AUTO_RESPONSE first = job_show(s, stage_of(r, 0));
    expect_int(first, "attempt", 1);
}

SERVER_TEST_WITH(pipelines, one_that_cannot_begin_as_a_whole_is_broken_off, .workers = 3,
                 .env = {"GANGER_FP=pool-pipe:error:2"})
{
    AUTO_RESPONSE r = pipeline_run(s, "{'env':{'MARK':'pipe-broken'},'stages':["
                                      "{'command':['sleep','1000']},{'command':['cat']},"
                                      "{'command':['cat']}]}");
    expect_text(r, "state", "failed");
    for (int i = 0; i < 3; i++)
        expect_stage(s, r, i, "failed", "lost");
    no_process_left("MARK=pipe-broken", 5);
    AUTO_RESPONSE next = pipeline_run(s, "{'stages':[{'command':['echo','x']},{'command':['cat']},"
                                         "{'command':['cat']}]}");
    expect_result(s, next, "x\n");
}

/* No worker can fork for it: the machine's fault, and other stages have begun. */
SERVER_TEST_WITH(pipelines, a_stage_that_its_worker_cannot_start_ends_it, .workers = 2,
                 .env = {"GANGER_FP=proc-clone:error:1"})
{
    AUTO_RESPONSE r = pipeline_run(
        s, "{'stages':[{'command':['sleep','1000']},{'command':['sleep','1000']}]}");
    expect_text(r, "state", "failed");
    expect_int(r, "counts.failed", 2);
    expect_stage(s, r, 0, "failed", "lost");
    expect_stage(s, r, 1, "failed", "lost");
}

SERVER_TEST(pipelines, a_drain_stops_all_stages)
{
    struct job_ref p = submit_marking(s, s->scratch, "sleep 1000");
    AWAIT(marks(s->scratch, "first") == 1 && marks(s->scratch, "second") == 1, 20);
    cr_assert_eq(kill(s->pid, SIGTERM), 0);
    cr_assert_eq(kill(s->pid, SIGTERM), 0);
    cr_assert_eq(server_wait_exit(s, 20), 0);
    no_process_left("MARK=pipe-fault", 5);
    server_restart(s, NULL);
    AUTO_RESPONSE r = batch_await(s, p);
    expect_text(r, "state", "failed");
}
