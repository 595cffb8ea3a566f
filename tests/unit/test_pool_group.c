/* SPDX-License-Identifier: MIT */
/* Groups of workers: their size while tasks run, limits of a worker, and workers sent away. */
#include "pool/pool_state.h"

#include "pool_fixture.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>

static void set_rules(struct fixture *f, uint32_t size, uint32_t max_tasks)
{
    pool_set_rules(f->pool, 0,
                   &(struct pool_rules){.size = size,
                                        .min = size,
                                        .idle_ns = UINT64_MAX,
                                        .max_tasks = max_tasks,
                                        .max_start_failures = 3});
}

static uint32_t alive(const struct fixture *f)
{
    struct pool_group_view view;
    pool_group_info(f->pool, 0, &view);
    return view.alive;
}

Test(pool_group, a_worker_too_many_ends_after_its_task)
{
    struct fixture f;
    struct offered next[2];
    TASK_OF(other, "true");

    fixture_open(&f, 2);
    (void)fixture_await(&f, POOL_READY, NULL);
    (void)fixture_await(&f, POOL_READY, NULL);
    const struct place a = fixture_hold(&f, "a"), b = fixture_hold(&f, "b");
    cr_assert_neq(a.slot, b.slot);
    cr_assert(fixture_offer(&f, &other, &next[0]) && fixture_offer(&f, &other, &next[1]));
    set_rules(&f, 1, 0);
    cr_assert_eq(pool_size(f.pool), 1);
    const struct place leaving = a.slot == 1 ? a : b, stays = a.slot == 0 ? a : b;
    const uint32_t given = next[0].task.place.slot == 1 ? 0 : 1;
    const struct pool_event back = fixture_await(&f, POOL_RETURNED, &next[given].task.place);
    cr_assert_eq(back.job_no, next[given].task.job_no);
    pool_release(f.pool, back.place);
    fixture_let_go(&f, a.slot == 1 ? "a" : "b");
    (void)fixture_await(&f, POOL_DONE, &leaving);
    const struct pool_event gone = fixture_await(&f, POOL_WORKER_GONE, NULL);
    cr_assert(gone.place.slot == 1 && gone.planned && gone.wait_status == 0);
    fixture_let_go(&f, a.slot == 1 ? "b" : "a");
    (void)fixture_await(&f, POOL_DONE, &stays);
    (void)fixture_await(&f, POOL_DONE, &next[1 - given].task.place);
    cr_assert_eq(alive(&f), 1);
    set_rules(&f, 2, 0);
    (void)fixture_await(&f, POOL_READY, NULL);
    cr_assert_eq(alive(&f), 2);
    pool_release(f.pool, leaving);
    pool_release(f.pool, stays);
    pool_release(f.pool, next[1 - given].task.place);
    buf_release(&next[0].wire);
    buf_release(&next[1].wire);
    fixture_close(&f);
}

Test(pool_group, a_worker_that_was_to_leave_stays_when_it_is_wanted_again)
{
    struct fixture f;
    struct pool_worker before, after;

    fixture_open(&f, 2);
    const struct place a = fixture_hold(&f, "a"), b = fixture_hold(&f, "b");
    cr_assert(pool_worker_info(f.pool, 1, &before));
    set_rules(&f, 1, 0);
    set_rules(&f, 2, 0);
    fixture_let_go(&f, "a");
    fixture_let_go(&f, "b");
    (void)fixture_await(&f, POOL_DONE, &a);
    (void)fixture_await(&f, POOL_DONE, &b);
    cr_assert(pool_worker_info(f.pool, 1, &after));
    cr_assert_eq(before.pid, after.pid);
    pool_release(f.pool, a);
    pool_release(f.pool, b);
    fixture_close(&f);
}

/* What a worker takes by itself counts against its limit before it has it. */
Test(pool_group, a_worker_never_takes_more_than_its_limit)
{
    struct fixture f;
    struct offered next[2], over;
    struct pool_worker before, after;
    TASK_OF(other, "true");

    fixture_open(&f, 1);
    set_rules(&f, 1, 3);
    pool_set_offers(f.pool, MAX_OFFERS);
    const struct place a = fixture_hold(&f, "a");
    cr_assert(pool_worker_info(f.pool, 0, &before));
    cr_assert(fixture_offer(&f, &other, &next[0]) && fixture_offer(&f, &other, &next[1]));
    cr_assert_not(fixture_offer(&f, &other, &over), "three are enough");
    fixture_let_go(&f, "a");
    (void)fixture_await(&f, POOL_DONE, &next[1].task.place);
    const struct pool_event gone = fixture_await(&f, POOL_WORKER_GONE, NULL);
    cr_assert(gone.planned);
    (void)fixture_await(&f, POOL_READY, NULL);
    cr_assert(pool_worker_info(f.pool, 0, &after));
    cr_assert_neq(before.pid, after.pid);
    pool_release(f.pool, a);
    for (size_t i = 0; i < ARRAY_LEN(next); i++) {
        pool_release(f.pool, next[i].task.place);
        buf_release(&next[i].wire);
    }
    buf_release(&over.wire);
    fixture_close(&f);
}

