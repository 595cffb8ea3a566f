/* SPDX-License-Identifier: MIT */
/* When a turn commits. A commit costs about 100 µs of CPU, which jobs could use, and everything
 * that joins it is free: so as long as short jobs follow each other and every worker has its next
 * job in hand, ends and requests gather for a moment. Whoever would lose by waiting is served at
 * once. */
#include "service/engine_state.h"

#define LAZY_NS UINT64_C(10000000) /* ends that nobody waits for */
#define LINGER_NS \
    UINT64_C(1000000) /* what somebody waits for, while all workers are busy with short jobs */
#define KILL_NS \
    UINT64_C(500000) /* from a cancel's signal to its commit, unless the end comes before */
#define IN_HAND_NS UINT64_C(3000000)     /* what a worker has to do, if its jobs are so short */
#define COMMIT_MAX_NS UINT64_C(10000000) /* a disk that is slower than that costs throughput */
#define NAP_MIN_NS UINT64_C(100000)      /* shorter ones are not worth their two system calls */
#define NAP_MAX_NS UINT64_C(3000000)     /* while nobody waits for what may end meanwhile */
#define GATHERED_JOBS 256                /* they make a commit cheap: nothing more gathers */
#define HOT_NS UINT64_C(2000000) /* jobs are short when the last two ended within this time */

static bool is_awaited(const struct engine *e, const struct flight *f)
{
    const int64_t no = f->info.row.no;
    return waiters_any(e->waiters, topic_end(no)) || waiters_any(e->waiters, topic_job(no)) ||
           waiters_any(e->waiters, topic_output(no));
}

/* Somebody is parked on something that the next commit would tell. */
static bool is_news_awaited(const struct engine *e)
{
    if (waiters_count(e->waiters) == 0)
        return false;
    for (uint32_t k = 0; k < e->dispatch.n; k++) {
        const struct flight *f = &e->dispatch.flights[k];
        if ((f->state == FLIGHT_ENDED || f->unrecorded) && is_awaited(e, f))
            return true;
    }
    return false;
}

/* Or on what may end or begin before that. */
static bool is_anything_awaited(const struct engine *e)
{
    if (waiters_count(e->waiters) == 0)
        return false;
    for (uint32_t k = 0; k < e->dispatch.n; k++)
        if (e->dispatch.flights[k].state >= FLIGHT_OFFERED &&
            is_awaited(e, &e->dispatch.flights[k]))
            return true;
    return false;
}

static bool can_claim(struct engine *e)
{
    struct dispatch *d = &e->dispatch;
    return d->dirty && !d->closed && e->turn.now_ns >= d->backoff_until_ns &&
           (d->starved || dispatch_has_ready(d));
}

static bool has_writes(const struct engine *e)
{
    for (size_t i = 0; i < e->n_batch; i++)
        if (command_writes(e->batch[i]))
            return true;
    return false;
}

/* Nobody loses by waiting: all workers turn over short jobs, and the next ones are in their hands.
 */
static bool is_saturated(const struct engine *e)
{
    struct place place;
    return e->turn.now_ns - MIN(e->end_before_ns, e->turn.now_ns) < HOT_NS &&
           dispatch_ahead(&e->dispatch) >= pool_size(e->parts.pool) &&
           !pool_find_idle(e->parts.pool, &place);
}

/* A signal was sent a moment ago: the end that it brings may join the commit of its cancel. */
static bool awaits_kill(const struct engine *e)
{
    for (size_t i = 0; i < e->n_batch; i++) {
        const struct command *cmd = e->batch[i];
        if (cmd->kind != CMD_CANCEL)
            continue;
        for (uint32_t k = 0; k < e->dispatch.n; k++) {
            const struct flight *f = &e->dispatch.flights[k];
            if (f->state == FLIGHT_RUNNING && f->info.row.no == cmd->cancel.id.no &&
                f->early_stop_ns != 0 && e->turn.now_ns - f->early_stop_ns < KILL_NS)
                return true;
        }
    }
    return false;
}

/* So many share the commit that it costs each next to nothing, and what goes on gathering while the
 * engine waits is work that it will have to catch up with. */
static bool is_plenty(const struct engine *e)
{
    size_t n = dispatch_news(&e->dispatch);
    for (size_t i = 0; i < e->n_batch && n < GATHERED_JOBS; i++)
        n += command_jobs(e->batch[i]);
    return n >= GATHERED_JOBS;
}

/* From the beginning of the nap in which it may have happened. */
static enum pace linger(struct engine *e, uint64_t ns)
{
    uint64_t until_ns = (e->nap_from_ns != 0 ? e->nap_from_ns : e->turn.now_ns) + ns;
    e->lazy_until_ns = e->lazy_until_ns == 0 ? until_ns : MIN(e->lazy_until_ns, until_ns);
    return e->turn.now_ns >= e->lazy_until_ns ? PACE_NOW : PACE_LATER;
}

