/* SPDX-License-Identifier: MIT */
/* Pipelines: jobs joined by kernel pipes, which begin together or not at all. Claimed one by one,
 * two pipelines on a small pool could each hold a part of it and wait for the rest for ever.
 *
 * 1. A pipeline is claimed whole, in one transaction, when as many workers are idle as it has
 * stages. Its stages are never reserved and never offered.
 * 2. The first one that finds too few keeps the idle workers free: nothing that comes after it in
 * the ready order is claimed, reserved or offered. One pipeline at a time does so; hence two cannot
 * wait for each other.
 * 3. When the first worker has idled for it for `max_ns`, because a long job runs elsewhere, all
 * are given back for as long, and then the next pipeline in the order has its turn. In such a pause
 * a pipeline still begins when enough workers happen to be idle. */
#include "service/dispatch.h"
#include "service/outcome.h"

#include "storage/gang.h"

#include <inttypes.h>

#define MAX_HOLD_NS UINT64_C(10000000000)
#define LOOK_NS UINT64_C(50000000) /* of a hold in a queue with limits */

/* ------------------------------------------------------------------------------------------------
 * may it begin? */

static uint64_t hold_ns(const struct dispatch *d)
{
    return d->hold.max_ns == 0 ? MAX_HOLD_NS : d->hold.max_ns;
}

uint64_t gang_deadline_ns(const struct dispatch *d)
{
    const struct gang_hold *hold = &d->hold;
    if (d->closed)
        return UINT64_MAX;
    if (hold->no != 0)
        return MIN(hold->look_ns, hold->until_ns == 0 ? UINT64_MAX : hold->until_ns);
    return hold->is_wanted ? hold->pause_ns : UINT64_MAX;
}

/* *ret_n: on how many workers it begins now, when so many are idle; 0: it does not. */
static bool begins(struct dispatch *d, const struct ready_job *ready, size_t n_idle,
                   uint32_t *ret_n, struct err *err)
{
    struct gang gang;
    bool is_ready;
    *ret_n = 0;
    d->suspect = ready->no;
    if (n_idle == 0 && !pool_can_grow(d->pool, 0))
        return true;
    if (!gang_get(d->store, ready->batch, &gang, err))
        return false;
    if (gang.n > n_idle)
        pool_want(d->pool, 0, gang.n - (uint32_t)n_idle);
    if (gang.n > n_idle || gang.n > admission_room(d, ready->queue, false))
        return true;
    if (!gang_is_ready(d->store, &gang, &is_ready, err))
        return false;
    *ret_n = is_ready ? gang.n : 0;
    return true;
}

/* Whether it could begin if nothing else ran. */
static bool may_hold(struct dispatch *d, const struct ready_job *ready, bool *ret, struct err *err)
{
    struct gang gang;
    *ret = false;
    d->suspect = ready->no;
    if (!gang_get(d->store, ready->batch, &gang, err))
        return false;
    if (gang.n > pool_size(d->pool) || gang.n > admission_room(d, ready->queue, true))
        return true;
    return gang_is_ready(d->store, &gang, ret, err);
}

static bool is_gang(const struct ready_job *ready)
{
    return (ready->flags & JOB_GANG) != 0;
}

/* Marks the pipelines that begin now if nobody holds workers. */
static bool mark(struct dispatch *d, struct ready_list *list, size_t n_idle, struct err *err)
{
    for (size_t i = 0; i < list->n; i++) {
        struct ready_job *ready = &list->jobs[i];
        if (is_gang(ready) && !begins(d, ready, n_idle, &ready->stages, err))
            return err_wrap(err, "look at pipeline %" PRId64, ready->batch);
        if (!is_gang(ready) || ready->stages > 0)
            n_idle -= MIN(n_idle, MAX(ready->stages, 1u));
    }
    return true;
}

/* The first from `at` on that waits and could have its workers; list->n: none. */
static bool next_waiting(struct dispatch *d, const struct ready_list *list, size_t at,
                         size_t *ret_at, struct err *err)
{
    for (; at < list->n; at++) {
        const struct ready_job *ready = &list->jobs[at];
        bool can = false;
        if (!is_gang(ready) || ready->stages > 0)
            continue;
        if (!may_hold(d, ready, &can, err))
            return false;
        if (can)
            break;
    }
    *ret_at = at;
    return true;
}

