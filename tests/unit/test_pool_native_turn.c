/* SPDX-License-Identifier: MIT */
/* Native calls that share a turn of their worker, and the timer that serves them all. */
#include "pool/mates.h"
#include "pool/pool_state.h"
#include "pool_native.h"

#include <criterion/criterion.h>

#define LATE_US INT64_C(10000) /* a timeout within a turn, at most */

NATIVE_SUITE(pool_native_turn)

/* Two calls in one turn. Of the first one the outcome; the wall time from which on the timer that
 * was armed in the second one would have counted its 60 seconds. */
static int64_t counted_from_us(const char *first, struct task_outcome *ret_first)
{
    const char *const words[] = {first, "pid"};
    const struct task_extra none = {0};
    char extra[64];
    struct call calls[2];
    struct buf wires[2];
    struct err err = {0};
    struct mates_cursor cursor = {0};
    cr_assert_leq(task_extra_size(&none), sizeof(extra));
    for (int i = 0; i < 2; i++) {
        buf_init(&wires[i], 4096);
        if (i > 0)
            buf_append(&wires[i], extra, task_extra_write(extra, &none));
        cr_assert(task_encode(call_of(&calls[i], words[i]), &wires[i], &err), "%s", err.detail);
    }
    const struct pool_mate mate = {f.next_no + 2, buf_slice(&wires[1])};
    struct pool_task turn = {.job_no = f.next_no + 1,
                             .attempt = 1,
                             .wire = buf_slice(&wires[0]),
                             .mates = &mate,
                             .n_mates = 1};
    f.next_no += 2;
    while (!pool_find_idle(f.pool, &turn.place))
        (void)fixture_await(&f, POOL_READY, NULL);
    cr_assert(pool_start(f.pool, &turn, &err), "%s", err.detail);
    (void)fixture_await(&f, POOL_DONE, &turn.place);
    cr_assert(pool_mates_next(f.pool, turn.place, &cursor, ret_first));
    const struct bank *bank = slots_bank(&f.pool->worker.slots, turn.place.slot, turn.place.bank);
    const int64_t kill_us = (int64_t)(atomic_load(&bank->call_kill_at_ns) / 1000);
    const int64_t mono_us = (int64_t)(clock_mono_ns() / 1000);
    const int64_t wall_us = clock_wall_us(); /* later, so that a pause here makes no timer early */
    pool_release(f.pool, turn.place);
    buf_release(&wires[0]);
    buf_release(&wires[1]);
    return kill_us - 60 * SECOND_US - mono_us + wall_us;
}

/* The timer of the first call serves the second one too, but does not cut it short. */
Test(pool_native_turn, a_timeout_does_not_come_early)
{
    struct task_outcome first;
    const int64_t from_us = counted_from_us("args", &first);
    cr_assert_geq(from_us, first.ended_us);
}

/* Within a turn the timer stays armed after a short call, but not while its result goes to the disk
 * or its children are ended: that may take longer than the timer. */
Test(pool_native_turn, what_follows_a_call_is_not_part_of_its_timeout)
{
    static const char *const ways[] = {"large", "much", "child"};
    for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
        struct task_outcome first;
        const int64_t from_us = counted_from_us(ways[i], &first);
        cr_assert_geq(from_us - LATE_US, first.ended_us, "%s", ways[i]);
    }
}
