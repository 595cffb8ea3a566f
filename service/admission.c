/* SPDX-License-Identifier: MIT */
#include "service/admission.h"

#include "service/dispatch.h"

/* How soon to look again whether a worker has begun with what it was given. */
#define SEE_AGAIN_NS UINT64_C(5000000)

/* ------------------------------------------------------------------------------------------------
 * which queues have rules */

static struct lane *lane_of(const struct dispatch *d, uint32_t queue)
{
    PRE(queue >= 1 && queue <= d->admission.max);
    return &d->admission.lanes[queue - 1];
}

static bool has_rate(const struct dispatch *d, uint32_t queue)
{
    return settings_of(d->store, queue)->rate_n != 0;
}

bool admission_has_rate(const struct dispatch *d, uint32_t queue)
{
    return has_rate(d, queue);
}

static void make_lanes(struct dispatch *d)
{
    struct admission *a = &d->admission;
    a->max = settings_max_queues(d->store);
    a->lanes = must_alloc(a->max * sizeof *a->lanes);
    a->peek = must_alloc(a->max * sizeof *a->peek);
    a->ruled = must_alloc(a->max * sizeof *a->ruled);
    for (uint32_t i = 0; i < a->max; i++)
        a->peek[i] = LANE_FREE;
}

/* A queue's first rate: what has begun before is not counted. */
static struct window *first_window(struct dispatch *d, uint32_t queue)
{
    for (uint32_t k = 0; k < d->n; k++) {
        struct flight *f = &d->flights[k];
        f->start_seen |= f->state >= FLIGHT_CLAIMED && f->info.row.queue == queue;
    }
    return must_alloc(sizeof(struct window));
}

/* The window stays when a rate is taken away, since that may be undone by a rollback. A rate with
 * another span keeps what has begun, as of now. */
static void fit_window(struct dispatch *d, uint32_t queue)
{
    struct lane *lane = lane_of(d, queue);
    uint64_t now_ns = clock_mono_ns();
    uint32_t begun = 0;
    struct window fresh;
    if (!has_rate(d, queue))
        return;
    window_init(&fresh, settings_of(d->store, queue)->rate_us, now_ns);
    if (lane->window != NULL && lane->window->slot_ns == fresh.slot_ns)
        return;
    if (lane->window != NULL)
        begun = window_count(lane->window, now_ns);
    else
        lane->window = first_window(d, queue);
    *lane->window = fresh;
    window_add(lane->window, now_ns, begun);
    lane->changes++;
}

static bool has_rules(const struct dispatch *d)
{
    for (uint32_t queue = 1; queue <= settings_queues(d->store); queue++)
        if (queue_settings_rule(settings_of(d->store, queue)))
            return true;
    return false;
}

void admission_refresh(struct dispatch *d)
{
    struct admission *a = &d->admission;
    if (a->epoch == settings_epoch(d->store))
        return;
    a->epoch = settings_epoch(d->store);
    a->n_ruled = 0;
    a->by_weight = false;
    if (a->lanes == NULL && !has_rules(d))
        return;
    if (a->lanes == NULL)
        make_lanes(d);
    for (uint32_t queue = 1; queue <= settings_queues(d->store); queue++) {
        const struct queue_settings *s = settings_of(d->store, queue);
        fit_window(d, queue);
        a->peek[queue - 1] = LANE_FREE;
        if (queue_settings_rule(s))
            a->ruled[a->n_ruled++] = queue;
        a->by_weight |= s->weight != 0;
    }
}

/* What an earlier server has let begin. */
static bool load_window(struct dispatch *d, uint32_t queue, struct err *err)
{
    struct lane *lane = lane_of(d, queue);
    AUTO_BUF struct buf bytes = {0};
    buf_init(&bytes, 2 * sizeof(struct window_bytes));
    if (!settings_get_starts(d->store, queue, &bytes, err))
        return false;
    if (bytes.len == 0)
        return true; /* none ever has */
    if (!window_load(lane->window, clock_mono_ns(), clock_wall_us(), buf_slice(&bytes)))
        window_add(lane->window, clock_mono_ns(), settings_of(d->store, queue)->rate_n);
    return true;
}

