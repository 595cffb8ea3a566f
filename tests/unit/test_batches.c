/* SPDX-License-Identifier: MIT */
/* Batches in the store: counts and their rollback, runs of numbers, the order of ends, gates,
 * cancelling many at once, retention. */
#include "storage/reader_batch.h"
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

TestSuite(batches, .init = setup, .fini = teardown, .timeout = 60);

static int64_t batch_add(int64_t max_parallel)
{
    const struct job_spec spec = {.max_attempts = 1, .submitter = {.no = 1000000}};

    return batch_add_as(&f, &(struct batch_new){.phase = BATCH_UPLOADING,
                                                .spec = &spec,
                                                .max_parallel = max_parallel,
                                                .chunksize = 1});
}

static int64_t element_add(int64_t batch, uint32_t flags)
{
    struct job_spec spec = {.max_attempts = 1};
    struct job_new job = {.spec = &spec,
                          .task = SLICE_LIT("1"),
                          .now_us = NOW_US,
                          .batch = batch,
                          .idx = batch_see(&f, batch).n,
                          .flags = JOB_ITEM | flags};
    struct job_id id;

    must(jobs_insert(f.store, &job, &id, err));
    return id.no;
}

static void phase_set(int64_t no, enum batch_phase phase)
{
    struct batch b = batch_see(&f, no);

    b.phase = phase;
    must(batch_put(f.store, &b, NOW_US, err));
}

static void element_end(int64_t no, enum job_state state)
{
    struct job_end end = job_end_ok();

    end.state = state;
    end.reason = state == JOB_FAILED ? REASON_EXIT_CODE : REASON_NONE;
    must(jobs_start(f.store, &(struct job_start){no, 1, 0, NOW_US}, err));
    must(jobs_finish(f.store, no, 1, &end, err));
}

Test(batches, counts_follow_the_elements)
{
    tx_begin(&f);
    int64_t batch = batch_add(0), a = element_add(batch, 0), b = element_add(batch, 0);
    phase_set(batch, BATCH_CLOSED);
    element_end(b, JOB_FAILED);
    tx_commit(&f);
    struct batch seen = batch_see(&f, batch);
    cr_assert_eq(seen.n, 2);
    cr_assert_eq(seen.count[JOB_QUEUED], 1);
    cr_assert_eq(seen.count[JOB_FAILED], 1);
    cr_assert_eq(seen.failed_first, 1);
    cr_assert_eq(seen.finished_us, 0);
    tx_begin(&f);
    element_end(a, JOB_SUCCEEDED);
    tx_commit(&f);
    seen = batch_see(&f, batch);
    cr_assert(batch_is_over(&seen));
    cr_assert_neq(seen.finished_us, 0);
    cr_assert_eq(batch_end_state(&seen), JOB_FAILED);
    fixture_reopen(&f);
    struct batch stored = batch_see(&f, batch);
    cr_assert_eq(memcmp(stored.count, seen.count, sizeof seen.count), 0,
                 "what is stored is the same");
    counts_check(&f);
}

Test(batches, a_rollback_and_an_undone_savepoint_leave_the_counts_as_they_were)
{
    tx_begin(&f);
    int64_t batch = batch_add(0), a = element_add(batch, 0);
    tx_commit(&f);
    struct batch before = batch_see(&f, batch);
    tx_begin(&f);
    element_end(a, JOB_SUCCEEDED);
    (void)element_add(batch, JOB_GATED);
    store_rollback(f.store);
    struct batch after = batch_see(&f, batch);
    cr_assert_eq(after.n, before.n);
    cr_assert_eq(after.gated, 0);
    cr_assert_eq(memcmp(after.count, before.count, sizeof after.count), 0);

    tx_begin(&f);
    (void)element_add(batch, 0);
    must(store_savepoint(f.store, err));
    element_end(a, JOB_SUCCEEDED);
    (void)element_add(batch, JOB_GATED);
    store_savepoint_undo(f.store);
    (void)element_add(batch, 0);
    tx_commit(&f);
    after = batch_see(&f, batch);
    cr_assert_eq(after.n, 3);
    cr_assert_eq(after.gated, 0);
    cr_assert_eq(after.ended, 0);
    cr_assert_eq(after.count[JOB_QUEUED], 3);
    cr_assert_eq(ask(&f, "SELECT n FROM batch_parts"), 3);
    counts_check(&f);
}

