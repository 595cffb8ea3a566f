/* SPDX-License-Identifier: MIT */
/* How rows go: forgotten, by retention, or found damaged. */
#include "storage_fixture.h"

STORE_TESTS(jobs_end);

/* ---- many are cancelled ---- */

static int64_t add_blocked(void)
{
    struct job_spec spec = {.max_attempts = 1, .keep_us = 10 * SECOND_US};
    struct job_new job = {
        .spec = &spec, .task = SLICE_LIT("task"), .now_us = NOW_US, .flags = JOB_WAITS};

    return job_add_as(&f, &job).no;
}

/* One in each state; the number of the first. */
static int64_t add_one_of_each(void)
{
    int64_t first = add_blocked();

    for (int s = 0; s < JOB_STATE_COUNT; s++) {
        if (s != JOB_BLOCKED)
            (void)job_add_in(&f, (enum job_state)s);
    }
    return first;
}

#define WHAT_A_ROW_SAYS                                                           \
    "SELECT state, queue, timer, wake_us, version, attempt, ran, flags, keep_us," \
    " (SELECT detail FROM errors WHERE errors.no = jobs.no) FROM jobs WHERE no"

Test(jobs_end, a_range_is_cancelled_like_one_by_one)
{
    enum { N = JOB_STATE_COUNT, WAITING = 3 };
    int64_t one = add_one_of_each(), range = add_one_of_each(), n = 0;

    for (int64_t no = one; no < range; no++) {
        enum job_state state = job_see(&f, no).state;

        if (state == JOB_SCHEDULED || state == JOB_BLOCKED || state == JOB_QUEUED)
            must(jobs_cancel(f.store, &(struct job_cancel){no, NOW_US + 5, "why"}, &state, err));
    }
    must(jobs_cancel_range(f.store, &(struct job_range){range, N, NOW_US + 5, "why"}, &n, err));
    cr_assert_eq(n, WAITING);
    cr_assert_eq(job_see(&f, range).state, JOB_CANCELLED); /* not what was remembered of it */
    tx_commit(&f);
    cr_assert_eq(
        ask(&f, "SELECT count(*) FROM (" WHAT_A_ROW_SAYS " <= 8 EXCEPT " WHAT_A_ROW_SAYS " > 8)"),
        0);
    cr_assert_eq(ask(&f, "SELECT count(*) FROM errors"), 2 * WAITING);
    counts_check(&f);
}

/* ---- forget and retention ---- */

static struct job_id spooled_job(void)
{
    struct job_id id = job_add(&f, NULL, 0);
    struct job_end end = job_end_ok();

    must(jobs_start(f.store, &(struct job_start){id.no, 1, 0, NOW_US}, err));
    end.output = (struct job_output){
        .bytes = {1 << 20, 3}, .spooled = {true, false}, .truncated = {true, false}};
    end.inline_out[1] = SLICE_LIT("err");
    must(jobs_finish(f.store, id.no, 1, &end, err));
    return id;
}

Test(jobs_end, forget_leaves_nothing_and_names_the_files)
{
    struct output_ref files[OUTPUT_STREAMS];
    struct job_id id = spooled_job();
    struct job_row row;
    size_t n = 9;

    must(jobs_forget(f.store, id.no, files, &n, err));
    cr_assert_eq(n, 1);
    cr_assert_eq(files[0].no, id.no);
    cr_assert_eq(files[0].attempt, 1);
    cr_assert_eq(files[0].stream, 0);
    must_fail(NOT_FOUND, jobs_get_by_no(f.store, id.no, &row, err));
    must_fail(NOT_FOUND, jobs_forget(f.store, id.no, files, &n, err));
    cr_assert_eq(ask(&f, "SELECT (SELECT count(*) FROM jobs) + (SELECT count(*) FROM specs) +"
                         " (SELECT count(*) FROM outputs) + (SELECT count(*) FROM errors) +"
                         " (SELECT count(*) FROM attempts)"),
                 0);
    tx_commit(&f);
    counts_check(&f);
}

Test(jobs_end, only_an_ended_job_is_forgotten)
{
    struct output_ref files[OUTPUT_STREAMS];
    size_t n;

    must_fail(STATE_CONFLICT, jobs_forget(f.store, job_add_in(&f, JOB_QUEUED).no, files, &n, err));
    must_fail(STATE_CONFLICT, jobs_forget(f.store, job_add_in(&f, JOB_RUNNING).no, files, &n, err));
    must_fail(STATE_CONFLICT,
              jobs_forget(f.store, job_add_in(&f, JOB_STOPPING).no, files, &n, err));
}

/* What one step of retention does so long after NOW. */
static struct prune prune_after(int64_t us)
{
    struct output_ref files[4];
    struct prune prune = {NOW_US + us, 10, files, ARRAY_LEN(files), 0, false};

