/* SPDX-License-Identifier: MIT */
/* Timeouts and stops, and output while a task runs. */
#include "pool/pool.h"

#include "pool_fixture.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>

#define SECOND INT64_C(1000000)

Test(pool, timeout_ends_the_tree)
{
    struct fixture f;
    char text[64];
    TASK_OF(task, "sh", "-c", "sleep 1000 & sleep 1000; true");

    task.timeout_us = SECOND / 5;
    fixture_open(&f, 1);
    const struct task_outcome outcome = fixture_run_text(&f, &task, text, sizeof(text));
    cr_assert_eq(outcome.end, TASK_TIMEOUT);
    cr_assert_eq(outcome.signal, SIGTERM);
    cr_assert_not(outcome.stop_sent);
    cr_assert_geq(outcome.wall_us, SECOND / 5);
    cr_assert_lt(outcome.wall_us, 3 * SECOND);
    /* sh may have reaped a child of its own before it died. */
    cr_assert_geq(outcome.processes_killed, 2, "killed %u", outcome.processes_killed);
    cr_assert_leq(outcome.processes_killed, 3, "killed %u", outcome.processes_killed);
    fixture_close(&f);
}

Test(pool, the_earlier_of_timeout_and_deadline_decides)
{
    struct fixture f;
    char text[64];
    TASK_OF(task, "sleep", "1000");

    task.timeout_us = 20 * SECOND;
    task.deadline_us = clock_wall_us() + SECOND / 3;
    fixture_open(&f, 1);
    const struct task_outcome outcome = fixture_run_text(&f, &task, text, sizeof(text));
    cr_assert_eq(outcome.end, TASK_DEADLINE);
    cr_assert_lt(outcome.wall_us, 3 * SECOND);
    fixture_close(&f);
}

Test(pool, timeout_kills_who_ignores_the_signal)
{
    struct fixture f;
    char text[64];
    TASK_OF(task, "sh", "-c", "trap '' TERM; while :; do sleep 1000; done");

    task.timeout_us = SECOND / 10;
    task.stop_grace_us = SECOND / 5;
    fixture_open(&f, 1);
    const struct task_outcome outcome = fixture_run_text(&f, &task, text, sizeof(text));
    cr_assert_eq(outcome.end, TASK_TIMEOUT);
    cr_assert_eq(outcome.signal, SIGKILL);
    cr_assert_geq(outcome.wall_us, 3 * SECOND / 10);
    cr_assert_lt(outcome.wall_us, 3 * SECOND);
    fixture_close(&f);
}

/* Starts it, waits until it has written something, sends STOP, returns how it ended. */
static struct task_outcome stop_running(struct fixture *f, const struct task *task, int signal,
                                        int64_t grace_us)
{
    struct task_outcome outcome;
    int64_t no;
    const struct place place = fixture_start(f, task, &no);

    fixture_await_output(f, place, no, 1);
    pool_stop(f->pool, place, signal, grace_us);
    (void)fixture_await(f, POOL_DONE, &place);
    pool_outcome(f->pool, place, &outcome);
    pool_release(f->pool, place);
    return outcome;
}

Test(pool, stop_lets_the_job_clean_up)
{
    struct fixture f;
    size_t len;
    TASK_OF(task, "sh", "-c", "trap 'echo bye; exit 4' INT; echo hi; while :; do sleep 0.05; done");

    fixture_open(&f, 1);
    const struct task_outcome outcome = stop_running(&f, &task, SIGINT, 10 * SECOND);
    cr_assert_eq(outcome.end, TASK_EXITED);
    cr_assert_eq(outcome.exit_code, 4);
    cr_assert(outcome.stop_sent);
    cr_assert(outcome.out[0].spooled, "it was watched");
    char *text = fixture_read_file(&f, "spool/01/1.1.out", &len);
    cr_assert_str_eq(text, "hi\nbye\n");
    free(text);
    fixture_close(&f);
}

