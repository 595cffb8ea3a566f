/* SPDX-License-Identifier: MIT */
#include "service/waiters.h"

/* Deadlines are kept in a wheel of WHEEL_BUCKETS slots of TICK_NS; one that lies farther ahead than
 * a whole turn of the wheel is found too early, and put back. 64 × 128 ms = 8 s: a wait of 55 s is
 * looked at seven times. */
#define TICK_NS UINT64_C(128000000)

struct bucket {
    struct command *first;
};

struct waiters {
    _Atomic uint32_t epoch[WAITER_BUCKETS];
    _Atomic uint64_t count;
    _Atomic(struct park_group *) left;        /* nobody uses them any more; by `next` */
    struct park_link *topics[WAITER_BUCKETS]; /* who waits for what */
    struct bucket ids[WAITER_BUCKETS];        /* parked commands, by `waiter` */
    struct bucket wheel[WHEEL_BUCKETS];       /* the same, by deadline */
    struct park_group *groups;                /* all that have been parked once */
    uint64_t wheel_tick;                      /* everything before this tick has been looked at */
    uint64_t next_deadline_ns;
};

static uint32_t bucket_of(uint64_t topic)
{
    /* Fibonacci hashing: the top bits of the product are well mixed (Knuth, TAOCP 3, 6.4). */
    return (uint32_t)((topic * UINT64_C(0x9E3779B97F4A7C15)) >> 52) % WAITER_BUCKETS;
}
_Static_assert(WAITER_BUCKETS == 4096, "bucket_of takes the top 12 bits");

struct waiters *waiters_new(void)
{
    struct waiters *w = must_alloc(sizeof *w);
    w->wheel_tick = clock_mono_ns() / TICK_NS;
    w->next_deadline_ns = UINT64_MAX;
    return w;
}

uint32_t waiters_epoch(const struct waiters *w, uint64_t topic)
{
    return atomic_load_explicit(&w->epoch[bucket_of(topic)], memory_order_acquire);
}

uint64_t waiters_count(const struct waiters *w)
{
    return atomic_load_explicit(&w->count, memory_order_relaxed);
}

bool waiters_any(const struct waiters *w, uint64_t topic)
{
    for (const struct park_link *l = w->topics[bucket_of(topic)]; l != NULL; l = l->next)
        if (l->topic == topic)
            return true;
    return false;
}

bool waiters_is_current(const struct waiters *w, uint64_t topic, uint32_t seen_epoch)
{
    return waiters_epoch(w, topic) == seen_epoch;
}

static void wheel_link(struct waiters *w, struct command *cmd, uint64_t due_ns)
{
    uint64_t tick = MAX(due_ns / TICK_NS, w->wheel_tick);
    struct bucket *slot = &w->wheel[tick % WHEEL_BUCKETS];
    cmd->wheel_next = slot->first;
    cmd->wheel_prev = &slot->first;
    if (slot->first != NULL)
        slot->first->wheel_prev = &cmd->wheel_next;
    slot->first = cmd;
    w->next_deadline_ns = MIN(w->next_deadline_ns, due_ns);
}

static void wheel_unlink(struct command *cmd)
{
    *cmd->wheel_prev = cmd->wheel_next;
    if (cmd->wheel_next != NULL)
        cmd->wheel_next->wheel_prev = cmd->wheel_prev;
}

static void link_topic(struct waiters *w, struct park_link *link)
{
    struct park_link **first = &w->topics[bucket_of(link->topic)];
    PRE(link->prev == NULL);
    link->next = *first;
    link->prev = first;
    if (*first != NULL)
        (*first)->prev = &link->next;
    *first = link;
}

static void unlink_topic(struct park_link *link)
{
    *link->prev = link->next;
    if (link->next != NULL)
        link->next->prev = link->prev;
    link->prev = NULL;
}

static void link_command(struct waiters *w, struct command *cmd, uint64_t deadline_ns)
{
    struct bucket *ids = &w->ids[bucket_of(cmd->waiter)];
    cmd->parked = true;
    cmd->wake_pending = false;
    cmd->parked_deadline_ns = deadline_ns;
    cmd->id_next = ids->first;
    cmd->id_prev = &ids->first;
    if (ids->first != NULL)
        ids->first->id_prev = &cmd->id_next;
    ids->first = cmd;
    wheel_link(w, cmd, deadline_ns);
    atomic_fetch_add_explicit(&w->count, 1, memory_order_relaxed);
}

static struct park_group *group_of(const struct command *cmd)
{
    return cmd->kind == CMD_PARK ? cmd->park.group : NULL;
}

