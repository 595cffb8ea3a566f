/* SPDX-License-Identifier: MIT */
/* Changing a job that waits, and running a finished one once more. */
#include "storage_fixture.h"

#include "storage/change.h"

STORE_TESTS(jobs_change);
TestSuite(jobs_again, .init = setup, .fini = teardown, .timeout = 60);

static struct job_patch patch_of(int64_t no, const struct job_spec *spec, uint32_t members)
{
    return (struct job_patch){
        .no = no, .members = members, .spec = spec, .now_us = NOW_US + SECOND_US};
}

static bool column_is(int64_t no, const char *column, int64_t value)
{
    char sql[128];

    (void)snprintf(sql, sizeof(sql), "SELECT coalesce(%s, 0) FROM facts WHERE no = %lld", column,
                   (long long)no);
    return ask(&f, sql) == value;
}

Test(jobs_change, exactly_what_waits_can_be_changed)
{
    struct job_spec spec = {.priority = 9};

    for (int s = 0; s < JOB_STATE_COUNT; s++) {
        struct job_id id;
        struct job_patch patch;
        bool waits = s == JOB_SCHEDULED || s == JOB_QUEUED;

        if (s == JOB_BLOCKED)
            continue; /* below */
        id = job_add_in(&f, (enum job_state)s);
        patch = patch_of(id.no, &spec, MEMBER_PRIORITY);
        if (waits)
            must(jobs_change(f.store, &patch, err));
        else
            must_fail(STATE_CONFLICT, jobs_change(f.store, &patch, err));
        cr_assert_eq(job_see(&f, id.no).state, (enum job_state)s);
        cr_assert_eq(job_see(&f, id.no).priority, waits ? 9 : 0);
    }
    tx_commit(&f);
    counts_check(&f);
}

static struct job_id add_gated(int64_t due_us)
{
    struct job_spec spec = {.max_attempts = 1, .keep_us = 10 * SECOND_US};
    struct job_new job = {.spec = &spec,
                          .task = SLICE_LIT("task"),
                          .now_us = NOW_US,
                          .due_us = due_us,
                          .flags = JOB_WAITS};

    return job_add_as(&f, &job);
}

Test(jobs_change, a_due_time_moves_the_job)
{
    static const struct {
        bool gated, born_late, later;
        enum job_state from, to;
    } cases[] = {
        {false, false, true, JOB_QUEUED, JOB_SCHEDULED},
        {false, false, false, JOB_QUEUED, JOB_QUEUED},
        {false, true, false, JOB_SCHEDULED, JOB_QUEUED},
        {false, true, true, JOB_SCHEDULED, JOB_SCHEDULED},
        {true, false, true, JOB_BLOCKED, JOB_SCHEDULED},
        {true, false, false, JOB_BLOCKED, JOB_BLOCKED},
        {true, true, false, JOB_SCHEDULED, JOB_BLOCKED},
        {true, true, true, JOB_SCHEDULED, JOB_SCHEDULED},
    };
    struct job_spec none = {0};

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        int64_t due_us = cases[i].born_late ? NOW_US + 50 * SECOND_US : NOW_US;
        struct job_spec spec = {.max_attempts = 1};
        struct job_new job = {
            .spec = &spec, .task = SLICE_LIT("t"), .now_us = NOW_US, .due_us = due_us};
        struct job_id id = cases[i].gated ? add_gated(due_us) : job_add_as(&f, &job);
        struct job_patch patch = patch_of(id.no, &none, MEMBER_DUE);
        int64_t wake_us = NOW_US + 90 * SECOND_US;

        patch.due_us = cases[i].later ? wake_us : NOW_US;
        cr_assert_eq(job_see(&f, id.no).state, cases[i].from, "case %zu", i);
        must(jobs_change(f.store, &patch, err));
        cr_assert_eq(job_see(&f, id.no).state, cases[i].to, "case %zu", i);
        cr_assert_eq(job_see(&f, id.no).version, 2, "case %zu", i);
        cr_assert_eq(patch.wake_us, cases[i].later ? wake_us : 0, "case %zu", i);
        cr_assert(column_is(id.no, "wake_us", patch.wake_us), "case %zu", i);
    }
    tx_commit(&f);
    counts_check(&f);
}

