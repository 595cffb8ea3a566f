/* SPDX-License-Identifier: MIT */
/* How many workers there are, and which of them go: sizes of groups, growth on demand, idle ones
 * that end, recycling, and groups whose workers cannot start. Nothing here decides what runs: a
 * task waits for the next worker, whatever becomes of this one. */
#include "pool/ends.h"
#include "pool/pool_state.h"
#include "service/base/text.h"

static struct pool_group *group_of(struct pool *pool, const struct seat *seat)
{
    PRE(seat->group < POOL_GROUPS);
    return &pool->groups[seat->group];
}

/* ------------------------------------------------------------------------------------------------
 * seats are taken and given back */

static void set_group(struct seat *seat, uint32_t group)
{
    seat->group = group;
    atomic_store(&seat->facts.group, group);
}

/* A seat of the group that is leaving stays, or a free one is taken. False: there is none. */
static bool grow(struct pool *pool, uint32_t group)
{
    struct seat *free_seat = NULL;
    for (uint32_t slot = pool->max_workers; slot-- > 0;) {
        struct seat *seat = &pool->seats[slot];
        if (seat->group == NO_GROUP)
            free_seat = seat;
        if (seat->group != group || seat->leave != LEAVE_FOR_GOOD)
            continue;
        seat->leave = seat->state == SEAT_DEAD ? LEAVE_REPLACED : LEAVE_NOT;
        pool->groups[group].n++;
        return true;
    }
    if (free_seat == NULL)
        return false;
    set_group(free_seat, group);
    free_seat->leave = LEAVE_NOT;
    free_seat->quick_deaths = 0;
    pool_set_time(pool, &free_seat->restart_at_ns, 0);
    pool->groups[group].n++;
    atomic_store(&pool->top, MAX(pool_slots(pool), pool_slot_of(pool, free_seat) + 1));
    return true;
}

/* Those for whom there was no seat. */
static void fill(struct pool *pool)
{
    for (uint32_t group = 0; group < POOL_GROUPS; group++) {
        const struct pool_group *g = &pool->groups[group];
        while (g->n < g->rules.min && grow(pool, group))
            continue;
    }
}

static void give_back(struct pool *pool, struct seat *seat)
{
    uint32_t top = pool_slots(pool);
    pool_set_time(pool, &seat->restart_at_ns, UINT64_MAX);
    seat->leave = LEAVE_NOT;
    set_group(seat, NO_GROUP);
    while (top > 0 && pool->seats[top - 1].group == NO_GROUP)
        top--;
    atomic_store(&pool->top, top);
    fill(pool);
}

void pool_seat_left(struct pool *pool, struct seat *seat)
{
    if (seat->leave == LEAVE_FOR_GOOD)
        give_back(pool, seat);
    seat->leave = LEAVE_NOT;
}

/* ------------------------------------------------------------------------------------------------
 * a worker leaves */

/* What it has not taken returns; the worker may be taking it just now. A turn ends with the task
 * that runs. */
static void withdraw(struct pool *pool, struct seat *seat)
{
    for (uint32_t number = 0; number < SLOT_BANKS; number++) {
        struct seat_bank *mine = &seat->banks[number];
        struct slot_offer *offer = slots_offer(&pool->worker.slots, pool_slot_of(pool, seat),
                                               number);
        uint32_t expected = BANK_OFFERED;
        if (mine->owner != BANK_RUNNING && mine->owner != BANK_WAITING)
            continue;
        if (mine->owner == BANK_RUNNING ||
            !atomic_compare_exchange_strong(&offer->state, &expected, BANK_NOT_OFFERED)) {
            pool_mates_withdraw(pool, seat, number);
            continue;
        }
        mine->owner = BANK_RETURNED;
        pool_tell(pool, seat, POOL_RETURNED, number);
    }
}

/* It has nothing to run, and goes when its socket ends. */
static void dismiss(struct pool *pool, struct seat *seat)
{
    pool_close_seat(pool, seat);
    seat->state = SEAT_DEAD;
}

static void leave(struct pool *pool, struct seat *seat, enum seat_leave how)
{
    if (how == LEAVE_FOR_GOOD && seat->leave != LEAVE_FOR_GOOD)
        group_of(pool, seat)->n--;
    seat->leave = MAX(seat->leave, how);
    if (seat->state == SEAT_EMPTY)
        pool_seat_left(pool, seat);
    else if (seat->state == SEAT_IDLE)
        dismiss(pool, seat);
    else if (seat->state == SEAT_BUSY)
        withdraw(pool, seat);
}

bool pool_is_size_limited(const struct pool *pool, const struct seat *seat)
{
    return seat->group != NO_GROUP && pool->groups[seat->group].rules.max_rss_bytes != 0;
}

