/* SPDX-License-Identifier: MIT */
/* Elements of a chunk that have begun and ended since the last commit: from behind the gate to the
 * end in one write. */
#include "storage/change.h"
#include "storage/deps.h"
#include "storage_fixture.h"

#define N 6

static struct fixture f;
static int64_t batch, nos[N]; /* a chunk: its head, which is queued, and its mates */
static struct arena a;
static struct mate mates[N - 1];

static void insert(uint32_t i)
{
    const struct job_spec spec = {.max_attempts = 1, .keep_us = 10 * SECOND_US};
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
    const struct job_spec spec = {.max_attempts = 1};
    struct job_row row;
    struct mate_list list = {.mates = mates, .max = N - 1, .max_bytes = 100, .arena = &a};

    fixture_open(&f);
    arena_init(&a, 1u << 20);
    tx_begin(&f);
    batch = batch_add_as(&f,
                         &(struct batch_new){.phase = BATCH_OPEN, .spec = &spec, .chunksize = N});
    for (uint32_t i = 0; i < N; i++)
        insert(i);
    tx_commit(&f);
    row = job_see(&f, nos[0]);
    must(batch_mates(f.store, &row, N, &list, err));
    cr_assert_eq(list.n, N - 1);
}

static void teardown(void)
{
    arena_release(&a);
    fixture_close(&f);
}

TestSuite(leap, .init = setup, .fini = teardown, .timeout = 60);

static struct job_leap leap_of(uint32_t mate)
{
    return (struct job_leap){.row = &mates[mate].row, .attempt = 1, .end = job_end_ok()};
}

static bool leap(uint32_t mate)
{
    struct job_leap one = leap_of(mate);

    must(jobs_leap(f.store, &one, 1, err));
    return one.has_leapt;
}

