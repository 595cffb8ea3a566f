/* SPDX-License-Identifier: MIT */
/* The log's length, the ballast, and what a commit answers when something fails. */
#include "storage_fixture.h"

#include "storage/reader_impl.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/stat.h>

static struct fixture f;

static void setup(void)
{
    fixture_open(&f);
}

static void teardown(void)
{
    fixture_close(&f);
}

TestSuite(store_space, .init = setup, .fini = teardown, .timeout = 60);

/* ---- checkpoints ---- */

/* One commit of about 256 KiB of log. The same value again and again: the log grows, the database
 * does not. */
static void fill(void)
{
    static char bytes[256 << 10];

    tx_begin(&f);
    must(
        store_meta_set(f.store, "ballast of this test", (struct slice){bytes, sizeof(bytes)}, err));
    tx_commit(&f);
}

/* Something for a reader to stand on. */
static void one_job(void)
{
    tx_begin(&f);
    (void)job_add(&f, NULL, 0);
    tx_commit(&f);
}

Test(store_space, the_log_stays_bounded_under_steady_load)
{
    char path[128];
    struct stat st;
    int checkpoints = 0;

    cr_assert(!store_maintain(f.store), "nothing to do");
    for (int turn = 0; turn < 200; turn++) {
        fill(); /* 50 MiB in all */
        checkpoints += store_maintain(f.store) ? 1 : 0;
        cr_assert_lt(store_wal_bytes(f.store), 6 << 20);
    }
    cr_assert(checkpoints >= 8 && checkpoints <= 16, "%d", checkpoints);
    while (!store_maintain(f.store))
        fill();
    cr_assert(!store_maintain(f.store), "once is enough");
    fixture_path(&f, "jobs.db-wal", path);
    cr_assert_eq(stat(path, &st), 0);
    cr_assert_lt(st.st_size, 6 << 20);
}

Test(store_space, a_reader_that_stays_open_does_not_stop_the_work)
{
    struct reader *reader;
    sqlite3_stmt *open_statement = NULL;
    int checkpoints = 0;

    one_job();
    must(reader_open(f.dir, 1 << 20, &reader, err));
    /* Any statement of the reader's connection, left on a row: it pins its snapshot. */
    open_statement = reader_stmt(reader, SQL_READ_LAST);
    cr_assert_eq(sqlite3_step(open_statement), SQLITE_ROW);
    for (int turn = 0; turn < 150; turn++) {
        fill();
        checkpoints += store_maintain(f.store) ? 1 : 0;
    }
    cr_assert_gt(store_wal_bytes(f.store), 32 << 20);
    cr_assert_gt(checkpoints, 5);
    (void)sqlite3_reset(open_statement);
    for (int turn = 0; turn < 40; turn++) {
        fill();
        (void)store_maintain(f.store);
    }
    cr_assert_lt(store_wal_bytes(f.store), 8 << 20,
                 "the log starts over as soon as nobody needs it");
    reader_close(reader);
}

/* Two readers take turns so that at each moment one of them is in the middle of a statement. */
struct overlap {
    struct reader *readers[2];
    atomic_bool stop;
};

static void *overlap_run(void *arg)
{
    struct overlap *overlap = arg;

    for (unsigned turn = 0; !atomic_load(&overlap->stop); turn++) {
        (void)sqlite3_step(reader_stmt(overlap->readers[turn % 2], SQL_READ_LAST));
        (void)sched_yield();
        (void)sqlite3_reset(reader_stmt(overlap->readers[(turn + 1) % 2], SQL_READ_LAST));
    }
    return NULL;
}

Test(store_space, readers_that_never_pause_do_not_make_the_log_grow_for_ever)
{
    struct overlap overlap = {0};
    pthread_t thread;

    one_job();
    for (size_t i = 0; i < 2; i++)
        must(reader_open(f.dir, 1 << 20, &overlap.readers[i], err));
    cr_assert_eq(pthread_create(&thread, NULL, overlap_run, &overlap), 0);
    for (int turn = 0; turn < 480; turn++) {
        fill(); /* 120 MiB in all */
        (void)store_maintain(f.store);
        cr_assert_lt(store_wal_bytes(f.store), 56 << 20, "turn %d", turn);
    }
    atomic_store(&overlap.stop, true);
    (void)pthread_join(thread, NULL);
    for (size_t i = 0; i < 2; i++)
        reader_close(overlap.readers[i]);
}