/* The woken links go with the command; the others stay. */
static void hand_over(struct park_group *group, struct command *cmd)
{
    cmd->park.woken = group->woken;
    group->woken = NULL;
    group->woken_tail = &group->woken;
    group->n_woken = 0;
    group->has_failed = false;
    group->cmd = NULL;
}

static void unlink_command(struct waiters *w, struct command *cmd)
{
    struct park_group *group = group_of(cmd);
    PRE(cmd->parked);
    if (group != NULL)
        hand_over(group, cmd);
    else
        unlink_topic(&cmd->link);
    *cmd->id_prev = cmd->id_next;
    if (cmd->id_next != NULL)
        cmd->id_next->id_prev = cmd->id_prev;
    wheel_unlink(cmd);
    cmd->parked = false;
    cmd->next = NULL;
    atomic_fetch_sub_explicit(&w->count, 1, memory_order_relaxed);
}

/* A stream that was woken a moment ago asked not to be woken before some time: it is due then, with
 * more to read. */
static bool wake_later(struct waiters *w, struct command *cmd, uint64_t now_ns)
{
    if (cmd->kind != CMD_PARK || cmd->park.not_before_ns <= now_ns)
        return false;
    if (!cmd->wake_pending) {
        cmd->wake_pending = true;
        cmd->parked_deadline_ns = MIN(cmd->parked_deadline_ns, cmd->park.not_before_ns);
        wheel_unlink(cmd);
        wheel_link(w, cmd, cmd->parked_deadline_ns);
    }
    return true;
}

/* ------------------------------------------------------------------------------------------------
 * groups */

struct park_group *park_group_new(uint32_t n)
{
    struct park_group *group = must_alloc(sizeof *group + n * sizeof group->links[0]);
    group->n = n;
    group->woken_tail = &group->woken;
    for (uint32_t i = 0; i < n; i++)
        group->links[i].group = group;
    return group;
}

static void group_add_woken(struct park_group *group, struct park_link *link, bool failed)
{
    link->chain = NULL;
    *group->woken_tail = link;
    group->woken_tail = &link->chain;
    group->n_woken++;
    group->has_failed |= failed;
}

static bool group_is_due(const struct park_group *group, const struct command *cmd)
{
    return group->n_woken >= cmd->park.needed || (cmd->park.on_failure && group->has_failed);
}

/* Whatever has moved on since it was read counts as woken, and perhaps by a failure: the reader
 * looks again at these alone. */
static void group_add(struct waiters *w, struct park_group *group, struct park_link *add)
{
    for (struct park_link *next; add != NULL; add = next) {
        next = add->chain;
        if (waiters_is_current(w, add->topic, add->seen_epoch))
            link_topic(w, add);
        else
            group_add_woken(group, add, true);
    }
}

static bool park_group(struct waiters *w, struct command *cmd, uint64_t deadline_ns,
                       uint64_t now_ns)
{
    struct park_group *group = cmd->park.group;
    PRE(group->cmd == NULL && cmd->park.needed > 0);
    if (group->prev == NULL) {
        group->next = w->groups;
        group->prev = &w->groups;
        if (w->groups != NULL)
            w->groups->prev = &group->next;
        w->groups = group;
    }
    group_add(w, group, cmd->park.add);
    cmd->park.add = NULL;
    group->cmd = cmd;
    bool is_due = group_is_due(group, cmd);
    if (is_due && cmd->park.not_before_ns <= now_ns) {
        hand_over(group, cmd);
        return false;
    }
    link_command(w, cmd, deadline_ns);
    if (is_due)
        (void)wake_later(w, cmd, now_ns);
    return true;
}

void waiters_leave(struct waiters *w, struct park_group *group)
{
    struct park_group *old = atomic_load_explicit(&w->left, memory_order_relaxed);
    do
        group->left = old;
    while (!atomic_compare_exchange_weak_explicit(&w->left, &old, group, memory_order_release,
                                                  memory_order_relaxed));
}

void waiters_sweep(struct waiters *w)
{
    struct park_group *group = atomic_exchange_explicit(&w->left, NULL, memory_order_acquire);
    for (struct park_group *left; group != NULL; group = left) {
        left = group->left;
        PRE(group->cmd == NULL);
        for (uint32_t i = 0; i < group->n; i++)
            if (group->links[i].prev != NULL)
                unlink_topic(&group->links[i]);
        if (group->prev != NULL) {
            *group->prev = group->next;
            if (group->next != NULL)
                group->next->prev = group->prev;
        }
        free(group);
    }
}

void waiters_free(struct waiters *w)
{
    if (w == NULL)
        return;
    PRE(atomic_load(&w->count) == 0);
    waiters_sweep(w);
    while (w->groups != NULL) {
        struct park_group *group = w->groups;
        w->groups = group->next;
        free(group);
    }
    free(w);
}