Test(pool, the_grace_is_for_the_group_not_only_its_leader)
{
    struct fixture f;
    size_t len;
    /* sh dies of TERM at once; its child wants a moment to save its work. */
    TASK_OF(task, "sh", "-c",
            "perl -e '$| = 1; $SIG{TERM} = sub { select undef, undef, undef, 0.2; print \"saved\"; "
            "exit };"
            " print \"hi \"; sleep 1000' & wait");

    fixture_open(&f, 1);
    const struct task_outcome outcome = stop_running(&f, &task, SIGTERM, 10 * SECOND);
    cr_assert_eq(outcome.end, TASK_SIGNALED);
    cr_assert_eq(outcome.signal, SIGTERM);
    char *text = fixture_read_file(&f, "spool/01/1.1.out", &len);
    cr_assert_str_eq(text, "hi saved");
    free(text);
    fixture_close(&f);
}

Test(pool, stop_without_numbers_means_those_of_the_task)
{
    struct fixture f;
    TASK_OF(task, "sh", "-c", "trap '' USR1; sleep 1000 & echo hi; wait; wait; wait");

    task.stop_signal = SIGUSR1;
    task.stop_grace_us = SECOND / 5;
    fixture_open(&f, 1);
    const struct task_outcome outcome = stop_running(&f, &task, 0, -1);
    cr_assert_eq(outcome.signal, SIGKILL);
    cr_assert_geq(outcome.wall_us, SECOND / 5);
    cr_assert_lt(outcome.wall_us, 4 * SECOND);
    fixture_close(&f);
}

Test(pool, stop_kills_after_the_grace)
{
    struct fixture f;
    TASK_OF(task, "sh", "-c", "trap '' TERM; sleep 1000 & echo hi; wait");

    fixture_open(&f, 1);
    const struct task_outcome outcome = stop_running(&f, &task, SIGTERM, SECOND / 5);
    cr_assert_eq(outcome.end, TASK_SIGNALED);
    cr_assert_eq(outcome.signal, SIGKILL);
    cr_assert(outcome.stop_sent);
    cr_assert_geq(outcome.processes_killed, 2, "killed %u", outcome.processes_killed);
    fixture_close(&f);
}

Test(pool, stop_without_grace_is_fast)
{
    struct fixture f;
    TASK_OF(task, "sh", "-c", "trap '' TERM; echo hi; while :; do sleep 1000; done");

    fixture_open(&f, 1);
    const uint64_t before = clock_mono_ns();
    const struct task_outcome outcome = stop_running(&f, &task, SIGTERM, 0);
    cr_assert_eq(outcome.signal, SIGKILL);
    cr_assert(outcome.stop_sent);
    cr_assert_lt(clock_mono_ns() - before, UINT64_C(3000000000));
    fixture_close(&f);
}

Test(pool, stop_wakes_a_stopped_job)
{
    struct fixture f;
    TASK_OF(task, "sh", "-c", "trap 'exit 6' TERM; echo hi; kill -STOP $$; sleep 1000");

    fixture_open(&f, 1);
    const struct task_outcome outcome = stop_running(&f, &task, SIGTERM, 10 * SECOND);
    cr_assert_lt(outcome.wall_us, 8 * SECOND, "not after the grace");
    cr_assert_neq(outcome.signal, SIGKILL);
    cr_assert(outcome.stop_sent);
    fixture_close(&f);
}

Test(pool, a_second_stop_shortens_the_grace)
{
    struct fixture f;
    struct task_outcome outcome;
    int64_t no;
    TASK_OF(task, "sh", "-c", "trap '' TERM; echo hi; while :; do sleep 1000; done");

    fixture_open(&f, 1);
    const struct place place = fixture_start(&f, &task, &no);
    fixture_await_output(&f, place, no, 1);
    const uint64_t before = clock_mono_ns();
    pool_stop(f.pool, place, SIGTERM, 1000 * SECOND);
    pool_stop(f.pool, place, SIGKILL, 0);
    (void)fixture_await(&f, POOL_DONE, &place);
    pool_outcome(f.pool, place, &outcome);
    cr_assert_eq(outcome.signal, SIGKILL);
    cr_assert_lt(clock_mono_ns() - before, UINT64_C(5000000000));
    pool_release(f.pool, place);
    fixture_close(&f);
}

