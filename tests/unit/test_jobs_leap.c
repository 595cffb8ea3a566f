/* SPDX-License-Identifier: MIT */
/* Elements of a chunk that have begun and ended since the last commit: from behind the gate to the
 * end in one write. */
#include "service/base/template.h"
#include "storage/batches.h"
#include "storage/change.h"
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

/* ---- one timer for neighbours ---- */

static int64_t timers(void)
{
    return ask(&f, "SELECT count(*) FROM jobs INDEXED BY jobs_timer WHERE timer IS NOT NULL");
}

static bool is_expired(int64_t no)
{
    char sql[80];

    (void)snprintf(sql, sizeof sql, "SELECT output_flags & 16 FROM jobs WHERE no = %lld",
                   (long long)no);
    return ask(&f, sql) != 0;
}

/* All elements: the head by itself, its mates by leaps in one transaction. */
static void end_all(void)
{
    const struct job_end end = job_end_ok();

    tx_begin(&f);
    must(jobs_start(f.store, &(struct job_start){nos[0], 1, 0, NOW_US}, err));
    must(jobs_finish(f.store, nos[0], 1, &end, err));
    cr_assert(leap(0) && leap(1));
    tx_commit(&f);
    cr_assert_eq(timers(), 2);
}

static void prune_at(int64_t now_us)
{
    struct output_ref files[8];
    struct prune prune = {.now_us = now_us, .limit = 100, .files = files, .max_files = 8};

    tx_begin(&f);
    must(jobs_prune(f.store, &prune, err));
    tx_commit(&f);
}

Test(leap, neighbours_that_end_together_expire_together)
{
    const struct job_end end = job_end_ok();
    const int64_t due_us = end.finished_us + end.keep_us;

    end_all();
    prune_at(due_us - 1);
    cr_assert(!is_expired(nos[0]) && !is_expired(nos[1]) && !is_expired(nos[2]));
    prune_at(due_us + SECOND_US);
    cr_assert(is_expired(nos[0]) && is_expired(nos[1]) && is_expired(nos[2]));
    prune_at(due_us + SECOND_US + f.cfg.row_keep_us);
    cr_assert_eq(ask(&f, "SELECT count(*) FROM jobs"), 0);
    counts_check(&f);
}

Test(leap, who_is_left_by_its_neighbour_has_a_timer)
{
    struct output_ref files[OUTPUT_STREAMS];
    const struct job_end end = job_end_ok();
    size_t n;

    end_all();
    tx_begin(&f);
    must(jobs_forget(f.store, nos[1], files, &n, err));
    tx_commit(&f);
    cr_assert_eq(timers(), 2);
    prune_at(end.finished_us + end.keep_us);
    cr_assert(is_expired(nos[2]), "at its own time, not a second later");
}

Test(leap, a_neighbour_that_is_retried_leaves_a_timer)
{
    struct job_again again = {.no = nos[1], .now_us = NOW_US + SECOND_US};

    end_all();
    tx_begin(&f);
    must(jobs_retry_again(f.store, &again, err));
    tx_commit(&f);
    cr_assert_eq(job_see(&f, nos[1]).state, JOB_QUEUED);
    cr_assert_eq(timers(), 2);
}

/* What is undone ends nobody, so nobody goes along with it. */
Test(leap, a_transaction_that_is_undone_leaves_nobody_without_a_timer)
{
    tx_begin(&f);
    must(store_savepoint(f.store, err));
    cr_assert(leap(0));
    store_savepoint_undo(f.store);
    cr_assert(leap(1));
    tx_commit(&f);
    cr_assert_eq(timers(), 1);
    tx_begin(&f);
    cr_assert(leap(0), "and nobody goes along with one of an earlier transaction");
    tx_commit(&f);
    cr_assert_eq(timers(), 2);
}