Test(jobs_change, a_change_is_told_once)
{
    struct job_id id = job_add(&f, NULL, 0);
    struct job_spec spec = {.priority = 3};
    struct job_patch patch = patch_of(id.no, &spec, MEMBER_PRIORITY);
    const struct job_change *changes;
    size_t n;

    must(jobs_change(f.store, &patch, err));
    patch = patch_of(id.no, &spec, MEMBER_DUE);
    patch.due_us = NOW_US + 60 * SECOND_US;
    must(jobs_change(f.store, &patch, err));
    changes = store_changes(f.store, &n);
    cr_assert_eq(n, 3);
    cr_assert(changes[1].from == JOB_QUEUED && changes[1].to == JOB_QUEUED);
    cr_assert_eq(changes[1].version, 2);
    cr_assert(changes[2].from == JOB_QUEUED && changes[2].to == JOB_SCHEDULED);
    cr_assert_eq(changes[2].version, 3);
}

Test(jobs_change, nothing_named_changes_nothing)
{
    struct job_id id = job_add(&f, NULL, 0);
    struct job_spec spec = {.priority = 3};
    struct job_patch patch = patch_of(id.no, &spec, 0);

    must(jobs_change(f.store, &patch, err));
    cr_assert_eq(job_see(&f, id.no).version, 1);
    cr_assert_eq(job_see(&f, id.no).priority, 0);
}

Test(jobs_change, another_queue_counts_it)
{
    struct job_id id = job_add(&f, "here", 5);
    struct job_spec spec = {.queue = SLICE_LIT("there")};
    struct job_patch patch = patch_of(id.no, &spec, MEMBER_QUEUE);
    struct ready_job ready;
    struct ready_list list = {.jobs = &ready, .max = 1};

    must(jobs_change(f.store, &patch, err));
    must(queue_peek(f.store, &list, err));
    cr_assert_eq(list.n, 1);
    cr_assert(ready.no == id.no && ready.priority == 5);
    tx_commit(&f);
    counts_check(&f);
    fixture_reopen(&f);
    counts_check(&f);
    cr_assert_eq(ask(&f, "SELECT queued FROM queues JOIN ledger ON k = id WHERE name = 'there'"),
                 1);
    cr_assert_eq(ask(&f, "SELECT queued FROM queues JOIN ledger ON k = id WHERE name = 'here'"), 0);
}

Test(jobs_change, too_many_queues_are_refused)
{
    struct job_spec spec = {.queue = SLICE_LIT("one-too-many")};
    struct job_id id = {0};
    struct job_patch patch;

    for (uint32_t i = 0; i < f.cfg.max_queues; i++) {
        char name[16];

        (void)snprintf(name, sizeof(name), "q%u", i);
        id = job_add(&f, name, 0);
    }
    patch = patch_of(id.no, &spec, MEMBER_QUEUE);
    must_fail(OVERLOADED, jobs_change(f.store, &patch, err));
    cr_assert_eq(job_see(&f, id.no).version, 1);
    tx_commit(&f);
    counts_check(&f);
}

Test(jobs_change, texts_and_times_are_kept)
{
    AUTO_ARENA struct arena a = {0};
    struct job_id id = job_add(&f, NULL, 0);
    struct job_spec spec = {
        .name = SLICE_LIT("new name"),
        .labels = SLICE_LIT("{\"a\":\"b\"}"),
        .metadata = SLICE_LIT("[1]"),
        .has_retry = true,
        .max_attempts = 5,
        .retry = {.version = 1, .delay_us = 77},
        .keep_us = 99 * SECOND_US,
        .queue_timeout_us = 30 * SECOND_US,
        .deadline_us = 20 * SECOND_US,
    };
    struct job_patch patch = patch_of(id.no, &spec,
                                      MEMBER_NAME | MEMBER_LABELS | MEMBER_METADATA | MEMBER_RETRY |
                                          MEMBER_KEEP | MEMBER_QUEUE_TIMEOUT | MEMBER_DEADLINE);
    struct retry_policy policy;
    struct slice task;
    struct row row;

    arena_init(&a, 1 << 20);
    patch.task = SLICE_LIT("other task");
    must(jobs_change(f.store, &patch, err));
    cr_assert_eq(patch.wake_us, NOW_US + 20 * SECOND_US);
    tx_commit(&f);
    fixture_reopen(&f);
    tx_begin(&f);
    must(row_load(f.store, id.no, &row, err));
    cr_assert_eq(row.max_attempts, 5);
    cr_assert_eq(row.keep_us, 99 * SECOND_US);
    cr_assert_eq(row.deadline_us, NOW_US + 20 * SECOND_US);
    cr_assert_eq(row.queue_deadline_us, NOW_US + 30 * SECOND_US);
    must(jobs_retry_policy(f.store, id.no, &policy, err));
    cr_assert_eq(policy.delay_us, 77);
    must(jobs_task(f.store, id.no, &a, &task, err));
    cr_assert(slice_is(task, "other task"));
    cr_assert_eq(ask(&f, "SELECT name = 'new name' AND labels = '{\"a\":\"b\"}' AND "
                         "metadata = '[1]' FROM specs"),
                 1);
}

