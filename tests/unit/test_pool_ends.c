/* SPDX-License-Identifier: MIT */
/* Ends of tasks that are told in shared memory: no frame for a server that is awake, and none
 * missing for one that sleeps. */
#include "pool/ends.h"
#include "pool/pool_state.h"

#include "pool_fixture.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>

static bool is_readable(const struct fixture *f)
{
    struct pollfd look = {.fd = pool_fd(f->pool), .events = POLLIN};
    return poll(&look, 1, 0) == 1;
}

/* A server that is always awake looks until there is something. */
static void await_bell(const struct fixture *f)
{
    const uint64_t end_ns = clock_mono_ns() + UINT64_C(1000000) * FIXTURE_WAIT_MS;
    while (pool_sleeps(f->pool)) {
        pool_wakes(f->pool);
        cr_assert_lt(clock_mono_ns(), end_ns);
        (void)sched_yield();
    }
}

/* One task has ended, and its worker has taken the next one, which goes on. */
static struct place begin_next(struct fixture *f, struct offered *next)
{
    TASK_OF(endless, "sleep", "1000");
    const struct place first = fixture_hold(f, "hold");

    cr_assert(fixture_offer(f, &endless, next));
    pool_wakes(f->pool);
    fixture_let_go(f, "hold");
    await_bell(f);
    const struct bank *bank = slots_bank(&f->pool->worker.slots, 0, next->task.place.bank);
    while (atomic_load(&bank->job_pid) == 0)
        (void)sched_yield(); /* a frame would have left before */
    return first;
}

static void end_next(struct fixture *f, struct offered *next)
{
    pool_stop(f->pool, next->task.place, SIGKILL, 0);
    (void)fixture_await(f, POOL_DONE, &next->task.place);
    pool_release(f->pool, next->task.place);
    buf_release(&next->wire);
}

Test(pool, an_end_wakes_nobody_who_is_awake)
{
    struct fixture f;
    struct offered next;
    struct pool_event events[4];

    fixture_open(&f, 1);
    const struct place first = begin_next(&f, &next);
    cr_assert_not(is_readable(&f), "no frame has left");
    cr_assert_eq(pool_collect(f.pool, events, ARRAY_LEN(events)), 2);
    cr_assert_eq(events[0].type, POOL_DONE);
    cr_assert_eq(events[0].place.bank, first.bank);
    cr_assert_eq(events[1].type, POOL_STARTED);
    cr_assert_eq(events[1].job_no, next.task.job_no);
    pool_release(f.pool, first);
    cr_assert(pool_sleeps(f.pool), "it has heard everything");
    end_next(&f, &next);
    fixture_close(&f);
}

/* Its seat may have been given back since, or there never was one. */
Test(pool, a_bell_that_nobody_answers_for_keeps_nobody_awake)
{
    static const uint32_t slots[] = {0, 1, 63, MAX_WORKERS - 1};
    struct fixture f;
    struct pool_event event;

    fixture_open(&f, 1);
    (void)fixture_await(&f, POOL_READY, NULL); /* the only event of its own */
    for (size_t i = 0; i < ARRAY_LEN(slots); i++) {
        ends_ring(&f.pool->worker.slots, slots[i]);
        cr_assert_eq(pool_collect(f.pool, &event, 1), 0);
        cr_assert(pool_sleeps(f.pool), "slot %u", slots[i]);
    }
    fixture_close(&f);
}

/* It has nothing to do next: as if nobody were awake. */
Test(pool, a_worker_without_a_next_task_sends_a_frame)
{
    struct fixture f;
    struct pool_event event;

    fixture_open(&f, 1);
    pool_wakes(f.pool);
    const struct place place = fixture_hold(&f, "hold");
    fixture_let_go(&f, "hold");
    struct pollfd ready = {.fd = pool_fd(f.pool), .events = POLLIN};
    cr_assert_eq(poll(&ready, 1, FIXTURE_WAIT_MS), 1);
    cr_assert_eq(pool_collect(f.pool, &event, 1), 1);
    cr_assert_eq(event.type, POOL_DONE);
    pool_release(f.pool, place);
    fixture_close(&f);
}

Test(pool, an_end_is_told_even_by_a_worker_that_has_died_since)
{
    struct fixture f;
    struct offered next;
    struct pool_worker info;

    fixture_open(&f, 1);
    const struct place first = begin_next(&f, &next);
    cr_assert(pool_worker_info(f.pool, 0, &info));
    cr_assert_eq(kill(info.pid, SIGKILL), 0);
    /* A server that looked at the bell just before it was rung reads the end of the socket first.
     */
    struct seat *seat = &f.pool->seats[0];
    struct pollfd closed = {.fd = seat->sock};
    cr_assert_eq(poll(&closed, 1, FIXTURE_WAIT_MS), 1);
    while (pool_read_worker(f.pool, seat))
        continue;
    cr_assert_gt(f.pool->n_pending, 0, "the end of the socket came before the end of the task");
    (void)fixture_await(&f, POOL_DONE, &first);
    (void)fixture_await(&f, POOL_LOST, &next.task.place);
    pool_release(f.pool, first);
    pool_release(f.pool, next.task.place);
    buf_release(&next.wire);
    fixture_close(&f);
}

