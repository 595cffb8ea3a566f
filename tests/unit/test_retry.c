/* SPDX-License-Identifier: MIT */
/* service/outcome.c: how the end of a task becomes the end, or the next attempt, of a job. */
#include "service/outcome.h"

#include <criterion/criterion.h>
#include <signal.h>

static struct attempt_facts facts_of(uint32_t attempt, uint32_t max_attempts)
{
    return (struct attempt_facts){
        .attempt = attempt,
        .row = {.no = 1,
                .max_attempts = max_attempts,
                .attempt = attempt,
                .keep_us = 60000000,
                .has_retry = max_attempts > 1},
        .has_policy = max_attempts > 1,
        .policy = {.version = 1,
                   .on_mask = job_reasons_retried_by_default(),
                   .delay_us = 1000000,
                   .max_delay_us = 300000000,
                   .factor = 2},
        .now_us = 5000000,
    };
}

struct end_case {
    const char *label;
    struct task_outcome outcome;
    bool stop_requested, drain_stop;
    uint32_t attempt, max_attempts;
    enum job_state state;
    enum job_reason reason;
    int exit_code; /* -1000: none */
};

static const struct end_case cases[] = {
    {"exit 0", {.end = TASK_EXITED}, 0, 0, 1, 1, JOB_SUCCEEDED, REASON_NONE, 0},
    {"exit 3", {.end = TASK_EXITED, .exit_code = 3}, 0, 0, 1, 1, JOB_FAILED, REASON_EXIT_CODE, 3},
    {"signal",
     {.end = TASK_SIGNALED, .signal = SIGSEGV},
     0,
     0,
     1,
     1,
     JOB_FAILED,
     REASON_SIGNAL,
     -SIGSEGV},
    {"timeout",
     {.end = TASK_TIMEOUT, .signal = SIGTERM},
     0,
     0,
     1,
     1,
     JOB_FAILED,
     REASON_TIMEOUT,
     -SIGTERM},
    {"deadline",
     {.end = TASK_DEADLINE, .signal = SIGTERM},
     0,
     0,
     1,
     9,
     JOB_FAILED,
     REASON_DEADLINE,
     -SIGTERM},
    {"exec",
     {.end = TASK_EXEC_FAILED, .exec_errno = 2},
     0,
     0,
     1,
     9,
     JOB_FAILED,
     REASON_EXEC,
     -1000},
    {"output limit",
     {.end = TASK_OUTPUT_LIMIT, .signal = SIGKILL},
     0,
     0,
     1,
     1,
     JOB_FAILED,
     REASON_OUTPUT_LIMIT,
     -SIGKILL},
    {"unkillable",
     {.end = TASK_UNKILLABLE, .survivors = 1},
     0,
     0,
     1,
     9,
     JOB_FAILED,
     REASON_UNKILLABLE,
     -1000},
    {"lost, at most once", {.end = TASK_LOST}, 0, 0, 1, 1, JOB_FAILED, REASON_LOST, -1000},
    {"lost, tried again", {.end = TASK_LOST}, 0, 0, 1, 3, JOB_SCHEDULED, REASON_LOST, -1000},
    {"exit 3, tried again",
     {.end = TASK_EXITED, .exit_code = 3},
     0,
     0,
     1,
     2,
     JOB_SCHEDULED,
     REASON_EXIT_CODE,
     3},
    {"exit 3, last attempt",
     {.end = TASK_EXITED, .exit_code = 3},
     0,
     0,
     2,
     2,
     JOB_FAILED,
     REASON_EXIT_CODE,
     3},
    {"cancelled",
     {.end = TASK_SIGNALED, .signal = SIGTERM, .stop_sent = true},
     1,
     0,
     1,
     5,
     JOB_CANCELLED,
     REASON_NONE,
     -SIGTERM},
    {"cancelled, left by itself",
     {.end = TASK_EXITED, .stop_sent = true},
     1,
     0,
     1,
     5,
     JOB_CANCELLED,
     REASON_NONE,
     0},
    {"ended before the signal", {.end = TASK_EXITED}, 1, 0, 1, 5, JOB_SUCCEEDED, REASON_NONE, 0},
    {"failed before the signal: no retry after a cancel",
     {.end = TASK_EXITED, .exit_code = 1},
     1,
     0,
     1,
     5,
     JOB_FAILED,
     REASON_EXIT_CODE,
     1},
    {"cancelled and the worker died",
     {.end = TASK_LOST},
     1,
     0,
     1,
     5,
     JOB_CANCELLED,
     REASON_NONE,
     -1000},
    {"cancel of what cannot be killed",
     {.end = TASK_UNKILLABLE, .stop_sent = true},
     1,
     0,
     1,
     1,
     JOB_FAILED,
     REASON_UNKILLABLE,
     -1000},
    {"drained, attempts left",
     {.end = TASK_SIGNALED, .signal = SIGTERM, .stop_sent = true},
     0,
     1,
     1,
     2,
     JOB_QUEUED,
     REASON_LOST,
     -SIGTERM},
    {"drained, none left",
     {.end = TASK_SIGNALED, .signal = SIGTERM, .stop_sent = true},
     0,
     1,
     1,
     1,
     JOB_FAILED,
     REASON_LOST,
     -SIGTERM},
    {"drained, but it ended well",
     {.end = TASK_EXITED, .stop_sent = true},
     0,
     1,
     1,
     1,
     JOB_SUCCEEDED,
     REASON_NONE,
     0},
};

