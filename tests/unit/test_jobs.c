/* SPDX-License-Identifier: MIT */
/* One row's life through the verbs. */
#include "storage_fixture.h"

STORE_TESTS(jobs);

/* ---- birth and ids ---- */

Test(jobs, an_insert_is_found_by_its_id_only)
{
    struct job_id id = job_add(&f, "media", 7);
    struct job_id other = id;
    struct job_row row;

    must(jobs_get(f.store, &id, &row, err));
    cr_assert_eq(row.no, id.no);
    cr_assert_eq(row.state, JOB_QUEUED);
    cr_assert_eq(row.attempt, 0);
    cr_assert_eq(row.version, 1);
    cr_assert_eq(row.priority, 7);
    cr_assert_eq(row.created_us, NOW_US);
    cr_assert_eq(row.id.salt, 0x9e3779b9u);
    cr_assert_eq(id.ms, (uint64_t)NOW_US / 1000);
    other.salt ^= 1;
    must_fail(NOT_FOUND, jobs_get(f.store, &other, &row, err));
    other = id;
    other.ms++;
    must_fail(NOT_FOUND, jobs_get(f.store, &other, &row, err));
    other = id;
    other.no++;
    must_fail(NOT_FOUND, jobs_get(f.store, &other, &row, err));
    must_fail(NOT_FOUND, jobs_get_by_no(f.store, 0, &row, err));
}

Test(jobs, ids_are_the_same_after_a_restart)
{
    struct job_id id = job_add(&f, NULL, 0);
    struct job_row row;

    tx_commit(&f);
    fixture_reopen(&f);
    must(jobs_get(f.store, &id, &row, err));
    cr_assert_eq(row.id.ms, id.ms);
    cr_assert_eq(row.id.salt, id.salt);
}

Test(jobs, time_never_goes_back_with_the_clock)
{
    struct job_spec spec = {.max_attempts = 1};
    struct job_new job = {.spec = &spec, .task = SLICE_LIT("t"), .now_us = NOW_US};
    struct job_id first = job_add_as(&f, &job);
    struct job_id second;

    job.now_us = NOW_US - 3600 * SECOND_US;
    second = job_add_as(&f, &job);
    cr_assert_eq(second.ms, first.ms);
    cr_assert_eq(second.no, first.no + 1);
    tx_commit(&f);
    fixture_reopen(&f);
    tx_begin(&f);
    cr_assert_eq(job_add_as(&f, &job).ms, first.ms);
}

Test(jobs, a_number_is_never_used_twice)
{
    struct output_ref files[OUTPUT_STREAMS];
    struct job_id id = job_add_in(&f, JOB_SUCCEEDED);
    struct job_id next;
    size_t n;

    must(jobs_forget(f.store, id.no, files, &n, err));
    tx_commit(&f);
    cr_assert_eq(ask(&f, "SELECT count(*) FROM jobs"), 0);
    fixture_reopen(&f);
    tx_begin(&f);
    next = job_add(&f, NULL, 0);
    cr_assert_eq(next.no, id.no + 1);
    /* What is rolled back was never seen by anybody, so these numbers come again. */
    store_rollback(f.store);
    tx_begin(&f);
    cr_assert_eq(job_add(&f, NULL, 0).no, next.no);
}

Test(jobs, later_is_scheduled_and_now_is_queued)
{
    struct job_spec spec = {.max_attempts = 1};
    struct job_new job = {
        .spec = &spec, .task = SLICE_LIT("t"), .now_us = NOW_US, .due_us = NOW_US};

    cr_assert_eq(job_see(&f, job_add_as(&f, &job).no).state, JOB_QUEUED);
    job.due_us = NOW_US + 1;
    cr_assert_eq(job_see(&f, job_add_as(&f, &job).no).state, JOB_SCHEDULED);
}

