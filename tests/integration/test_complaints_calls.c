/* SPDX-License-Identifier: MIT */
/* What people complain about in pools that call functions, one test for each complaint: crashes,
 * time limits, cancelling, results that cannot be passed on, and shutting down. */
#include "integration/harness_batch.h"
#include "integration/harness_config.h"
#include "integration/harness_test.h"

#include <signal.h>

static const char registry[] = "[function misbehave]\n"
                               "kind = native\n"
                               "module = " GANGER_HELPER_DIR "/native_misbehave.so\n";

#define CALL_TEST(name) CONFIGURED_TEST(native, name, registry)

/* "One crash breaks the whole pool": with calls under way and waiting, only that one fails. */
CALL_TEST(complaint_a_crash_fails_no_other_call)
{
    struct job_ref long_one = job_submit(s, "{'function':'misbehave','args':['cancel']}");
    await_progress(s, long_one, NULL);
    struct job_ref jobs[8];
    for (int i = 0; i < 8; i++)
        jobs[i] = job_submit(s, "{'function':'misbehave','args':[%s]}",
                             i % 4 == 1 ? "'abort'" : text_of("%d", i).s);
    for (int i = 0; i < 8; i++) {
        AUTO_RESPONSE r = job_await(s, jobs[i]);
        expect_outcome(r, i % 4 == 1 ? "failed" : "succeeded", i % 4 == 1 ? "signal" : NULL);
    }
    AUTO_RESPONSE still = job_show(s, long_one);
    expect_text(still, "state", "running");
    AUTO_RESPONSE pool = http_get(s, "/v1/pool");
    expect_text(pool, "state", "open");
    AUTO_RESPONSE over = job_cancel(s, long_one, NULL, 20);
    expect_status(over, 200);
}

/* "A timeout does not stop the work": the worker that ran it is gone when the answer comes, and
 * what waited behind it runs at once. */
CALL_TEST(complaint_a_timeout_ends_a_call_that_never_returns)
{
    struct job_ref loop = job_submit(s,
                                     "{'function':'misbehave','args':['loop'],'timeout':'300ms'}");
    await_progress(s, loop, NULL);
    AUTO_RESPONSE running = job_show(s, loop);
    const pid_t pid = (pid_t)json_int(running, "worker.pid");
    AUTO_RESPONSE r = job_await(s, loop);
    expect_outcome(r, "failed", "timeout");
    cr_assert(kill(pid, 0) != 0, "the worker still runs it");
    AUTO_RESPONSE next = job_run(s, "{'function':'misbehave','args':[1]}");
    expect_outcome(next, "succeeded", NULL);
}

/* "Unpicklable results hang or break the pool": bytes that are not what they should be fail one
 * call, which says so. */
CALL_TEST(complaint_a_result_that_cannot_be_passed_on_fails_one_call)
{
    AUTO_RESPONSE r = job_run(s, "{'function':'misbehave','args':['no_json']}");
    expect_outcome(r, "failed", "function_error");
    cr_assert(strstr(r->body, "JSON") != NULL, "%s", r->body);
    AUTO_RESPONSE next = job_run(s, "{'function':'misbehave','args':[1]}");
    expect_outcome(next, "succeeded", NULL);
}

/* "Shutdown deadlocks", with a call that never returns and others that wait: the service ends in
 * the time that it was given, and what had not run is there after the restart. */
PLAIN_TEST(native, complaint_a_call_without_an_end_does_not_hold_up_the_shutdown)
{
    const struct config_file file = config_write(registry);
    const struct server_options options = {.workers = 1,
                                           .args = {"--config", file.path, "--drain", "200ms"}};
    struct server s;
    server_start(&s, &options);
    struct job_ref loop = job_submit(&s, "{'function':'misbehave','args':['loop'],"
                                         "'stop':{'grace':'100ms'}}");
    await_progress(&s, loop, NULL);
    struct job_ref waiting = job_submit(&s, "{'function':'misbehave','args':[7]}");
    const uint64_t start = now_ns();
    (void)kill(s.pid, SIGTERM);
    cr_assert_eq(server_wait_exit(&s, 20), 0);
    cr_assert_lt(seconds_since(start), 5 * slow_factor());
    server_restart(&s, &options);
    AUTO_RESPONSE lost = job_await(&s, loop);
    expect_outcome(lost, "failed", "lost");
    AUTO_RESPONSE r = job_await(&s, waiting);
    expect_outcome(r, "succeeded", NULL);
    server_stop(&s);
    config_remove(&file);
}