Test(batches, elements_lie_in_runs_of_numbers)
{
    struct batch_part part;

    tx_begin(&f);
    int64_t batch = batch_add(0);
    int64_t first = element_add(batch, 0);
    (void)element_add(batch, 0);
    (void)job_add(&f, NULL, 0);
    int64_t third = element_add(batch, 0);
    must(batch_part_at(f.store, batch, 1, &part, err));
    cr_assert_eq(part.first_no, first);
    cr_assert_eq(part.n, 2);
    must(batch_part_at(f.store, batch, 2, &part, err));
    cr_assert_eq(part.first_no, third);
    cr_assert_eq(part.first_index, 2);
    must_fail(NOT_FOUND, batch_part_at(f.store, batch, 3, &part, err));
    tx_commit(&f);
    cr_assert_eq(ask(&f, "SELECT count(*) FROM batch_parts"), 2);
}

Test(batches, ends_are_in_the_order_in_which_they_happened)
{
    tx_begin(&f);
    int64_t batch = batch_add(0), a = element_add(batch, 0), b = element_add(batch, 0);
    element_end(b, JOB_SUCCEEDED);
    tx_commit(&f);
    tx_begin(&f);
    element_end(a, JOB_FAILED);
    tx_commit(&f);
    cr_assert_eq(ask(&f, "SELECT no FROM ends WHERE seq = 1"), b);
    cr_assert_eq(ask(&f, "SELECT no FROM ends WHERE seq = 2"), a);
    cr_assert_eq(batch_see(&f, batch).ended, 2);
}

Test(batches, a_gate_lets_in_by_index_and_counts_whom_it_holds)
{
    int64_t nos[2];
    struct due_list list = {nos, 2, 0};

    tx_begin(&f);
    int64_t batch = batch_add(1);
    (void)element_add(batch, 0);
    int64_t second = element_add(batch, JOB_GATED), third = element_add(batch, JOB_GATED);
    int64_t fourth = element_add(batch, JOB_GATED | JOB_WAITS);
    struct batch b = batch_see(&f, batch);
    cr_assert_eq(b.gated, 3);
    cr_assert_eq(batch_active(&b), 1);
    cr_assert_eq(b.count[JOB_BLOCKED], 3);
    must(batch_gated(f.store, batch, 0, &list, err));
    cr_assert_eq(list.n, 2);
    cr_assert_eq(nos[0], second);
    cr_assert_eq(nos[1], third);
    must(batch_release(f.store, second, NOW_US, err));
    must(batch_release(f.store, fourth, NOW_US, err));
    cr_assert_eq(job_see(&f, second).state, JOB_QUEUED);
    cr_assert_eq(job_see(&f, fourth).state, JOB_BLOCKED, "it waits for something else");
    cr_assert_eq(batch_see(&f, batch).gated, 1);
    enum job_state ignored;
    must(jobs_cancel(f.store, &(struct job_cancel){third, NOW_US, NULL}, &ignored, err));
    cr_assert_eq(batch_see(&f, batch).gated, 0, "who has ended is held back no more");
    tx_commit(&f);
    cr_assert_eq(ask(&f, "SELECT count(*) FROM jobs WHERE flags & 8"), 0);
}

