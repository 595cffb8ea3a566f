/* SPDX-License-Identifier: MIT */
/* Native calls that share a turn of their worker, and the timer that serves them all. */
#include "pool/mates.h"
#include "pool/pool_state.h"
#include "pool_native.h"

#include <criterion/criterion.h>
#include <poll.h>

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

/* ---- calls that follow each other as offers ---- */

/* A call that goes on until it is let go. */
static struct place hold(struct call *c, int64_t timeout_us, struct pool_live *ret_live)
{
    int64_t no;
    const uint64_t until_ns = clock_mono_ns() + UINT64_C(20000000000);
    struct task *task = call_of(c, "cancel");
    task->timeout_us = timeout_us;
    const struct place place = fixture_start(&f, task, &no);
    while (!pool_live(f.pool, place.slot, no, ret_live) || ret_live->progress.text[0] == '\0')
        cr_assert_lt(clock_mono_ns(), until_ns);
    return place;
}

/* When it is let go, its worker takes the offer at once. */
static struct task_outcome let_go(struct place held)
{
    struct task_outcome outcome;
    pool_stop(f.pool, held, 0, -1);
    (void)fixture_await(&f, POOL_DONE, &held);
    pool_outcome(f.pool, held, &outcome);
    pool_release(f.pool, held);
    return outcome;
}

Test(pool_native_turn, a_timeout_of_an_offered_call_does_not_come_early)
{
    struct call first, second;
    struct offered next;
    struct pool_live live;
    const struct place held = hold(&first, 60 * SECOND_US, &live);
    cr_assert(fixture_offer(&f, call_of(&second, "pid"), &next));
    const struct task_outcome outcome = let_go(held);
    (void)fixture_await(&f, POOL_DONE, &next.task.place);
    const struct bank *bank = slots_bank(&f.pool->worker.slots, next.task.place.slot,
                                         next.task.place.bank);
    const int64_t kill_us = (int64_t)(atomic_load(&bank->call_kill_at_ns) / 1000);
    const int64_t mono_us = (int64_t)(clock_mono_ns() / 1000);
    cr_assert_geq(kill_us - 60 * SECOND_US - mono_us + clock_wall_us(), outcome.ended_us);
    pool_release(f.pool, next.task.place);
    buf_release(&next.wire);
}

/* The timer may stay armed when one call follows another, but nothing else. */
Test(pool_native_turn, a_timer_does_not_hit_a_command_behind_the_call)
{
    struct call first;
    struct offered next;
    struct pool_live live;
    TASK_OF(longer, "sleep", "1.7");
    const struct place held = hold(&first, 3 * SECOND_US / 2, &live);
    cr_assert(fixture_offer(&f, &longer, &next));
    cr_assert_eq(let_go(held).end, TASK_EXITED);
    (void)fixture_await(&f, POOL_DONE, &next.task.place);
    pool_release(f.pool, next.task.place);
    buf_release(&next.wire);
}

Test(pool_native_turn, a_timer_does_not_hit_a_worker_that_rests)
{
    struct call first, second;
    struct task_outcome outcome;
    struct pool_live live;
    cr_assert_eq(let_go(hold(&first, 3 * SECOND_US / 2, &live)).end, TASK_EXITED);
    (void)poll(NULL, 0, 1700); /* in which nothing is to happen */
    const struct place place = fixture_run(&f, call_of(&second, "pid"), &outcome);
    cr_assert_eq(strtol(outcome.result.inline_bytes.ptr, NULL, 10), live.worker_pid);
    pool_release(f.pool, place);
}
