/* SPDX-License-Identifier: MIT */
/* An attempt that began and ended between two commits: one write, and everybody hears of both
 * moves. */
#include "storage_fixture.h"

static struct fixture f;

static void setup(void)
{
    fixture_open(&f);
}

static void teardown(void)
{
    fixture_close(&f);
}

TestSuite(jobs_pass, .init = setup, .fini = teardown, .timeout = 60);

Test(jobs_pass, leaves_what_a_start_and_an_end_leave)
{
    struct job_end end = job_end_ok();
    struct job_id slow, fast;

    end.inline_out[STREAM_VALUE] = SLICE_LIT("42");
    end.output.has_value = true;
    end.output.bytes[STREAM_VALUE] = 2;
    tx_begin(&f);
    slow = job_add(&f, NULL, 3);
    fast = job_add(&f, NULL, 3);
    must(jobs_start(f.store, &(struct job_start){slow.no, 1, 1, NOW_US}, err));
    must(jobs_finish(f.store, slow.no, 1, &end, err));
    must(jobs_pass(f.store, &(struct job_start){fast.no, 1, 1, NOW_US}, &end, err));
    tx_commit(&f);
    cr_assert_eq(kinds_of_rows(&f, slow.no, fast.no), 1);
    counts_check(&f);
    integrity_check(&f);
}

Test(jobs_pass, tells_of_both_moves)
{
    struct job_end end = job_end_ok();
    const struct job_change *changes;
    struct job_id id;
    size_t n;

    tx_begin(&f);
    id = job_add(&f, NULL, 0);
    tx_commit(&f);
    tx_begin(&f);
    must(jobs_pass(f.store, &(struct job_start){id.no, 1, 0, NOW_US}, &end, err));
    changes = store_changes(f.store, &n);
    cr_assert_eq(n, 2);
    cr_assert_eq(changes[0].from, JOB_QUEUED);
    cr_assert_eq(changes[0].to, JOB_RUNNING);
    cr_assert_eq(changes[0].version, 2);
    cr_assert_eq(changes[0].attempt, 1);
    cr_assert_eq(changes[1].from, JOB_RUNNING);
    cr_assert_eq(changes[1].to, JOB_SUCCEEDED);
    cr_assert_eq(changes[1].version, 3);
    tx_commit(&f);
}

Test(jobs_pass, an_attempt_that_is_repeated_leaves_its_history)
{
    struct job_end end = job_end_ok();
    struct job_id id;

    end.state = JOB_QUEUED;
    end.reason = REASON_SIGNAL;
    tx_begin(&f);
    id = job_add(&f, NULL, 0);
    must(jobs_pass(f.store, &(struct job_start){id.no, 1, 0, NOW_US}, &end, err));
    tx_commit(&f);
    cr_assert_eq(job_see(&f, id.no).state, JOB_QUEUED);
    cr_assert_eq(job_see(&f, id.no).attempt, 1);
    cr_assert_eq(ask(&f, "SELECT count(*) FROM attempts"), 1);
    counts_check(&f);
}

Test(jobs_pass, changes_nothing_that_is_not_queued_for_this_attempt)
{
    struct job_end end = job_end_ok();
    struct job_start start = {.attempt = 1, .now_us = NOW_US};

    tx_begin(&f);
    for (int state = 0; state < JOB_STATE_COUNT; state++) {
        if (state == JOB_BLOCKED || state == JOB_QUEUED)
            continue;
        start.no = job_add_in(&f, (enum job_state)state).no;
        must_fail(STATE_CONFLICT, jobs_pass(f.store, &start, &end, err));
        cr_assert_eq(job_see(&f, start.no).state, (enum job_state)state);
    }
    start.no = job_add(&f, NULL, 0).no;
    start.attempt = 2;
    must_fail(STATE_CONFLICT, jobs_pass(f.store, &start, &end, err));
    cr_assert_eq(job_see(&f, start.no).state, JOB_QUEUED);
    tx_commit(&f);
    counts_check(&f);
}

/* Whether one statement writes it or several do. */
Test(jobs_pass, what_was_moved_behind_the_cache_is_found_out)
{
    for (int n = 1; n <= 3; n += 2) {
        const struct job_end end = job_end_ok();
        struct job_id last = {0};

        tx_begin(&f);
        for (int i = 0; i < n; i++) {
            last = job_add(&f, NULL, 0);
            must(jobs_pass(f.store, &(struct job_start){last.no, 1, 0, NOW_US}, &end, err));
        }
        must(store_run_no(f.store, SQL_ROW_DELETE, last.no, err));
        must_fail(STORAGE, jobs_passed(f.store, err));
        store_rollback(f.store);
    }
}

/* ---- many of them ---- */

#define MANY 40 /* more than one statement writes */

/* Ends that differ in all that a row says of them. */
static struct job_end end_of(int i)
{
    struct job_end end = job_end_ok();

    end.started_us += i;
    end.finished_us += 2 * (int64_t)i;
    end.keep_us += i / 30;
    end.usage.wall_us = i;
    end.usage.max_rss_bytes = 1000 + (uint64_t)i;
    end.output.bytes[0] = (uint64_t)i;
    if (i % 3 == 0) {
        end.inline_out[STREAM_VALUE] = SLICE_LIT("42");
        end.output.has_value = true;
        end.output.bytes[STREAM_VALUE] = 2;
    }
    if (i % 7 == 6) {
        end.state = JOB_FAILED;
        end.reason = REASON_EXIT_CODE;
        end.exit_code = 1 + i % 2;
    }
    return end;
}

