/* SPDX-License-Identifier: MIT */
#include "service/events.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdatomic.h>

#define FIRST UINT64_C(1000000)

static struct event event_of(uint64_t i)
{
    return (struct event){
        .kind = (enum event_kind)(i % 3),
        .no = (int64_t)i + 1,
        .batch = (int64_t)(i % 7),
        .from = i % 2 == 0 ? JOB_BIRTH : JOB_RUNNING,
        .to = i % 5 == 0 ? JOB_GONE : JOB_CANCELLED,
        .salt = (uint32_t)(i * 2654435761u),
        .queue = (uint32_t)i ^ 0x80000000u,
        .attempt = UINT32_MAX - (uint32_t)i,
        .outcome = (uint32_t)(i % 600),
        .version = (int64_t)i * 3,
        .created_us = INT64_C(1700000000000000) + (int64_t)i,
        .at_us = INT64_C(1800000000000000) + (int64_t)i,
    };
}

static bool is_event(const struct event *e, uint64_t i)
{
    struct event want = event_of(i);
    want.seq = e->seq;
    return e->kind == want.kind && e->no == want.no && e->batch == want.batch &&
           e->from == want.from && e->to == want.to && e->salt == want.salt &&
           e->queue == want.queue && e->attempt == want.attempt && e->outcome == want.outcome &&
           e->version == want.version && e->created_us == want.created_us && e->at_us == want.at_us;
}

static void put(struct event_ring *ring, uint64_t i)
{
    struct event e = event_of(i);
    events_put(ring, &e);
}

Test(events, nothing_is_written_before_somebody_listens)
{
    struct event_ring *ring = events_new(FIRST);
    struct event e;
    uint64_t next;
    put(ring, 0);
    cr_assert_eq(events_listen(ring), FIRST);
    cr_assert_eq(events_get(ring, FIRST, &e, &next), EVENTS_NONE);
    put(ring, 1);
    cr_assert_eq(events_get(ring, FIRST, &e, &next), EVENTS_FOUND);
    cr_assert_eq(e.seq, FIRST);
    cr_assert(is_event(&e, 1), "every member comes back");
    cr_assert_eq(events_listen(ring), FIRST + 1);
    events_free(ring);
}

Test(events, a_place_that_is_gone_says_where_to_go_on)
{
    struct event_ring *ring = events_new(FIRST);
    struct event e;
    uint64_t next;
    (void)events_listen(ring);
    for (uint64_t i = 0; i < 2 * EVENTS_MAX; i++)
        put(ring, i);
    cr_assert_eq(events_get(ring, FIRST + 5, &e, &next), EVENTS_GONE, "overwritten");
    cr_assert_eq(next, FIRST + EVENTS_MAX + 1);
    cr_assert_eq(events_get(ring, next, &e, &next), EVENTS_FOUND);
    cr_assert(is_event(&e, EVENTS_MAX + 1));
    cr_assert_eq(events_get(ring, FIRST - 7, &e, &next), EVENTS_GONE, "of an earlier run");
    cr_assert_eq(events_get(ring, FIRST + 2 * EVENTS_MAX, &e, &next), EVENTS_NONE);
    cr_assert_eq(events_get(ring, FIRST + 2 * EVENTS_MAX + 1, &e, &next), EVENTS_GONE,
                 "never given");
    events_free(ring);
}

/* One writes as fast as it can, readers follow: what they get is whole and in order, and a gap is
 * told. The thread sanitizer looks at the same. */
struct reading {
    struct event_ring *ring;
    _Atomic bool *is_over;
    uint64_t n, gaps;
    bool ok;
};

static void *read_all(void *arg)
{
    struct reading *r = arg;
    uint64_t seq = FIRST, next;
    struct event e;
    r->ok = true;
    for (;;) {
        bool was_over = atomic_load(r->is_over);
        switch (events_get(r->ring, seq, &e, &next)) {
        case EVENTS_FOUND:
            r->ok = r->ok && e.seq == seq && is_event(&e, seq - FIRST);
            r->n++;
            seq++;
            break;
        case EVENTS_GONE:
            r->ok = r->ok && next > seq;
            r->gaps++;
            seq = next;
            break;
        case EVENTS_NONE:
            if (was_over)
                return NULL;
            break;
        }
    }
}

Test(events, readers_beside_the_writer_see_whole_events)
{
    enum { READERS = 2, EVENTS = 4 * (int)EVENTS_MAX };
    struct event_ring *ring = events_new(FIRST);
    _Atomic bool is_over = false;
    struct reading readings[READERS];
    pthread_t threads[READERS];
    (void)events_listen(ring);
    for (int i = 0; i < READERS; i++) {
        readings[i] = (struct reading){.ring = ring, .is_over = &is_over};
        cr_assert_eq(pthread_create(&threads[i], NULL, read_all, &readings[i]), 0);
    }
    for (uint64_t i = 0; i < EVENTS; i++)
        put(ring, i);
    atomic_store(&is_over, true);
    for (int i = 0; i < READERS; i++) {
        cr_assert_eq(pthread_join(threads[i], NULL), 0);
        cr_assert(readings[i].ok);
        cr_assert(readings[i].n > 0);
        cr_assert(readings[i].gaps > 0 || readings[i].n == EVENTS, "nothing is missed in silence");
    }
    events_free(ring);
}