/* ---- once more ---- */

static struct job_again again_of(int64_t no)
{
    return (struct job_again){.no = no, .now_us = NOW_US + 9 * SECOND_US};
}

Test(jobs_again, exactly_what_has_ended_runs_again)
{
    for (int s = 0; s < JOB_STATE_COUNT; s++) {
        struct job_id id;
        struct job_again again;

        if (s == JOB_BLOCKED)
            continue;
        id = job_add_in(&f, (enum job_state)s);
        again = again_of(id.no);
        if (!job_state_is_end((enum job_state)s)) {
            must_fail(STATE_CONFLICT, jobs_retry_again(f.store, &again, err));
            continue;
        }
        must(jobs_retry_again(f.store, &again, err));
        cr_assert_eq(job_see(&f, id.no).state, JOB_QUEUED);
    }
    tx_commit(&f);
    counts_check(&f);
}

Test(jobs_again, one_attempt_more_and_the_last_one_is_history)
{
    AUTO_ARENA struct arena a = {0};
    struct job_id id = job_add_in(&f, JOB_SUCCEEDED);
    struct job_again again = again_of(id.no);
    struct reader *reader;
    struct job_view view;

    must(jobs_retry_again(f.store, &again, err));
    tx_commit(&f);
    arena_init(&a, 1 << 20);
    must(reader_open(f.dir, 1 << 20, &reader, err));
    must(reader_job(reader, &id, &a, &view, err));
    reader_close(reader);
    cr_assert(view.state == JOB_QUEUED && view.attempt == 1 && view.max_attempts == 2);
    cr_assert(view.queued_us == NOW_US + 9 * SECOND_US && view.started_us == 0);
    cr_assert(view.finished_us == 0 && view.slot == -1 && !view.has_exit_code);
    cr_assert_eq(view.n_attempts, 1);
    cr_assert_eq(view.attempts[0].state, JOB_SUCCEEDED);
    cr_assert_eq(view.attempts[0].usage.user_us, 400);
    tx_begin(&f);
    must(jobs_start(f.store, &(struct job_start){id.no, 2, 0, NOW_US}, err));
}

Test(jobs_again, a_job_that_never_ran_has_no_history)
{
    struct job_id id = job_add_in(&f, JOB_CANCELLED);
    struct job_again again = again_of(id.no);

    must(jobs_retry_again(f.store, &again, err));
    cr_assert_eq(ask(&f, "SELECT count(*) FROM attempts"), 0);
    cr_assert_eq(job_see(&f, id.no).attempt, 0);
    cr_assert_eq(job_see(&f, id.no).max_attempts, 1);
}