void pace_note_commit(struct engine *e, uint64_t took_ns)
{
    e->commit_ns = (3 * e->commit_ns + took_ns) / 4;
}

void pace_note_end(struct engine *e, struct place place)
{
    struct task_outcome outcome;
    pool_outcome(e->parts.pool, place, &outcome);
    uint64_t took_ns = (uint64_t)MAX(outcome.wall_us, (int64_t)0) * 1000;
    e->typical_ns = MIN((3 * e->typical_ns + took_ns) / 4, took_ns);
    e->end_before_ns = e->last_end_ns;
    e->last_end_ns = clock_mono_ns();
    /* A worker must not run out of them while the engine sits in a commit. */
    uint64_t offers = (IN_HAND_NS + 2 * MIN(e->commit_ns, COMMIT_MAX_NS)) /
                      MAX(e->typical_ns, UINT64_C(1));
    pool_set_offers(e->parts.pool, (uint32_t)MAX(MIN(offers, MAX_OFFERS), FEW_OFFERS));
}

uint64_t pace_next_ns(struct engine *e)
{
    if ((e->pending != NULL && e->lazy_until_ns == 0) || e->n_held > 0)
        return 0;
    uint64_t at = MIN(waiters_next_deadline_ns(e->waiters), pool_next_deadline_ns(e->parts.pool));
    at = MIN(at, rest_next_ns(&e->rest));
    at = MIN(at, dispatch_next_look_ns(&e->dispatch));
    at = MIN(at, chunk_late_ns(&e->dispatch));
    at = MIN(at, blob_cache_next_ns(e->dispatch.blobs));
    uint64_t work_at = UINT64_MAX;
    if (e->has_batch_work || e->has_chores || pools_have_work(e))
        work_at = 0;
    else if (e->lazy_until_ns != 0 || dispatch_has_news(&e->dispatch))
        work_at = e->lazy_until_ns; /* 0: at once */
    else if (e->dispatch.dirty && !e->dispatch.closed && dispatch_has_ready(&e->dispatch))
        work_at = e->dispatch.backoff_until_ns;
    work_at = MIN(work_at, MAX(gang_deadline_ns(&e->dispatch), e->dispatch.backoff_until_ns));
    if (e->is_telling)
        work_at = 0;
    if (e->next_due_us != INT64_MAX) {
        int64_t in_us = e->next_due_us - clock_wall_us();
        work_at = MIN(work_at, in_us <= 0 ? 0 : clock_mono_ns() + (uint64_t)in_us * 1000);
    }
    at = MIN(at, MAX(work_at, e->retry_ns)); /* a store that refuses is not asked again at once */
    if (e->shared.phase == PHASE_DRAINING)
        at = MIN(at, e->drain_kill_ns != 0 ? e->drain_kill_ns : e->drain_deadline_ns);
    return at;
}

void pace_rest(struct engine *e)
{
    if (!rest_is_due(&e->rest, e->turn.now_ns))
        return;
    store_rest(e->store);
    rest_begin(&e->rest);
}

bool pace_naps(struct engine *e, uint64_t now_ns, uint64_t *at_ns)
{
    e->nap_from_ns = 0;
    if (!e->may_nap || *at_ns <= now_ns)
        return false;
    /* Each worker has at least so much to do before it needs anything of us. */
    uint64_t nap_ns = pool_least_offers(e->parts.pool) * e->typical_ns / 4 * 3;
    if (nap_ns < NAP_MIN_NS)
        return false;
    e->nap_from_ns = now_ns;
    *at_ns = MIN(*at_ns, now_ns + MIN(nap_ns, is_anything_awaited(e) ? LINGER_NS : NAP_MAX_NS));
    return true;
}

enum pace pace_of_turn(struct engine *e)
{
    bool writes = has_writes(e), news = dispatch_has_news(&e->dispatch);
    if (e->next_due_us <= e->turn.now_us || e->is_telling || e->has_batch_work || e->has_chores ||
        pools_have_work(e) || chunk_late_ns(&e->dispatch) <= e->turn.now_ns)
        return PACE_NOW;
    if (!writes && !news)
        return can_claim(e) ? PACE_NOW : PACE_LATER;
    if (dispatch_is_urgent(&e->dispatch))
        return PACE_NOW;
    if (awaits_kill(e))
        return linger(e, KILL_NS);
    if (!is_saturated(e) || e->n_batch == MAX_BATCH || is_plenty(e))
        return PACE_NOW;
    if (linger(e, writes || is_news_awaited(e) ? LINGER_NS : LAZY_NS) == PACE_NOW)
        return PACE_NOW;
    return PACE_NAP;
}
