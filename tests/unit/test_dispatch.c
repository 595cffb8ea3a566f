/* SPDX-License-Identifier: MIT */
/* service/dispatch.c with a real pool and a real store, one step of a turn at a time: what is
 * offered to a busy worker can be taken back, and what was taken in the middle of a transaction is
 * started and recorded exactly once. */
#include "service_dispatch.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>

Test(dispatch, an_offer_is_taken_back_before_its_job_is_cancelled, .timeout = 60)
{
    struct bench b;
    char touch[128], path[96];
    bench_open(&b, 1);
    wait_ready(&b);
    (void)snprintf(path, sizeof path, "%s/ran", b.dir);
    (void)snprintf(touch, sizeof touch, "echo x >> %s", path);
    turn_open(&b);
    int64_t first = submit(&b, "sleep 60", 0), second = submit(&b, touch, 0),
            third = submit(&b, "true", 0), fourth = submit(&b, "true", 0);
    turn_close(&b);
    cr_assert_eq(flight_waiting(&b.d, second)->state, FLIGHT_OFFERED, "the next one is in hand");
    cr_assert_eq(flight_waiting(&b.d, third)->state, FLIGHT_OFFERED, "and one more");
    cr_assert_eq(flight_waiting(&b.d, fourth)->state, FLIGHT_RESERVED, "FEW_OFFERS is 2");
    turn_open(&b);
    enum job_state state = JOB_QUEUED;
    MUST(dispatch_settle(&b.d, &b.turn, second, &err));
    MUST(jobs_cancel(b.store, &(struct job_cancel){second, clock_wall_us(), NULL}, &state, &err));
    b.d.dirty = true;
    turn_close(&b);
    cr_assert_eq(state, JOB_CANCELLED);
    cr_assert_null(flight_waiting(&b.d, second));
    cr_assert_eq(flight_waiting(&b.d, fourth)->state, FLIGHT_OFFERED, "the place is taken at once");
    struct flight *f = dispatch_find(&b.d, first);
    f->stop_requested = true;
    pool_stop(b.pool, f->place, 9, 0);
    run_until(&b, third, JOB_SUCCEEDED);
    cr_assert_eq(count_lines(path), 0, "the cancelled job never ran");
    bench_close(&b);
}

/* The order in which jobs that write their letter have begun. */
static void read_order(const struct bench *b, char *text, size_t size)
{
    char path[96];
    (void)snprintf(path, sizeof path, "%s/order", b->dir);
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, size - 1);
    text[MAX(n, (ssize_t)0)] = '\0';
}

static int64_t submit_letter(struct bench *b, char letter, int priority)
{
    char *script = arena_alloc(&b->arena, 160);
    (void)snprintf(script, 160, "printf %c >> %s/order", letter, b->dir);
    return submit(b, script, priority);
}

static void stop(struct bench *b, int64_t no)
{
    struct flight *f = dispatch_find(&b->d, no);
    f->stop_requested = true;
    pool_stop(b->pool, f->place, 9, 0);
}

Test(dispatch, a_more_urgent_job_overtakes_offers, .timeout = 60)
{
    struct bench b;
    char order[16];
    bench_open(&b, 1);
    wait_ready(&b);
    turn_open(&b);
    int64_t first = submit(&b, "sleep 60", 0);
    (void)submit_letter(&b, 'a', 0);
    int64_t last = submit_letter(&b, 'b', 0);
    turn_close(&b);
    cr_assert_eq(flight_waiting(&b.d, last)->state, FLIGHT_OFFERED);
    turn_open(&b);
    int64_t urgent = submit_letter(&b, 'u', 5);
    turn_close(&b);
    cr_assert_eq(flight_waiting(&b.d, urgent)->state, FLIGHT_OFFERED);
    cr_assert_eq(flight_waiting(&b.d, last)->state, FLIGHT_RESERVED, "it had to make room");
    stop(&b, first);
    run_until(&b, last, JOB_SUCCEEDED);
    read_order(&b, order, sizeof order);
    cr_assert_str_eq(order, "uab");
    bench_close(&b);
}

Test(dispatch, a_job_in_the_hand_of_a_busy_worker_does_not_starve, .timeout = 60)
{
    enum { SHORT_JOBS = 26 };
    struct bench b;
    char order[SHORT_JOBS + 1];
    int64_t last = 0;
    bench_open(&b, 2);
    wait_ready(&b);
    turn_open(&b);
    int64_t first = submit(&b, "sleep 60", 0);
    for (int i = 0; i < SHORT_JOBS; i++)
        last = submit_letter(&b, (char)('a' + i), 0);
    turn_close(&b);
    for (int64_t no = first + 1; no <= last; no++)
        run_until(&b, no, JOB_SUCCEEDED);
    for (int i = 0; i < SHORT_JOBS; i++) {
        read_order(&b, order, sizeof order);
        const char *at = strchr(order, 'a' + i);
        cr_assert_not_null(at, "%c never ran while the other worker was busy: %s", 'a' + i, order);
        cr_assert_lt(at - order, i + 12, "%c was overtaken too often: %s", 'a' + i, order);
    }
    cr_assert_eq(state_of(&b, first), JOB_RUNNING, "all this happened beside it");
    stop(&b, first);
    run_until(&b, first, JOB_CANCELLED);
    bench_close(&b);
}