static bool is_used_up(struct pool *pool, const struct seat *seat)
{
    const struct pool_rules *rules = &group_of(pool, seat)->rules;
    if (rules->max_tasks != 0 && seat->tasks >= rules->max_tasks)
        return true;
    return rules->max_rss_bytes != 0 && seat->resident_bytes > rules->max_rss_bytes;
}

/* Its runner has ended, and another one does not start: the next worker finds out whether that is
 * the pool's trouble. */
static bool has_given_up(struct pool *pool, const struct seat *seat)
{
    const struct slot_head *head = slots_head(&pool->worker.slots, pool_slot_of(pool, seat));
    return group_of(pool, seat)->program.runner[0] != '\0' && head->why[0] != '\0';
}

bool pool_leaves(struct pool *pool, struct seat *seat, bool goes_on)
{
    if (pool->has_idle_rule)
        seat->idle_since_ns = clock_mono_ns();
    if (has_given_up(pool, seat)) {
        char why[SLOT_WHY];
        slot_why(slots_head(&pool->worker.slots, pool_slot_of(pool, seat)), why);
        pool_start_failed(pool, seat, why);
        seat->leave = MAX(seat->leave, LEAVE_REPLACED);
    }
    if (seat->leave == LEAVE_NOT && is_used_up(pool, seat))
        seat->leave = LEAVE_REPLACED;
    if (seat->leave == LEAVE_NOT)
        return false;
    withdraw(pool, seat);
    if (!goes_on)
        dismiss(pool, seat);
    return !goes_on;
}

bool pool_may_offer(const struct pool *pool, const struct seat *seat, uint32_t n)
{
    if (seat->leave != LEAVE_NOT)
        return false;
    const uint32_t max = pool->groups[seat->group].rules.max_tasks;
    return max == 0 || seat->tasks + 1 + n < max; /* 1: it runs one */
}

void pool_kill(struct pool *pool, struct seat *seat)
{
    const struct frame frame = {.type = FRAME_KILL, .slot = pool_slot_of(pool, seat)};
    const bool is_waiting = pool->control >= 0 &&
                            frame_send(pool->control, &frame, -1) == FRAME_AGAIN;
    pool_set_flag(pool, &seat->has_waiting_kill, is_waiting);
}

bool pool_replace(struct pool *pool, uint32_t slot, const struct pool_stop_how *how)
{
    struct seat *seat = slot < pool_slots(pool) ? &pool->seats[slot] : NULL;
    if (seat == NULL || seat->group == NO_GROUP || seat->state == SEAT_EMPTY)
        return false;
    leave(pool, seat, LEAVE_REPLACED);
    if (seat->state == SEAT_BOOTING || seat->state == SEAT_QUARANTINED)
        pool_kill(pool, seat);
    for (uint32_t bank = 0; bank < SLOT_BANKS && seat->state == SEAT_BUSY; bank++)
        pool_stop_turn(pool, (struct place){slot, bank}, how);
    return true;
}

/* ------------------------------------------------------------------------------------------------
 * sizes */

/* Who goes first when there are too many; SEAT_DEAD is going already. */
static int dispensable(const struct seat *seat)
{
    static const int ranks[] = {
        [SEAT_EMPTY] = 6,    [SEAT_DEAD] = 5, [SEAT_IDLE] = 4,        [SEAT_BOOTING] = 3,
        [SEAT_SPAWNING] = 3, [SEAT_BUSY] = 1, [SEAT_QUARANTINED] = 2,
    };
    return ranks[seat->state];
}

static struct seat *most_dispensable(struct pool *pool, uint32_t group)
{
    struct seat *best = NULL;
    for (uint32_t slot = 0; slot < pool_slots(pool); slot++) {
        struct seat *seat = &pool->seats[slot];
        if (seat->group == group && seat->leave != LEAVE_FOR_GOOD &&
            (best == NULL || dispensable(seat) >= dispensable(best)))
            best = seat;
    }
    return best;
}

/* Workers that have another program are replaced. */
static void take_program(struct pool *pool, uint32_t group, const struct pool_rules *rules)
{
    struct pool_group *g = &pool->groups[group];
    struct slot_program now = {.timeout_us = (int64_t)rules->start_timeout_ns / 1000,
                               .isolation = rules->isolation};
    if (rules->runner != NULL && rules->runner[0] != '\0') {
        (void)snprintf(now.pool, sizeof(now.pool), "%s", rules->name);
        (void)snprintf(now.runner, sizeof(now.runner), "%s", rules->runner);
    }
    const bool is_same = strcmp(now.runner, g->program.runner) == 0 &&
                         now.isolation == g->program.isolation;
    g->program = now;
    for (uint32_t slot = 0; slot < pool_slots(pool) && !is_same; slot++)
        if (pool->seats[slot].group == group)
            leave(pool, &pool->seats[slot], LEAVE_REPLACED);
}