/* The flight lets the next one in, so no end of a leap needs to look for who is next. */
Test(leap, its_end_is_told_as_one_behind_the_gate)
{
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
    cr_assert_eq(batch_see(&f, batch).gated, N - 2);
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

/* The first three mates, in one transaction. */
static void end_three(void)
{
    tx_begin(&f);
    cr_assert(leap(0) && leap(1) && leap(2));
    tx_commit(&f);
    cr_assert_eq(timers(), 1);
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

    end_three();
    prune_at(due_us - 1);
    cr_assert(!is_expired(nos[1]) && !is_expired(nos[2]) && !is_expired(nos[3]));
    prune_at(due_us + SECOND_US);
    cr_assert(is_expired(nos[1]) && is_expired(nos[2]) && is_expired(nos[3]));
    prune_at(due_us + SECOND_US + f.cfg.row_keep_us);
    cr_assert_eq(ask(&f, "SELECT count(*) FROM jobs"), N - 3);
    counts_check(&f);
}

Test(leap, who_is_left_by_its_neighbour_has_a_timer)
{
    struct output_ref files[OUTPUT_STREAMS];
    const struct job_end end = job_end_ok();
    size_t n;

    end_three();
    tx_begin(&f);
    must(jobs_forget(f.store, nos[1], files, &n, err));
    tx_commit(&f);
    cr_assert_eq(timers(), 1);
    prune_at(end.finished_us + end.keep_us - 1);
    cr_assert(!is_expired(nos[2]));
    prune_at(end.finished_us + end.keep_us);
    cr_assert(is_expired(nos[2]), "at its own time, not a second later");
}

Test(leap, a_neighbour_that_is_retried_leaves_a_timer)
{
    struct job_again again = {.no = nos[1], .now_us = NOW_US + SECOND_US};

    end_three();
    tx_begin(&f);
    must(jobs_retry_again(f.store, &again, err));
    tx_commit(&f);
    cr_assert_eq(job_see(&f, nos[1]).state, JOB_QUEUED);
    cr_assert_eq(timers(), 1);
    prune_at(NOW_US + 20 * SECOND_US);
    cr_assert(is_expired(nos[2]) && is_expired(nos[3]));
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

/* ---- many at once ---- */

/* Of mate i: how it ended is its own, and so are its times. */
static struct job_leap leap_as(uint32_t i)
{
    static const char *const values[] = {"1", "22", NULL, "4444", NULL};
    struct job_leap leap = leap_of(i);

    leap.slot = 7;
    leap.end.started_us += i;
    leap.end.finished_us += 2 * (int64_t)i;
    leap.end.usage = (struct job_usage){
        .wall_us = 10 + i, .user_us = 20 + i, .system_us = 30 + i, .max_rss_bytes = 40 + i};
    if (values[i] != NULL) {
        leap.end.output.has_value = true;
        leap.end.output.bytes[STREAM_VALUE] = strlen(values[i]);
        leap.end.inline_out[STREAM_VALUE] = slice_of(values[i]);
    }
    return leap;
}

/* Whether the row of mate i says so; `more`: what else it says, in SQL. */
static bool says(uint32_t i, const char *more)
{
    char sql[640];

    (void)snprintf(sql, sizeof sql,
                   "SELECT count(*) FROM facts WHERE no = %lld AND version = 2 AND attempt = 1"
                   " AND slot = 7 AND flags = 2049 AND due_us IS NULL AND started_us = %lld"
                   " AND queued_us = started_us AND finished_us = %lld AND wall_us = %u"
                   " AND user_us = %u AND system_us = %u AND max_rss_bytes = %u AND %s",
                   (long long)nos[i + 1], (long long)(NOW_US + i),
                   (long long)(NOW_US + SECOND_US + 2 * i), 10 + i, 20 + i, 30 + i, 40 + i, more);
    return ask(&f, sql) == 1;
}

Test(leap, many_at_once_keep_what_is_their_own)
{
    struct job_leap leaps[N - 1];
    size_t n;

    for (uint32_t i = 0; i < N - 1; i++)
        leaps[i] = leap_as(i);
    leaps[2].end.state = JOB_FAILED;
    leaps[2].end.reason = REASON_EXIT_CODE;
    leaps[2].end.exit_code = 3;
    leaps[2].end.error_detail = "three";
    leaps[4].end.output.bytes[0] = 3;
    leaps[4].end.inline_out[0] = SLICE_LIT("out");
    tx_begin(&f);
    must(deps_mark_parent(f.store, nos[4], false, NOW_US, err)); /* mate 3 */
    must(jobs_leap(f.store, leaps, N - 1, err));
    const struct job_change *changes = store_changes(f.store, &n);
    cr_assert_eq(n, 4);
    for (uint32_t i = 0; i < 4; i++)
        cr_assert_eq(changes[i].no, nos[i == 3 ? 5 : i + 1], "in their order");
    tx_commit(&f);
    for (uint32_t i = 0; i < N - 1; i++)
        cr_assert_eq(leaps[i].has_leapt, i != 3);
    cr_assert(says(0, "state = 5 AND reason IS NULL AND exit_code = 0 AND value = x'31'"
                      " AND value_bytes = 1 AND timer = 3"));
    cr_assert(says(1, "state = 5 AND value = x'3232' AND value_bytes = 2 AND timer IS NULL"));
    cr_assert(says(2, "state = 6 AND reason IS NOT NULL AND exit_code = 3 AND value IS NULL"
                      " AND value_bytes IS NULL AND timer IS NULL"));
    cr_assert(says(4, "state = 5 AND stdout_bytes = 3 AND value IS NULL AND timer = 3"),
              "the one before it has not ended, so its timer is its own");
    cr_assert_eq(job_see(&f, nos[4]).state, JOB_BLOCKED);
    cr_assert_eq(ask(&f, "SELECT count(*) FROM errors WHERE detail = 'three'"), 1);
    cr_assert_eq(ask(&f, "SELECT count(*) FROM outputs WHERE stdout = x'6f7574'"), 1);
    const struct batch b = batch_see(&f, batch);
    cr_assert(b.gated == 1 && b.ended == 4 && b.count[JOB_SUCCEEDED] == 3 &&
              b.count[JOB_FAILED] == 1 && b.failed_first == 3);
    counts_check(&f);
}

/* Mate i returns values[i], of the same length. */
static void leap_with(const char *const values[N - 1])
{
    struct job_leap leaps[N - 1];

    for (uint32_t i = 0; i < N - 1; i++) {
        leaps[i] = leap_of(i);
        leaps[i].end.finished_us += i < 2 ? 0 : 2 * SECOND_US;
        leaps[i].end.usage.wall_us = 10 + i;
        leaps[i].end.usage.max_rss_bytes = 4096;
        leaps[i].end.output.has_value = true;
        leaps[i].end.output.bytes[STREAM_VALUE] = 2;
        leaps[i].end.inline_out[STREAM_VALUE] = slice_of(values[i]);
    }
    tx_begin(&f);
    must(jobs_leap(f.store, leaps, N - 1, err));
    tx_commit(&f);
    for (uint32_t i = 0; i < N - 1; i++) {
        char sql[320];

        cr_assert(leaps[i].has_leapt);
        (void)snprintf(sql, sizeof sql,
                       "SELECT count(*) FROM facts WHERE no = %lld AND wall_us = %u AND"
                       " max_rss_bytes = 4096 AND stdout_bytes = 0 AND stderr_bytes = 0 AND"
                       " value_bytes = 2 AND value = CAST('%s' AS BLOB) AND (timer = 3) IS %s AND"
                       " (wake_us = finished_us + keep_us + 1000000) IS %s",
                       (long long)nos[i + 1], 10 + i, values[i], i == 0 || i == 2 ? "1" : "NULL",
                       i == 0 || i == 2 ? "1" : "NULL");
        cr_assert_eq(ask(&f, sql), 1, "mate %u", i);
    }
    cr_assert_eq(timers(), 2, "of those that end within a second one has a timer");
    counts_check(&f);
}

Test(leap, neighbours_that_put_out_the_same_share_it)
{
    leap_with((const char *const[]){"aa", "aa", "aa", "aa", "aa"});
}

Test(leap, values_of_the_same_length_are_not_the_same)
{
    leap_with((const char *const[]){"aa", "ab", "aa", "ac", "aa"});
}
