/* SPDX-License-Identifier: MIT */
#include "service/base/job.h"

#include <criterion/criterion.h>

/* The moves of the contract, written a second time and in another form: one row per state, one
 * letter per target in the order of enum job_state. */
Test(job_state, all_64_pairs)
{
    /* to: sched blocked queued running stopping succeeded failed cancelled */
    static const char *const moves[] = {
        [JOB_SCHEDULED] = ".BQ...FC", [JOB_BLOCKED] = "S.Q...FC",   [JOB_QUEUED] = "SB.R..FC",
        [JOB_RUNNING] = "S.Q.PUF.",   [JOB_STOPPING] = ".....UFC",  [JOB_SUCCEEDED] = ".BQ.....",
        [JOB_FAILED] = ".BQ.....",    [JOB_CANCELLED] = ".BQ.....",
    };
    cr_assert_eq(ARRAY_LEN(moves), JOB_STATE_COUNT);
    for (int from = 0; from < JOB_STATE_COUNT; from++) {
        uint32_t mask = 0;
        for (int to = 0; to < JOB_STATE_COUNT; to++) {
            bool may = moves[from][to] != '.';
            cr_assert_eq(job_state_may_move((enum job_state)from, (enum job_state)to), may,
                         "%s to %s", job_state_name((enum job_state)from),
                         job_state_name((enum job_state)to));
            cr_assert_eq((job_state_sources((enum job_state)to) >> from & 1u) != 0, may,
                         "the column inverted");
            mask |= may ? 1u << to : 0;
        }
        cr_assert_eq(job_state_moves((enum job_state)from), mask);
    }
}

Test(job_state, names_are_those_of_the_contract)
{
    static const char *const names[] = {"scheduled", "blocked",   "queued", "running",
                                        "stopping",  "succeeded", "failed", "cancelled"};
    for (int i = 0; i < JOB_STATE_COUNT; i++) {
        enum job_state state = JOB_STATE_COUNT;
        cr_assert_str_eq(job_state_name((enum job_state)i), names[i]);
        cr_assert(job_state_parse(slice_of(names[i]), &state));
        cr_assert_eq((int)state, i);
        cr_assert_eq(job_state_is_end((enum job_state)i), i >= JOB_SUCCEEDED);
    }
    enum job_state state = JOB_RUNNING;
    cr_assert_not(job_state_parse(SLICE_LIT("Running"), &state));
    cr_assert_not(job_state_parse(SLICE_LIT("run"), &state));
    cr_assert_not(job_state_parse(SLICE_LIT(""), &state));
    cr_assert_eq(state, JOB_RUNNING, "not written on failure");
}

Test(job_state, every_state_can_be_reached_and_left)
{
    uint32_t reached = 1u << JOB_SCHEDULED | 1u << JOB_BLOCKED | 1u << JOB_QUEUED;
    for (int round = 0; round < JOB_STATE_COUNT; round++) {
        for (int i = 0; i < JOB_STATE_COUNT; i++)
            reached |= (reached >> i & 1u) != 0 ? job_state_moves((enum job_state)i) : 0;
    }
    cr_assert_eq(reached, (1u << JOB_STATE_COUNT) - 1);
    for (int i = 0; i < JOB_STATE_COUNT; i++)
        cr_assert_neq(job_state_moves((enum job_state)i), 0);
}

Test(job_state, diagram_has_one_arrow_per_move)
{
    AUTO_BUF struct buf out;
    buf_init(&out, 8192);
    job_state_diagram(&out);
    AUTO_FREE char *text = buf_steal(&out);
    cr_assert_not_null(text);
    cr_assert_eq(strncmp(text, "stateDiagram-v2\n", 16), 0);
    size_t n_lines = 0, n_moves = 0;
    for (const char *c = text; *c != '\0'; c++)
        n_lines += *c == '\n';
    for (int i = 0; i < JOB_STATE_COUNT; i++)
        n_moves += (size_t)__builtin_popcount(job_state_moves((enum job_state)i));
    cr_assert_eq(n_lines, 1 + 3 + n_moves + 3, "header, births, moves, ends");
    cr_assert_not_null(strstr(text, "    running --> stopping\n"));
    cr_assert_not_null(strstr(text, "    failed --> [*]\n"));
    cr_assert_not_null(strstr(text, "    [*] --> queued\n"));
    cr_assert_null(strstr(text, "    queued --> succeeded\n"));
}