Test(jobs, too_many_queues_are_refused_and_idle_ones_make_room)
{
    struct job_spec spec = {.max_attempts = 1, .queue = SLICE_LIT("one-too-many")};
    struct job_new job = {.spec = &spec, .task = SLICE_LIT("t"), .now_us = NOW_US};
    struct output_ref files[OUTPUT_STREAMS];
    struct job_id first = {0}, id;
    enum job_state state;
    size_t n;

    for (uint32_t i = 0; i < f.cfg.max_queues; i++) {
        char name[16];

        (void)snprintf(name, sizeof(name), "q%u", i);
        id = job_add(&f, name, 0);
        first = i == 0 ? id : first;
    }
    must_fail(OVERLOADED, jobs_insert(f.store, &job, &id, err));
    must(jobs_cancel(f.store, &(struct job_cancel){first.no, NOW_US, NULL}, &state, err));
    must(jobs_forget(f.store, first.no, files, &n, err));
    must(jobs_insert(f.store, &job, &id, err));
    tx_commit(&f);
    counts_check(&f);
    fixture_reopen(&f);
    counts_check(&f);
    cr_assert_eq(ask(&f, "SELECT count(*) FROM queues WHERE name = 'q0'"), 0);
}

/* ---- moves ---- */

Test(jobs, all_pairs_of_states_against_the_database)
{
    for (int from = 0; from < JOB_STATE_COUNT; from++) {
        for (int to = 0; to < JOB_STATE_COUNT; to++) {
            struct job_id id = job_add(&f, NULL, 0);
            struct err failure = {0};
            struct row row;
            char sql[96];
            bool moved;

            must(row_load(f.store, id.no, &row, err));
            (void)snprintf(sql, sizeof(sql), "UPDATE jobs SET state = %d WHERE no = %lld", from,
                           (long long)id.no);
            all_is_written(&f);
            must(db_exec(&f.store->db, sql, err));
            counts_change(&f.store->counts, row.queue, row.state, -1);
            row.state = (enum job_state)from;
            counts_change(&f.store->counts, row.queue, row.state, +1);
            moved = row_move(f.store, &row, (enum job_state)to, &failure);
            cr_assert_eq(moved, job_state_may_move((enum job_state)from, (enum job_state)to),
                         "%d to %d", from, to);
            cr_assert_eq(failure.code, moved ? ERR_NONE : ERR_STATE_CONFLICT);
            (void)snprintf(sql, sizeof(sql),
                           "SELECT state * 100 + version FROM jobs WHERE no = %lld",
                           (long long)id.no);
            cr_assert_eq(ask(&f, sql), moved ? to * 100 + 2 : from * 100 + 1, "%d to %d", from, to);
        }
    }
    tx_commit(&f);
    counts_check(&f);
}

Test(jobs, a_plain_life)
{
    struct job_id id = job_add(&f, NULL, 0);
    struct job_end end = job_end_ok();
    struct job_row row;

    must_fail(STATE_CONFLICT, jobs_finish(f.store, id.no, 0, &end, err));
    must_fail(STATE_CONFLICT, jobs_start(f.store, &(struct job_start){id.no, 2, 3, NOW_US}, err));
    must(jobs_start(f.store, &(struct job_start){id.no, 1, 3, NOW_US}, err));
    row = job_see(&f, id.no);
    cr_assert_eq(row.state, JOB_RUNNING);
    cr_assert_eq(row.attempt, 1);
    cr_assert_eq(row.started_us, NOW_US);
    cr_assert_eq(row.version, 2);
    end.inline_out[0] = SLICE_LIT("out");
    must(jobs_finish(f.store, id.no, 1, &end, err));
    row = job_see(&f, id.no);
    cr_assert_eq(row.state, JOB_SUCCEEDED);
    cr_assert_eq(row.version, 3);
    tx_commit(&f);
    cr_assert_eq(ask(&f, "SELECT wall_us * 1000 + user_us FROM facts"), SECOND_US * 1000 + 400);
    cr_assert_eq(
        ask(&f, "SELECT count(*) FROM outputs WHERE stdout = x'6f7574' AND stderr IS NULL"), 1);
    counts_check(&f);
}

Test(jobs, an_empty_output_makes_no_row)
{
    (void)job_add_in(&f, JOB_SUCCEEDED);
    cr_assert_eq(ask(&f, "SELECT count(*) FROM outputs"), 0);
    cr_assert_eq(ask(&f, "SELECT count(*) FROM errors"), 0);
    cr_assert_eq(ask(&f, "SELECT count(*) FROM attempts"), 0);
}