/* A STOP that comes too late must not hit the next task of the same worker. */
Test(pool, a_late_stop_hits_nobody)
{
    struct fixture f;
    TASK_OF(task, "sh", "-c", "exit 0");

    fixture_open(&f, 1);
    for (int i = 0; i < 50; i++) {
        struct task_outcome outcome;
        const struct place place = fixture_start(&f, &task, NULL);
        if (i % 2 == 0)
            (void)poll(NULL, 0, 1);
        pool_stop(f.pool, place, SIGTERM, 5 * SECOND);
        (void)fixture_await(&f, POOL_DONE, &place);
        pool_outcome(f.pool, place, &outcome);
        cr_assert(outcome.end == TASK_EXITED || outcome.stop_sent, "round %d: end %d", i,
                  (int)outcome.end);
        pool_release(f.pool, place);
        pool_stop(f.pool, place, SIGKILL, 0);
        const struct place next = fixture_run(&f, &task, &outcome);
        cr_assert_eq(outcome.end, TASK_EXITED, "round %d", i);
        cr_assert_not(outcome.stop_sent);
        pool_release(f.pool, next);
    }
    fixture_close(&f);
}

Test(pool, a_watched_job_shows_its_output)
{
    struct fixture f;
    struct pool_live live;
    size_t len;
    int64_t no;
    TASK_OF(task, "sh", "-c", "trap 'echo two; exit' TERM; echo one; while :; do sleep 0.05; done");
    TASK_OF(other, "true");

    fixture_open(&f, 1);
    cr_assert_not(pool_live(f.pool, 0, 1, &live));
    const struct place place = fixture_start(&f, &task, &no);
    fixture_await_output(&f, place, no, 4);
    cr_assert(pool_live(f.pool, place.slot, no, &live));
    cr_assert(live.watched);
    pool_stop(f.pool, place, SIGTERM, 10 * SECOND);
    (void)fixture_await(&f, POOL_DONE, &place);
    cr_assert_not(pool_live(f.pool, place.slot, no, &live), "it does not run any more");
    char *text = fixture_read_file(&f, "spool/01/1.1.out", &len);
    cr_assert_str_eq(text, "one\ntwo\n");
    free(text);
    pool_release(f.pool, place);
    struct task_outcome outcome;
    const struct place second = fixture_run(&f, &other, &outcome);
    cr_assert_not(outcome.out[0].spooled, "the next one is not watched");
    pool_release(f.pool, second);
    fixture_close(&f);
}

/* Its reader opens the file at once, so the file must be there before the first byte. */
Test(pool, watching_a_silent_job_is_answered)
{
    struct fixture f;
    struct pool_live live;
    size_t len;
    int64_t no;
    TASK_OF(task, "sleep", "1000");

    fixture_open(&f, 1);
    const struct place place = fixture_start(&f, &task, &no);
    pool_watch(f.pool, place);
    pool_watch(f.pool, place);
    (void)fixture_await(&f, POOL_OUTPUT, &place);
    cr_assert(pool_live(f.pool, place.slot, no, &live));
    cr_assert(live.watched);
    cr_assert_eq(live.bytes[0] + live.bytes[1], 0);
    free(fixture_read_file(&f, "spool/01/1.1.out", &len));
    cr_assert_eq(len, 0);
    free(fixture_read_file(&f, "spool/01/1.1.err", &len));
    pool_stop(f.pool, place, SIGKILL, 0);
    (void)fixture_await(&f, POOL_DONE, &place);
    fixture_close(&f);
}