bool admission_open(struct dispatch *d, struct err *err)
{
    struct admission *a = &d->admission;
    *a = (struct admission){.epoch = UINT64_MAX, .look_ns = UINT64_MAX};
    admission_refresh(d);
    for (uint32_t i = 0; i < a->n_ruled; i++)
        if (has_rate(d, a->ruled[i]) && !load_window(d, a->ruled[i], err))
            return err_wrap(err, "read when jobs have begun");
    return true;
}

void admission_close(struct dispatch *d)
{
    struct admission *a = &d->admission;
    for (uint32_t i = 0; i < a->max && a->lanes != NULL; i++)
        free(a->lanes[i].window);
    free(a->lanes);
    free(a->peek);
    free(a->ruled);
    *a = (struct admission){0};
}

/* ------------------------------------------------------------------------------------------------
 * counting flights */

static bool is_waiting(const struct flight *f)
{
    return f->state == FLIGHT_RESERVED || f->state == FLIGHT_OFFERED;
}

void admission_count(struct dispatch *d)
{
    struct admission *a = &d->admission;
    for (uint32_t i = 0; i < a->n_ruled; i++) {
        struct lane *lane = lane_of(d, a->ruled[i]);
        lane->waiting = lane->begun = lane->unrecorded = lane->unseen = 0;
    }
    for (uint32_t k = 0; k < d->n && a->n_ruled > 0; k++) {
        const struct flight *f = &d->flights[k];
        if (f->state == FLIGHT_FREE)
            continue;
        struct lane *lane = lane_of(d, f->info.row.queue);
        lane->waiting += is_waiting(f);
        lane->begun += !is_waiting(f) && !f->outcome_applied;
        lane->unrecorded += f->unrecorded && !f->recording;
        lane->unseen += !is_waiting(f) && !f->start_seen;
    }
}

/* An attempt that did not come to its beginning gives its token back. */
static bool has_begun(const struct dispatch *d, const struct flight *f, bool *ret_known)
{
    struct pool_live live;
    *ret_known = true;
    if (f->state == FLIGHT_ENDED) {
        struct task_outcome outcome = {.end = TASK_START_FAILED};
        if (!f->never_started)
            pool_outcome(d->pool, f->place, &outcome);
        return outcome.end != TASK_START_FAILED;
    }
    *ret_known = pool_live(d->pool, f->place.slot, f->info.row.no, &live) && live.job_pid != 0;
    return *ret_known;
}

/* The token is out from the moment at which the beginning has been seen, which is not before the
 * beginning: so it never comes back too early. */
static void see_start(struct dispatch *d, struct flight *f)
{
    bool known;
    if (f->start_seen || (f->state != FLIGHT_RUNNING && f->state != FLIGHT_ENDED))
        return;
    struct lane *lane = lane_of(d, f->info.row.queue);
    if (lane->window == NULL)
        return;
    bool begun = has_begun(d, f, &known);
    f->start_seen = known;
    if (begun) {
        window_add(lane->window, clock_mono_ns(), 1);
        lane->changes++;
    }
}

/* A new look: everything is judged as of now, with the beginnings that have been seen. */
static void look_anew(struct dispatch *d)
{
    for (uint32_t k = 0; k < d->n && d->admission.n_ruled > 0; k++)
        see_start(d, &d->flights[k]);
    d->admission.now_ns = clock_mono_ns();
    admission_count(d);
}

void admission_land(struct dispatch *d, struct flight *f)
{
    if (d->admission.n_ruled > 0)
        see_start(d, f);
}

/* ------------------------------------------------------------------------------------------------
 * what may begin */

