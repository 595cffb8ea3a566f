/* SPDX-License-Identifier: MIT */
/* A job that begins in the transaction of its birth: its row is written once, and whoever asks for
 * it before finds it all the same. */
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

TestSuite(jobs_born, .init = setup, .fini = teardown, .timeout = 60);

static int64_t writes(void)
{
    return sqlite3_total_changes64(f.store->db.handle);
}

static bool waits(int64_t no)
{
    return newborn_is(f.store, no);
}

static struct job_id add(const char *queue, int32_t priority, uint32_t flags)
{
    struct job_spec spec = {.max_attempts = 1, .priority = priority};
    const struct job_new job = {.spec = &spec,
                                .task = SLICE_LIT("task"),
                                .now_us = NOW_US,
                                .queue_deadline_us = NOW_US + SECOND_US,
                                .flags = flags};
    if (queue != NULL)
        spec.queue = slice_of(queue);
    return job_add_as(&f, &job);
}

static void start(struct job_id id)
{
    must(jobs_start(f.store, &(struct job_start){id.no, 1, 1, NOW_US}, err));
}

/* What may begin, as one number with a digit for each job. */
static int64_t peek(uint32_t without)
{
    struct ready_job jobs[8];
    struct ready_list list = {.jobs = jobs, .max = ARRAY_LEN(jobs), .without = without};
    int64_t all = 0;

    must(queue_peek(f.store, &list, err));
    for (size_t i = 0; i < list.n; i++)
        all = 10 * all + jobs[i].no;
    return all;
}

Test(jobs_born, begins_by_one_write)
{
    struct job_id slow, fast;
    int64_t before, slowly;

    tx_begin(&f);
    (void)add(NULL, 3, 0); /* makes the queue */
    all_is_written(&f);
    before = writes();
    slow = add(NULL, 3, 0);
    all_is_written(&f);
    start(slow);
    slowly = writes() - before;
    before = writes();
    fast = add(NULL, 3, 0);
    cr_assert(waits(fast.no));
    start(fast);
    cr_assert(!waits(fast.no));
    cr_assert_eq(writes() - before, slowly - 1);
    cr_assert_eq(kinds_of_rows(&f, slow.no, fast.no), 1);
    tx_commit(&f);
    counts_check(&f);
    integrity_check(&f);
}

Test(jobs_born, is_in_the_order_of_what_is_ready)
{
    struct job_id first, second;

    tx_begin(&f);
    first = add(NULL, 0, 0);
    cr_assert_eq(peek(0), first.no);
    cr_assert(waits(first.no), "the only one need not be looked for");
    second = add(NULL, 5, 0);
    cr_assert(waits(second.no) && !waits(first.no));
    cr_assert_eq(peek(0), 10 * second.no + first.no);
    cr_assert(!waits(second.no));
    start(first);
    start(second);
    first = add(NULL, 0, JOB_GANG);
    cr_assert_eq(peek(JOB_GANG), 0, "of a kind that is not asked for");
    cr_assert_eq(peek(0), first.no);
    tx_commit(&f);
    cr_assert_eq(ask(&f, "SELECT count(*) FROM jobs WHERE state = 2"), 1, "written by the commit");
    counts_check(&f);
}

Test(jobs_born, of_another_queue_is_not_hidden_by_it)
{
    struct job_id other, born;

    tx_begin(&f);
    other = add("a", 0, 0);
    tx_commit(&f);
    tx_begin(&f);
    born = add("b", 5, 0);
    cr_assert_eq(peek(0), 10 * born.no + other.no);
    start(born);
    tx_commit(&f);
    counts_check(&f);
}

Test(jobs_born, is_found_by_every_statement)
{
    struct job_id id;
    enum job_state state;

    tx_begin(&f);
    id = add(NULL, 0, 0);
    row_cache_clear(&f.store->cache);
    cr_assert_eq(job_see(&f, id.no).state, JOB_QUEUED);
    id = add(NULL, 0, 0);
    must(jobs_cancel(f.store, &(struct job_cancel){id.no, NOW_US, NULL}, &state, err));
    cr_assert_eq(ask(&f, "SELECT count(*) FROM jobs WHERE state = 7"), 1);
    tx_commit(&f);
    counts_check(&f);
}

Test(jobs_born, goes_with_its_transaction_or_savepoint)
{
    struct job_id kept;

    tx_begin(&f);
    (void)add(NULL, 0, 0);
    store_rollback(f.store);
    tx_begin(&f);
    kept = add(NULL, 0, 0);
    must(store_savepoint(f.store, err));
    (void)add(NULL, 0, 0);
    store_savepoint_undo(f.store);
    cr_assert_eq(peek(0), kept.no);
    tx_commit(&f);
    cr_assert_eq(ask(&f, "SELECT count(*) FROM jobs"), 1);
    counts_check(&f);
}

/* Whoever asks only reads; but what was promised by the birth cannot be stored any more. */
Test(jobs_born, that_cannot_be_written_refuses_the_commit)
{
    struct err why = {0};

    tx_begin(&f);
    cr_assert_eq(add(NULL, 0, 0).no, 1);
    must(db_exec(&f.store->db,
                 "INSERT INTO jobs (no, state, queue, created_us, salt)"
                 " VALUES (1, 2, 1, 1, 1)",
                 err));
    (void)store_stmt(f.store, SQL_READY);
    cr_assert(f.store->poisoned);
    cr_assert_eq(store_commit(f.store, &why), COMMIT_NOT_STORED);
    cr_assert_eq(ask(&f, "SELECT count(*) FROM jobs"), 0);
}

/* Of a job that was not stored something may be left that has its number in its name. */
Test(jobs_born, a_number_that_is_skipped_is_not_given_again)
{
    tx_begin(&f);
    const int64_t first = add(NULL, 0, 0).no;
    store_rollback(f.store);
    jobs_skip(f.store, first);
    tx_begin(&f);
    const int64_t second = add(NULL, 0, 0).no;
    cr_assert_eq(second, first + 1);
    store_rollback(f.store);
    tx_begin(&f);
    cr_assert_eq(add(NULL, 0, 0).no, second, "only what is skipped is");
    tx_commit(&f);
    jobs_skip(f.store, first);
    tx_begin(&f);
    cr_assert_eq(add(NULL, 0, 0).no, second + 1, "nothing goes back");
    tx_commit(&f);
}
