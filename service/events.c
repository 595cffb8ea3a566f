/* SPDX-License-Identifier: MIT */
#include "service/events.h"

#include <stdatomic.h>

/* A slot is read while it may be overwritten, so each word is an atomic. The writer takes `seq`
 * away, stores the words with release, then puts the new `seq`. A reader that has loaded a new word
 * (acquire) sees that the old `seq` is gone, and one that finds the same `seq` before and after has
 * read nothing new: Boehm, Can seqlocks get along with programming language memory models? (2012),
 * without its fences, which the thread sanitizer does not know. */
enum word { W_WHAT, W_NO, W_BATCH, W_VERSION, W_CREATED, W_AT, W_SALT_QUEUE, WORD_COUNT };

struct slot {
    _Atomic uint64_t seq; /* 0: being written, or never */
    _Atomic uint64_t words[WORD_COUNT];
};
_Static_assert(sizeof(struct slot) == 64, "one cache line");
_Static_assert((EVENTS_MAX & (EVENTS_MAX - 1)) == 0, "slots are found by a mask");

struct event_ring {
    _Atomic uint64_t next; /* number of the next event */
    _Atomic bool is_wanted;
    uint64_t first;
    struct slot slots[EVENTS_MAX];
};

struct event_ring *events_new(uint64_t first_seq)
{
    struct event_ring *ring = must_alloc(sizeof *ring);
    PRE(first_seq > 0);
    ring->first = first_seq;
    atomic_store(&ring->next, first_seq);
    return ring;
}

void events_free(struct event_ring *ring)
{
    free(ring);
}

/* kind 4 bits, from 4, to 4, outcome 16, attempt 32 */
static void pack(const struct event *e, uint64_t words[WORD_COUNT])
{
    PRE(e->outcome <= UINT16_MAX);
    words[W_WHAT] = (uint64_t)e->kind | (uint64_t)e->from << 4 | (uint64_t)e->to << 8 |
                    (uint64_t)e->outcome << 16 | (uint64_t)e->attempt << 32;
    words[W_NO] = (uint64_t)e->no;
    words[W_BATCH] = (uint64_t)e->batch;
    words[W_VERSION] = (uint64_t)e->version;
    words[W_CREATED] = (uint64_t)e->created_us;
    words[W_AT] = (uint64_t)e->at_us;
    words[W_SALT_QUEUE] = (uint64_t)e->salt | (uint64_t)e->queue << 32;
}
_Static_assert(JOB_STATE_COUNT < 16, "a state, or none, takes four bits");

static void unpack(const uint64_t words[WORD_COUNT], struct event *ret)
{
    uint64_t what = words[W_WHAT];
    *ret = (struct event){
        .kind = (enum event_kind)(what & 15),
        .from = (enum job_state)(what >> 4 & 15),
        .to = (enum job_state)(what >> 8 & 15),
        .outcome = (uint32_t)(what >> 16 & UINT16_MAX),
        .attempt = (uint32_t)(what >> 32),
        .no = (int64_t)words[W_NO],
        .batch = (int64_t)words[W_BATCH],
        .version = (int64_t)words[W_VERSION],
        .created_us = (int64_t)words[W_CREATED],
        .at_us = (int64_t)words[W_AT],
        .salt = (uint32_t)words[W_SALT_QUEUE],
        .queue = (uint32_t)(words[W_SALT_QUEUE] >> 32),
    };
}

void events_put(struct event_ring *ring, const struct event *event)
{
    if (!atomic_load_explicit(&ring->is_wanted, memory_order_acquire))
        return;
    uint64_t seq = atomic_load_explicit(&ring->next, memory_order_relaxed);
    struct slot *slot = &ring->slots[seq & (EVENTS_MAX - 1)];
    uint64_t words[WORD_COUNT];
    pack(event, words);
    atomic_store_explicit(&slot->seq, 0, memory_order_relaxed);
    for (int i = 0; i < WORD_COUNT; i++)
        atomic_store_explicit(&slot->words[i], words[i], memory_order_release);
    atomic_store_explicit(&slot->seq, seq, memory_order_release);
    atomic_store_explicit(&ring->next, seq + 1, memory_order_release);
}

uint64_t events_listen(struct event_ring *ring)
{
    atomic_store(&ring->is_wanted, true);
    return atomic_load(&ring->next);
}

/* The oldest that is surely there. A reader that is slow to use this finds a gap again. */
static uint64_t oldest(const struct event_ring *ring, uint64_t next)
{
    return next - ring->first > EVENTS_MAX - 1 ? next - (EVENTS_MAX - 1) : ring->first;
}

enum events_found events_get(const struct event_ring *ring, uint64_t seq, struct event *ret,
                             uint64_t *ret_next)
{
    uint64_t next = atomic_load_explicit(&ring->next, memory_order_acquire);
    uint64_t words[WORD_COUNT];
    const struct slot *slot = &ring->slots[seq & (EVENTS_MAX - 1)];
    *ret_next = oldest(ring, next);
    if (seq == next)
        return EVENTS_NONE;
    if (seq > next || seq < *ret_next)
        return EVENTS_GONE;
    uint64_t before = atomic_load_explicit(&slot->seq, memory_order_acquire);
    for (int i = 0; i < WORD_COUNT; i++)
        words[i] = atomic_load_explicit(&slot->words[i], memory_order_acquire);
    uint64_t after = atomic_load_explicit(&slot->seq, memory_order_relaxed);
    if (before != seq || after != seq) {
        *ret_next = oldest(ring, atomic_load_explicit(&ring->next, memory_order_acquire));
        return EVENTS_GONE;
    }
    unpack(words, ret);
    ret->seq = seq;
    return EVENTS_FOUND;
}
