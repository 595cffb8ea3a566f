/* SPDX-License-Identifier: MIT */
/* Settings of queues in the store, and what they make of the ready order. */
#include "storage_fixture.h"

#include "storage/settings.h"

STORE_TESTS(queue_settings);

/* ---- changes ---- */

static uint32_t set(const char *name, unsigned members, struct queue_settings to)
{
    struct queue_change change = {.members = members, .to = to, .if_version = QUEUE_ANY_VERSION};
    struct settings_change apply = {.name = slice_of(name), .change = &change, .may_make = true};

    must(settings_apply(f.store, &apply, err));
    return apply.queue;
}

static struct queue_settings see(const char *name)
{
    uint32_t queue = settings_find(f.store, slice_of(name));

    cr_assert_neq(queue, 0, "%s", name);
    return *settings_of(f.store, queue);
}

Test(queue_settings, only_the_named_members_change)
{
    struct queue_settings s;

    (void)set("q", QUEUE_ALL,
              (struct queue_settings){.concurrency = 2, .rate_n = 3, .rate_us = 5, .weight = 7});
    (void)set("q", QUEUE_PAUSED | QUEUE_RATE, (struct queue_settings){.paused = true});
    s = see("q");
    cr_assert(s.paused && s.concurrency == 2 && s.rate_n == 0 && s.weight == 7);
    cr_assert_eq(s.version, 2);
    tx_commit(&f);
    fixture_reopen(&f);
    s = see("q");
    cr_assert(s.paused && s.concurrency == 2 && s.rate_n == 0 && s.weight == 7);
    cr_assert_eq(s.version, 2);
}

Test(queue_settings, a_rollback_takes_them_back)
{
    uint64_t epoch;

    (void)set("q", QUEUE_ALL, (struct queue_settings){.concurrency = 2});
    tx_commit(&f);
    epoch = settings_epoch(f.store);
    tx_begin(&f);
    (void)set("q", QUEUE_CONCURRENCY, (struct queue_settings){.concurrency = 9});
    (void)set("new", QUEUE_ALL, (struct queue_settings){.paused = true});
    cr_assert_eq(see("q").concurrency, 9);
    store_rollback(f.store);
    cr_assert_eq(see("q").concurrency, 2);
    cr_assert_eq(settings_find(f.store, SLICE_LIT("new")), 0);
    cr_assert_neq(settings_epoch(f.store), epoch, "whoever has seen the change must look again");
}

Test(queue_settings, a_savepoint_takes_back_its_own_alone)
{
    (void)set("q", QUEUE_ALL, (struct queue_settings){.concurrency = 2});
    must(store_savepoint(f.store, err));
    (void)set("q", QUEUE_ALL, (struct queue_settings){.concurrency = 3});
    store_savepoint_undo(f.store);
    cr_assert_eq(see("q").concurrency, 2);
    tx_commit(&f);
    fixture_reopen(&f);
    cr_assert_eq(see("q").concurrency, 2);
}

Test(queue_settings, another_version_is_refused)
{
    struct queue_change change = {.members = QUEUE_ALL, .if_version = 1};
    struct settings_change apply = {.name = SLICE_LIT("q"), .change = &change, .may_make = true};

    must_fail(VERSION_MISMATCH, settings_apply(f.store, &apply, err));
    (void)set("q", QUEUE_ALL, (struct queue_settings){0});
    must(settings_apply(f.store, &apply, err));
    must_fail(VERSION_MISMATCH, settings_apply(f.store, &apply, err));
    change.if_version = QUEUE_IS_NEW;
    must_fail(VERSION_MISMATCH, settings_apply(f.store, &apply, err));
    must_fail(VERSION_MISMATCH, settings_delete(f.store, apply.name, 1, err));
    cr_assert_eq(see("q").version, 2);
}

