/* SPDX-License-Identifier: MIT */
/* Tasks that a worker takes by itself. */
#include "pool/pool.h"

#include "pool_fixture.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>

#define GIVE_UP_NS UINT64_C(20000000000)

Test(pool, an_offer_starts_when_the_worker_is_free)
{
    struct fixture f;
    struct task_outcome outcome;
    struct offered next;
    struct place none;
    struct pool_live live;
    TASK_OF(second, "echo", "second");

    fixture_open(&f, 1);
    cr_assert_not(pool_find_offer(f.pool, 0, &none), "no worker is busy");
    const struct place a = fixture_hold(&f, "hold");
    cr_assert(fixture_offer(&f, &second, &next));
    cr_assert_not(pool_live(f.pool, 0, next.task.job_no, &live), "it does not run yet");
    fixture_let_go(&f, "hold");
    (void)fixture_await(&f, POOL_DONE, &a);
    const struct pool_event started = fixture_await(&f, POOL_STARTED, &next.task.place);
    cr_assert_eq(started.job_no, next.task.job_no);
    cr_assert_eq(started.attempt, 1);
    cr_assert_not(pool_recall(f.pool, next.task.place), "too late");
    (void)fixture_await(&f, POOL_DONE, &next.task.place);
    pool_outcome(f.pool, next.task.place, &outcome);
    cr_assert(slice_is(outcome.out[0].inline_bytes, "second\n"));
    pool_release(f.pool, a);
    pool_release(f.pool, next.task.place);
    buf_release(&next.wire);
    fixture_close(&f);
}

Test(pool, offers_are_bounded_and_taken_in_their_order)
{
    struct fixture f;
    struct offered next[MAX_OFFERS];
    struct place none;
    TASK_OF(other, "true");

    fixture_open(&f, 1);
    const struct place a = fixture_hold(&f, "hold");
    for (uint32_t i = 0; i < MAX_OFFERS; i++) {
        cr_assert_eq(pool_least_offers(f.pool), i);
        cr_assert_eq(pool_find_offer(f.pool, 0, &none), i != FEW_OFFERS, "%u", i);
        if (i == FEW_OFFERS)
            pool_set_offers(f.pool, MAX_OFFERS);
        cr_assert(fixture_offer(&f, &other, &next[i]));
    }
    cr_assert_not(pool_find_offer(f.pool, 0, &none), "enough is enough");
    /* The first one is offered anew, in a lower bank perhaps: now it is the last. */
    cr_assert(pool_recall(f.pool, next[0].task.place));
    cr_assert(pool_offer(f.pool, &next[0].task));
    fixture_let_go(&f, "hold");
    (void)fixture_await(&f, POOL_DONE, &a);
    for (int i = 1; i <= MAX_OFFERS; i++) {
        const struct pool_task *expected = &next[i % MAX_OFFERS].task;
        const struct pool_event started = fixture_await(&f, POOL_STARTED, &expected->place);
        cr_assert_eq(started.job_no, expected->job_no);
        (void)fixture_await(&f, POOL_DONE, &expected->place);
        pool_release(f.pool, expected->place);
    }
    pool_release(f.pool, a);
    for (int i = 0; i < MAX_OFFERS; i++)
        buf_release(&next[i].wire);
    fixture_close(&f);
}

Test(pool, a_recalled_offer_never_runs)
{
    struct fixture f;
    struct task_outcome outcome;
    struct offered next;
    struct offered other;
    char path[128];
    TASK_OF(third, "true");

    fixture_open(&f, 1);
    (void)snprintf(path, sizeof(path), "%s/ran", f.dir);
    TASK_OF(second, "touch", path);
    const struct place a = fixture_hold(&f, "hold");
    cr_assert(fixture_offer(&f, &second, &next));
    cr_assert(pool_recall(f.pool, next.task.place));
    cr_assert_not(pool_recall(f.pool, next.task.place), "it is not there any more");
    cr_assert(fixture_offer(&f, &third, &other));
    cr_assert_eq(other.task.place.bank, next.task.place.bank, "its bank is free at once");
    fixture_let_go(&f, "hold");
    (void)fixture_await(&f, POOL_DONE, &a);
    (void)fixture_await(&f, POOL_DONE, &other.task.place);
    pool_outcome(f.pool, other.task.place, &outcome);
    cr_assert_eq(outcome.end, TASK_EXITED);
    cr_assert_neq(access(path, F_OK), 0);
    buf_release(&next.wire);
    buf_release(&other.wire);
    fixture_close(&f);
}

