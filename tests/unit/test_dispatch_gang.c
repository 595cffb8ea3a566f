/* SPDX-License-Identifier: MIT */
/* service/gang.c with a real pool and a real store: a pipeline begins as a whole or not at all,
 * what waits behind it does not overtake it, and it does not keep workers idle for ever. */
#include "service_dispatch.h"

#include "storage/gang.h"

#include <poll.h>

#define MAX_GANG 3

/* Inside a transaction: a pipeline of n stages that run `script`. The number of the first. */
static int64_t submit_gang(struct bench *b, const char *queue, const char *script, uint32_t n)
{
    struct slice argv[3] = {SLICE_LIT("sh"), SLICE_LIT("-c"), slice_of(script)};
    struct submit_item item = {
        .spec = {.argv = argv,
                 .n_argv = 3,
                 .queue = slice_of(queue),
                 .stop_signal = 15,
                 .stop_grace_us = 1000000,
                 .max_attempts = 1,
                 .limit_output = 1u << 20,
                 .keep_us = 60000000},
    };
    const struct batch_new batch = {.kind = BATCH_PIPELINE,
                                    .phase = BATCH_CLOSED,
                                    .spec = &item.spec,
                                    .now_us = clock_wall_us(),
                                    .chunksize = 1};
    struct job_id batch_id, id = {0};
    int64_t first = 0;
    MUST(command_prepare(&item, clock_wall_us(), &b->arena, &err));
    MUST(batch_insert(b->store, &batch, &batch_id, &err));
    for (uint32_t i = 0; i < n; i++) {
        const struct job_new job = {.spec = &item.spec,
                                    .task = item.task,
                                    .now_us = clock_wall_us(),
                                    .due_us = item.due_us,
                                    .salt = 1,
                                    .batch = batch_id.no,
                                    .idx = i,
                                    .flags = JOB_GANG | (i > 0 ? (unsigned)JOB_GATED : 0)};
        MUST(jobs_insert(b->store, &job, &id, &err));
        first = i == 0 ? id.no : first;
    }
    b->d.dirty = true;
    return first;
}

/* As the engine: also when only time has passed. */
static void turn(struct bench *b)
{
    turn_open(b);
    b->d.dirty |= b->turn.now_ns >= gang_deadline_ns(&b->d);
    turn_close(b);
    hear(b, 10);
}

static void open_two(struct bench *b)
{
    struct pool_worker worker;
    bench_open(b, 2);
    wait_ready(b);
    for (int i = 0; i < 100; i++) {
        struct place place;
        if (pool_idle_bank(b->pool, 0, &place) && pool_idle_bank(b->pool, 1, &place))
            break;
        hear(b, 100);
    }
    cr_assert(pool_worker_info(b->pool, 1, &worker) && worker.alive);
}

static void end(struct bench *b, int64_t no)
{
    struct flight *f = dispatch_find(&b->d, no);
    cr_assert_not_null(f);
    f->stop_requested = true;
    pool_stop(b->pool, f->place, 9, 0);
    run_until(b, no, JOB_CANCELLED);
}

Test(dispatch_gang, all_stages_are_claimed_in_one_transaction, .timeout = 60)
{
    struct bench b;
    open_two(&b);
    turn_open(&b);
    int64_t first = submit_gang(&b, "q", "cat; echo x", 2);
    turn_close(&b);
    cr_assert_eq(state_of(&b, first), JOB_RUNNING);
    cr_assert_eq(state_of(&b, first + 1), JOB_RUNNING);
    cr_assert_eq(flight_count(&b.d, FLIGHT_RUNNING), 2);
    cr_assert_eq(gang_deadline_ns(&b.d), UINT64_MAX);
    run_until(&b, first, JOB_SUCCEEDED);
    run_until(&b, first + 1, JOB_SUCCEEDED);
    bench_close(&b);
}