void pool_set_rules(struct pool *pool, uint32_t group, const struct pool_rules *rules)
{
    struct pool_group *g = &pool->groups[group];
    PRE(group < POOL_GROUPS && rules->min <= rules->size && rules->size <= pool->max_workers);
    take_program(pool, group, rules);
    g->rules = *rules;
    g->rules.name = g->rules.runner = NULL;
    if (rules->size == 0) { /* who comes later begins anew */
        g->failures = 0;
        g->is_broken = false;
        atomic_store(&g->facts.failures, 0);
        atomic_store(&g->facts.is_broken, false);
    }
    atomic_store(&g->facts.size, rules->size);
    pool->has_idle_rule = false;
    for (uint32_t i = 0; i < POOL_GROUPS; i++)
        pool->has_idle_rule |= pool->groups[i].rules.size > 0 &&
                               pool->groups[i].rules.idle_ns != UINT64_MAX;
    while (g->n > rules->size) {
        struct seat *seat = most_dispensable(pool, group);
        POST(seat != NULL);
        leave(pool, seat, LEAVE_FOR_GOOD);
    }
    fill(pool);
}

uint32_t pool_size(const struct pool *pool)
{
    return atomic_load_explicit(&pool->groups[0].facts.size, memory_order_relaxed);
}

uint32_t pool_group_size(const struct pool *pool, uint32_t group)
{
    return pool->groups[group].rules.size;
}

uint32_t pool_group_of(const struct pool *pool, uint32_t slot)
{
    PRE(slot < pool->max_workers);
    return pool->seats[slot].group;
}

/* Seats whose worker will be there soon. */
static uint32_t starting(const struct pool *pool, uint32_t group)
{
    uint32_t n = 0;
    for (uint32_t slot = 0; slot < pool_slots(pool); slot++) {
        const struct seat *seat = &pool->seats[slot];
        n += seat->group == group && seat->leave != LEAVE_FOR_GOOD &&
             (seat->state == SEAT_EMPTY || seat->state == SEAT_SPAWNING ||
              seat->state == SEAT_BOOTING || seat->state == SEAT_DEAD);
    }
    return n;
}

bool pool_can_grow(const struct pool *pool, uint32_t group)
{
    return pool->groups[group].n < pool->groups[group].rules.size;
}

void pool_want(struct pool *pool, uint32_t group, uint32_t n)
{
    if (n == 0 || !pool_can_grow(pool, group))
        return;
    for (uint32_t more = n - MIN(n, starting(pool, group)); more > 0; more--)
        if (!pool_can_grow(pool, group) || !grow(pool, group))
            return;
}

static bool is_idle_over_min(const struct pool *pool, const struct seat *seat)
{
    if (seat->group == NO_GROUP || seat->state != SEAT_IDLE)
        return false;
    const struct pool_group *g = &pool->groups[seat->group];
    return g->n > g->rules.min && g->rules.idle_ns != UINT64_MAX;
}

static uint64_t ends_at_ns(const struct pool *pool, const struct seat *seat)
{
    return seat->idle_since_ns + pool->groups[seat->group].rules.idle_ns;
}

uint64_t pool_idle_deadline_ns(const struct pool *pool)
{
    uint64_t at_ns = UINT64_MAX;
    for (uint32_t slot = 0; slot < pool_slots(pool); slot++)
        if (is_idle_over_min(pool, &pool->seats[slot]))
            at_ns = MIN(at_ns, ends_at_ns(pool, &pool->seats[slot]));
    return at_ns;
}

/* From the top: the lowest slots are the first to get work. */
void pool_end_idle(struct pool *pool, uint64_t now_ns)
{
    for (uint32_t slot = pool_slots(pool); slot-- > 0;) {
        struct seat *seat = &pool->seats[slot];
        if (is_idle_over_min(pool, seat) && ends_at_ns(pool, seat) <= now_ns)
            leave(pool, seat, LEAVE_FOR_GOOD);
    }
}

/* ------------------------------------------------------------------------------------------------
 * starts that fail */

static void put_why(struct pool_group *g, const char *why)
{
    struct why_record record = {{0}};
    (void)text_put_plain(record.text, sizeof(record.text) - 1, slice_of(why));
    live_write(&g->facts.why_turn, g->facts.why, &record, sizeof(record));
}

