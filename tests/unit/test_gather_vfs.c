/* SPDX-License-Identifier: MIT */
/* Writes of the log and of checkpoints are joined, and nobody can tell: not a reader, not whoever
 * opens the files after a kill -9, also when nothing is synced. */
#include "storage_fixture.h"
#include "storage_vfs.h"

#include "storage/reader_impl.h"

#include <fcntl.h>
#include <sys/stat.h>

static struct fixture f;

/* `cache_bytes`: a small one spills pages into the log before the commit. */
static void open_store(bool sync_full, uint64_t cache_bytes)
{
    fixture_make_dir(f.dir);
    f.cfg = (struct store_config){.data_dir = f.dir,
                                  .sync_full = sync_full,
                                  .cache_bytes = cache_bytes,
                                  .row_keep_us = 100 * SECOND_US,
                                  .max_queues = 8};
    must(store_open(&f.cfg, &f.store, err));
}

/* As a service does it, and each call of the system is written down. */
static void open_recorded(struct io_log *log)
{
    vfs_record(log);
    open_store(true, 4 << 20);
}

static void close_recorded(struct io_log *log)
{
    fixture_close(&f);
    vfs_stop();
    io_log_release(log);
}

static void one_job(void)
{
    tx_begin(&f);
    (void)job_add(&f, NULL, 0);
    tx_commit(&f);
}

static void file_copy(const char *from, const char *to)
{
    AUTO_CLOSE int in = open(from, O_RDONLY | O_CLOEXEC);
    AUTO_CLOSE int out = open(to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ssize_t n;

    cr_assert(in >= 0 && out >= 0);
    do {
        n = copy_file_range(in, NULL, out, NULL, 1 << 20, 0);
        cr_assert_geq(n, 0);
    } while (n > 0);
}

/* How many jobs wait in the files as they are now, which is what a kill -9 leaves. */
static int64_t waiting_after_a_kill(void)
{
    static const char *const names[] = {"jobs.db", "jobs.db-wal"};
    struct fixture copy = {.cfg = f.cfg};
    int64_t waiting;

    fixture_make_dir(copy.dir);
    copy.cfg.data_dir = copy.dir;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char from[128], to[128];

        fixture_path(&f, names[i], from);
        fixture_path(&copy, names[i], to);
        file_copy(from, to);
    }
    must(store_open(&copy.cfg, &copy.store, err));
    integrity_check(&copy);
    counts_check(&copy);
    waiting = store_waiting(copy.store);
    fixture_close(&copy);
    return waiting;
}

Test(gather_vfs, a_commit_is_one_write)
{
    struct io_log log;
    size_t before;

    open_recorded(&log);
    one_job();
    before = log.n_writes[IO_WAL];
    for (int i = 0; i < 10; i++)
        one_job();
    cr_assert_eq(log.n_writes[IO_WAL] - before, 10);
    close_recorded(&log);
}

Test(gather_vfs, nothing_of_a_commit_stays_behind)
{
    for (int sync_full = 0; sync_full < 2; sync_full++) {
        open_store(sync_full != 0, 4 << 20);
        for (int64_t n = 1; n <= 3; n++) {
            one_job();
            cr_assert_eq(waiting_after_a_kill(), n);
        }
        fixture_close(&f);
    }
}

Test(gather_vfs, a_reader_sees_each_commit_that_nothing_has_synced)
{
    struct reader *reader;
    bool found;

    open_store(false, 4 << 20);
    one_job();
    must(reader_open(f.dir, 64 << 10, &reader, err));
    for (int64_t n = 2; n < 50; n++) {
        AUTO_STMT sqlite3_stmt *last = NULL;

        one_job();
        last = reader_stmt(reader, SQL_READ_LAST);
        must(db_next(&reader->db, last, &found, err));
        cr_assert(found);
        cr_assert_eq(sqlite3_column_int64(last, 0), n);
    }
    reader_close(reader);
    fixture_close(&f);
}

static char long_task[5000];

static void long_jobs(int n)
{
    struct job_spec spec = {.max_attempts = 1};
    struct job_new job = {.spec = &spec, .now_us = NOW_US, .task = {long_task, sizeof(long_task)}};

    memset(long_task, 'x', sizeof(long_task));
    for (int i = 0; i < n; i++)
        (void)job_add_as(&f, &job);
}