static size_t place_of(const struct ready_list *list, int64_t no)
{
    for (size_t i = 0; i < list->n; i++)
        if (list->jobs[i].no == no)
            return i;
    return list->n;
}

/* For whom workers are held. After a hold in vain another one has its turn, if there is one. */
static bool choose_holder(struct dispatch *d, const struct ready_list *list, size_t *ret_at,
                          struct err *err)
{
    size_t after = place_of(list, d->hold.gave_up);
    if (after < list->n && !next_waiting(d, list, after + 1, ret_at, err))
        return false;
    if (after < list->n && *ret_at < list->n)
        return true;
    return next_waiting(d, list, 0, ret_at, err);
}

/* How many workers the list leaves idle before this place. */
static size_t idle_before(const struct ready_list *list, size_t at, size_t n_idle)
{
    for (size_t i = 0; i < at; i++)
        if (!is_gang(&list->jobs[i]) || list->jobs[i].stages > 0)
            n_idle -= MIN(n_idle, MAX(list->jobs[i].stages, 1u));
    return n_idle;
}

/* Goes on with the hold, ends it, or begins one. *ret_at: the holder's place; list->n: none. */
static bool hold(struct dispatch *d, const struct turn *turn, const struct ready_list *list,
                 size_t *ret_at, struct err *err)
{
    struct gang_hold *hold = &d->hold;
    size_t at = hold->no == 0 ? list->n : place_of(list, hold->no);
    bool can = at < list->n && list->jobs[at].stages == 0;
    if (can && !may_hold(d, &list->jobs[at], &can, err))
        return false;
    *ret_at = list->n;
    if (can && hold->until_ns != 0 && turn->now_ns >= hold->until_ns) {
        *hold = (struct gang_hold){
            .pause_ns = turn->now_ns + hold_ns(d), .gave_up = hold->no, .max_ns = hold->max_ns};
    } else if (can) {
        *ret_at = at;
        return true;
    }
    hold->no = 0;
    hold->until_ns = 0;
    if (turn->now_ns < hold->pause_ns)
        return true;
    if (!choose_holder(d, list, ret_at, err))
        return false;
    hold->no = *ret_at < list->n ? list->jobs[*ret_at].no : 0;
    return true;
}

/* Takes out the pipelines that do not begin now; how many. */
static size_t take_out(struct ready_list *list)
{
    size_t n = 0;
    for (size_t i = 0; i < list->n; i++)
        if (!is_gang(&list->jobs[i]) || list->jobs[i].stages > 0)
            list->jobs[n++] = list->jobs[i];
    const size_t n_out = list->n - n;
    list->n = n;
    return n_out;
}

bool gang_screen(struct dispatch *d, const struct turn *turn, struct ready_list *list,
                 size_t n_idle, struct err *err)
{
    size_t at, n_gangs = 0;
    for (size_t i = 0; i < list->n; i++)
        n_gangs += is_gang(&list->jobs[i]);
    d->hold.is_wanted = false;
    if (n_gangs == 0) {
        d->hold.no = 0;
        d->hold.until_ns = 0;
        return true;
    }
    if (!mark(d, list, n_idle, err) || !hold(d, turn, list, &at, err))
        return false;
    const bool is_held = at < list->n;
    if (is_held && d->hold.until_ns == 0 && idle_before(list, at, n_idle) > 0)
        d->hold.until_ns = turn->now_ns + hold_ns(d);
    /* A token may come back without any event. */
    const bool is_limited = is_held && admission_room(d, list->jobs[at].queue, true) != UINT32_MAX;
    d->hold.look_ns = is_limited ? turn->now_ns + LOOK_NS : UINT64_MAX;
    const bool was_full = list->n == list->max;
    list->n = at;
    const size_t n_out = take_out(list);
    d->hold.is_wanted = n_out > 0 && !is_held;
    if (is_held || !was_full || n_out == 0 || n_out < n_gangs)
        return true;
    /* In a pause, when pipelines fill the whole list: what comes behind them must get on. */
    list->without = JOB_GANG;
    return queue_peek(d->store, list, err);
}