/* So many jobs of this queue may be reserved or offered. */
static uint32_t room_of(struct dispatch *d, uint32_t queue)
{
    const struct queue_settings *s = settings_of(d->store, queue);
    const struct lane *lane = lane_of(d, queue);
    uint32_t room = UINT32_MAX;
    if (s->paused)
        return 0;
    if (s->concurrency != 0)
        room = s->concurrency - MIN(s->concurrency, lane->begun);
    if (s->rate_n != 0) {
        uint32_t out = window_count(lane->window, d->admission.now_ns) + lane->unseen;
        room = MIN(room, s->rate_n - MIN(s->rate_n, out));
    }
    return room;
}

/* Jobs of this queue that wait and have not begun. */
static int64_t ready_of(const struct dispatch *d, uint32_t queue)
{
    return settings_queued(d->store, queue) - lane_of(d, queue)->unrecorded;
}

int64_t admission_held_back(struct dispatch *d)
{
    struct admission *a = &d->admission;
    int64_t n = 0;
    a->now_ns = clock_mono_ns();
    admission_count(d);
    for (uint32_t i = 0; i < a->n_ruled; i++)
        n += MAX(ready_of(d, a->ruled[i]) - (int64_t)room_of(d, a->ruled[i]), (int64_t)0);
    return n;
}

/* A queue that begins to compete gets its share from now on, not what it could have had before. */
static void let_compete(struct dispatch *d)
{
    struct admission *a = &d->admission;
    int64_t least = INT64_MAX;
    uint32_t n = settings_queues(d->store);
    for (uint32_t queue = 1; queue <= n; queue++) {
        struct lane *lane = lane_of(d, queue);
        bool ready = settings_queued(d->store, queue) > 0 && a->peek[queue - 1].room > 0;
        if (ready && lane->competes)
            least = MIN(least, lane->pass);
        lane->competes = lane->competes && ready;
    }
    if (least != INT64_MAX)
        a->virtual_pass = least;
    for (uint32_t queue = 1; queue <= n; queue++) {
        struct lane *lane = lane_of(d, queue);
        bool ready = settings_queued(d->store, queue) > 0 && a->peek[queue - 1].room > 0;
        if (ready && !lane->competes)
            lane->pass = MAX(lane->pass, a->virtual_pass);
        lane->competes = ready;
        a->peek[queue - 1].pass = lane->pass;
        a->peek[queue - 1].weight = settings_of(d->store, queue)->weight;
    }
}

void admission_plan(struct dispatch *d, struct ready_list *list)
{
    struct admission *a = &d->admission;
    if (a->n_ruled == 0)
        return;
    look_anew(d);
    for (uint32_t queue = 1; a->by_weight && queue <= settings_queues(d->store); queue++)
        a->peek[queue - 1] = LANE_FREE; /* there may be new ones since the last change */
    for (uint32_t i = 0; i < a->n_ruled; i++)
        a->peek[a->ruled[i] - 1].room = room_of(d, a->ruled[i]);
    if (a->by_weight)
        let_compete(d);
    list->lanes = a->peek;
    list->by_weight = a->by_weight;
}

bool admission_board_all(struct dispatch *d, uint32_t queue, uint32_t n)
{
    if (d->admission.n_ruled == 0)
        return true;
    struct lane *lane = lane_of(d, queue);
    uint32_t room = room_of(d, queue);
    if (lane->waiting > room || room - lane->waiting < n)
        return false;
    lane->waiting += n;
    return true;
}

bool admission_board(struct dispatch *d, uint32_t queue)
{
    return admission_board_all(d, queue, 1);
}

uint32_t admission_room(struct dispatch *d, uint32_t queue, bool ever)
{
    const struct queue_settings *s = settings_of(d->store, queue);
    if (d->admission.n_ruled == 0)
        return UINT32_MAX;
    if (!ever)
        return room_of(d, queue);
    return MIN(s->concurrency == 0 ? UINT32_MAX : s->concurrency,
               s->rate_n == 0 ? UINT32_MAX : s->rate_n);
}