/* A worker that runs one task and has another one offered is killed. Where the first one runs. */
static struct place offer_and_kill(struct fixture *f, struct offered *next)
{
    struct pool_worker worker;
    TASK_OF(first, "sleep", "1000");
    TASK_OF(second, "true");

    fixture_open(f, 1);
    (void)fixture_await(f, POOL_READY, NULL);
    const struct place a = fixture_start(f, &first, NULL);
    cr_assert(fixture_offer(f, &second, next));
    cr_assert(pool_worker_info(f->pool, 0, &worker));
    cr_assert_eq(kill(worker.pid, SIGKILL), 0);
    return a;
}

Test(pool, an_offer_outlives_its_worker)
{
    struct fixture f;
    struct offered next;
    struct place again;

    const struct place a = offer_and_kill(&f, &next);
    (void)fixture_await(&f, POOL_LOST, &a);
    const struct pool_event back = fixture_await(&f, POOL_RETURNED, &next.task.place);
    cr_assert_eq(back.job_no, next.task.job_no);
    pool_release(f.pool, a);
    pool_release(f.pool, back.place);
    (void)fixture_await(&f, POOL_READY, NULL);
    cr_assert(pool_find_idle(f.pool, &again));
    next.task.place = again;
    struct err err;
    cr_assert(pool_start(f.pool, &next.task, &err));
    (void)fixture_await(&f, POOL_DONE, &again);
    buf_release(&next.wire);
    fixture_close(&f);
}

/* What the pool knows and its user does not yet: the offer has not begun, and never will. */
Test(pool, an_offer_can_be_recalled_after_its_worker_died)
{
    struct fixture f;
    struct offered next;
    struct pool_worker worker;

    const uint64_t until_ns = clock_mono_ns() + GIVE_UP_NS;
    const struct place a = offer_and_kill(&f, &next);
    do { /* nothing is handed out */
        cr_assert_lt(clock_mono_ns(), until_ns);
        struct pollfd ready = {.fd = pool_fd(f.pool), .events = POLLIN};
        (void)poll(&ready, 1, 100);
        cr_assert_eq(pool_collect(f.pool, NULL, 0), 0);
        cr_assert(pool_worker_info(f.pool, 0, &worker));
    } while (worker.alive);
    cr_assert(pool_recall(f.pool, next.task.place));
    (void)fixture_await(&f, POOL_LOST, &a);
    pool_release(f.pool, a);
    pool_release(f.pool, fixture_await(&f, POOL_RETURNED, &next.task.place).place);
    buf_release(&next.wire);
    fixture_close(&f);
}

/* Taken, but the server has not read so yet: a STOP must reach it all the same. */
Test(pool, an_offer_that_was_just_taken_can_be_stopped)
{
    struct fixture f;
    struct task_outcome outcome;
    struct offered next;
    char script[128], path[80];
    TASK_OF(first, "sleep", "1000");

    fixture_open(&f, 1);
    (void)snprintf(path, sizeof path, "%s/begun", f.dir);
    (void)snprintf(script, sizeof script, "touch %s; exec sleep 1000", path);
    TASK_OF(second, "sh", "-c", script);
    const uint64_t until_ns = clock_mono_ns() + GIVE_UP_NS;
    const struct place a = fixture_start(&f, &first, NULL);
    cr_assert(fixture_offer(&f, &second, &next));
    pool_stop(f.pool, a, SIGKILL, 0); /* not before: nobody would take an offer to an idle worker */
    /* Taking it back to see whether it was taken would leave a moment in which the worker finds
     * nothing and goes to sleep. */
    while (access(path, F_OK) != 0) {
        cr_assert_lt(clock_mono_ns(), until_ns);
        (void)poll(NULL, 0, 1);
    }
    cr_assert_not(pool_recall(f.pool, next.task.place), "it was taken");
    pool_stop(f.pool, next.task.place, SIGKILL, 0);
    (void)fixture_await(&f, POOL_DONE, &a);
    (void)fixture_await(&f, POOL_STARTED, &next.task.place);
    (void)fixture_await(&f, POOL_DONE, &next.task.place);
    pool_outcome(f.pool, next.task.place, &outcome);
    cr_assert_eq(outcome.signal, SIGKILL);
    cr_assert(outcome.stop_sent);
    buf_release(&next.wire);
    fixture_close(&f);
}

/* Offers, recalls and ends race with each other; each task must run exactly as often as the pool
 * says. */
