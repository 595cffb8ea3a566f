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
    struct bucket buckets[WAITER_BUCKETS];
    struct bucket ids[WAITER_BUCKETS]; /* the same commands, by `waiter` */
    struct bucket wheel[WHEEL_BUCKETS];
    uint64_t wheel_tick; /* everything before this tick has been looked at */
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

void waiters_free(struct waiters *w)
{
    if (w == NULL)
        return;
    PRE(atomic_load(&w->count) == 0);
    free(w);
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
    for (const struct command *cmd = w->buckets[bucket_of(topic)].first; cmd != NULL;
         cmd = cmd->bucket_next)
        if (cmd->parked_topic == topic)
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

static void unlink_waiter(struct waiters *w, struct command *cmd)
{
    PRE(cmd->parked);
    *cmd->bucket_prev = cmd->bucket_next;
    if (cmd->bucket_next != NULL)
        cmd->bucket_next->bucket_prev = cmd->bucket_prev;
    *cmd->id_prev = cmd->id_next;
    if (cmd->id_next != NULL)
        cmd->id_next->id_prev = cmd->id_prev;
    wheel_unlink(cmd);
    cmd->parked = false;
    cmd->next = NULL;
    atomic_fetch_sub_explicit(&w->count, 1, memory_order_relaxed);
}

bool waiters_park(struct waiters *w, struct command *cmd, uint64_t topic, uint64_t deadline_ns)
{
    PRE(!cmd->parked);
    if (cmd->kind == CMD_PARK && !waiters_is_current(w, topic, cmd->park.seen_epoch))
        return false;
    struct bucket *b = &w->buckets[bucket_of(topic)];
    cmd->parked = true;
    cmd->wake_pending = false;
    cmd->parked_topic = topic;
    cmd->parked_deadline_ns = deadline_ns;
    cmd->bucket_next = b->first;
    cmd->bucket_prev = &b->first;
    if (b->first != NULL)
        b->first->bucket_prev = &cmd->bucket_next;
    b->first = cmd;
    struct bucket *ids = &w->ids[bucket_of(cmd->waiter)];
    cmd->id_next = ids->first;
    cmd->id_prev = &ids->first;
    if (ids->first != NULL)
        ids->first->id_prev = &cmd->id_next;
    ids->first = cmd;
    wheel_link(w, cmd, deadline_ns);
    atomic_fetch_add_explicit(&w->count, 1, memory_order_relaxed);
    return true;
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

struct command *waiters_wake(struct waiters *w, uint64_t topic, uint64_t now_ns)
{
    uint32_t i = bucket_of(topic);
    atomic_fetch_add_explicit(&w->epoch[i], 1, memory_order_release);
    struct command *woken = NULL;
    for (struct command *cmd = w->buckets[i].first, *next; cmd != NULL; cmd = next) {
        next = cmd->bucket_next;
        if (cmd->parked_topic != topic || wake_later(w, cmd, now_ns))
            continue;
        unlink_waiter(w, cmd);
        cmd->timed_out = false;
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
            unlink_waiter(w, cmd);
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
        while (w->buckets[i].first != NULL) {
            struct command *cmd = w->buckets[i].first;
            unlink_waiter(w, cmd);
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
            unlink_waiter(w, cmd);
            cmd->timed_out = true;
            return cmd;
        }
    return NULL;
}

uint64_t waiters_next_deadline_ns(const struct waiters *w)
{
    return w->next_deadline_ns;
}