/* ------------------------------------------------------------------------------------------------
 * all at once */

static bool claim_stage(struct dispatch *d, struct turn *turn, struct flight *f, struct place place,
                        struct err *err)
{
    const int64_t no = f->info.row.no;
    if (f->info.row.idx > 0 && !gang_let_in(d->store, no, turn->now_us, err))
        return false;
    return flight_claim(d, turn, f, place, err);
}

/* *ret is NULL when the stage has failed, since what it takes from its parents is gone. Only the
 * first one takes anything. */
static bool board_stage(struct dispatch *d, struct turn *turn, int64_t no, struct flight **ret,
                        struct err *err)
{
    struct flight *f = flight_new(d);
    bool can_begin;
    PRE(f != NULL);
    *ret = NULL;
    if (!flight_read(d, f, no, err) || !flight_take_inputs(d, turn, f, &can_begin, err)) {
        flight_free(f);
        return false;
    }
    if (!can_begin) {
        flight_free(f);
        return true;
    }
    f->state = FLIGHT_RESERVED;
    f->attempt = f->info.row.attempt + 1;
    *ret = f;
    return true;
}

bool gang_claim(struct dispatch *d, struct turn *turn, const struct ready_job *ready,
                uint32_t *slot, struct err *err)
{
    struct gang gang;
    struct place place;
    struct flight *f;
    d->suspect = ready->no;
    if (!gang_get(d->store, ready->batch, &gang, err))
        return false;
    if (flight_spare(d) < gang.n) {
        d->dirty = true; /* outcomes that wait for this commit hold them */
        return true;
    }
    if (!admission_board_all(d, ready->queue, gang.n))
        return true; /* what comes before it has taken the last places of its queue */
    for (uint32_t i = 0; i < gang.n; i++) {
        const bool is_idle = dispatch_next_idle(d, 0, slot, &place);
        PRE(is_idle); /* gang_screen has counted, and what comes before takes no more than that */
        if (!board_stage(d, turn, gang.first_no + i, &f, err))
            return err_wrap(err, "read stage %" PRIu32 " of pipeline %" PRId64, i, gang.batch);
        if (f == NULL)
            return true;
        f->stages = gang.n;
        f->contested = ready->contested;
        if (!claim_stage(d, turn, f, place, err))
            return err_wrap(err, "claim stage %" PRIu32 " of pipeline %" PRId64, i, gang.batch);
    }
    if (d->hold.gave_up == ready->no)
        d->hold.gave_up = 0;
    return true;
}

static struct flight *stage_of(struct dispatch *d, int64_t batch, uint32_t i)
{
    for (uint32_t k = 0; k < d->n; k++) {
        struct flight *f = &d->flights[k];
        if (f->state >= FLIGHT_CLAIMED && !f->outcome_applied && f->stages > 0 &&
            f->info.row.batch == batch && f->info.row.idx == i)
            return f;
    }
    return NULL;
}

/* *from: the end that this stage reads, -1 for the first; then the next one's. Ends that the worker
 * has now are closed here: one that stayed would keep the reader waiting. */
static bool launch_stage(struct dispatch *d, struct flight *f, int *from)
{
    struct err err = {0};
    int pipe[2] = {-1, -1};
    const bool is_last = f->info.row.idx + 1 == f->stages;
    bool ok = is_last || pool_pipe(pipe, &err);
    if (!ok)
        log_error(d->log, "a pipeline cannot begin", &err);
    ok = ok && flight_launch(d, f, &(struct pool_ends){*from, pipe[1]});
    auto_close(from);
    auto_close(&pipe[1]);
    *from = pipe[0];
    return ok;
}

/* The stages that run wait for one that will never come. */
static void break_off(struct dispatch *d, int64_t batch)
{
    for (uint32_t k = 0; k < d->n; k++) {
        struct flight *f = &d->flights[k];
        if (f->state != FLIGHT_RUNNING || f->stages == 0 || f->info.row.batch != batch)
            continue;
        f->drain_stop = true;
        pool_stop(d->pool, f->place, 0, -1);
    }
}

