/* SPDX-License-Identifier: MIT */
/* What a new server makes of the attempts that a dead one had in flight. */
#include "service/dispatch.h"
#include "service/outcome.h"

static bool recover_one(struct dispatch *d, struct turn *turn, const struct inflight *entry,
                        struct recovery *ret, struct err *err)
{
    struct attempt_facts facts = {.attempt = entry->attempt, .now_us = turn->now_us};
    struct err missing = {0};
    if (!jobs_get_by_no(d->store, entry->no, &facts.row, &missing))
        return missing.code == ERR_NOT_FOUND || err_set(err, missing.code, "%s", missing.detail);
    enum job_state state = facts.row.state;
    bool begun = state == JOB_RUNNING || state == JOB_STOPPING;
    bool is_this_attempt = begun ? facts.row.attempt == entry->attempt
                                 : state == JOB_QUEUED && facts.row.attempt + 1 == entry->attempt;
    if (!is_this_attempt)
        return true; /* its outcome was stored */
    if (state != JOB_STOPPING && !starts_may_have_run(&d->starts, entry->no, entry->attempt)) {
        if (!begun)
            return true; /* only reserved: it is simply queued */
        ret->requeued++;
        if ((facts.row.flags & JOB_GANG) != 0)
            return gang_recover(d, turn, &facts.row, err);
        return jobs_unstart(d->store, entry->no, entry->attempt, err);
    }
    if (facts.row.has_retry) {
        facts.has_policy = true;
        if (!jobs_retry_policy(d->store, entry->no, &facts.policy, err))
            return false;
    }
    facts.stop_requested = state == JOB_STOPPING;
    struct job_end end;
    outcome_lost(&facts, &end);
    ret->lost++;
    return jobs_finish(d->store, entry->no, entry->attempt, &end, err);
}

bool dispatch_recover(struct dispatch *d, struct turn *turn, struct recovery *ret, struct err *err)
{
    /* A larger pool may have left more rows than this one makes. */
    enum { MAX_ROWS = (SLOT_BANKS + RESERVED_PER_WORKER) * 1024 };
    AUTO_FREE struct inflight *rows = must_alloc(MAX_ROWS * sizeof *rows);
    size_t n;
    *ret = (struct recovery){0};
    if (!inflight_all(d->store, rows, MAX_ROWS, &n, err))
        return err_wrap(err, "read what was in flight");
    for (size_t i = 0; i < n; i++)
        if (!recover_one(d, turn, &rows[i], ret, err) || !inflight_clear(d->store, rows[i].k, err))
            return err_wrap(err, "recover job %lld", (long long)rows[i].no);
    return true;
}

bool dispatch_recovered(struct dispatch *d, struct err *err)
{
    return starts_reset(&d->starts, SLOT_BANKS * pool_max(d->pool), err);
}
