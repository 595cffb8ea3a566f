/* SPDX-License-Identifier: MIT */
/* service/admission.c with a real pool and a real store: what a queue may have in flight, also when
 * a worker takes an offer by itself at the worst moment. */
#include "service_dispatch.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

/* Inside a transaction. */
static void set_queue(struct bench *b, const char *queue, struct queue_settings to)
{
    struct queue_change change = {.members = QUEUE_ALL, .to = to, .if_version = QUEUE_ANY_VERSION};
    struct settings_change apply = {.name = slice_of(queue), .change = &change, .may_make = true};
    uint32_t number = settings_find(b->store, apply.name);
    if (number != 0)
        MUST(dispatch_settle_queue(&b->d, &b->turn, number, &err));
    MUST(settings_apply(b->store, &apply, &err));
    b->d.dirty = true;
}

/* Flights of a queue: reserved, offered, and begun while their end is not stored. */
static uint32_t in_flight(struct bench *b, const char *queue)
{
    uint32_t number = settings_find(b->store, slice_of(queue)), n = 0;
    for (uint32_t k = 0; k < b->d.n; k++)
        n += b->d.flights[k].state != FLIGHT_FREE && b->d.flights[k].info.row.queue == number;
    return n;
}

static void end(struct bench *b, int64_t no)
{
    struct flight *f = dispatch_find(&b->d, no);
    cr_assert_not_null(f);
    f->stop_requested = true;
    pool_stop(b->pool, f->place, 9, 0);
    run_until(b, no, JOB_CANCELLED);
}

Test(dispatch_admission, a_pause_takes_back_what_is_reserved_and_offered, .timeout = 60)
{
    struct bench b;
    bench_open(&b, 1);
    wait_ready(&b);
    turn_open(&b);
    int64_t first = submit_to(&b, "q", "sleep 60", 0);
    for (int i = 0; i < 4; i++)
        (void)submit_to(&b, "q", "true", 0);
    turn_close(&b);
    cr_assert_eq(in_flight(&b, "q"), 5);
    cr_assert_eq(flight_count(&b.d, FLIGHT_OFFERED), 2);
    turn_open(&b);
    set_queue(&b, "q", (struct queue_settings){.paused = true});
    cr_assert_eq(in_flight(&b, "q"), 1, "before the commit that tells the client");
    turn_close(&b);
    cr_assert_eq(in_flight(&b, "q"), 1);
    end(&b, first);
    cr_assert_eq(in_flight(&b, "q"), 0);
    /* Four jobs wait, and nothing can be done for them: nobody may think so. */
    cr_assert_not(dispatch_has_ready(&b.d));
    cr_assert_not(dispatch_is_urgent(&b.d));
    cr_assert_eq(dispatch_next_look_ns(&b.d), UINT64_MAX);
    turn_open(&b);
    set_queue(&b, "q", (struct queue_settings){0});
    turn_close(&b);
    cr_assert_eq(in_flight(&b, "q"), 4);
    bench_close(&b);
}

Test(dispatch_admission, a_pause_that_is_rolled_back_pauses_nothing, .timeout = 60)
{
    struct bench b;
    bench_open(&b, 1);
    wait_ready(&b);
    turn_open(&b);
    int64_t no = submit_to(&b, "q", "true", 0);
    turn_close(&b);
    turn_open(&b);
    set_queue(&b, "q", (struct queue_settings){.paused = true});
    int64_t second = submit_to(&b, "q", "true", 0);
    MUST(dispatch_claim(&b.d, &b.turn, &err));
    store_rollback(b.store);
    dispatch_rolled_back(&b.d);
    run_until(&b, no, JOB_SUCCEEDED);
    turn_open(&b);
    cr_assert_eq(submit_to(&b, "q", "true", 0), second, "the second one was never stored");
    turn_close(&b);
    run_until(&b, second, JOB_SUCCEEDED);
    bench_close(&b);
}