static void get_why(const struct pool_group *g, char ret[POOL_WHY])
{
    struct why_record record = {{0}};
    (void)!live_read(&g->facts.why_turn, g->facts.why, &record, sizeof(record));
    memcpy(ret, record.text, POOL_WHY);
    ret[POOL_WHY - 1] = '\0';
}

static void set_broken(struct pool *pool, const struct seat *seat, bool is_broken)
{
    struct pool_group *g = group_of(pool, seat);
    if (g->is_broken == is_broken)
        return;
    g->is_broken = is_broken;
    atomic_store(&g->facts.is_broken, is_broken);
    pool_push(pool, (struct pool_event){.type = is_broken ? POOL_BROKEN : POOL_MENDED,
                                        .place = {pool_slot_of(pool, seat), 0}});
}

static bool has_ready(const struct pool *pool, uint32_t group)
{
    for (uint32_t slot = 0; slot < pool_slots(pool); slot++)
        if (pool->seats[slot].group == group && pool->seats[slot].state != SEAT_EMPTY &&
            pool->seats[slot].was_ready)
            return true;
    return false;
}

void pool_start_failed(struct pool *pool, struct seat *seat, const char *why)
{
    struct pool_group *g = group_of(pool, seat);
    if (g->failures < UINT32_MAX)
        g->failures++;
    put_why(g, why);
    atomic_store(&g->facts.failures, g->failures);
    if (g->failures >= g->rules.max_start_failures && !has_ready(pool, seat->group))
        set_broken(pool, seat, true);
}

void pool_prepare_start(struct pool *pool, struct seat *seat)
{
    struct slot_head *head = slots_head(&pool->worker.slots, pool_slot_of(pool, seat));
    const struct slot_program *from = &pool->groups[seat->group].program;
    head->why[0] = '\0';
    ends_reset(&pool->worker.slots, pool_slot_of(pool, seat));
    seat->n_ends = 0;
    head->program.timeout_us = from->timeout_us;
    head->program.isolation = from->isolation;
    (void)snprintf(head->program.pool, sizeof(head->program.pool), "%s", from->pool);
    (void)snprintf(head->program.runner, sizeof(head->program.runner), "%s", from->runner);
}

void pool_starts(struct pool *pool, struct seat *seat)
{
    const uint64_t timeout_ns = group_of(pool, seat)->rules.start_timeout_ns;
    if (timeout_ns != 0)
        pool_set_time(pool, &seat->restart_at_ns, clock_mono_ns() + timeout_ns);
}

void pool_start_is_due(struct pool *pool, struct seat *seat)
{
    struct slot_head *head = slots_head(&pool->worker.slots, pool_slot_of(pool, seat));
    pool_set_time(pool, &seat->restart_at_ns, UINT64_MAX);
    if (seat->state != SEAT_BOOTING)
        return;
    (void)snprintf(head->why, sizeof(head->why), "a worker was not ready within %.3g s",
                   (double)group_of(pool, seat)->rules.start_timeout_ns / 1e9);
    pool_kill(pool, seat);
}

void pool_started(struct pool *pool, struct seat *seat)
{
    struct pool_group *g = group_of(pool, seat);
    pool_set_time(pool, &seat->restart_at_ns, UINT64_MAX);
    seat->was_ready = true;
    atomic_store(&seat->facts.is_ready, true);
    g->failures = 0;
    atomic_store(&g->facts.failures, 0);
    set_broken(pool, seat, false);
}

void pool_mend(struct pool *pool, uint32_t group)
{
    for (uint32_t slot = 0; slot < pool_slots(pool); slot++) {
        struct seat *seat = &pool->seats[slot];
        if (seat->group != group || seat->state != SEAT_EMPTY)
            continue;
        seat->quick_deaths = 0;
        pool_set_time(pool, &seat->restart_at_ns, 0);
    }
}

bool pool_is_broken(const struct pool *pool, uint32_t group)
{
    return atomic_load_explicit(&pool->groups[group].facts.is_broken, memory_order_relaxed);
}

void pool_group_info(const struct pool *pool, uint32_t group, struct pool_group_view *ret)
{
    const struct pool_group *g = &pool->groups[group];
    struct pool_worker worker;
    PRE(group < POOL_GROUPS);
    *ret = (struct pool_group_view){.size = atomic_load(&g->facts.size),
                                    .failures = atomic_load(&g->facts.failures),
                                    .is_broken = atomic_load(&g->facts.is_broken)};
    for (uint32_t slot = 0; slot < pool_slots(pool); slot++) {
        if (!pool_worker_info(pool, slot, &worker) || worker.group != group)
            continue;
        ret->alive += worker.alive;
        ret->ready += worker.is_ready;
        ret->busy += worker.busy;
    }
    get_why(g, ret->why);
}