Test(dispatch_gang, workers_are_held_free_and_nothing_behind_it_is_reserved, .timeout = 60)
{
    struct bench b;
    open_two(&b);
    turn_open(&b);
    int64_t held = submit(&b, "sleep 60", 0);
    int64_t first = submit_gang(&b, "q", "cat", 2);
    int64_t behind = submit(&b, "true", 0);
    turn_close(&b);
    for (int i = 0; i < 5; i++)
        turn(&b);
    cr_assert_eq(state_of(&b, held), JOB_RUNNING);
    cr_assert_eq(state_of(&b, first), JOB_QUEUED);
    cr_assert_eq(state_of(&b, first + 1), JOB_BLOCKED, "no half of it");
    cr_assert_eq(state_of(&b, behind), JOB_QUEUED);
    cr_assert_eq(dispatch_ahead(&b.d), 0, "neither reserved nor offered");
    cr_assert_eq(b.d.hold.no, first);
    cr_assert_neq(gang_deadline_ns(&b.d), UINT64_MAX);
    turn_open(&b);
    int64_t urgent = submit(&b, "true", 1);
    turn_close(&b);
    run_until(&b, urgent, JOB_SUCCEEDED);
    cr_assert_eq(state_of(&b, first), JOB_QUEUED);
    end(&b, held);
    run_until(&b, first + 1, JOB_SUCCEEDED);
    run_until(&b, behind, JOB_SUCCEEDED);
    bench_close(&b);
}

Test(dispatch_gang, a_more_urgent_one_takes_offers_back, .timeout = 60)
{
    struct bench b;
    open_two(&b);
    turn_open(&b);
    int64_t long_ones[2] = {submit(&b, "sleep 60", 0), submit(&b, "sleep 60", 0)};
    (void)submit_gang(&b, "q", "cat", 2);
    int64_t offered = submit(&b, "true", 1);
    turn_close(&b);
    /* The urgent plain job has a worker, a long one waits in hand. */
    run_until(&b, offered, JOB_SUCCEEDED);
    cr_assert_eq(dispatch_ahead(&b.d), 0, "what is behind the pipeline is in nobody's hand");
    end(&b, long_ones[0]);
    bench_close(&b);
}

Test(dispatch_gang, workers_are_given_back_after_a_while, .timeout = 60)
{
    struct bench b;
    open_two(&b);
    b.d.hold.max_ns = 200000000;
    turn_open(&b);
    int64_t held = submit(&b, "sleep 60", 0);
    int64_t first = submit_gang(&b, "q", "cat", 2);
    int64_t behind = submit(&b, "true", 0);
    turn_close(&b);
    cr_assert_eq(b.d.hold.no, first);
    for (int i = 0; i < 500 && state_of(&b, behind) != JOB_SUCCEEDED; i++)
        turn(&b);
    cr_assert_eq(state_of(&b, behind), JOB_SUCCEEDED);
    cr_assert_eq(state_of(&b, held), JOB_RUNNING, "although a long job runs");
    for (int i = 0; i < 500 && b.d.hold.no != first; i++)
        turn(&b);
    cr_assert_eq(b.d.hold.no, first, "and it has its turn again");
    end(&b, held);
    run_until(&b, first, JOB_SUCCEEDED);
    bench_close(&b);
}

Test(dispatch_gang, after_one_in_vain_it_is_the_turn_of_another, .timeout = 60)
{
    struct bench b;
    int64_t gangs[3];
    bool seen[3] = {false};
    open_two(&b);
    b.d.hold.max_ns = 50000000;
    turn_open(&b);
    int64_t held = submit(&b, "sleep 60", 0);
    for (int i = 0; i < 3; i++)
        gangs[i] = submit_gang(&b, "q", "cat", 2);
    turn_close(&b);
    for (int i = 0; i < 1000 && !(seen[0] && seen[1] && seen[2]); i++) {
        for (int k = 0; k < 3; k++)
            seen[k] = seen[k] || b.d.hold.no == gangs[k];
        turn(&b);
    }
    cr_assert(seen[0] && seen[1] && seen[2]);
    end(&b, held);
    for (int i = 0; i < 3; i++)
        run_until(&b, gangs[i], JOB_SUCCEEDED);
    bench_close(&b);
}

