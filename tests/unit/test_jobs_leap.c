/* SPDX-License-Identifier: MIT */
/* Elements of a chunk that have begun and ended since the last commit: from behind the gate to the
 * end in one write. */
#include "service/base/template.h"
#include "storage/batches.h"
#include "storage/deps.h"
#include "storage_fixture.h"

static struct fixture f;
static int64_t batch, nos[3]; /* a chunk: its head, which is queued, and two mates */
static struct arena a;
static struct mate mates[2];

static void insert(uint32_t i)
{
    const struct job_spec spec = {.max_attempts = 1};
    const struct job_new job = {.spec = &spec,
                                .task = SLICE_LIT("1"),
                                .now_us = NOW_US,
                                .batch = batch,
                                .idx = i,
                                .flags = JOB_ITEM | JOB_CHUNKED |
                                         (i > 0 ? (unsigned)JOB_GATED : 0)};
    struct job_id id;

    must(jobs_insert(f.store, &job, &id, err));
    nos[i] = id.no;
}

static void setup(void)
{
    static const struct template_head head = {.version = 1, .max_attempts = 1};
    static char bytes[sizeof head + 1];
    const struct job_spec spec = {.max_attempts = 1};
    struct job_id id;
    struct job_row row;
    struct mate_list list = {.mates = mates, .max = 2, .max_bytes = 100, .arena = &a};

    memcpy(bytes, &head, sizeof head);
    fixture_open(&f);
    arena_init(&a, 1u << 20);
    tx_begin(&f);
    must(batch_insert(f.store,
                      &(struct batch_new){.phase = BATCH_OPEN,
                                          .spec = &spec,
                                          .task = {bytes, sizeof bytes},
                                          .now_us = NOW_US,
                                          .chunksize = 3},
                      &id, err));
    batch = id.no;
    for (uint32_t i = 0; i < 3; i++)
        insert(i);
    tx_commit(&f);
    row = job_see(&f, nos[0]);
    must(batch_mates(f.store, &row, 3, &list, err));
    cr_assert_eq(list.n, 2);
}

static void teardown(void)
{
    arena_release(&a);
    fixture_close(&f);
}

TestSuite(leap, .init = setup, .fini = teardown, .timeout = 60);

static bool leap(uint32_t mate)
{
    const struct job_leap from = {&mates[mate].row, mates[mate].due_us, 1, 0};
    const struct job_end end = job_end_ok();
    bool has_leapt;

    must(jobs_leap(f.store, &from, &end, &has_leapt, err));
    return has_leapt;
}

/* The flight lets the next one in, so no end of a leap needs to look for who is next. */
Test(leap, its_end_is_told_as_one_behind_the_gate)
{
    const struct batch *b;
    size_t n;

    tx_begin(&f);
    cr_assert(leap(0));
    const struct job_change *changes = store_changes(f.store, &n);
    cr_assert_eq(n, 1);
    cr_assert(changes[0].no == nos[1] && changes[0].to == JOB_SUCCEEDED);
    cr_assert_neq(changes[0].flags & JOB_GATED, 0);
    tx_commit(&f);
    cr_assert_eq(job_see(&f, nos[1]).state, JOB_SUCCEEDED);
    cr_assert_eq(job_see(&f, nos[1]).flags & JOB_GATED, 0, "the row itself is not behind it");
    must(batch_get_by_no(f.store, batch, &b, err));
    cr_assert_eq(b->gated, 1);
    counts_check(&f);
}

/* Whoever depends on it since then, and what it was changed to, would be forgotten. */
Test(leap, does_not_come_from_a_row_that_has_changed)
{
    struct job_row row = mates[1].row;

    tx_begin(&f);
    must(deps_mark_parent(f.store, nos[1], false, NOW_US, err));
    cr_assert_not(leap(0), "other flags");
    row.version++;
    mates[1].row = row;
    cr_assert_not(leap(1), "another version");
    tx_commit(&f);
    cr_assert_eq(job_see(&f, nos[1]).state, JOB_BLOCKED);
    cr_assert_eq(job_see(&f, nos[1]).flags & JOB_PARENT, JOB_PARENT);
    cr_assert_eq(job_see(&f, nos[2]).state, JOB_BLOCKED);
    counts_check(&f);
}