Test(dispatch_admission, reservations_and_offers_count_as_running, .timeout = 60)
{
    struct bench b;
    bench_open(&b, 2);
    wait_ready(&b);
    turn_open(&b);
    set_queue(&b, "q", (struct queue_settings){.concurrency = 2});
    int64_t busy = submit_to(&b, "other", "sleep 60", 9);
    int64_t last = 0;
    for (int i = 0; i < 12; i++)
        last = submit_to(&b, "q", "true", 0);
    turn_close(&b);
    for (int i = 0; i < 400 && state_of(&b, last) != JOB_SUCCEEDED; i++) {
        cr_assert_leq(in_flight(&b, "q"), 2);
        hear(&b, 10);
        turn_open(&b);
        turn_close(&b);
    }
    cr_assert_eq(state_of(&b, last), JOB_SUCCEEDED, "and all of them have run");
    end(&b, busy);
    bench_close(&b);
}

/* A task could not be started, so for a moment nothing is. */
Test(dispatch_admission, a_rate_may_come_while_nothing_is_claimed, .timeout = 60)
{
    const struct queue_settings two = {.concurrency = 2};
    struct queue_settings one_an_hour = two;
    struct bench b;
    one_an_hour.rate_n = 1;
    one_an_hour.rate_us = 3600000000;
    bench_open(&b, 1);
    wait_ready(&b);
    turn_open(&b);
    set_queue(&b, "q", two);
    int64_t first = submit_to(&b, "q", "sleep 60", 0);
    int64_t offered = submit_to(&b, "q", "true", 0);
    turn_close(&b);
    cr_assert_eq(flight_waiting(&b.d, offered)->state, FLIGHT_OFFERED);
    b.d.backoff_until_ns = UINT64_MAX;
    turn_open(&b);
    set_queue(&b, "q", one_an_hour);
    turn_close(&b);
    cr_assert_eq(in_flight(&b, "q"), 1);
    b.d.backoff_until_ns = 0;
    end(&b, first);
    run_until(&b, offered, JOB_SUCCEEDED);
    turn_open(&b);
    int64_t next = submit_to(&b, "q", "true", 0);
    turn_close(&b);
    cr_assert_eq(in_flight(&b, "q"), 0, "one in an hour");
    cr_assert_eq(state_of(&b, next), JOB_QUEUED);
    bench_close(&b);
}

/* The offer is to make room for a more urgent job; at this moment its worker takes it. */
Test(dispatch_admission, an_offer_that_was_taken_keeps_its_place, .timeout = 60)
{
    struct bench b;
    char hold[160], touch[160], path[96], gate[96];
    bench_open(&b, 1);
    wait_ready(&b);
    (void)snprintf(gate, sizeof gate, "%s/gate", b.dir);
    (void)snprintf(path, sizeof path, "%s/ran", b.dir);
    cr_assert_eq(mkfifo(gate, 0600), 0);
    (void)snprintf(hold, sizeof hold, "cat %s", gate);
    (void)snprintf(touch, sizeof touch, "echo x >> %s; sleep 60", path);
    turn_open(&b);
    set_queue(&b, "q", (struct queue_settings){.concurrency = 1});
    (void)submit_to(&b, "other", hold, 9);
    int64_t taken = submit_to(&b, "q", touch, 0);
    turn_close(&b);
    cr_assert_eq(flight_waiting(&b.d, taken)->state, FLIGHT_OFFERED);

    turn_open(&b);
    int fd = open(gate, O_WRONLY | O_CLOEXEC);
    cr_assert_geq(fd, 0);
    cr_assert_eq(close(fd), 0);
    for (int i = 0; i < 500 && count_lines(path) == 0; i++)
        (void)poll(NULL, 0, 10);
    cr_assert_eq(count_lines(path), 1, "the worker has gone on by itself");
    int64_t urgent = submit_to(&b, "q", "true", 9);
    turn_close(&b);
    cr_assert_null(flight_waiting(&b.d, urgent), "its queue is full");
    cr_assert_eq(in_flight(&b, "q"), 1);
    hear(&b, 10);
    turn_open(&b);
    turn_close(&b);
    cr_assert_eq(state_of(&b, taken), JOB_RUNNING);
    cr_assert_null(flight_waiting(&b.d, urgent));
    end(&b, taken);
    run_until(&b, urgent, JOB_SUCCEEDED);
    bench_close(&b);
}