/* max_queues is 8. */
Test(queue_settings, a_number_with_settings_is_not_given_away)
{
    char name[8];

    (void)set("kept", QUEUE_ALL, (struct queue_settings){.weight = 3});
    (void)set("deleted", QUEUE_ALL, (struct queue_settings){.weight = 5});
    must(settings_delete(f.store, SLICE_LIT("deleted"), QUEUE_ANY_VERSION, err));
    cr_assert_eq(settings_find(f.store, SLICE_LIT("deleted")), 0);
    for (int i = 0; i < 7; i++) {
        (void)snprintf(name, sizeof(name), "q%d", i);
        (void)job_add(&f, name, 0);
    }
    cr_assert_eq(see("q6").version, 0, "it has the number of the deleted one, and nothing else");
    {
        struct job_spec spec = {.queue = SLICE_LIT("q7"), .max_attempts = 1};
        struct job_new job = {.spec = &spec, .task = SLICE_LIT("t"), .now_us = NOW_US};
        struct job_id id;

        must_fail(OVERLOADED, jobs_insert(f.store, &job, &id, err));
    }
    tx_commit(&f);
    fixture_reopen(&f);
    cr_assert_eq(see("kept").weight, 3);
    cr_assert_eq(see("q6").version, 0);
}

Test(queue_settings, only_a_queue_without_living_jobs_is_deleted)
{
    enum job_state now;
    struct job_id id;

    (void)set("q", QUEUE_ALL, (struct queue_settings){.weight = 3});
    id = job_add(&f, "q", 0);
    must_fail(STATE_CONFLICT, settings_delete(f.store, SLICE_LIT("q"), QUEUE_ANY_VERSION, err));
    must(jobs_cancel(f.store, &(struct job_cancel){id.no, NOW_US, NULL}, &now, err));
    must(settings_delete(f.store, SLICE_LIT("q"), QUEUE_ANY_VERSION, err));
    cr_assert_eq(see("q").weight, 0);
    cr_assert_eq(see("q").version, 2);
    must_fail(NOT_FOUND, settings_delete(f.store, SLICE_LIT("no"), QUEUE_ANY_VERSION, err));
}

/* ---- max_length ---- */

static bool insert(const char *queue, int64_t due_us, struct err *err)
{
    struct job_spec spec = {.queue = slice_of(queue), .max_attempts = 1};
    struct job_new job = {
        .spec = &spec, .task = SLICE_LIT("t"), .now_us = NOW_US, .due_us = due_us};
    struct job_id id;

    return jobs_insert(f.store, &job, &id, err);
}

Test(queue_settings, a_full_queue_takes_nothing_more)
{
    struct job_id first;

    (void)set("q", QUEUE_ALL, (struct queue_settings){.max_length = 3});
    first = job_add(&f, "q", 0);
    must(insert("q", NOW_US + SECOND_US, err));
    must(insert("q", 0, err));
    must_fail(QUEUE_LIMIT, insert("q", 0, err));
    must_fail(QUEUE_LIMIT, insert("q", NOW_US + SECOND_US, err));
    must(insert("other", 0, err));
    must(jobs_start(f.store, &(struct job_start){first.no, 1, 0, NOW_US}, err));
    must(insert("q", 0, err));
    must_fail(QUEUE_LIMIT, insert("q", 0, err));
    tx_commit(&f);
    counts_check(&f);
}

/* ---- the ready order ---- */

static size_t peek(struct ready_job *jobs, size_t max, const struct queue_lane *lanes, bool weigh)
{
    struct ready_list list = {.jobs = jobs, .max = max, .lanes = lanes, .by_weight = weigh};

    must(queue_peek(f.store, &list, err));
    return list.n;
}

Test(queue_settings, a_lane_shows_as_many_as_it_has_room_for)
{
    struct queue_lane lanes[8];
    struct ready_job jobs[10];

    for (int i = 0; i < 8; i++)
        lanes[i] = LANE_FREE;
    for (int i = 0; i < 4; i++) {
        (void)job_add(&f, "a", 5);
        (void)job_add(&f, "b", 0);
    }
    for (int weigh = 0; weigh <= 1; weigh++) {
        lanes[0].room = 2;
        cr_assert_eq(peek(jobs, 10, lanes, weigh == 1), 6);
        cr_assert(jobs[0].queue == 1 && jobs[1].queue == 1 && jobs[2].queue == 2);
        lanes[0].room = 0;
        cr_assert_eq(peek(jobs, 10, lanes, weigh == 1), 4);
        cr_assert_eq(peek(jobs, 3, lanes, weigh == 1), 3);
        cr_assert(jobs[0].queue == 2 && jobs[2].queue == 2);
    }
}