Test(outcome, every_end)
{
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct end_case *c = &cases[i];
        struct attempt_facts facts = facts_of(c->attempt, c->max_attempts);
        facts.stop_requested = c->stop_requested;
        facts.drain_stop = c->drain_stop;
        struct job_end end;
        outcome_of(&facts, &c->outcome, &end);
        cr_assert_eq(end.state, c->state, "%s: state %s", c->label, job_state_name(end.state));
        cr_assert_eq(end.reason, c->reason, "%s: reason %d", c->label, (int)end.reason);
        cr_assert_eq(end.has_exit_code, c->exit_code != -1000, "%s: has an exit code", c->label);
        if (end.has_exit_code)
            cr_assert_eq(end.exit_code, c->exit_code, "%s: exit code %d", c->label, end.exit_code);
        cr_assert_eq(end.keep_us, 60000000, "%s", c->label);
    }
}

Test(outcome, delay_grows_by_the_factor)
{
    struct task_outcome outcome = {.end = TASK_EXITED, .exit_code = 1};
    struct job_end end;
    for (uint32_t attempt = 1; attempt <= 4; attempt++) {
        struct attempt_facts facts = facts_of(attempt, 5);
        outcome_of(&facts, &outcome, &end);
        cr_assert_eq(end.state, JOB_SCHEDULED);
        cr_assert_eq(end.retry_at_us - facts.now_us, INT64_C(1000000) << (attempt - 1),
                     "attempt %u", attempt);
    }
}

Test(outcome, without_a_delay_it_is_queued_at_once)
{
    struct attempt_facts facts = facts_of(1, 2);
    facts.policy.delay_us = 0;
    struct task_outcome outcome = {.end = TASK_SIGNALED, .signal = SIGABRT};
    struct job_end end;
    outcome_of(&facts, &outcome, &end);
    cr_assert_eq(end.state, JOB_QUEUED);
    cr_assert_eq(end.retry_at_us, facts.now_us);
}

Test(outcome, output_and_usage_are_carried)
{
    struct attempt_facts facts = facts_of(1, 1);
    struct task_outcome outcome = {
        .end = TASK_EXITED,
        .wall_us = 7,
        .user_us = 8,
        .system_us = 9,
        .max_rss_bytes = 10,
        .processes_killed = 2,
        .started_us = 100,
        .ended_us = 107,
        .out = {{.bytes = 5, .inline_bytes = SLICE_LIT("hello")},
                {.bytes = 1u << 20, .truncated = true, .spooled = true}},
    };
    struct job_end end;
    outcome_of(&facts, &outcome, &end);
    cr_assert_eq(end.usage.wall_us, 7);
    cr_assert_eq(end.usage.user_us, 8);
    cr_assert_eq(end.usage.system_us, 9);
    cr_assert_eq(end.usage.max_rss_bytes, 10);
    cr_assert_eq(end.usage.processes_killed, 2);
    cr_assert_eq(end.started_us, 100);
    cr_assert_eq(end.finished_us, 107);
    cr_assert(slice_is(end.inline_out[0], "hello"));
    cr_assert_null(end.inline_out[1].ptr, "a spooled stream has no bytes in the row");
    cr_assert(end.output.truncated[1] && end.output.spooled[1] && !end.output.truncated[0]);
    cr_assert_eq(end.output.bytes[1], 1u << 20);
}

/* ---- files that a task has left ---- */

static struct task_blob blob_of(uint64_t file, const char *name)
{
    struct task_blob blob = {.file = file, .bytes = 1};
    (void)snprintf(blob.name, sizeof blob.name, "%s", name);
    return blob;
}

Test(outcome, files_are_copied_once)
{
    struct task_blob bank[] = {blob_of(7, "a"), blob_of(8, "d/b")}, kept[TASK_MAX_OUTPUTS];
    struct task_outcome outcome = {.blobs = bank, .n_blobs = 2};
    cr_assert(outcome_take_blobs(&outcome, kept));
    bank[0] = blob_of(0, "../a"); /* the worker goes on writing */
    cr_assert_eq(outcome.n_blobs, 2);
    cr_assert_eq(outcome.blobs[0].file, 7);
    cr_assert_str_eq(outcome.blobs[0].name, "a");
    cr_assert_str_eq(outcome.blobs[1].name, "d/b");
}

Test(outcome, damaged_files_are_left_out)
{
    struct task_blob twice = blob_of(7, "other");
    struct task_blob bank[] = {blob_of(7, "one"),
                               twice,
                               blob_of(8, "one"),
                               blob_of(0, "none"),
                               blob_of(9, "../up"),
                               blob_of(UINT64_MAX, "far"),
                               {.file = 10, .bytes = UINT64_MAX, .name = "large"},
                               blob_of(9, "a")};
    struct task_blob kept[TASK_MAX_OUTPUTS];
    struct task_outcome outcome = {.blobs = bank, .n_blobs = sizeof bank / sizeof *bank};
    memset(bank[7].name, 'a', sizeof bank[7].name);
    cr_assert_not(outcome_take_blobs(&outcome, kept));
    cr_assert_eq(outcome.n_blobs, 2);
    cr_assert_eq(outcome.blobs[0].file, 7);
    cr_assert_str_eq(outcome.blobs[0].name, "one");
    cr_assert_eq(strlen(outcome.blobs[1].name), MAX_OUTPUT_NAME);
}