    must(jobs_prune(f.store, &prune, err));
    prune.files = NULL;
    return prune;
}

Test(jobs_end, retention_takes_the_result_first_and_the_row_later)
{
    struct job_id id = spooled_job(); /* finished a second after NOW, kept for 10, its row for 100
                                         more */
    struct prune done;

    done = prune_after(11 * SECOND_US - 1);
    cr_assert(done.n_files == 0 && !done.more);
    cr_assert_eq(ask(&f, "SELECT count(*) FROM outputs"), 1);
    done = prune_after(11 * SECOND_US);
    cr_assert(done.n_files == 1 && !done.more);
    cr_assert_eq(ask(&f, "SELECT (SELECT count(*) FROM outputs) * 10 + (SELECT count(*) FROM specs "
                         "WHERE task IS NULL)"),
                 1);
    cr_assert_eq(job_see(&f, id.no).state, JOB_SUCCEEDED);
    done = prune_after(111 * SECOND_US - 1);
    cr_assert_eq(ask(&f, "SELECT count(*) FROM jobs"), 1);
    done = prune_after(111 * SECOND_US);
    cr_assert(done.n_files == 0 && !done.more, "the files were named once");
    cr_assert_eq(ask(&f, "SELECT (SELECT count(*) FROM jobs) + (SELECT count(*) FROM specs)"), 0);
    tx_commit(&f);
    counts_check(&f);
}

Test(jobs_end, retention_works_in_steps)
{
    struct output_ref files[5];
    struct prune prune = {NOW_US + 50 * SECOND_US, 7, files, ARRAY_LEN(files), 0, true};
    size_t steps = 0, named = 0;

    for (int i = 0; i < 20; i++)
        (void)spooled_job();
    while (prune.more) {
        must(jobs_prune(f.store, &prune, err));
        cr_assert_leq(prune.n_files, 5);
        named += prune.n_files;
        cr_assert_lt(++steps, 20);
    }
    cr_assert_eq(named, 20);
    cr_assert_eq(steps, 10, "two files a step, since each row may have four");
    cr_assert_eq(ask(&f, "SELECT count(*) FROM jobs WHERE output_flags & 16"), 20);
}

/* ---- damage ---- */

Test(jobs_end, a_damaged_row_is_an_error_and_never_an_abort)
{
    static const char *const damages[] = {
        "state = 9",
        "state = -1",
        "queue = 77",
        "queue = 0",
        "keep_us = -1",
        "terms = x'020004'",           /* result 4 */
        "terms = x'0100'",             /* a number is missing */
        "ran = x'00106f'",             /* a reason that there is not */
        "ran = x'00'",                 /* too short */
        "ran = x'01000505'",           /* too long */
        "ran = x'0100ff'",             /* a number without an end */
        "ran = x'0800ffffffffffff7f'", /* a slot too large */
    };
    struct job_row row;
    struct job_id id;
    char sql[96];

    must(db_exec(&f.store->db, "PRAGMA ignore_check_constraints=ON", err));
    for (size_t i = 0; i < ARRAY_LEN(damages); i++) {
        id = job_add(&f, NULL, 0);
        (void)snprintf(sql, sizeof(sql), "UPDATE jobs SET %s WHERE no = %lld", damages[i],
                       (long long)id.no);
        all_is_written(&f);
        must(db_exec(&f.store->db, sql, err));
        row_cache_clear(&f.store->cache);
        must_fail(STORAGE, jobs_get(f.store, &id, &row, err));
    }
}

Test(jobs_end, damaged_counts_are_an_error_and_never_an_abort)
{
    struct job_id queued = job_add(&f, NULL, 0), ended = job_add_in(&f, JOB_SUCCEEDED);
    struct output_ref files[OUTPUT_STREAMS];
    size_t n;

    tx_commit(&f);
    must(db_exec(&f.store->db, "UPDATE ledger SET queued = 0, succeeded = 0", err));
    fixture_reopen(&f);
    tx_begin(&f);
    must_fail(STORAGE, jobs_start(f.store, &(struct job_start){queued.no, 1, 0, NOW_US}, err));
    must_fail(STORAGE, jobs_forget(f.store, ended.no, files, &n, err));
}

Test(jobs_end, a_timer_that_does_not_fit_the_state_is_an_error)
{
    struct output_ref files[OUTPUT_STREAMS];
    struct prune prune = {NOW_US, 5, files, ARRAY_LEN(files), 0, false};

    (void)job_add(&f, NULL, 0);
    all_is_written(&f);
    must(db_exec(&f.store->db, "UPDATE jobs SET timer = 3, wake_us = 1", err));
    must_fail(STORAGE, jobs_prune(f.store, &prune, err));
}
