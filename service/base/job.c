/* SPDX-License-Identifier: MIT */
#include "service/base/job.h"

__extension__ typedef unsigned __int128 u128;

struct state_row {
    const char *name;
    bool end;
    uint32_t moves;
};

static const struct state_row states[JOB_STATE_COUNT] = {
#define X(state, name, end, moves) [JOB_##state] = {name, end, moves},
    JOB_STATES(X)
#undef X
};

struct reason_row {
    const char *name;
    bool retried;
};

static const struct reason_row reasons[REASON_COUNT] = {
#define X(reason, name, retried) [REASON_##reason] = {name, retried},
    JOB_REASONS(X)
#undef X
};

_Static_assert(JOB_STATE_COUNT <= 32, "states are kept in 32-bit masks");
_Static_assert(REASON_COUNT <= 32, "reasons are kept in 32-bit masks");

static const struct state_row *row_of(enum job_state state)
{
    PRE((unsigned)state < JOB_STATE_COUNT);
    return &states[state];
}

const char *job_state_name(enum job_state state)
{
    return row_of(state)->name;
}

bool job_state_parse(struct slice name, enum job_state *ret)
{
    for (int i = 0; i < JOB_STATE_COUNT; i++) {
        if (slice_is(name, states[i].name)) {
            *ret = (enum job_state)i;
            return true;
        }
    }
    return false;
}

bool job_state_is_end(enum job_state state)
{
    return row_of(state)->end;
}

bool job_state_may_move(enum job_state from, enum job_state to)
{
    PRE((unsigned)to < JOB_STATE_COUNT);
    return (row_of(from)->moves >> to & 1u) != 0;
}

uint32_t job_state_moves(enum job_state from)
{
    return row_of(from)->moves;
}

uint32_t job_state_sources(enum job_state to)
{
    uint32_t sources = 0;
    for (int i = 0; i < JOB_STATE_COUNT; i++) {
        if (job_state_may_move((enum job_state)i, to))
            sources |= 1u << i;
    }
    return sources;
}

void job_state_diagram(struct buf *out)
{
    buf_puts(out, "stateDiagram-v2\n");
    for (int i = JOB_SCHEDULED; i <= JOB_QUEUED; i++) /* a job is born in one of the three states of
                                                         waiting */
        buf_printf(out, "    [*] --> %s\n", states[i].name);
    for (int from = 0; from < JOB_STATE_COUNT; from++) {
        for (int to = 0; to < JOB_STATE_COUNT; to++) {
            if (job_state_may_move((enum job_state)from, (enum job_state)to))
                buf_printf(out, "    %s --> %s\n", states[from].name, states[to].name);
        }
        if (states[from].end)
            buf_printf(out, "    %s --> [*]\n", states[from].name);
    }
}

const char *job_reason_name(enum job_reason reason)
{
    if (reason == REASON_NONE)
        return NULL;
    PRE(reason >= 0 && reason < REASON_COUNT);
    return reasons[reason].name;
}

bool job_reason_parse(struct slice name, enum job_reason *ret)
{
    for (int i = 0; i < REASON_COUNT; i++) {
        if (slice_is(name, reasons[i].name)) {
            *ret = (enum job_reason)i;
            return true;
        }
    }
    return false;
}

uint32_t job_reasons_retried_by_default(void)
{
    uint32_t mask = 0;
    for (int i = 0; i < REASON_COUNT; i++) {
        if (reasons[i].retried)
            mask |= 1u << i;
    }
    return mask;
}

static bool lists_exit(const uint8_t *codes, uint8_t n, int exit_code)
{
    PRE(n <= MAX_EXIT_RULES);
    for (uint8_t i = 0; i < n; i++) {
        if (codes[i] == exit_code)
            return true;
    }
    return false;
}

bool retry_policy_allows(const struct retry_policy *p, enum job_reason reason, int exit_code)
{
    if (reason == REASON_NONE)
        return false;
    PRE(reason >= 0 && reason < REASON_COUNT);
    uint32_t bit = 1u << reason;
    bool exited = reason == REASON_EXIT_CODE;
    if ((p->never_mask & bit) != 0 ||
        (exited && lists_exit(p->never_exit, p->n_never_exit, exit_code)))
        return false;
    return (p->on_mask & bit) != 0 || (exited && lists_exit(p->on_exit, p->n_on_exit, exit_code));
}

void job_own_name(int64_t no, char out[JOB_OWN_NAME_SIZE])
{
    memcpy(out, "job-", 4);
    (void)text_from_i64(no, out + 4);
}

uint64_t retry_policy_delay_us(const struct retry_policy *p, uint32_t failed_attempts,
                               uint64_t random)
{
    PRE(failed_attempts >= 1);
    double cap = (double)p->max_delay_us, delay = (double)p->delay_us;
    /* Multiplied step by step, so that no power overflows; 1,000 steps of any factor worth having
     * pass every cap. */
    uint32_t n_steps = MIN(failed_attempts - 1, 1000u);
    for (uint32_t i = 0; i < n_steps && delay > 0 && delay < cap; i++)
        delay *= p->factor;
    uint64_t delay_us = delay >= cap ? p->max_delay_us : (uint64_t)delay;
    if (p->jitter == 0)
        return delay_us;
    /* Maps 64 random bits evenly on [0, delay_us]. */
    return (uint64_t)((u128)random * ((u128)delay_us + 1) >> 64);
}