/* The offer came when the worker had looked for one already, and the frame that would tell of it
 * finds the worker dead: it has not begun, whatever the zygote has said of that death so far. */
Test(pool, an_offer_that_a_dead_worker_has_missed_comes_back)
{
    struct fixture f;
    struct offered next;
    struct pool_worker info;
    TASK_OF(second, "true");

    fixture_open(&f, 1);
    pool_wakes(f.pool);
    const struct place first = fixture_hold(&f, "hold");
    fixture_let_go(&f, "hold");
    struct pollfd ready = {.fd = pool_fd(f.pool), .events = POLLIN};
    cr_assert_eq(poll(&ready, 1, FIXTURE_WAIT_MS), 1);
    cr_assert(fixture_offer(&f, &second, &next));
    cr_assert(pool_worker_info(f.pool, 0, &info));
    cr_assert_eq(kill(f.pool->zygote_pid, SIGSTOP), 0);
    cr_assert_eq(kill(info.pid, SIGKILL), 0);
    struct pollfd closed = {.fd = f.pool->seats[0].sock};
    cr_assert_eq(poll(&closed, 1, FIXTURE_WAIT_MS), 1);
    const size_t n_told = pool_collect(f.pool, NULL, 0);
    const bool has_come_back = pool_recall(f.pool, next.task.place);
    cr_assert_eq(kill(f.pool->zygote_pid, SIGCONT), 0); /* first: it ends what the test began */
    cr_assert(n_told == 0 && has_come_back);
    (void)fixture_await(&f, POOL_DONE, &first);
    (void)fixture_await(&f, POOL_RETURNED, &next.task.place);
    pool_release(f.pool, first);
    pool_release(f.pool, next.task.place);
    (void)fixture_await(&f, POOL_WORKER_GONE, NULL);
    buf_release(&next.wire);
    fixture_close(&f);
}

/* What a broken worker writes is not believed. */
static void expect_condemned(const struct slot_end *end, int times)
{
    struct fixture f;
    struct pool_event event;

    fixture_open(&f, 1);
    f.pool->log.fd = -1; /* it says so, and rightly */
    const struct place place = fixture_hold(&f, "hold");
    for (int i = 0; i < times; i++)
        (void)!ends_tell(&f.pool->worker.slots, 0, end);
    const size_t n = pool_collect(f.pool, &event, 1);
    cr_assert(n == 0 || event.type == POOL_LOST); /* it may be dead by now */
    if (n == 0)
        (void)fixture_await(&f, POOL_LOST, &place);
    pool_release(f.pool, place);
    fixture_close(&f);
}

Test(pool, an_end_of_no_task_condemns_a_worker)
{
    expect_condemned(&(struct slot_end){.bank = SLOT_BANKS}, 1);
    expect_condemned(&(struct slot_end){.bank = 1, .job_no = 1, .attempt = 1}, 1);
    expect_condemned(&(struct slot_end){0}, POOL_MAX_ENDS + 1);
}

/* ------------------------------------------------------------------------------------------------
 * the bell alone */

Test(pool, a_bell_that_rings_keeps_the_server_awake)
{
    static const uint32_t numbers[] = {0, 63, 64, 99};
    struct slots slots;
    struct err err;
    const struct slot_end end = {.job_no = 7, .taken = 1};

    cr_assert(slots_map(&slots, 100, &err));
    cr_assert(ends_tell(&slots, 0, &end), "a server that has never said otherwise sleeps");
    cr_assert_eq(ends_heard(&slots, 0), 1);
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        ends_wake(&slots);
        cr_assert_not(ends_tell(&slots, numbers[i], &end));
        cr_assert_not(ends_sleep(&slots));
        cr_assert_eq(ends_heard(&slots, numbers[i] / 64), UINT64_C(1) << numbers[i] % 64);
        cr_assert_eq(ends_heard(&slots, numbers[i] / 64), 0);
        cr_assert(ends_sleep(&slots));
        cr_assert(ends_tell(&slots, numbers[i], &end));
        cr_assert_neq(ends_heard(&slots, numbers[i] / 64), 0);
    }
    cr_assert_eq(ends_count(&slots, 0), 3);
    ends_reset(&slots, 0);
    cr_assert_eq(ends_count(&slots, 0), 0);
    slots_unmap(&slots);
}
