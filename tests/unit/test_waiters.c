/* SPDX-License-Identifier: MIT */
#include "service/waiters.h"

#include <criterion/criterion.h>

#define SECOND UINT64_C(1000000000)

static struct command *new_park(struct waiters *w, uint64_t topic, uint64_t waiter)
{
    struct command *cmd = calloc(1, sizeof *cmd);
    cmd->kind = CMD_PARK;
    cmd->park.topic = topic;
    cmd->waiter = waiter;
    cmd->park.seen_epoch = waiters_epoch(w, topic);
    return cmd;
}

static size_t length(const struct command *list)
{
    size_t n = 0;
    for (; list != NULL; list = list->next)
        n++;
    return n;
}

static void free_list(struct command *list)
{
    for (struct command *next; list != NULL; list = next) {
        next = list->next;
        free(list);
    }
}

Test(waiters, wake_exactly_those_of_the_topic)
{
    struct waiters *w = waiters_new();
    uint64_t now = clock_mono_ns();
    for (uint64_t i = 0; i < 10; i++)
        cr_assert(waiters_park(w, new_park(w, topic_job(1), i), topic_job(1), now + SECOND));
    for (uint64_t i = 0; i < 5; i++)
        cr_assert(waiters_park(w, new_park(w, topic_end(1), i), topic_end(1), now + SECOND));
    cr_assert_eq(waiters_count(w), 15);
    struct command *woken = waiters_wake(w, topic_job(1), now);
    cr_assert_eq(length(woken), 10);
    for (struct command *cmd = woken; cmd != NULL; cmd = cmd->next)
        cr_assert(!cmd->timed_out && !cmd->parked);
    free_list(woken);
    cr_assert_eq(waiters_count(w), 5);
    cr_assert_eq(length(waiters_wake(w, topic_job(1), now)), 0);
    woken = waiters_all(w);
    cr_assert_eq(length(woken), 5);
    free_list(woken);
    waiters_free(w);
}

Test(waiters, who_saw_the_old_epoch_is_refused)
{
    struct waiters *w = waiters_new();
    struct command *cmd = new_park(w, topic_job(7), 1);
    cr_assert_null(waiters_wake(w, topic_job(7), clock_mono_ns()));
    cr_assert_not(waiters_park(w, cmd, topic_job(7), UINT64_MAX),
                  "the change came between the read and the park");
    cmd->park.seen_epoch = waiters_epoch(w, topic_job(7));
    cr_assert(waiters_park(w, cmd, topic_job(7), clock_mono_ns() + SECOND));
    cr_assert_eq(waiters_wake(w, topic_job(7), clock_mono_ns()), cmd);
    free(cmd);
    waiters_free(w);
}

Test(waiters, deadlines_near_and_far_are_kept_in_order)
{
    struct waiters *w = waiters_new();
    uint64_t start = clock_mono_ns();
    /* Up to 55 s: several turns of the wheel. A virtual clock: nobody waits. */
    enum { N = 2000 };
    uint64_t seed = 42;
    for (uint64_t i = 0; i < N; i++) {
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
        cr_assert(waiters_park(w, new_park(w, topic_job((int64_t)i), i), topic_job((int64_t)i),
                               start + (seed >> 33) % (55 * SECOND)));
    }
    size_t expired = 0;
    for (uint64_t now = start; now <= start + 56 * SECOND;) {
        struct command *list = waiters_expire(w, now);
        for (struct command *cmd = list; cmd != NULL; cmd = cmd->next, expired++)
            cr_assert(cmd->timed_out && cmd->parked_deadline_ns <= now);
        free_list(list);
        uint64_t next = waiters_next_deadline_ns(w);
        cr_assert(next > now, "everything due has been given back");
        if (next == UINT64_MAX)
            break;
        now = next;
    }
    cr_assert_eq(expired, N);
    cr_assert_eq(waiters_count(w), 0);
    waiters_free(w);
}

Test(waiters, a_stream_is_not_woken_before_it_wants)
{
    struct waiters *w = waiters_new();
    uint64_t now = clock_mono_ns();
    struct command *cmd = new_park(w, topic_output(3), 9);
    cmd->park.not_before_ns = now + SECOND / 20;
    cr_assert(waiters_park(w, cmd, topic_output(3), now + 15 * SECOND));
    cr_assert_null(waiters_wake(w, topic_output(3), now), "too early");
    cr_assert_null(waiters_wake(w, topic_output(3), now + 1));
    cr_assert_null(waiters_expire(w, now + SECOND / 21));
    cr_assert_eq(waiters_expire(w, now + SECOND / 20), cmd,
                 "the wake was kept, and comes when it may");
    cr_assert_not(cmd->timed_out, "this is a wake, not a time-out");
    free(cmd);
    waiters_free(w);
}

Test(waiters, a_client_that_left_is_found_by_its_number)
{
    struct waiters *w = waiters_new();
    struct command *cmd = new_park(w, topic_job(5), 77);
    cr_assert(waiters_park(w, cmd, topic_job(5), clock_mono_ns() + SECOND));
    cr_assert_null(waiters_remove(w, 78));
    cr_assert_eq(waiters_remove(w, 77), cmd);
    cr_assert_null(waiters_remove(w, 77), "only once");
    free(cmd);
    waiters_free(w);
}