void admission_begun(struct dispatch *d, const struct flight *f)
{
    if (!f->contested || d->admission.lanes == NULL)
        return;
    uint32_t weight = settings_of(d->store, f->info.row.queue)->weight;
    lane_of(d, f->info.row.queue)->pass += LANE_STRIDE / MAX(weight, 1u);
}

/* ------------------------------------------------------------------------------------------------
 * time */

/* A rate holds jobs of this queue back, and nothing else does. */
static bool waits_for_rate(struct dispatch *d, uint32_t queue)
{
    const struct queue_settings *s = settings_of(d->store, queue);
    const struct lane *lane = lane_of(d, queue);
    return s->rate_n != 0 && !s->paused && (s->concurrency == 0 || lane->begun < s->concurrency) &&
           ready_of(d, queue) > (int64_t)room_of(d, queue);
}

void admission_look_later(struct dispatch *d)
{
    struct admission *a = &d->admission;
    a->look_ns = UINT64_MAX;
    for (uint32_t i = 0; i < a->n_ruled; i++) {
        const struct lane *lane = lane_of(d, a->ruled[i]);
        if (has_rate(d, a->ruled[i]) && lane->unseen > 0)
            a->look_ns = MIN(a->look_ns, clock_mono_ns() + SEE_AGAIN_NS);
        if (waits_for_rate(d, a->ruled[i]))
            a->look_ns = MIN(a->look_ns, window_next_ns(lane->window));
    }
}

uint64_t dispatch_next_look_ns(const struct dispatch *d)
{
    return d->admission.n_ruled == 0 ? UINT64_MAX : d->admission.look_ns;
}

void dispatch_look(struct dispatch *d, uint64_t now_ns)
{
    struct admission *a = &d->admission;
    if (now_ns < dispatch_next_look_ns(d))
        return;
    look_anew(d);
    for (uint32_t i = 0; i < a->n_ruled; i++) {
        const struct lane *lane = lane_of(d, a->ruled[i]);
        int64_t more = MIN(ready_of(d, a->ruled[i]), (int64_t)room_of(d, a->ruled[i]));
        d->dirty |= has_rate(d, a->ruled[i]) && more > (int64_t)lane->waiting;
    }
    admission_look_later(d);
}

/* ------------------------------------------------------------------------------------------------
 * what outlives the server */

static bool sync_lane(struct dispatch *d, uint32_t queue, struct err *err)
{
    struct lane *lane = lane_of(d, queue);
    uint32_t held = lane->waiting + lane->unseen;
    struct window_bytes bytes = {.wall_us = clock_wall_us(), .held = held};
    lane->written = lane->changes;
    lane->held = held;
    if (!has_rate(d, queue) || (lane->changes == lane->committed && held == lane->held_committed))
        return true;
    window_save(lane->window, clock_mono_ns(), &bytes);
    return settings_put_starts(d->store, queue, (struct slice){(const char *)&bytes, sizeof bytes},
                               err);
}

bool admission_sync(struct dispatch *d, struct err *err)
{
    const struct admission *a = &d->admission;
    admission_refresh(d); /* no claim need have looked since this transaction changed a queue */
    if (a->n_ruled > 0)
        admission_count(d);
    for (uint32_t i = 0; i < a->n_ruled; i++)
        if (!sync_lane(d, a->ruled[i], err))
            return err_wrap(err, "note when jobs have begun");
    return true;
}

void admission_committed(struct dispatch *d)
{
    const struct admission *a = &d->admission;
    for (uint32_t i = 0; i < a->n_ruled; i++) {
        struct lane *lane = lane_of(d, a->ruled[i]);
        lane->committed = lane->written;
        lane->held_committed = lane->held;
    }
}
