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

static struct command *wake(struct waiters *w, uint64_t topic, uint64_t now_ns)
{
    return waiters_wake(w, &(struct wake){.topic = topic, .now_ns = now_ns});
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
    struct command *woken = wake(w, topic_job(1), now);
    cr_assert_eq(length(woken), 10);
    for (struct command *cmd = woken; cmd != NULL; cmd = cmd->next)
        cr_assert(!cmd->timed_out && !cmd->parked);
    free_list(woken);
    cr_assert_eq(waiters_count(w), 5);
    cr_assert_eq(length(wake(w, topic_job(1), now)), 0);
    woken = waiters_all(w);
    cr_assert_eq(length(woken), 5);
    free_list(woken);
    waiters_free(w);
}

Test(waiters, who_saw_the_old_epoch_is_refused)
{
    struct waiters *w = waiters_new();
    struct command *cmd = new_park(w, topic_job(7), 1);
    cr_assert_null(wake(w, topic_job(7), clock_mono_ns()));
    cr_assert_not(waiters_park(w, cmd, topic_job(7), UINT64_MAX),
                  "the change came between the read and the park");
    cmd->park.seen_epoch = waiters_epoch(w, topic_job(7));
    cr_assert(waiters_park(w, cmd, topic_job(7), clock_mono_ns() + SECOND));
    cr_assert_eq(wake(w, topic_job(7), clock_mono_ns()), cmd);
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
    cr_assert_null(wake(w, topic_output(3), now), "too early");
    cr_assert_null(wake(w, topic_output(3), now + 1));
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

/* ------------------------------------------------------------------------------------------------
 * one command, many topics */

enum { MEMBERS = 100 };

/* A command that waits for the ends of jobs 1 … MEMBERS. */
static struct command *new_group(const struct waiters *w, uint32_t needed)
{
    struct command *cmd = calloc(1, sizeof *cmd);
    cmd->kind = CMD_PARK;
    cmd->waiter = 1;
    cmd->park.needed = needed;
    cmd->park.group = park_group_new(MEMBERS);
    for (uint32_t i = 0; i < MEMBERS; i++) {
        struct park_link *link = &cmd->park.group->links[i];
        link->topic = topic_end(i + 1);
        link->seen_epoch = waiters_epoch(w, link->topic);
        link->chain = cmd->park.add;
        cmd->park.add = link;
    }
    return cmd;
}

static bool park(struct waiters *w, struct command *cmd)
{
    return waiters_park(w, cmd, 0, clock_mono_ns() + SECOND);
}

static size_t woken_links(const struct command *cmd)
{
    size_t n = 0;
    for (const struct park_link *l = cmd->park.woken; l != NULL; l = l->chain)
        n++;
    return n;
}

static void leave(struct waiters *w, struct command *cmd)
{
    waiters_leave(w, cmd->park.group);
    waiters_sweep(w);
    free(cmd);
    for (int64_t no = 1; no <= MEMBERS; no++)
        cr_assert_not(waiters_any(w, topic_end(no)), "a link of job %d is left", (int)no);
    waiters_free(w);
}

Test(waiters, a_group_comes_back_at_the_first_and_keeps_its_other_places)
{
    struct waiters *w = waiters_new();
    struct command *cmd = new_group(w, 1);
    uint64_t now = clock_mono_ns();
    cr_assert(park(w, cmd));
    cr_assert_eq(waiters_count(w), 1, "it is one waiter");
    cr_assert_eq(wake(w, topic_end(7), now), cmd);
    cr_assert_eq(cmd->park.woken, &cmd->park.group->links[6]);
    cr_assert_eq(woken_links(cmd), 1);
    /* What happens while it is away is told when it comes again, and it need not name the others.
     */
    cr_assert_null(wake(w, topic_end(9), now));
    cr_assert_null(wake(w, topic_end(8), now));
    cmd->park.woken = NULL;
    cr_assert_not(park(w, cmd), "two have been woken meanwhile");
    cr_assert_eq(woken_links(cmd), 2);
    cr_assert_eq(cmd->park.woken, &cmd->park.group->links[8], "in the order of their changes");
    cr_assert_eq(cmd->park.woken->chain, &cmd->park.group->links[7]);
    cmd->park.woken = NULL;
    cr_assert(park(w, cmd));
    cr_assert_null(wake(w, topic_end(7), now), "no link any more");
    cr_assert_eq(wake(w, topic_end(100), now), cmd);
    leave(w, cmd);
}

Test(waiters, a_group_that_needs_all_is_woken_once)
{
    struct waiters *w = waiters_new();
    struct command *cmd = new_group(w, MEMBERS);
    cr_assert(park(w, cmd));
    for (int64_t no = 1; no < MEMBERS; no++)
        cr_assert_null(wake(w, topic_end(no), clock_mono_ns()));
    cr_assert_eq(wake(w, topic_end(MEMBERS), clock_mono_ns()), cmd);
    cr_assert_eq(woken_links(cmd), MEMBERS);
    leave(w, cmd);
}

Test(waiters, a_group_may_come_back_at_the_first_failure)
{
    struct waiters *w = waiters_new();
    struct command *cmd = new_group(w, MEMBERS);
    cmd->park.on_failure = true;
    uint64_t now = clock_mono_ns();
    cr_assert(park(w, cmd));
    cr_assert_null(wake(w, topic_end(1), now));
    struct wake failure = {.topic = topic_end(2), .now_ns = now, .failed = true};
    cr_assert_eq(waiters_wake(w, &failure), cmd);
    cr_assert_eq(woken_links(cmd), 2);
    leave(w, cmd);
}

Test(waiters, members_that_moved_on_before_the_park_are_named_and_no_others)
{
    struct waiters *w = waiters_new();
    struct command *cmd = new_group(w, 1);
    (void)wake(w, topic_end(5), clock_mono_ns());
    cr_assert_not(park(w, cmd));
    bool named = false;
    for (const struct park_link *l = cmd->park.woken; l != NULL; l = l->chain)
        named = named || l->topic == topic_end(5);
    cr_assert(named);
    cr_assert_lt(woken_links(cmd), 10, "only those whose bucket it is");
    /* Looked at, not ended: added again, with the epoch of that look. */
    for (struct park_link *l = cmd->park.woken; l != NULL; l = l->chain)
        l->seen_epoch = waiters_epoch(w, l->topic);
    cmd->park.add = cmd->park.woken;
    cmd->park.woken = NULL;
    cr_assert(park(w, cmd));
    cr_assert_eq(wake(w, topic_end(5), clock_mono_ns()), cmd);
    leave(w, cmd);
}

Test(waiters, a_group_may_gather_before_it_comes_back)
{
    struct waiters *w = waiters_new();
    struct command *cmd = new_group(w, 1);
    uint64_t now = clock_mono_ns();
    cmd->park.not_before_ns = now + SECOND / 20;
    cr_assert(park(w, cmd));
    for (int64_t no = 1; no <= 3; no++)
        cr_assert_null(wake(w, topic_end(no), now));
    cr_assert_null(waiters_expire(w, now + SECOND / 21));
    cr_assert_eq(waiters_expire(w, now + SECOND / 20), cmd);
    cr_assert_not(cmd->timed_out);
    cr_assert_eq(woken_links(cmd), 3);
    leave(w, cmd);
}

Test(waiters, a_group_times_out_with_what_it_has)
{
    struct waiters *w = waiters_new();
    struct command *cmd = new_group(w, 2);
    cr_assert(park(w, cmd));
    cr_assert_null(wake(w, topic_end(3), clock_mono_ns()));
    cr_assert_eq(waiters_expire(w, clock_mono_ns() + 2 * SECOND), cmd);
    cr_assert(cmd->timed_out);
    cr_assert_eq(woken_links(cmd), 1);
    leave(w, cmd);
}

Test(waiters, a_group_that_is_left_while_changes_come_takes_its_links_along)
{
    struct waiters *w = waiters_new();
    struct command *cmd = new_group(w, 1);
    cr_assert(park(w, cmd));
    cr_assert_eq(waiters_remove(w, 1), cmd);
    cr_assert(waiters_any(w, topic_end(1)), "the links stay until the group is left");
    waiters_leave(w, cmd->park.group);
    cr_assert_null(wake(w, topic_end(1), clock_mono_ns()), "a change before the sweep");
    waiters_sweep(w);
    cr_assert_not(waiters_any(w, topic_end(2)));
    free(cmd);
    /* One that was never parked, and one that is forgotten, are freed at the end. */
    struct command *never = new_group(w, 1), *forgotten = new_group(w, 1);
    waiters_leave(w, never->park.group);
    cr_assert(park(w, forgotten));
    cr_assert_eq(waiters_all(w), forgotten);
    waiters_free(w);
    free(never);
    free(forgotten);
}

/* ------------------------------------------------------------------------------------------------
 * batches */

Test(waiters, waiters_for_a_batch_are_woken_by_what_they_want_alone)
{
    static const struct {
        struct batch_wish wish;
        bool first, failure, third, end; /* which of the changes below wakes it */
    } rows[] = {
        {{0}, true, true, true, true},
        {{.min_done = 1}, true, true, true, true},
        {{.min_done = 3}, false, false, true, true},
        {{.min_done = WISH_END_ONLY}, false, false, false, true},
        {{.min_done = WISH_END_ONLY, .on_failure = true}, false, true, true, true},
        {{.min_ended = 3}, false, false, true, true},
        {{.min_elements = 5}, false, false, false, true},
    };
    struct batch changes[] = {
        {.phase = BATCH_OPEN, .n = 4, .ended = 1, .count[JOB_SUCCEEDED] = 1},
        {.phase = BATCH_OPEN,
         .n = 4,
         .ended = 2,
         .count[JOB_SUCCEEDED] = 1,
         .count[JOB_FAILED] = 1},
        {.phase = BATCH_OPEN,
         .n = 4,
         .ended = 3,
         .count[JOB_SUCCEEDED] = 2,
         .count[JOB_FAILED] = 1},
        {.phase = BATCH_CLOSED,
         .n = 4,
         .ended = 4,
         .count[JOB_SUCCEEDED] = 3,
         .count[JOB_FAILED] = 1},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const bool wanted[] = {rows[i].first, rows[i].failure, rows[i].third, rows[i].end};
        struct waiters *w = waiters_new();
        struct command *cmd = new_park(w, topic_batch(1), 1);
        cmd->park.wish = rows[i].wish;
        cr_assert(waiters_park(w, cmd, topic_batch(1), clock_mono_ns() + SECOND));
        for (size_t k = 0; k < ARRAY_LEN(changes) && cmd->parked; k++) {
            struct wake change = {topic_batch(1), clock_mono_ns(), false, &changes[k]};
            cr_assert_eq(waiters_wake(w, &change) != NULL, wanted[k], "row %zu, change %zu", i, k);
        }
        cr_assert_not(cmd->parked);
        free(cmd);
        waiters_free(w);
    }
}
