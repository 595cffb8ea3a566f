/* SPDX-License-Identifier: MIT */
#include "storage/chores.h"
#include "storage_fixture.h"

STORE_TESTS(chores);

static const struct index_range ranges[200] = {{5, 3}, {100, 50}};

static struct chore made(void)
{
    struct chore c = {.kind = CHORE_CANCEL,
                      .by_index = true,
                      .target = 7,
                      .all_ranges = ARRAY_LEN(ranges),
                      .why = "because"};
    must(chore_insert(f.store, &c, ranges, err));
    return c;
}

Test(chores, what_is_left_is_found_after_a_restart)
{
    struct chore c = made(), found = {0};
    bool is_there = false;

    c.range = 1;
    c.place = 20;
    c.tally.changed = 23;
    c.tally.is_stopping = true;
    must(chore_put(f.store, &c, err));
    tx_commit(&f);
    fixture_reopen(&f);
    must(chore_next(f.store, 0, &found, &is_there, err));
    cr_assert(is_there && found.by_index && found.tally.is_stopping);
    cr_assert_eq(found.kind, CHORE_CANCEL);
    cr_assert_eq(found.tally.id, c.tally.id);
    cr_assert_eq(found.tally.changed, 23);
    cr_assert_eq(found.target, 7);
    cr_assert_str_eq(found.why, "because");
    cr_assert_eq(found.place, 20);
    cr_assert_eq(found.all_ranges, 200);
    cr_assert_eq(found.n_ranges, CHORE_WINDOW, "as many as are read at a time");
    cr_assert_eq(found.ranges[0].first, 100, "the first one is done");
    cr_assert_eq(found.ranges[0].n, 50);
    tx_begin(&f);
    found.range = 199;
    must(chore_put(f.store, &found, err));
    must(chore_next(f.store, 0, &found, &is_there, err));
    cr_assert_eq(found.n_ranges, 1);
}

Test(chores, each_is_found_behind_the_one_before_and_goes)
{
    const struct chore a = made(), b = made();
    struct chore found;
    bool is_there = false;

    must(chore_next(f.store, a.tally.id, &found, &is_there, err));
    cr_assert(is_there);
    cr_assert_eq(found.tally.id, b.tally.id);
    must(chore_next(f.store, b.tally.id, &found, &is_there, err));
    cr_assert_not(is_there);
    must(chore_delete(f.store, a.tally.id, err));
    must(chore_delete(f.store, b.tally.id, err));
    must(chore_next(f.store, 0, &found, &is_there, err));
    cr_assert_not(is_there);
}

Test(chores, damage_is_told)
{
    struct chore found;
    bool is_there;

    (void)made();
    must(db_exec(&f.store->db, "UPDATE chores SET ranges = substr(ranges, 1, 8)", err));
    must_fail(STORAGE, chore_next(f.store, 0, &found, &is_there, err));
}

Test(chores, a_purge_finds_all_that_waits_in_bounded_steps)
{
    int64_t nos[100];
    struct purge_list list = {nos, 100, 0};
    struct chore c = {.kind = CHORE_PURGE, .all_ranges = 2};
    enum job_state now;
    size_t n_queued = 0, n_others = 0;
    int64_t no = 0;

    for (int i = 0; i < 150; i++)
        (void)job_add(&f, "q", i % 3);
    for (int i = 0; i < 120; i++) {
        const struct job_spec spec = {.queue = SLICE_LIT("q"), .max_attempts = 1};
        no = job_add_as(
                 &f,
                 &(struct job_new){.spec = &spec, .now_us = NOW_US, .due_us = NOW_US + SECOND_US})
                 .no;
    }
    (void)job_add(&f, "other", 0);
    c.target = job_see(&f, no).queue;
    c.up_to = no;
    while (!chore_is_over(&c)) {
        must(chore_purged(f.store, &c, &list, err));
        *(c.range == 0 ? &n_queued : &n_others) += list.n;
        for (size_t i = 0; i < list.n; i++)
            must(jobs_cancel(f.store, &(struct job_cancel){nos[i], NOW_US, NULL}, &now, err));
        if (c.range == 0)
            (void)job_add(&f, "q", 9); /* came later, and is left alone */
    }
    cr_assert_eq(n_queued, 150);
    cr_assert_eq(n_others, 120);
}

/* A queue in which nothing else waits costs no walk over the rows of all others. */
Test(chores, a_purge_of_queued_jobs_does_not_walk)
{
    int64_t nos[8];
    struct purge_list list = {nos, 8, 0};
    struct chore c = {.kind = CHORE_PURGE, .all_ranges = 2, .up_to = INT64_MAX};
    enum job_state now;
    const struct job_id id = job_add(&f, "q", 0);

    (void)job_add(&f, "other", 0);
    c.target = job_see(&f, id.no).queue;
    must(chore_purged(f.store, &c, &list, err));
    cr_assert_eq(list.n, 1);
    must(jobs_cancel(f.store, &(struct job_cancel){id.no, NOW_US, NULL}, &now, err));
    must(chore_purged(f.store, &c, &list, err));
    cr_assert(chore_is_over(&c) && list.n == 0 && c.place == 0);
}