void gang_launch(struct dispatch *d, const struct flight *claimed)
{
    const int64_t batch = claimed->info.row.batch;
    const uint32_t n = claimed->stages;
    int from = -1;
    uint32_t n_begun = 0;
    while (n_begun < n && launch_stage(d, stage_of(d, batch, n_begun), &from))
        n_begun++;
    auto_close(&from);
    for (uint32_t i = n_begun; i < n; i++) {
        struct flight *f = stage_of(d, batch, i);
        flight_start_failed(d, f);
        f->gang_never_began = n_begun == 0;
    }
    if (n_begun > 0 && n_begun < n)
        break_off(d, batch);
}

/* ------------------------------------------------------------------------------------------------
 * ends without a beginning */

static bool wait_again(struct dispatch *d, const struct job_row *stage, uint32_t attempt,
                       struct err *err)
{
    return jobs_unstart(d->store, stage->no, attempt, err) &&
           (stage->idx == 0 || gang_put_back(d->store, stage->no, err));
}

bool gang_end_unstarted(struct dispatch *d, struct turn *turn, struct flight *f, const char *why,
                        struct err *err)
{
    char detail[200];
    if (f->gang_never_began && !f->stop_requested) {
        f->unstarted = true;
        return wait_again(d, &f->info.row, f->attempt, err);
    }
    break_off(d, f->info.row.batch);
    (void)snprintf(detail, sizeof detail, "Other stages had begun when this one could not%s%s",
                   why[0] == '\0' ? "" : ": ", why);
    const struct job_end end = {
        .state = f->stop_requested ? JOB_CANCELLED : JOB_FAILED,
        .reason = f->stop_requested ? REASON_NONE : REASON_LOST,
        .error_detail = f->stop_requested ? NULL : detail,
        .finished_us = turn->now_us,
        .keep_us = f->info.row.keep_us,
    };
    return jobs_finish(d->store, f->info.row.no, f->attempt, &end, err);
}

/* Whether nothing of it can have run: every stage is claimed, and none has left a note. */
static bool none_began(struct dispatch *d, const struct gang *gang, bool *ret, struct err *err)
{
    *ret = true;
    for (uint32_t i = 0; i < gang->n && *ret; i++) {
        struct job_row row;
        struct err missing = {0};
        if (!jobs_get_by_no(d->store, gang->first_no + i, &row, &missing)) {
            *ret = false; /* it has ended, and was forgotten */
            return missing.code == ERR_NOT_FOUND ||
                   err_set(err, missing.code, "%s", missing.detail);
        }
        *ret = row.state == JOB_RUNNING && !starts_may_have_run(&d->starts, row.no, row.attempt);
    }
    return true;
}

static bool wait_again_all(struct dispatch *d, const struct gang *gang, struct err *err)
{
    for (uint32_t i = 0; i < gang->n; i++) {
        struct job_row row;
        if (!jobs_get_by_no(d->store, gang->first_no + i, &row, err) ||
            !wait_again(d, &row, row.attempt, err))
            return false;
    }
    return true;
}

bool gang_recover(struct dispatch *d, struct turn *turn, const struct job_row *stage,
                  struct err *err)
{
    struct gang gang;
    bool is_whole;
    enum job_state ignored;
    const struct job_cancel cancel = {stage->no, turn->now_us,
                                      "The service ended before this stage of a pipeline began"};
    const struct job_end end = {.state = JOB_CANCELLED,
                                .reason = REASON_NONE,
                                .finished_us = turn->now_us,
                                .keep_us = stage->keep_us};
    if (!gang_get(d->store, stage->batch, &gang, err) || !none_began(d, &gang, &is_whole, err))
        return false;
    if (is_whole)
        return wait_again_all(d, &gang, err);
    return jobs_cancel(d->store, &cancel, &ignored, err) &&
           jobs_finish(d->store, stage->no, stage->attempt, &end, err);
}