/* How many of the first n are of this queue. */
static int share(const struct ready_job *jobs, size_t n, uint32_t queue)
{
    int count = 0;

    for (size_t i = 0; i < n; i++)
        count += jobs[i].queue == queue;
    return count;
}

Test(queue_settings, weights_share_every_part_of_the_list)
{
    struct queue_lane lanes[8];
    struct ready_job jobs[70];
    size_t n;

    for (int i = 0; i < 8; i++)
        lanes[i] = LANE_FREE;
    for (int i = 0; i < 40; i++) {
        (void)job_add(&f, "a", 0);
        (void)job_add(&f, "b", 0);
        (void)job_add(&f, "c", 0);
    }
    lanes[0].weight = 4;
    lanes[1].weight = 2; /* c has none, which counts as 1 */
    n = peek(jobs, 70, lanes, true);
    cr_assert_eq(n, 70);
    for (size_t k = 7; k <= 70; k += 7) {
        cr_assert_eq(share(jobs, k, 1), (int)(4 * k / 7), "%zu", k);
        cr_assert_eq(share(jobs, k, 2), (int)(2 * k / 7), "%zu", k);
    }
    for (size_t i = 1; i < n; i++)
        for (size_t k = 0; k < i; k++)
            cr_assert(jobs[k].queue != jobs[i].queue || jobs[k].no < jobs[i].no,
                      "each queue keeps its order");
}

Test(queue_settings, priority_comes_before_weight)
{
    struct queue_lane lanes[8];
    struct ready_job jobs[8];

    for (int i = 0; i < 8; i++)
        lanes[i] = LANE_FREE;
    lanes[0].weight = 100;
    for (int i = 0; i < 3; i++) {
        (void)job_add(&f, "heavy", 0);
        (void)job_add(&f, "light", 1);
    }
    cr_assert_eq(peek(jobs, 8, lanes, true), 6);
    cr_assert_eq(share(jobs, 3, 2), 3);
    cr_assert(!jobs[0].contested && !jobs[3].contested, "nobody had to stand back");
}

/* What has begun before counts. */
Test(queue_settings, the_smallest_pass_comes_first)
{
    struct queue_lane lanes[8];
    struct ready_job jobs[8];

    for (int i = 0; i < 8; i++)
        lanes[i] = LANE_FREE;
    for (int i = 0; i < 4; i++) {
        (void)job_add(&f, "a", 0);
        (void)job_add(&f, "b", 0);
    }
    lanes[0].pass = 3 * LANE_STRIDE;
    cr_assert_eq(peek(jobs, 8, lanes, true), 8);
    cr_assert_eq(share(jobs, 3, 2), 3);
    cr_assert(jobs[0].contested);
}

/* ---- what waits in one ---- */

Test(queue_settings, readers_know_since_when_the_oldest_waits)
{
    AUTO_ARENA struct arena a = {0};
    struct queue_view view;
    struct reader *reader;

    arena_init(&a, 1 << 20);
    (void)job_add(&f, "q", 0);
    for (int i = 1; i <= 3; i++) {
        struct job_spec spec = {.queue = SLICE_LIT("q"), .priority = i, .max_attempts = 1};
        struct job_new job = {
            .spec = &spec, .task = SLICE_LIT("t"), .now_us = NOW_US + i * SECOND_US};

        (void)job_add_as(&f, &job);
    }
    tx_commit(&f);
    must(reader_open(f.dir, 1 << 20, &reader, err));
    must(reader_queue(reader, "q", &a, &view, err));
    cr_assert_eq(view.oldest_us, NOW_US);
    reader_close(reader);
}