Test(dispatch, what_is_taken_in_the_middle_of_a_turn_runs_and_is_recorded_once, .timeout = 60)
{
    struct bench b;
    char first_script[160], script[160], path[96], gate[96];
    bench_open(&b, 1);
    wait_ready(&b);
    (void)snprintf(gate, sizeof gate, "%s/gate", b.dir);
    (void)snprintf(path, sizeof path, "%s/ran", b.dir);
    cr_assert_eq(mkfifo(gate, 0600), 0);
    (void)snprintf(first_script, sizeof first_script, "cat %s", gate);
    (void)snprintf(script, sizeof script, "echo x >> %s", path);
    turn_open(&b);
    (void)submit(&b, first_script, 0);
    int64_t taken = submit(&b, script, 0);
    turn_close(&b);
    cr_assert_eq(flight_waiting(&b.d, taken)->state, FLIGHT_OFFERED);

    /* A turn has recorded what it knew; now the worker ends its task and takes the offer. */
    turn_open(&b);
    int fd = open(gate, O_WRONLY | O_CLOEXEC);
    cr_assert_geq(fd, 0);
    cr_assert_eq(close(fd), 0);
    for (int i = 0; i < 500 && count_lines(path) == 0; i++)
        (void)poll(NULL, 0, 10);
    cr_assert_eq(count_lines(path), 1, "the worker needed nobody to go on");
    for (uint32_t i = 0; i < b.d.wanted_n; i++)
        (void)submit(&b, "true", 9); /* so many are more urgent that the offer must be recalled */
    turn_close(&b);
    struct flight *f = dispatch_find(&b.d, taken);
    cr_assert_not_null(f);
    cr_assert(f->unrecorded, "this commit did not store that it runs");
    run_until(&b, taken, JOB_SUCCEEDED);
    cr_assert_eq(count_lines(path), 1, "it was started once");
    bench_close(&b);
}

/* At rest a turn does not look through places for all that the workers could have in hand. */
Test(dispatch, flights_that_are_not_in_use_are_not_looked_at, .timeout = 60)
{
    struct bench b;
    int64_t last = 0;
    bench_open(&b, 2);
    wait_ready(&b);
    cr_assert_eq(b.d.n, 0);
    turn_open(&b);
    for (int i = 0; i < 8; i++)
        last = submit(&b, "true", 0);
    turn_close(&b);
    cr_assert_eq(b.d.n, 8);
    cr_assert_eq(flight_spare(&b.d), b.d.wanted_n - 8);
    run_until(&b, last, JOB_SUCCEEDED);
    for (int i = 0; i < 500 && b.d.n > 0; i++) {
        hear(&b, 10);
        turn_open(&b);
        turn_close(&b);
    }
    cr_assert_eq(b.d.n, 0, "all have ended, and nothing of them is left to be stored");
    cr_assert_eq(flight_spare(&b.d), b.d.wanted_n);
    bench_close(&b);
}

/* Reservations are for short jobs: what is large waits on the disk, and begins in its turn. */
Test(dispatch, large_jobs_that_wait_are_not_held_in_memory, .timeout = 60)
{
    enum { SIZE = 3 << 20, N = 6 };
    struct bench b;
    int64_t large[N];
    bench_open(&b, 1);
    wait_ready(&b);
    AUTO_FREE char *bytes = must_alloc(SIZE);
    turn_open(&b);
    int64_t first = submit(&b, "sleep 60", 0);
    for (int i = 0; i < N; i++)
        large[i] = submit_large(&b, (struct slice){bytes, SIZE});
    int64_t last = submit(&b, "true", 0);
    turn_close(&b);
    for (int i = 0; i < N; i++)
        cr_assert_eq(flight_waiting(&b.d, large[i]) != NULL, i < 3, "%d", i);
    cr_assert_null(flight_waiting(&b.d, last), "it does not overtake them");
    stop(&b, first);
    run_until(&b, last, JOB_SUCCEEDED);
    for (int i = 0; i < N; i++)
        cr_assert(job_state_is_end(state_of(&b, large[i])), "%d", i);
    bench_close(&b);
}

/* What began and ended since the last commit, and waits again in the transaction that says so: the
 * flight of the attempt before is still there, and nothing else might make the engine look again.
 */
Test(dispatch, what_is_tried_again_at_once_is_not_forgotten, .timeout = 60)
{
    struct bench b;
    bench_open(&b, 1);
    wait_ready(&b);
    turn_open(&b);
    (void)submit(&b, "true", 0);
    int64_t again = submit(&b, "true", 0);
    turn_close(&b);
    cr_assert_eq(flight_waiting(&b.d, again)->state, FLIGHT_OFFERED);
    const struct flight *f;
    while ((f = dispatch_find(&b.d, again)) == NULL || f->state != FLIGHT_ENDED)
        hear(&b, 100);
    b.tried_again = again;
    turn_open(&b);
    turn_close(&b);
    b.tried_again = 0;
    f = dispatch_find(&b.d, again);
    cr_assert_not_null(f, "the worker is idle");
    cr_assert_eq(f->attempt, 2);
    run_until(&b, again, JOB_SUCCEEDED);
    bench_close(&b);
}