/* Its first attempt is history already when it is cancelled. */
Test(jobs_again, a_cancelled_wait_for_a_retry_is_no_attempt)
{
    struct job_spec spec = {.max_attempts = 3, .has_retry = true, .retry = {.version = 1}};
    struct job_new job = {.spec = &spec, .task = SLICE_LIT("t"), .now_us = NOW_US};
    struct job_id id = job_add_as(&f, &job);
    struct job_end end = job_end_ok();
    struct job_again again = again_of(id.no);
    enum job_state state;

    end.state = JOB_SCHEDULED;
    end.reason = REASON_EXIT_CODE;
    end.retry_at_us = NOW_US + 60 * SECOND_US;
    must(jobs_start(f.store, &(struct job_start){id.no, 1, 0, NOW_US}, err));
    must(jobs_finish(f.store, id.no, 1, &end, err));
    must(jobs_cancel(f.store, &(struct job_cancel){id.no, NOW_US, "enough"}, &state, err));
    must(jobs_retry_again(f.store, &again, err));
    cr_assert_eq(ask(&f, "SELECT count(*) FROM attempts"), 1);
    cr_assert_eq(ask(&f, "SELECT state FROM attempts"), JOB_FAILED);
    cr_assert_eq(ask(&f, "SELECT count(*) FROM errors"), 0);
    cr_assert_eq(job_see(&f, id.no).max_attempts, 3);
    cr_assert(column_is(id.no, "due_us", 0));
}

Test(jobs_again, the_old_output_goes)
{
    struct job_id id = job_add(&f, NULL, 0);
    struct job_end end = job_end_ok();
    struct job_again again = again_of(id.no);

    end.output.spooled[1] = true;
    end.output.bytes[0] = 3;
    end.inline_out[0] = SLICE_LIT("out");
    must(jobs_start(f.store, &(struct job_start){id.no, 1, 0, NOW_US}, err));
    must(jobs_finish(f.store, id.no, 1, &end, err));
    cr_assert_eq(ask(&f, "SELECT count(*) FROM outputs"), 1);
    must(jobs_retry_again(f.store, &again, err));
    cr_assert_eq(ask(&f, "SELECT count(*) FROM outputs"), 0);
    cr_assert_eq(again.n_files, 1);
    cr_assert(again.files[0].no == id.no && again.files[0].attempt == 1 &&
              again.files[0].stream == 1);
    cr_assert(column_is(id.no, "output_flags", 0));
}

Test(jobs_again, nothing_is_left_to_run_when_its_keep_is_over)
{
    struct job_id id = job_add_in(&f, JOB_SUCCEEDED);
    struct output_ref files[4];
    struct prune prune = {
        .now_us = NOW_US + 60 * SECOND_US, .limit = 10, .files = files, .max_files = 4};
    struct job_again again = again_of(id.no);

    must(jobs_prune(f.store, &prune, err));
    must_fail(RESULT_EXPIRED, jobs_retry_again(f.store, &again, err));
    cr_assert_eq(job_see(&f, id.no).state, JOB_SUCCEEDED);
}

Test(jobs_again, deadlines_begin_anew)
{
    struct job_spec spec = {.max_attempts = 1};
    struct job_new job = {.spec = &spec,
                          .task = SLICE_LIT("t"),
                          .now_us = NOW_US,
                          .queue_deadline_us = NOW_US + 3 * SECOND_US,
                          .deadline_us = NOW_US + 5 * SECOND_US};
    struct job_id id = job_add_as(&f, &job);
    struct job_again again = again_of(id.no);

    must(jobs_expire(f.store, id.no, REASON_QUEUE_TIMEOUT, NOW_US + 3 * SECOND_US, err));
    must(jobs_retry_again(f.store, &again, err));
    cr_assert_eq(again.wake_us, NOW_US + 12 * SECOND_US);
    cr_assert(column_is(id.no, "deadline_us", NOW_US + 14 * SECOND_US));
}

/* ---- unique keys ---- */

static const uint8_t key[UNIQUE_KEY_BYTES] = "0123456789abcde";

static struct job_new unique_job(const struct job_spec *spec)
{
    return (struct job_new){.spec = spec,
                            .task = SLICE_LIT("t"),
                            .now_us = NOW_US,
                            .flags = JOB_UNIQUE,
                            .ukey = {(const char *)key, sizeof(key)}};
}

static int64_t holder(void)
{
    int64_t no;

    must(jobs_key_holder(f.store, key, &no, err));
    return no;
}

