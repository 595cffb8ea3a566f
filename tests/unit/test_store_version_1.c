/* SPDX-License-Identifier: MIT */
/* A data directory of version 1 is taken over with all that it says. */
#include "storage/migrate.h"
#include "storage/results.h"
#include "storage/schema.h"
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

TestSuite(store_version_1, .init = setup, .fini = teardown, .timeout = 60);

static void make_version_1(const char *rest)
{
    char path[128], pragmas[96];
    sqlite3 *db;

    store_close(f.store);
    fixture_path(&f, "jobs.db", path);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(sqlite3_open(path, &db), SQLITE_OK);
    (void)snprintf(pragmas, sizeof(pragmas), "PRAGMA application_id=%d; PRAGMA user_version=1",
                   APPLICATION_ID);
    cr_assert_eq(sqlite3_exec(db, storage_schema_sql, NULL, NULL, NULL), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(db, pragmas, NULL, NULL, NULL), SQLITE_OK);
    cr_assert_eq(sqlite3_exec(db, rest, NULL, NULL, NULL), SQLITE_OK);
    cr_assert_eq(sqlite3_close(db), SQLITE_OK);
    f.store = NULL;
    must(store_open(&f.cfg, &f.store, err));
    facts_make(&f);
}

Test(store_version_1, the_counts_of_version_1_are_kept)
{
    make_version_1(
        "INSERT INTO queues (id, name, queued, failed) VALUES (1, 'a', 0, 1), (3, 'b', 2, 0);"
        "INSERT INTO jobs (state, queue, created_us, salt)"
        " VALUES (6, 1, 1, 1), (2, 3, 1, 1), (2, 3, 1, 1)");
    cr_assert_eq(store_count(f.store, JOB_QUEUED), 2);
    cr_assert_eq(store_count(f.store, JOB_FAILED), 1);
    tx_begin(&f);
    (void)job_add(&f, "b", 0);
    (void)job_add(&f, "new", 0);
    tx_commit(&f);
    counts_check(&f);
    fixture_reopen(&f);
    counts_check(&f);
    cr_assert_eq(store_count(f.store, JOB_QUEUED), 4);
}

/* All columns that version 1 had. */
#define COLUMNS                                                                               \
    "no, state, queue, priority, attempt, max_attempts, version, timer, wake_us, created_us," \
    " salt, due_us, queued_us, started_us, finished_us, queue_deadline_us, deadline_us,"      \
    " keep_us, result, retry, slot, reason, exit_code, signal, wall_us, user_us, system_us,"  \
    " max_rss_bytes, killed, stdout_bytes, stderr_bytes"

/* A job as it is born; one at its end, with every number its own; one that was cancelled before it
 * began; what numbers may be at most, and times in no order, as by a clock that was set back. */
#define ROWS                                                                                \
    "(1, 2, 1, 0, 0, 1, 1, NULL, NULL, 1790000000000000, 17, NULL, NULL, NULL, NULL, NULL," \
    " NULL, 0, 0, 0, NULL, NULL, NULL, 0, 0, 0, 0, 0, 0, 0, 0),"                            \
    "(2, 6, 1, -7, 3, 4, 9, 3, 1790000009000000, 1790000000000001, -5, 1790000000000002,"   \
    " 1790000000000003, 1790000000000007, 1790000000000017, 1790000000000100,"              \
    " 1790000000001000, 9000000, 1, 1, 0, 1, -9, 9, 201, 202, 203, 204, 205, 206, 207),"    \
    "(3, 7, 1, 0, 0, 1, 2, 3, 1790000000000009, 1790000000000002, 18, NULL, NULL, NULL,"    \
    " 1790000000000009, NULL, NULL, 0, 2, 0, NULL, NULL, NULL, 0, 0, 0, 0, 0, 0, 0, 0),"    \
    "(9, 5, 1, 2147483647, 1000, 1000, 4000, 3, 9223372036854775807, 1790000000000003,"     \
    " 2147483647, 1, 9223372036854775807, 2, 9223372036854775806, 9223372036854775807, 1,"  \
    " 9223372036854775807, 1, 1, 2147483646, 11, -2147483648, -2147483648,"                 \
    " 9223372036854775807, -1, -9223372036854775807, 9223372036854775807, 4294967295,"      \
    " 9223372036854775807, 1)"

Test(store_version_1, each_column_of_its_jobs_is_kept)
{
    make_version_1("INSERT INTO queues (id, name, queued, failed, succeeded, cancelled)"
                   " VALUES (1, 'a', 1, 1, 1, 1);"
                   "INSERT INTO jobs (" COLUMNS ", output_flags) SELECT *, 3 FROM (VALUES " ROWS
                   ")");
    must(db_exec(&f.store->db,
                 "CREATE TEMP TABLE was AS SELECT " COLUMNS " FROM facts LIMIT 0;"
                 "INSERT INTO was VALUES " ROWS,
                 err));
    cr_assert_eq(ask(&f, "SELECT count(*) FROM (SELECT " COLUMNS " FROM was INTERSECT"
                         " SELECT " COLUMNS " FROM facts)"),
                 4);
    cr_assert_eq(ask(&f, "SELECT count(*) FROM jobs"), 4);
    cr_assert_eq(ask(&f, "SELECT count(*) FROM jobs WHERE output_flags & 511 = 3"), 4);
    cr_assert_eq(ask(&f, "SELECT count(*) FROM jobs WHERE terms IS NULL AND ran IS NULL"), 1);
    counts_check(&f);
    integrity_check(&f);
}

static bool take(void *target, const struct result_row *row)
{
    *(bool *)target = slice_is(row->stdout_inline, "out");
    return true;
}

Test(store_version_1, its_results_are_read)
{
    bool is_out = false;
    struct reader *reader;

    make_version_1("INSERT INTO queues (id, name, succeeded) VALUES (1, 'a', 1);"
                   "INSERT INTO outputs (no, attempt, stdout) VALUES (1, 1, x'6f7574');"
                   "INSERT INTO jobs (state, queue, created_us, salt, attempt, stdout_bytes)"
                   " VALUES (5, 1, 1, 1, 1, 3)");
    must(reader_open(f.dir, 1 << 20, &reader, err));
    must(reader_result(reader, 1, &(struct result_sink){take, &is_out}, err));
    cr_assert(is_out);
    reader_close(reader);
}