Test(job_reason, names_and_defaults)
{
    static const struct {
        const char *name;
        bool retried;
    } rows[] = {
        {"exit_code", true},    {"signal", true},      {"timeout", true}, {"queue_timeout", false},
        {"deadline", false},    {"oom", true},         {"exec", false},   {"function_error", true},
        {"output_limit", true}, {"dependency", false}, {"lost", true},    {"unkillable", false},
    };
    cr_assert_eq(ARRAY_LEN(rows), REASON_COUNT);
    for (int i = 0; i < REASON_COUNT; i++) {
        enum job_reason reason = REASON_NONE;
        cr_assert_str_eq(job_reason_name((enum job_reason)i), rows[i].name,
                         "bit positions are stored: only append");
        cr_assert(job_reason_parse(slice_of(rows[i].name), &reason));
        cr_assert_eq((int)reason, i);
        cr_assert_eq((job_reasons_retried_by_default() >> i & 1u) != 0, rows[i].retried, "%s",
                     rows[i].name);
    }
    enum job_reason reason = REASON_LOST;
    cr_assert_null(job_reason_name(REASON_NONE));
    cr_assert_not(job_reason_parse(SLICE_LIT("exit"), &reason));
    cr_assert_eq(reason, REASON_LOST);
}

static struct retry_policy policy(uint32_t on, uint32_t never)
{
    return (struct retry_policy){.version = 1,
                                 .on_mask = on,
                                 .never_mask = never,
                                 .delay_us = 1000000,
                                 .max_delay_us = 300000000,
                                 .factor = 2};
}

Test(retry, masks_decide_by_reason)
{
    struct retry_policy p = policy(1u << REASON_SIGNAL | 1u << REASON_LOST, 1u << REASON_LOST);
    cr_assert(retry_policy_allows(&p, REASON_SIGNAL, -9));
    cr_assert_not(retry_policy_allows(&p, REASON_LOST, 0), "never wins");
    cr_assert_not(retry_policy_allows(&p, REASON_TIMEOUT, 0));
    cr_assert_not(retry_policy_allows(&p, REASON_NONE, 0));
    p = policy(job_reasons_retried_by_default(), 0);
    for (int i = 0; i < REASON_COUNT; i++)
        cr_assert_eq(retry_policy_allows(&p, (enum job_reason)i, 1), (p.on_mask >> i & 1u) != 0);
}

Test(retry, exit_rules_name_codes)
{
    struct retry_policy p = policy(0, 0);
    p.n_on_exit = 2;
    p.on_exit[0] = 75;
    p.on_exit[1] = 0;
    cr_assert(retry_policy_allows(&p, REASON_EXIT_CODE, 75));
    cr_assert_not(retry_policy_allows(&p, REASON_EXIT_CODE, 76));
    cr_assert_not(retry_policy_allows(&p, REASON_EXIT_CODE, 331),
                  "331 is 75 modulo 256, but not 75");
    cr_assert_not(retry_policy_allows(&p, REASON_SIGNAL, 75),
                  "a rule for exit codes says nothing of signals");
    p = policy(1u << REASON_EXIT_CODE, 0);
    p.n_never_exit = 1;
    p.never_exit[0] = 2;
    cr_assert(retry_policy_allows(&p, REASON_EXIT_CODE, 1));
    cr_assert_not(retry_policy_allows(&p, REASON_EXIT_CODE, 2));
}

Test(retry, delays_grow_to_the_cap)
{
    struct retry_policy p = policy(0, 0);
    static const uint64_t seconds[] = {1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300};
    for (uint32_t i = 0; i < ARRAY_LEN(seconds); i++)
        cr_assert_eq(retry_policy_delay_us(&p, i + 1, 0), seconds[i] * 1000000, "after %u failures",
                     i + 1);
    cr_assert_eq(retry_policy_delay_us(&p, UINT32_MAX, 0), 300000000);
    p.factor = 1;
    cr_assert_eq(retry_policy_delay_us(&p, UINT32_MAX, 0), 1000000);
    p.delay_us = 0;
    cr_assert_eq(retry_policy_delay_us(&p, 5, UINT64_MAX), 0);
    p.delay_us = 400000000;
    cr_assert_eq(retry_policy_delay_us(&p, 1, 0), 300000000, "the cap binds the first delay too");
    p.delay_us = 1;
    p.factor = 1e300;
    cr_assert_eq(retry_policy_delay_us(&p, 20, 0), 300000000);
}

Test(retry, full_jitter_is_uniform_from_zero_to_the_delay)
{
    struct retry_policy p = policy(0, 0);
    p.jitter = 1;
    cr_assert_eq(retry_policy_delay_us(&p, 1, 0), 0);
    cr_assert_eq(retry_policy_delay_us(&p, 1, UINT64_MAX), 1000000);
    cr_assert_eq(retry_policy_delay_us(&p, 1, UINT64_MAX / 2), 500000);
    cr_assert_eq(retry_policy_delay_us(&p, 20, UINT64_MAX), 300000000);
    uint64_t last = 0;
    for (uint64_t k = 0; k < 64; k++) {
        uint64_t delay = retry_policy_delay_us(&p, 3, k << 58);
        cr_assert(delay >= last && delay <= 4000000);
        last = delay;
    }
}