Test(jobs, the_second_report_of_an_attempt_changes_nothing)
{
    struct job_id id = job_add_in(&f, JOB_FAILED);
    struct job_end end = job_end_ok();
    struct job_row before = job_see(&f, id.no);

    must_fail(STATE_CONFLICT, jobs_finish(f.store, id.no, 1, &end, err));
    must_fail(STATE_CONFLICT, jobs_finish(f.store, id.no, 2, &end, err));
    end.state = JOB_QUEUED; /* the table would allow this one, for the retry verb */
    must_fail(STATE_CONFLICT, jobs_finish(f.store, id.no, 1, &end, err));
    must_fail(STATE_CONFLICT, jobs_unstart(f.store, id.no, 1, err));
    must_fail(STATE_CONFLICT, jobs_start(f.store, &(struct job_start){id.no, 2, 0, NOW_US}, err));
    cr_assert_eq(job_see(&f, id.no).version, before.version);
    cr_assert_eq(job_see(&f, id.no).state, JOB_FAILED);
}

Test(jobs, an_old_attempt_cannot_end_a_new_one)
{
    struct job_id id = job_add(&f, NULL, 0);
    struct job_end end = job_end_ok();

    must(jobs_start(f.store, &(struct job_start){id.no, 1, 0, NOW_US}, err));
    end.state = JOB_QUEUED;
    end.reason = REASON_EXIT_CODE;
    must(jobs_finish(f.store, id.no, 1, &end, err));
    must(jobs_start(f.store, &(struct job_start){id.no, 2, 1, NOW_US}, err));
    end = job_end_ok();
    must_fail(STATE_CONFLICT, jobs_finish(f.store, id.no, 1, &end, err));
    cr_assert_eq(job_see(&f, id.no).state, JOB_RUNNING);
    must(jobs_finish(f.store, id.no, 2, &end, err));
}

Test(jobs, a_start_that_did_not_happen_is_not_counted)
{
    struct job_id id = job_add(&f, NULL, 0);

    must(jobs_start(f.store, &(struct job_start){id.no, 1, 0, NOW_US}, err));
    must_fail(STATE_CONFLICT, jobs_unstart(f.store, id.no, 2, err));
    must(jobs_unstart(f.store, id.no, 1, err));
    cr_assert_eq(job_see(&f, id.no).state, JOB_QUEUED);
    cr_assert_eq(job_see(&f, id.no).attempt, 0);
    cr_assert_eq(ask(&f, "SELECT slot IS NULL AND started_us IS NULL FROM facts"), 1);
    must(jobs_start(f.store, &(struct job_start){id.no, 1, 0, NOW_US}, err));
}

Test(jobs, a_failed_attempt_becomes_history_and_the_job_waits_again)
{
    struct job_id id = job_add(&f, NULL, 0);
    struct job_end end = job_end_ok();

    must(jobs_start(f.store, &(struct job_start){id.no, 1, 0, NOW_US}, err));
    end.state = JOB_SCHEDULED;
    end.reason = REASON_SIGNAL;
    end.signal = 11;
    end.exit_code = -11;
    end.retry_at_us = NOW_US + 5 * SECOND_US;
    end.inline_out[1] = SLICE_LIT("lost with the attempt");
    must(jobs_finish(f.store, id.no, 1, &end, err));
    cr_assert_eq(job_see(&f, id.no).state, JOB_SCHEDULED);
    cr_assert_eq(job_see(&f, id.no).attempt, 1);
    cr_assert_eq(
        ask(&f,
            "SELECT timer = 1 AND wake_us = due_us AND due_us - created_us = 5000000 FROM facts"),
        1);
    cr_assert_eq(
        ask(&f, "SELECT reason IS NULL AND exit_code IS NULL AND started_us IS NULL FROM facts"),
        1);
    cr_assert_eq(
        ask(&f, "SELECT exit_code FROM attempts WHERE attempt = 1 AND reason = 1 AND signal = 11"),
        -11);
    cr_assert_eq(ask(&f, "SELECT count(*) FROM outputs"), 0);
    tx_commit(&f);
    counts_check(&f);
}

Test(jobs, recovery_ends_an_attempt_that_was_only_reserved)
{
    struct job_id id = job_add(&f, NULL, 0);
    struct job_end end = job_end_ok();

    end.state = JOB_FAILED;
    end.reason = REASON_LOST;
    must_fail(STATE_CONFLICT, jobs_finish(f.store, id.no, 2, &end, err));
    must(jobs_finish(f.store, id.no, 1, &end, err));
    cr_assert_eq(job_see(&f, id.no).state, JOB_FAILED);
    cr_assert_eq(job_see(&f, id.no).attempt, 1);
    tx_commit(&f);
    counts_check(&f);
}

