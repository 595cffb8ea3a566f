/* SPDX-License-Identifier: MIT */
/* What a new server makes of the attempts that a dead one had in flight. */
#include "service/dispatch.h"
#include "service/outcome.h"

struct leftover {
    const struct inflight *entry; /* `no` is this job's, `n` the whole chunk's */
    bool may_have_begun;          /* as far as the notes tell */
};

/* The attempt of this one job. */
static bool recover_job(struct dispatch *d, struct turn *turn, const struct leftover *left,
                        struct recovery *ret, struct err *err)
{
    const struct inflight *entry = left->entry;
    struct attempt_facts facts = {.attempt = entry->attempt, .now_us = turn->now_us};
    struct err missing = {0};
    if (!jobs_get_by_no(d->store, entry->no, &facts.row, &missing))
        return missing.code == ERR_NOT_FOUND || err_set(err, missing.code, "%s", missing.detail);
    enum job_state state = facts.row.state;
    bool begun = state == JOB_RUNNING || state == JOB_STOPPING;
    bool waits = state == JOB_QUEUED || (entry->n > 1 && state == JOB_BLOCKED);
    bool is_this_attempt = begun ? facts.row.attempt == entry->attempt
                                 : waits && facts.row.attempt + 1 == entry->attempt;
    if (!is_this_attempt)
        return true; /* its outcome was stored */
    if (state != JOB_STOPPING && !left->may_have_begun) {
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
    facts.broken = dispatch_broken(d, facts.row.queue);
    struct job_end end;
    const struct job_start start = {entry->no, entry->attempt, 0, turn->now_us};
    if (state == JOB_BLOCKED && !jobs_start_mate(d->store, &start, err))
        return false;
    outcome_lost(&facts, &end);
    ret->lost++;
    return jobs_finish(d->store, entry->no, entry->attempt, &end, err);
}

/* All that had begun may have ended before the crash, and then nothing else lets the next one in.
 */
static bool go_on(struct dispatch *d, const struct turn *turn, const struct inflight *entry,
                  struct err *err)
{
    const struct batch *b;
    struct job_row row;
    struct err gone = {0};
    int64_t no = entry->no;
    while (no - entry->no < entry->n && !jobs_get_by_no(d->store, no, &row, &gone)) {
        if (gone.code != ERR_NOT_FOUND)
            return err_set(err, gone.code, "%s", gone.detail);
        no++;
    }
    if (no - entry->no == entry->n)
        return true;
    if (!batch_get_by_no(d->store, row.batch, &b, err))
        return false;
    const struct chunk_place place = {b, row.idx, true};
    return chunk_go_on(d, turn, &place, err);
}

/* Of a chunk the first ones have begun, up to the last note; each of them stands for itself. */
static bool recover_one(struct dispatch *d, struct turn *turn, const struct inflight *entry,
                        struct recovery *ret, struct err *err)
{
    const int64_t n = MAX(entry->n, (int64_t)1);
    const int64_t reached = starts_reached(&d->starts, entry->no, n, entry->attempt);
    struct inflight one = *entry;
    for (; one.no - entry->no < n; one.no++) {
        const struct leftover left = {&one, one.no <= reached};
        if (!recover_job(d, turn, &left, ret, err))
            return false;
    }
    return n == 1 || go_on(d, turn, entry, err);
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
        if (!recover_one(d, turn, &rows[i], ret, err))
            return err_wrap(err, "recover job %lld", (long long)rows[i].no);
    return n == 0 || inflight_clear(d->store, err);
}

bool dispatch_recovered(struct dispatch *d, struct err *err)
{
    return starts_reset(&d->starts, SLOT_BANKS * pool_max(d->pool), err);
}