/* Elements of every waiting state, one that runs and one that has ended. */
static int64_t mixed_batch(void)
{
    int64_t batch = batch_add(0), last = 0;
    struct job_spec spec = {.max_attempts = 1, .keep_us = 5 * SECOND_US};
    struct job_id id;

    for (int i = 0; i < 3; i++) {
        (void)element_add(batch, 0);
        (void)element_add(batch, JOB_GATED);
        (void)element_add(batch, JOB_WAITS);
        for (int gate = 0; gate < 2; gate++)
            must(jobs_insert(f.store,
                             &(struct job_new){.spec = &spec,
                                               .task = SLICE_LIT("1"),
                                               .now_us = NOW_US,
                                               .due_us = NOW_US + SECOND_US,
                                               .batch = batch,
                                               .idx = batch_see(&f, batch).n,
                                               .flags = JOB_ITEM | (gate != 0 ? JOB_GATED : 0)},
                             &id, err));
    }
    last = element_add(batch, 0);
    must(jobs_start(f.store, &(struct job_start){last, 1, 0, NOW_US}, err));
    element_end(element_add(batch, 0), JOB_SUCCEEDED);
    return batch;
}

/* Everything but numbers, in the order of indexes. */
#define ROWS_OF                                                                                    \
    "SELECT group_concat(state || ',' || version || ',' || flags || ',' || coalesce(timer, 0) || " \
    "',' || coalesce(wake_us, 0) || ',' || coalesce(finished_us, 0)) FROM facts WHERE batch = "

static char *rows_of(int64_t batch)
{
    char sql[512];
    sqlite3_stmt *stmt = NULL;

    (void)snprintf(sql, sizeof sql, ROWS_OF "%lld ORDER BY idx", (long long)batch);
    cr_assert_eq(sqlite3_prepare_v2(f.store->db.handle, sql, -1, &stmt, NULL), SQLITE_OK);
    cr_assert_eq(sqlite3_step(stmt), SQLITE_ROW);
    char *text = strdup((const char *)sqlite3_column_text(stmt, 0));
    (void)sqlite3_finalize(stmt);
    return text;
}

Test(batches, cancelling_many_is_the_same_as_cancelling_each)
{
    tx_begin(&f);
    int64_t many = mixed_batch(), each = mixed_batch();
    int64_t n = batch_see(&f, many).n;
    tx_commit(&f);
    tx_begin(&f);
    struct batch_range range = {many, 0, n};
    must(batch_cancel(f.store, &range, NOW_US + 7, "why", err));
    cr_assert_eq(range.n, n);
    size_t n_changes;
    (void)store_changes(f.store, &n_changes);
    cr_assert_eq(n_changes, 15, "each of them is told");
    for (int64_t i = 0; i < n; i++) {
        struct batch_part part;
        enum job_state ignored;

        must(batch_part_at(f.store, each, i, &part, err));
        int64_t no = part.first_no + i - part.first_index;
        if (job_see(&f, no).state < JOB_RUNNING)
            must(jobs_cancel(f.store, &(struct job_cancel){no, NOW_US + 7, "why"}, &ignored, err));
    }
    tx_commit(&f);
    AUTO_FREE char *rows_many = rows_of(many);
    AUTO_FREE char *rows_each = rows_of(each);
    cr_assert_str_eq(rows_many, rows_each);
    struct batch a = batch_see(&f, many), b = batch_see(&f, each);
    cr_assert_eq(memcmp(a.count, b.count, sizeof a.count), 0);
    cr_assert_eq(a.gated, b.gated);
    cr_assert_eq(a.ended, b.ended);
    cr_assert_eq(a.count[JOB_CANCELLED], 15);
    cr_assert_eq(a.count[JOB_RUNNING], 1);
    cr_assert_eq(ask(&f, "SELECT count(*) FROM errors WHERE detail = 'why'"), 30);
    cr_assert_eq(ask(&f, "SELECT sum(n) FROM ends"), 32);
    counts_check(&f);
    integrity_check(&f);
}

Test(batches, a_range_ends_with_its_run_and_a_cancel_goes_on_behind_it)
{
    tx_begin(&f);
    int64_t batch = batch_add(0);
    (void)element_add(batch, 0);
    (void)job_add(&f, NULL, 0);
    (void)element_add(batch, 0);
    struct batch_range range = {batch, 0, 100};
    must(batch_cancel(f.store, &range, NOW_US, NULL, err));
    cr_assert_eq(range.n, 1);
    range = (struct batch_range){batch, 1, 100};
    must(batch_cancel(f.store, &range, NOW_US, NULL, err));
    cr_assert_eq(range.n, 1);
    cr_assert_eq(batch_see(&f, batch).count[JOB_CANCELLED], 2);
    tx_commit(&f);
    cr_assert_eq(ask(&f, "SELECT count(*) FROM jobs WHERE state = 2"), 1, "the job between stays");
    counts_check(&f);
}