/* As a worker says it whose runner has ended and does not start again; also when it would have left
 * anyway. */
Test(pool_group, a_worker_that_gives_up_counts_as_a_failed_start)
{
    struct fixture f;
    struct pool_group_view view;

    fixture_open(&f, 1);
    (void)fixture_await(&f, POOL_READY, NULL);
    const struct place place = fixture_hold(&f, "a");
    set_rules(&f, 1, 1);
    (void)snprintf(f.pool->groups[0].program.runner, POOL_RUNNER_MAX, "a program");
    (void)snprintf(slots_head(&f.pool->worker.slots, 0)->why, SLOT_WHY, "it does not start");
    fixture_let_go(&f, "a");
    (void)fixture_await(&f, POOL_DONE, &place);
    pool_group_info(f.pool, 0, &view);
    cr_assert_eq(view.failures, 1);
    cr_assert_str_eq(view.why, "it does not start");
    pool_release(f.pool, place);
    fixture_close(&f);
}

Test(pool_group, a_replaced_worker_ends_its_task)
{
    struct fixture f;
    struct task_outcome outcome;
    const struct pool_stop_how now = {SIGKILL, 0};
    TASK_OF(slow, "sleep", "600");

    fixture_open(&f, 1);
    cr_assert_not(pool_replace(f.pool, 1, &now), "there is none");
    const struct place a = fixture_start(&f, &slow, NULL);
    cr_assert(pool_replace(f.pool, 0, &now));
    (void)fixture_await(&f, POOL_DONE, &a);
    pool_outcome(f.pool, a, &outcome);
    cr_assert_eq(outcome.end, TASK_SIGNALED);
    cr_assert_eq(outcome.signal, SIGKILL);
    const struct pool_event gone = fixture_await(&f, POOL_WORKER_GONE, NULL);
    cr_assert(gone.planned);
    pool_release(f.pool, a);
    (void)fixture_await(&f, POOL_READY, NULL);
    fixture_close(&f);
}

/* Groups share the slots: who is to grow gets those that another one gives up. */
Test(pool_group, a_group_gets_the_slots_that_another_one_gives_up)
{
    struct fixture f;
    struct pool_group_view view;
    struct place place;

    fixture_open(&f, 2);
    (void)fixture_await(&f, POOL_READY, NULL);
    (void)fixture_await(&f, POOL_READY, NULL);
    pool_set_rules(
        f.pool, 3,
        &(struct pool_rules){.size = 1, .min = 1, .idle_ns = UINT64_MAX, .max_start_failures = 3});
    pool_group_info(f.pool, 3, &view);
    cr_assert_eq(view.alive, 0);
    set_rules(&f, 1, 0);
    (void)fixture_await(&f, POOL_WORKER_GONE, NULL);
    const struct pool_event ready = fixture_await(&f, POOL_READY, NULL);
    cr_assert_eq(pool_group_of(f.pool, ready.place.slot), 3);
    pool_group_info(f.pool, 3, &view);
    cr_assert_eq(view.ready, 1);
    cr_assert(pool_find_idle(f.pool, &place));
    cr_assert_eq(pool_group_of(f.pool, place.slot), 0);
    fixture_close(&f);
}

static void pass_time(struct fixture *f, uint64_t until_ns)
{
    struct pool_event events[16];
    while (clock_mono_ns() < until_ns) {
        (void)poll(NULL, 0, 5);
        (void)pool_collect(f->pool, events, ARRAY_LEN(events));
    }
}

Test(pool_group, workers_start_when_they_are_wanted_and_end_when_they_idle)
{
    struct fixture f;
    const struct pool_rules lazy = {
        .size = 3, .min = 0, .idle_ns = UINT64_C(100000000), .max_start_failures = 3};

    fixture_open(&f, 3);
    for (int i = 0; i < 3; i++)
        (void)fixture_await(&f, POOL_READY, NULL);
    pool_set_rules(f.pool, 0, &lazy);
    for (int i = 0; i < 3; i++)
        cr_assert(fixture_await(&f, POOL_WORKER_GONE, NULL).planned);
    cr_assert_eq(alive(&f), 0);
    pool_want(f.pool, 0, 1);
    pool_want(f.pool, 0, 1); /* the one that starts is enough */
    (void)fixture_await(&f, POOL_READY, NULL);
    cr_assert_eq(alive(&f), 1);
    cr_assert(pool_next_deadline_ns(f.pool) != UINT64_MAX);
    pass_time(&f, pool_next_deadline_ns(f.pool) + UINT64_C(20000000));
    for (int i = 0; i < 1000 && alive(&f) > 0; i++)
        pass_time(&f, clock_mono_ns() + UINT64_C(5000000));
    cr_assert_eq(alive(&f), 0);
    fixture_close(&f);
}