/* ------------------------------------------------------------------------------------------------
 * park, wake, expire */

bool waiters_park(struct waiters *w, struct command *cmd, uint64_t topic, uint64_t deadline_ns)
{
    PRE(!cmd->parked);
    if (group_of(cmd) != NULL)
        return park_group(w, cmd, deadline_ns, clock_mono_ns());
    if (cmd->kind == CMD_PARK && !waiters_is_current(w, topic, cmd->park.seen_epoch))
        return false;
    cmd->link = (struct park_link){.topic = topic, .cmd = cmd};
    link_topic(w, &cmd->link);
    link_command(w, cmd, deadline_ns);
    return true;
}

/* The command that comes back by this, or NULL. */
static struct command *wake_link(struct waiters *w, struct park_link *link, const struct wake *wake)
{
    struct command *cmd = link->cmd;
    if (cmd == NULL) {
        struct park_group *group = link->group;
        unlink_topic(link);
        group_add_woken(group, link, wake->failed);
        cmd = group->cmd;
        if (cmd == NULL || !group_is_due(group, cmd))
            return NULL;
    } else if (wake->batch != NULL && cmd->kind == CMD_PARK &&
               !batch_wish_is_fulfilled(&cmd->park.wish, wake->batch)) {
        return NULL;
    }
    if (wake_later(w, cmd, wake->now_ns))
        return NULL;
    unlink_command(w, cmd);
    cmd->timed_out = false;
    return cmd;
}

struct command *waiters_wake(struct waiters *w, const struct wake *wake)
{
    uint32_t i = bucket_of(wake->topic);
    atomic_fetch_add_explicit(&w->epoch[i], 1, memory_order_release);
    struct command *woken = NULL;
    for (struct park_link *link = w->topics[i], *next; link != NULL; link = next) {
        next = link->next;
        struct command *cmd = link->topic == wake->topic ? wake_link(w, link, wake) : NULL;
        if (cmd == NULL)
            continue;
        cmd->next = woken;
        woken = cmd;
    }
    return woken;
}

struct command *waiters_expire(struct waiters *w, uint64_t now_ns)
{
    if (now_ns < w->next_deadline_ns)
        return NULL;
    struct command *expired = NULL;
    uint64_t now_tick = now_ns / TICK_NS;
    uint64_t first_tick = MAX(w->wheel_tick,
                              now_tick >= WHEEL_BUCKETS ? now_tick - WHEEL_BUCKETS + 1 : 0);
    for (uint64_t tick = first_tick; tick <= now_tick; tick++) {
        for (struct command *cmd = w->wheel[tick % WHEEL_BUCKETS].first, *next; cmd != NULL;
             cmd = next) {
            next = cmd->wheel_next;
            if (cmd->parked_deadline_ns > now_ns)
                continue;
            unlink_command(w, cmd);
            cmd->timed_out = !cmd->wake_pending;
            cmd->next = expired;
            expired = cmd;
        }
    }
    w->wheel_tick = now_tick;
    /* The nearest deadline that is left. A slot may hold waiters of a later turn of the wheel too,
     * so the search ends only at a slot whose time cannot beat what was found. */
    w->next_deadline_ns = UINT64_MAX;
    for (uint64_t tick = now_tick;
         tick < now_tick + WHEEL_BUCKETS && w->next_deadline_ns > tick * TICK_NS; tick++)
        for (struct command *cmd = w->wheel[tick % WHEEL_BUCKETS].first; cmd != NULL;
             cmd = cmd->wheel_next)
            w->next_deadline_ns = MIN(w->next_deadline_ns, cmd->parked_deadline_ns);
    return expired;
}

struct command *waiters_all(struct waiters *w)
{
    struct command *all = NULL;
    for (size_t i = 0; i < WAITER_BUCKETS; i++)
        while (w->ids[i].first != NULL) {
            struct command *cmd = w->ids[i].first;
            unlink_command(w, cmd);
            cmd->timed_out = true;
            cmd->next = all;
            all = cmd;
        }
    w->next_deadline_ns = UINT64_MAX;
    return all;
}

struct command *waiters_remove(struct waiters *w, uint64_t waiter)
{
    for (struct command *cmd = w->ids[bucket_of(waiter)].first; cmd != NULL; cmd = cmd->id_next)
        if (cmd->waiter == waiter) {
            unlink_command(w, cmd);
            cmd->timed_out = true;
            return cmd;
        }
    return NULL;
}

uint64_t waiters_next_deadline_ns(const struct waiters *w)
{
    return w->next_deadline_ns;
}