Test(batches, what_is_found_is_in_the_states_asked_for)
{
    int64_t nos[2];
    struct due_list list = {nos, 2, 0};

    tx_begin(&f);
    int64_t batch = batch_add(0), no[5];
    for (int i = 0; i < 5; i++)
        no[i] = element_add(batch, 0);
    element_end(no[1], JOB_FAILED);
    element_end(no[3], JOB_FAILED);
    element_end(no[4], JOB_FAILED);
    struct batch_range range = {batch, 0, 100};
    must(batch_find(f.store, &range, 1u << JOB_FAILED, &list, err));
    cr_assert_eq(list.n, 2);
    cr_assert_eq(nos[1], no[3]);
    cr_assert_eq(range.n, 4, "go on behind the last one found");
    range = (struct batch_range){batch, 4, 100};
    must(batch_find(f.store, &range, 1u << JOB_FAILED, &list, err));
    cr_assert_eq(list.n, 1);
    cr_assert_eq(nos[0], no[4]);
    tx_commit(&f);
}

Test(batches, a_halted_batch_is_not_in_the_ready_order)
{
    struct ready_job ready[4];
    struct ready_list list = {.jobs = ready, .max = 4};

    tx_begin(&f);
    int64_t batch = batch_add(0);
    (void)element_add(batch, 0);
    int64_t other = job_add(&f, NULL, 0).no;
    must(queue_peek(f.store, &list, err));
    cr_assert_eq(list.n, 2);
    phase_set(batch, BATCH_HALTED);
    must(queue_peek(f.store, &list, err));
    cr_assert_eq(list.n, 1);
    cr_assert_eq(ready[0].no, other);
    tx_commit(&f);
}

/* More of them than the list is long, in several parts, before and behind jobs that wait. */
Test(batches, nothing_hides_behind_a_halted_batch)
{
    const struct queue_lane lane = {.room = UINT32_MAX, .weight = 1};
    struct ready_job ready[4];
    int64_t no[3];

    tx_begin(&f);
    int64_t batch = batch_add(0);
    no[0] = job_add(&f, NULL, 0).no;
    for (int part = 0; part < 3; part++) {
        for (int i = 0; i < 6; i++)
            (void)element_add(batch, 0);
        if (part < 2)
            no[part + 1] = job_add(&f, NULL, part == 0 ? 0 : -1).no;
    }
    phase_set(batch, BATCH_HALTED);
    for (int weigh = 0; weigh <= 1; weigh++) {
        struct ready_list list = {.jobs = ready, .max = 4, .lanes = &lane, .by_weight = weigh == 1};
        must(queue_peek(f.store, &list, err));
        cr_assert_eq(list.n, 3, "%zu", list.n);
        for (int i = 0; i < 3; i++)
            cr_assert_eq(ready[i].no, no[i]);
    }
    tx_commit(&f);
}

Test(batches, work_is_found_whatever_the_cache_holds)
{
    int64_t no;

    tx_begin(&f);
    int64_t first = batch_add(0), second = batch_add(0);
    struct batch b = batch_see(&f, second);
    b.work = BATCH_WORK_CANCEL;
    must(batch_put(f.store, &b, NOW_US, err));
    must(batch_with_work(f.store, 0, &no, err));
    cr_assert_eq(no, second);
    must(batch_with_work(f.store, second, &no, err));
    cr_assert_eq(no, 0);
    /* More batches than the cache holds. */
    for (int i = 0; i < 3 * BATCH_CACHE_SIZE; i++)
        (void)element_add(batch_add(0), 0);
    (void)element_add(first, 0);
    tx_commit(&f);
    cr_assert_eq(batch_see(&f, first).n, 1);
    cr_assert_eq(ask(&f, "SELECT sum(n) FROM batches"), 3 * BATCH_CACHE_SIZE + 1);
    cr_assert_eq(ask(&f, "SELECT sum(n) FROM batch_parts"), 3 * BATCH_CACHE_SIZE + 1);
}