Test(jobs_again, a_key_is_held_until_the_end_begins)
{
    struct job_spec spec = {.max_attempts = 3, .keep_us = 10 * SECOND_US};
    struct job_new job = unique_job(&spec);
    struct job_end end = job_end_ok();
    struct job_id id;
    enum job_state state;

    cr_assert_eq(holder(), 0);
    id = job_add_as(&f, &job);
    cr_assert_eq(holder(), id.no);
    must(jobs_start(f.store, &(struct job_start){id.no, 1, 0, NOW_US}, err));
    cr_assert_eq(holder(), id.no);
    end.state = JOB_QUEUED;
    must(jobs_finish(f.store, id.no, 1, &end, err));
    cr_assert_eq(holder(), id.no, "a retry holds it");
    must(jobs_start(f.store, &(struct job_start){id.no, 2, 0, NOW_US}, err));
    end.state = JOB_SCHEDULED;
    must(jobs_finish(f.store, id.no, 2, &end, err));
    cr_assert_eq(holder(), id.no, "also one with a delay");
    tx_commit(&f);
    fixture_reopen(&f);
    tx_begin(&f);
    cr_assert_eq(holder(), id.no, "also over a restart");
    must(jobs_cancel(f.store, &(struct job_cancel){id.no, NOW_US, NULL}, &state, err));
    cr_assert_eq(holder(), 0);
}

Test(jobs_again, a_job_that_is_stopping_holds_its_key_no_more)
{
    struct job_spec spec = {.max_attempts = 1};
    struct job_new job = unique_job(&spec);
    struct job_id id = job_add_as(&f, &job);
    struct job_id next;
    enum job_state state;

    must(jobs_start(f.store, &(struct job_start){id.no, 1, 0, NOW_US}, err));
    must(jobs_cancel(f.store, &(struct job_cancel){id.no, NOW_US, NULL}, &state, err));
    cr_assert_eq(state, JOB_STOPPING);
    cr_assert_eq(holder(), 0);
    next = job_add_as(&f, &job);
    cr_assert_eq(holder(), next.no);
}

Test(jobs_again, a_key_that_was_taken_meanwhile_refuses_the_retry)
{
    struct job_spec spec = {.max_attempts = 1};
    struct job_new job = unique_job(&spec);
    struct job_id first = job_add_as(&f, &job);
    struct job_again again = again_of(first.no);
    struct job_id second;
    enum job_state state;

    must(jobs_cancel(f.store, &(struct job_cancel){first.no, NOW_US, NULL}, &state, err));
    second = job_add_as(&f, &job);
    must_fail(DUPLICATE, jobs_retry_again(f.store, &again, err));
    must(jobs_cancel(f.store, &(struct job_cancel){second.no, NOW_US, NULL}, &state, err));
    must(jobs_retry_again(f.store, &again, err));
    cr_assert_eq(holder(), first.no);
    tx_commit(&f);
    integrity_check(&f);
}

Test(jobs_again, a_key_is_free_after_each_kind_of_end)
{
    struct job_spec spec = {.max_attempts = 1};
    struct job_new job = unique_job(&spec);
    struct job_end end = job_end_ok();
    struct job_range all = {.n = 100, .now_us = NOW_US};
    struct job_id id = job_add_as(&f, &job);
    int64_t n;

    must(jobs_pass(f.store, &(struct job_start){id.no, 1, 0, NOW_US}, &end, err));
    cr_assert_eq(holder(), 0, "a begin and an end at once");
    id = job_add_as(&f, &job);
    must(jobs_expire(f.store, id.no, REASON_DEADLINE, NOW_US, err));
    cr_assert_eq(holder(), 0, "a time limit");
    all.first_no = job_add_as(&f, &job).no;
    must(jobs_cancel_range(f.store, &all, &n, err));
    cr_assert_eq(holder(), 0, "a cancel of many");
    (void)job_add_as(&f, &job);
    tx_commit(&f);
    counts_check(&f);
}

Test(jobs_again, the_store_refuses_a_second_holder)
{
    struct job_spec spec = {.max_attempts = 1};
    struct job_new job = unique_job(&spec);
    struct job_id second;

    (void)job_add_as(&f, &job);
    must_fail(INTERNAL, jobs_insert(f.store, &job, &second, err));
    store_rollback(f.store);
    tx_begin(&f);
    cr_assert_eq(holder(), 0, "the first one went with it");
}