/* ---- cancel, expire ---- */

Test(jobs, cancel_in_every_state)
{
    static const struct {
        enum job_state from, to;
    } rows[] = {
        {JOB_SCHEDULED, JOB_CANCELLED}, {JOB_QUEUED, JOB_CANCELLED},    {JOB_RUNNING, JOB_STOPPING},
        {JOB_STOPPING, JOB_STOPPING},   {JOB_SUCCEEDED, JOB_SUCCEEDED}, {JOB_FAILED, JOB_FAILED},
        {JOB_CANCELLED, JOB_CANCELLED},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct job_id id = job_add_in(&f, rows[i].from);
        int64_t version = job_see(&f, id.no).version;
        enum job_state state;

        must(jobs_cancel(f.store, &(struct job_cancel){id.no, NOW_US + 1, "no longer needed"},
                         &state, err));
        cr_assert_eq(state, rows[i].to, "from %s", job_state_name(rows[i].from));
        cr_assert_eq(job_see(&f, id.no).state, rows[i].to);
        cr_assert_eq(job_see(&f, id.no).version, version + (rows[i].from != rows[i].to));
    }
    cr_assert_eq(ask(&f, "SELECT count(*) FROM errors WHERE detail = 'no longer needed'"), 3);
    tx_commit(&f);
    counts_check(&f);
}

Test(jobs, a_stopping_job_ends_as_told)
{
    static const enum job_state ends[] = {JOB_CANCELLED, JOB_SUCCEEDED, JOB_FAILED};

    for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
        struct job_id id = job_add_in(&f, JOB_STOPPING);
        struct job_end end = job_end_ok();

        end.state = JOB_QUEUED; /* a cancelled job is not tried again */
        must_fail(STATE_CONFLICT, jobs_finish(f.store, id.no, 1, &end, err));
        end.state = ends[i];
        must(jobs_finish(f.store, id.no, 1, &end, err));
        cr_assert_eq(job_see(&f, id.no).state, ends[i]);
    }
}

Test(jobs, only_a_waiting_job_expires)
{
    for (int s = 0; s < JOB_STATE_COUNT; s++) {
        struct job_id id;

        if (s == JOB_BLOCKED)
            continue;
        id = job_add_in(&f, (enum job_state)s);
        if (s == JOB_SCHEDULED || s == JOB_QUEUED) {
            must(jobs_expire(f.store, id.no, REASON_QUEUE_TIMEOUT, NOW_US + 9, err));
            cr_assert_eq(job_see(&f, id.no).state, JOB_FAILED);
        } else {
            must_fail(STATE_CONFLICT, jobs_expire(f.store, id.no, REASON_DEADLINE, NOW_US, err));
        }
    }
    cr_assert_eq(
        ask(&f, "SELECT count(*) FROM facts WHERE reason = 3 AND finished_us - created_us = 9"), 2);
}

Test(jobs, a_retry_policy_comes_back_bit_for_bit)
{
    struct job_spec spec = {.max_attempts = 4, .has_retry = true};
    struct job_new job = {.spec = &spec, .task = SLICE_LIT("t"), .now_us = NOW_US};
    struct retry_policy policy;
    struct job_id id;

    memset(&spec.retry, 0, sizeof(spec.retry));
    spec.retry.version = 1;
    spec.retry.n_on_exit = 1;
    spec.retry.on_exit[0] = 75;
    spec.retry.on_mask = 0x55;
    spec.retry.delay_us = 1500000;
    spec.retry.factor = 1.75;
    id = job_add_as(&f, &job);
    must(jobs_retry_policy(f.store, id.no, &policy, err));
    cr_assert_eq(memcmp(&policy, &spec.retry, sizeof(policy)), 0);
    cr_assert(job_see(&f, id.no).has_retry);
    cr_assert_eq(job_see(&f, id.no).max_attempts, 4);
    must_fail(NOT_FOUND, jobs_retry_policy(f.store, job_add(&f, NULL, 0).no, &policy, err));
    must(db_exec(&f.store->db, "UPDATE specs SET policy = x'01'", err));
    must_fail(STORAGE, jobs_retry_policy(f.store, id.no, &policy, err));
}