Test(batches, a_batch_goes_when_its_time_has_come_and_its_elements_are_gone)
{
    struct output_ref files[OUTPUT_STREAMS];
    size_t n_files;
    int64_t due;

    tx_begin(&f);
    int64_t batch = batch_add(0), a = element_add(batch, 0), b = element_add(batch, 0);
    element_end(a, JOB_SUCCEEDED);
    element_end(b, JOB_SUCCEEDED);
    must(jobs_put_words(f.store, batch, "words", err));
    phase_set(batch, BATCH_CLOSED);
    int64_t gone_us = batch_see(&f, batch).gone_us;
    cr_assert_eq(gone_us, NOW_US + f.cfg.row_keep_us);
    must(batches_prune(f.store, gone_us - 1, 10, err));
    must(jobs_forget(f.store, a, files, &n_files, err));
    must(batches_prune(f.store, gone_us, 10, err));
    cr_assert_eq(batch_see(&f, batch).remaining, 1, "an element is there still");
    must(jobs_forget(f.store, b, files, &n_files, err));
    must(queue_next_due(f.store, &due, err));
    cr_assert_leq(due, gone_us, "the last element takes it along");
    must(batches_prune(f.store, gone_us, 1, err));
    must(batches_prune(f.store, gone_us, 10, err));
    tx_commit(&f);
    static const char *const tables[] = {"batches", "batch_specs", "batch_parts", "ends",
                                         "errors",  "offspring",   "jobs"};
    for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
        char sql[64];

        (void)snprintf(sql, sizeof sql, "SELECT count(*) FROM %s", tables[i]);
        cr_assert_eq(ask(&f, sql), 0, "%s", tables[i]);
    }
    int64_t newest = f.store->newest.no;
    fixture_reopen(&f);
    cr_assert_eq(f.store->newest.no, newest, "its number is not used again");
}

Test(batches, forgetting_takes_small_steps)
{
    struct output_ref files[OUTPUT_STREAMS];
    size_t n_files;

    tx_begin(&f);
    int64_t batch = batch_add(0), no[10];
    for (int i = 0; i < 10; i++)
        no[i] = element_add(batch, 0);
    for (int i = 9; i >= 0; i--) /* backwards: each end has a row of its own */
        element_end(no[i], JOB_SUCCEEDED);
    phase_set(batch, BATCH_CLOSED);
    for (int i = 0; i < 10; i++)
        must(jobs_forget(f.store, no[i], files, &n_files, err));
    int64_t now_us = NOW_US + f.cfg.row_keep_us;
    for (int left = 6; left >= 2; left -= 4) {
        must(batches_prune(f.store, now_us, 4, err));
        cr_assert_eq(ask(&f, "SELECT count(*) FROM ends"), left);
    }
    must(batches_prune(f.store, now_us, 4, err));
    tx_commit(&f);
    cr_assert_eq(ask(&f, "SELECT count(*) FROM batches"), 0);
}

Test(batches, a_reader_sees_the_batch_and_the_names_of_its_elements)
{
    AUTO_ARENA struct arena a = {0};
    struct reader *reader;
    struct batch_view view;
    struct err why = {0};

    arena_init(&a, 1 << 20);
    tx_begin(&f);
    int64_t batch = batch_add(7);
    (void)element_add(batch, 0);
    tx_commit(&f);
    must(reader_open(f.dir, 1 << 20, &reader, err));
    must(reader_batch_by_no(reader, batch, &a, &view, err));
    cr_assert_eq(view.batch.max_parallel, 7);
    cr_assert_eq(view.batch.n, 1);
    cr_assert_null(view.name);
    cr_assert_str_eq(view.queue, "default");
    struct job_id wrong = view.batch.id;
    wrong.salt++;
    cr_assert_not(reader_batch(reader, &wrong, &a, &view, &why));
    cr_assert_eq(why.code, ERR_NOT_FOUND);
    reader_close(reader);
}