Test(dispatch_gang, many_that_wait_do_not_hide_what_is_behind_them, .timeout = 60)
{
    struct bench b;
    open_two(&b);
    b.d.hold.max_ns = 50000000;
    turn_open(&b);
    int64_t held = submit(&b, "sleep 60", 0);
    for (uint32_t i = 0; i < b.d.wanted_n; i++)
        (void)submit_gang(&b, "q", "cat", 2);
    int64_t behind = submit(&b, "true", 0);
    turn_close(&b);
    for (int i = 0; i < 500 && state_of(&b, behind) != JOB_SUCCEEDED; i++)
        turn(&b);
    cr_assert_eq(state_of(&b, behind), JOB_SUCCEEDED);
    cr_assert_eq(state_of(&b, held), JOB_RUNNING);
    bench_close(&b);
}

Test(dispatch_gang, one_that_the_pool_cannot_hold_keeps_nobody_waiting, .timeout = 60)
{
    struct bench b;
    open_two(&b);
    turn_open(&b);
    int64_t first = submit_gang(&b, "q", "cat", 3);
    int64_t behind = submit(&b, "true", 0);
    turn_close(&b);
    run_until(&b, behind, JOB_SUCCEEDED);
    cr_assert_eq(state_of(&b, first), JOB_QUEUED);
    cr_assert_eq(b.d.hold.no, 0);
    bench_close(&b);
}

Test(dispatch_gang, its_queue_must_have_room_for_all_stages, .timeout = 60)
{
    struct bench b;
    struct queue_change change = {.members = QUEUE_ALL, .if_version = QUEUE_ANY_VERSION};
    struct settings_change apply = {.name = SLICE_LIT("q"), .change = &change, .may_make = true};
    open_two(&b);
    turn_open(&b);
    change.to = (struct queue_settings){.concurrency = 1};
    MUST(settings_apply(b.store, &apply, &err));
    int64_t first = submit_gang(&b, "q", "cat", 2);
    int64_t other = submit(&b, "true", 0);
    turn_close(&b);
    run_until(&b, other, JOB_SUCCEEDED);
    cr_assert_eq(state_of(&b, first), JOB_QUEUED);
    cr_assert_eq(b.d.hold.no, 0, "it could never have what it waits for");
    turn_open(&b);
    change.to = (struct queue_settings){.concurrency = 2};
    MUST(settings_apply(b.store, &apply, &err));
    b.d.dirty = true;
    turn_close(&b);
    run_until(&b, first + 1, JOB_SUCCEEDED);
    bench_close(&b);
}

Test(dispatch_gang, a_rollback_takes_all_claims_back, .timeout = 60)
{
    struct bench b;
    open_two(&b);
    turn_open(&b);
    b.d.closed = true;
    int64_t first = submit_gang(&b, "q", "cat", 2);
    turn_close(&b);
    b.d.closed = false;
    turn_open(&b);
    b.d.dirty = true;
    MUST(dispatch_claim(&b.d, &b.turn, &err));
    MUST(dispatch_sync(&b.d, &err));
    cr_assert_eq(flight_count(&b.d, FLIGHT_CLAIMED), 2);
    store_rollback(b.store);
    dispatch_rolled_back(&b.d);
    cr_assert_eq(flight_count(&b.d, FLIGHT_FREE), b.d.n);
    cr_assert_eq(state_of(&b, first), JOB_QUEUED);
    cr_assert_eq(state_of(&b, first + 1), JOB_BLOCKED);
    run_until(&b, first, JOB_SUCCEEDED);
    run_until(&b, first + 1, JOB_SUCCEEDED);
    bench_close(&b);
}