/* ---- the ballast ---- */

Test(store_space, the_ballast_occupies_its_place)
{
    char path[128];
    struct stat st;

    f.cfg.reserve_bytes = 1 << 20;
    fixture_reopen(&f);
    fixture_path(&f, "ballast", path);
    cr_assert_eq(stat(path, &st), 0);
    cr_assert_eq(st.st_size, 1 << 20);
    cr_assert_geq(st.st_blocks * 512, 1 << 20);
    cr_assert(!store_disk_is_low(f.store));
    f.cfg.reserve_bytes = 0;
    fixture_reopen(&f);
    cr_assert_neq(access(path, F_OK), 0, "not wanted any more");
    cr_assert(!store_disk_is_low(f.store));
}

Test(store_space, a_ballast_that_does_not_fit_means_the_disk_is_low)
{
    f.cfg.reserve_bytes = (uint64_t)1 << 50;
    fixture_reopen(&f);
    cr_assert(store_disk_is_low(f.store));
    tx_begin(&f);
    (void)job_add(&f, NULL, 0);
    tx_commit(&f); /* what is under way goes on */
}

#ifdef GANGER_FAILPOINTS
static enum commit_result commit_with(const char *fault, struct err *err)
{
    enum commit_result result;

    *err = (struct err){0};
    tx_begin(&f);
    (void)job_add(&f, NULL, 0);
    cr_assert_eq(setenv("GANGER_FP", fault, 1), 0);
    result = store_commit(f.store, err);
    (void)unsetenv("GANGER_FP");
    return result;
}

Test(store_space, a_failure_before_the_commit_is_a_definite_no)
{
    struct err failure;

    cr_assert_eq(commit_with("store-before-commit:error", &failure), COMMIT_NOT_STORED);
    cr_assert_eq(failure.code, ERR_STORAGE);
    cr_assert(!store_in_transaction(f.store));
    cr_assert_eq(store_waiting(f.store), 0);
    counts_check(&f);
}

Test(store_space, a_full_disk_is_a_definite_no_and_frees_the_ballast)
{
    char path[128];
    struct err failure;

    f.cfg.reserve_bytes = 1 << 20;
    fixture_reopen(&f);
    fixture_path(&f, "ballast", path);
    cr_assert_eq(commit_with("store-commit-full:error", &failure), COMMIT_NOT_STORED);
    cr_assert_eq(failure.code, ERR_DISK_FULL);
    cr_assert(!store_in_transaction(f.store));
    cr_assert_neq(access(path, F_OK), 0);
    cr_assert(store_disk_is_low(f.store));
    tx_begin(&f);
    (void)job_add(&f, NULL, 0);
    tx_commit(&f);
    f.store->ballast.next_try_ns = 0; /* a second later */
    cr_assert(!store_disk_is_low(f.store));
    cr_assert_eq(access(path, F_OK), 0);
    counts_check(&f);
}

Test(store_space, an_error_of_the_commit_itself_is_unknown)
{
    struct err failure;

    cr_assert_eq(commit_with("store-commit-ioerr:error", &failure), COMMIT_UNKNOWN);
    cr_assert_eq(failure.code, ERR_OUTCOME_UNKNOWN);
}

Test(store_space, an_unknown_outcome_may_have_been_stored)
{
    struct err failure;

    cr_assert_eq(commit_with("store-after-commit:error", &failure), COMMIT_UNKNOWN);
    cr_assert_eq(failure.code, ERR_OUTCOME_UNKNOWN);
    fixture_reopen(&f);
    cr_assert_eq(store_waiting(f.store), 1);
    counts_check(&f);
}
#endif