Test(dispatch_admission, a_reservation_holds_a_token, .timeout = 60)
{
    struct bench b;
    bench_open(&b, 1);
    wait_ready(&b);
    turn_open(&b);
    set_queue(&b, "q", (struct queue_settings){.rate_n = 2, .rate_us = INT64_C(36000000000)});
    int64_t busy = submit_to(&b, "other", "sleep 60", 9);
    int64_t first = submit_to(&b, "q", "true", 0), second = submit_to(&b, "q", "true", 0);
    int64_t third = submit_to(&b, "q", "true", 0);
    turn_close(&b);
    cr_assert_eq(in_flight(&b, "q"), 2);
    cr_assert_null(flight_waiting(&b.d, third));
    end(&b, busy);
    run_until(&b, first, JOB_SUCCEEDED);
    run_until(&b, second, JOB_SUCCEEDED);
    cr_assert_eq(in_flight(&b, "q"), 0);
    cr_assert_eq(state_of(&b, third), JOB_QUEUED);
    cr_assert_not(dispatch_has_ready(&b.d), "ten hours are not over");
    uint64_t look_ns = dispatch_next_look_ns(&b.d), now_ns = clock_mono_ns();
    cr_assert_gt(look_ns, now_ns + UINT64_C(35000000000000));
    cr_assert_lt(look_ns, now_ns + UINT64_C(37000000000000));
    /* A higher rate lets it begin. */
    turn_open(&b);
    set_queue(&b, "q", (struct queue_settings){.rate_n = 3, .rate_us = INT64_C(36000000000)});
    turn_close(&b);
    run_until(&b, third, JOB_SUCCEEDED);
    bench_close(&b);
}

Test(dispatch_admission, a_start_that_failed_gives_its_token_back, .timeout = 60)
{
    struct bench b;
    bench_open(&b, 1);
    wait_ready(&b);
    turn_open(&b);
    set_queue(&b, "q", (struct queue_settings){.rate_n = 1, .rate_us = INT64_C(36000000000)});
    int64_t no = submit_to(&b, "q", "true", 0);
    turn_close(&b);
    /* As the engine does it when the START could not leave. */
    struct flight *f = dispatch_find(&b.d, no);
    f->state = FLIGHT_ENDED;
    f->never_started = true;
    turn_open(&b);
    MUST(jobs_unstart(b.store, no, f->attempt, &err));
    f->unstarted = f->outcome_applied = true;
    b.d.dirty = true;
    MUST(dispatch_claim(&b.d, &b.turn, &err));
    cr_assert_eq(in_flight(&b, "q"), 2, "the one that is over, and a new one with its token");
    store_rollback(b.store);
    dispatch_rolled_back(&b.d);
    bench_close(&b);
}

/* The look finds no token; it is back before the engine decides when to look again. */
Test(dispatch_admission, a_token_that_comes_back_during_a_look_is_not_missed, .timeout = 60)
{
    struct bench b;
    struct ready_job jobs[4];
    struct ready_list list = {.jobs = jobs, .max = ARRAY_LEN(jobs)};
    bench_open(&b, 1);
    wait_ready(&b);
    turn_open(&b);
    set_queue(&b, "q", (struct queue_settings){.rate_n = 1, .rate_us = 1000000});
    int64_t first = submit_to(&b, "q", "true", 0);
    turn_close(&b);
    run_until(&b, first, JOB_SUCCEEDED);
    turn_open(&b);
    int64_t second = submit_to(&b, "q", "true", 0);
    admission_plan(&b.d, &list);
    MUST(queue_peek(b.store, &list, &err));
    cr_assert_eq(list.n, 0, "this machine needs a second for a job");
    (void)poll(NULL, 0, 1100);
    admission_look_later(&b.d);
    uint64_t look_ns = dispatch_next_look_ns(&b.d);
    cr_assert_leq(look_ns, clock_mono_ns(), "it would sleep for ever");
    b.d.dirty = false;
    dispatch_look(&b.d, clock_mono_ns());
    cr_assert(b.d.dirty);
    turn_close(&b);
    run_until(&b, second, JOB_SUCCEEDED);
    bench_close(&b);
}