Test(jobs_pass, many_leave_what_each_would_leave_alone)
{
    struct job_id slow[MANY], fast[MANY], waiting[MANY];

    tx_begin(&f);
    for (int i = 0; i < MANY; i++) {
        slow[i] = job_add(&f, NULL, 3);
        fast[i] = job_add(&f, NULL, 3);
        waiting[i] = job_add(&f, NULL, 3);
    }
    for (int k = 0; k < MANY; k++) {
        const int i = k % 2 == 0 ? k / 2 : MANY - 1 - k / 2; /* in no order */
        const struct job_end end = end_of(i);
        const uint32_t slot = (uint32_t)i % 2;

        must(jobs_start(f.store, &(struct job_start){slow[i].no, 1, slot, NOW_US}, err));
        must(jobs_finish(f.store, slow[i].no, 1, &end, err));
        must(jobs_pass(f.store, &(struct job_start){fast[i].no, 1, slot, NOW_US}, &end, err));
    }
    must(jobs_passed(f.store, err));
    for (int i = 0; i < MANY; i++) {
        cr_assert_eq(kinds_of_rows(&f, slow[i].no, fast[i].no), 1, "%d", i);
        cr_assert_eq(job_see(&f, waiting[i].no).state, JOB_QUEUED);
    }
    cr_assert_eq(ask(&f, "SELECT count(*) FROM jobs WHERE state = 2"), MANY);
    tx_commit(&f);
    counts_check(&f);
    integrity_check(&f);
}

Test(jobs_pass, a_commit_and_a_savepoint_write_them)
{
    const struct job_end end = job_end_ok();

    for (int i = 0; i < 2; i++) {
        tx_begin(&f);
        const struct job_id id = job_add(&f, NULL, 0);
        must(jobs_pass(f.store, &(struct job_start){id.no, 1, 0, NOW_US}, &end, err));
        if (i == 1) {
            must(store_savepoint(f.store, err));
            store_savepoint_undo(f.store);
        }
        tx_commit(&f);
        row_cache_clear(&f.store->cache);
        cr_assert_eq(job_see(&f, id.no).state, JOB_SUCCEEDED);
    }
    tx_begin(&f);
    const struct job_id id = job_add(&f, NULL, 0);
    must(jobs_pass(f.store, &(struct job_start){id.no, 1, 0, NOW_US}, &end, err));
    store_rollback(f.store);
    tx_begin(&f); /* nothing is left of what was rolled back */
    tx_commit(&f);
    counts_check(&f);
}

/* ---- ends that need no reader ---- */

static bool is_plain(int64_t no)
{
    struct job_view view;

    return jobs_plain_end(f.store, no, &view);
}

/* Queued, in one state of mind that its view would have to tell of; then it succeeds. */
static int64_t succeeded(const char *sql, uint32_t flags)
{
    struct job_spec spec = {.max_attempts = 3, .keep_us = SECOND_US};
    struct job_new job = {
        .spec = &spec, .task = SLICE_LIT("task"), .now_us = NOW_US, .flags = flags};
    struct job_end end = job_end_ok();
    struct job_id id = job_add_as(&f, &job);
    struct job_row row;

    if (sql != NULL) {
        all_is_written(&f);
        must(db_exec(&f.store->db, sql, err));
        row_cache_clear(&f.store->cache);
    }
    row = job_see(&f, id.no);
    must(jobs_pass(f.store, &(struct job_start){id.no, row.attempt + 1, 0, NOW_US}, &end, err));
    return id.no;
}

Test(jobs_pass, a_plain_end_is_told_from_memory)
{
    struct job_view view;
    int64_t no;

    tx_begin(&f);
    no = succeeded(NULL, 0);
    cr_assert(jobs_plain_end(f.store, no, &view));
    cr_assert_eq(view.id.no, no);
    cr_assert_eq(view.state, JOB_SUCCEEDED);
    cr_assert_eq(view.version, 3);
    cr_assert_eq(view.attempt, 1);
    cr_assert_eq(view.max_attempts, 3);
    cr_assert_eq(view.expires_us, view.finished_us + 10 * SECOND_US);
    store_rollback(f.store);
    cr_assert(!is_plain(no), "what was not stored is told to nobody");
}

Test(jobs_pass, an_end_with_more_to_say_has_to_be_read)
{
    tx_begin(&f);
    cr_assert(is_plain(succeeded(NULL, 0)));
    cr_assert(!is_plain(succeeded("UPDATE jobs SET version = 2", 0)), "changed in between");
    cr_assert(!is_plain(succeeded("UPDATE jobs SET attempt = 1", 0)), "its second attempt");
    cr_assert(!is_plain(succeeded(NULL, JOB_OUTPUTS)), "files");
    cr_assert(!is_plain(job_add_in(&f, JOB_FAILED).no), "words");
    cr_assert(!is_plain(job_add_in(&f, JOB_RUNNING).no));
    row_cache_clear(&f.store->cache);
    cr_assert(!is_plain(1), "not at hand");
    store_rollback(f.store);
}