static int checkpoint(void)
{
    return gather_vfs_checkpoint(f.store->db.handle);
}

/* Whether the database file was written after it was synced last. */
static bool is_unsynced(const struct io_log *log)
{
    bool unsynced = false;

    for (size_t i = 0; i < log->n; i++)
        if (log->ops[i].file == IO_DB && log->ops[i].kind != IO_MARK)
            unsynced = log->ops[i].kind != IO_SYNC;
    return unsynced;
}

Test(gather_vfs, a_checkpoint_writes_neighbours_together_and_leaves_none)
{
    struct io_log log;
    size_t before;

    open_recorded(&log);
    tx_begin(&f);
    long_jobs(200); /* of more than a page each */
    tx_commit(&f);
    before = log.n_writes[IO_DB];
    cr_assert_eq(checkpoint(), SQLITE_OK);
    cr_assert_gt(log.n_writes[IO_DB], before);
    cr_assert_lt(log.n_writes[IO_DB] - before, 50);
    cr_assert(!is_unsynced(&log));
    cr_assert_eq(
        sqlite3_wal_checkpoint_v2(f.store->db.handle, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL),
        SQLITE_OK);
    cr_assert_eq(waiting_after_a_kill(), 200, "the log is empty, the file has all");
    close_recorded(&log);
}

/* SQLite asks a checkpoint in part for no sync, and others read what it wrote at once. */
Test(gather_vfs, a_checkpoint_in_part_gathers_nothing)
{
    sqlite3_stmt *last;
    struct io_log log;
    struct reader *reader;
    size_t before;
    bool found;

    open_recorded(&log);
    tx_begin(&f);
    long_jobs(200);
    tx_commit(&f);
    must(reader_open(f.dir, 64 << 10, &reader, err));
    last = reader_stmt(reader, SQL_READ_LAST);
    must(db_next(&reader->db, last, &found, err));
    one_job();
    before = log.n_writes[IO_DB];
    cr_assert_eq(checkpoint(), SQLITE_BUSY);
    cr_assert_gt(log.n_writes[IO_DB] - before, 200, "a call for each page");
    (void)sqlite3_reset(last);
    cr_assert_eq(checkpoint(), SQLITE_OK);
    reader_close(reader);
    close_recorded(&log);
}

/* Also the last one, which SQLite does not ask for: the log keeps what is not in the file. */
Test(gather_vfs, a_checkpoint_fails_with_any_of_its_writes)
{
    struct io_log log;
    int nth = 1;

    open_recorded(&log);
    tx_begin(&f);
    long_jobs(20);
    tx_commit(&f);
    for (bool failed = true; failed; nth++) {
        vfs_fail(IO_WRITE, nth, SQLITE_FULL);
        const int rc = checkpoint();

        failed = vfs_failed();
        cr_assert_eq(rc, failed ? SQLITE_FULL : SQLITE_OK, "write %d", nth);
        cr_assert_eq(waiting_after_a_kill(), 20);
    }
    cr_assert_gt(nth, 3);
    close_recorded(&log);
}

/* Of a transaction that is larger than the cache, pages are written, read again and written over
 * before its end, and SQLite goes back to the headers of what it had written. */
Test(gather_vfs, a_transaction_larger_than_the_cache_is_whole)
{
    for (int sync_full = 0; sync_full < 2; sync_full++) {
        open_store(sync_full != 0, 64 << 10);
        for (int64_t turn = 1; turn <= 3; turn++) {
            tx_begin(&f);
            long_jobs(200);
            cr_assert_eq(ask(&f, "SELECT count(*) FROM specs WHERE length(task) = 5000"),
                         200 * turn);
            for (int64_t no = 200 * (turn - 1) + 1; no <= 200 * turn; no++) {
                struct row row;

                must(row_load(f.store, no, &row, err));
                must(row_set_flags(f.store, &row, JOB_PARENT, err));
            }
            tx_commit(&f);
            cr_assert_eq(waiting_after_a_kill(), 200 * turn);
            tx_begin(&f);
            long_jobs(200);
            store_rollback(f.store);
        }
        integrity_check(&f);
        fixture_close(&f);
    }
}