Test(pool, offers_race_with_recalls)
{
    struct fixture f;
    struct place place;
    struct pool_event events[16];
    struct err err;
    struct buf wire;
    int64_t no = 0;
    int64_t n_recalled = 0;
    int64_t n_done = 0;
    char path[128];
    size_t len;

    fixture_open(&f, 2);
    (void)snprintf(path, sizeof(path), "%s/log", f.dir);
    TASK_OF(task, "/bin/sh", "-c", "echo x >> $0", path);
    buf_init(&wire, 4096);
    cr_assert(task_encode(&task, &wire, &err));
    const uint64_t until_ns = clock_mono_ns() + GIVE_UP_NS;
    while (n_done + n_recalled < 1000) {
        cr_assert_lt(clock_mono_ns(), until_ns, "stuck at %lld", (long long)n_done);
        while (no < 1000 && pool_find_idle(f.pool, &place)) {
            const struct pool_task start = {
                .place = place, .job_no = ++no, .attempt = 1, .wire = buf_slice(&wire)};
            cr_assert(pool_start(f.pool, &start, &err));
        }
        while (no < 1000 && pool_find_offer(f.pool, 0, &place)) {
            const struct pool_task next = {
                .place = place, .job_no = ++no, .attempt = 1, .wire = buf_slice(&wire)};
            cr_assert(pool_offer(f.pool, &next));
            for (volatile int64_t spin = 0; spin < (no % 7) * 20000; spin++)
                continue;
            if (no % 3 == 0 && pool_recall(f.pool, place))
                n_recalled++;
        }
        struct pollfd ready = {.fd = pool_fd(f.pool), .events = POLLIN};
        (void)poll(&ready, 1, 100);
        const size_t n = pool_collect(f.pool, events, ARRAY_LEN(events));
        for (size_t i = 0; i < n; i++) {
            cr_assert(events[i].type == POOL_DONE || events[i].type == POOL_STARTED ||
                          events[i].type == POOL_READY,
                      "event %d", (int)events[i].type);
            if (events[i].type != POOL_DONE)
                continue;
            pool_release(f.pool, events[i].place);
            n_done++;
        }
    }
    char *log = fixture_read_file(&f, "log", &len);
    cr_assert_eq((int64_t)len, 2 * n_done, "%zu bytes for %lld tasks", len, (long long)n_done);
    free(log);
    buf_release(&wire);
    fixture_close(&f);
}

/* A server that finds a claimed task after a crash asks the file whether it has begun. */
Test(pool, the_worker_notes_the_start_of_an_offer)
{
    struct fixture f = {.log = {.fd = 2, .level = LOG_ERROR}};
    struct err err = {0};
    struct offered next;
    char path[128];
    size_t len;
    TASK_OF(second, "true");

    fixture_make_dir(f.dir);
    (void)snprintf(path, sizeof(path), "%s/starts", f.dir);
    const int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    cr_assert_eq(ftruncate(fd, 1024), 0);
    (void)close(fd);
    const struct pool_config cfg = {.workers = 1,
                                    .max_workers = 1,
                                    .kill_deadline_us = 5000000,
                                    .path = "/usr/bin:/bin",
                                    .data_dir = f.dir,
                                    .starts_file = "starts",
                                    .log = &f.log};
    cr_assert(pool_open(&cfg, &f.pool, &err), "%s", err.detail);
    const struct place a = fixture_hold(&f, "hold");
    buf_init(&next.wire, 4096);
    cr_assert(task_encode(&second, &next.wire, &err));
    next.task = (struct pool_task){.job_no = ++f.next_no,
                                   .attempt = 1,
                                   .wire = buf_slice(&next.wire),
                                   .note = slice_of("note of job two")};
    cr_assert(pool_find_offer(f.pool, 0, &next.task.place));
    cr_assert(pool_offer(f.pool, &next.task));
    char *notes = fixture_read_file(&f, "starts", &len);
    cr_assert_null(memmem(notes, len, "note of", 7), "not before it begins");
    free(notes);
    fixture_let_go(&f, "hold");
    (void)fixture_await(&f, POOL_DONE, &a);
    (void)fixture_await(&f, POOL_DONE, &next.task.place);
    notes = fixture_read_file(&f, "starts", &len);
    cr_assert_str_eq(notes + (size_t)64 * next.task.place.bank, "note of job two");
    free(notes);
    buf_release(&next.wire);
    fixture_close(&f);
}
