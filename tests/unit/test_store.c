/* SPDX-License-Identifier: MIT */
/* Opening, transactions, counts, small values. */
#include "storage/migrate.h"
#include "storage/schema.h"
#include "storage_fixture.h"

#include <fcntl.h>
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

TestSuite(store, .init = setup, .fini = teardown, .timeout = 60);

/* ---- opening ---- */

Test(store, the_settings_that_durability_needs_are_in_force)
{
    static const struct {
        const char *pragma;
        int64_t value;
    } rows[] = {
        {"PRAGMA synchronous", 2},     {"PRAGMA wal_autocheckpoint", 0},
        {"PRAGMA secure_delete", 0},   {"PRAGMA mmap_size", 0},
        {"PRAGMA cell_size_check", 1}, {"PRAGMA trusted_schema", 0},
        {"PRAGMA page_size", 4096},    {"PRAGMA auto_vacuum", 0},
        {"PRAGMA cache_size", -4096},  {"PRAGMA user_version", SCHEMA_VERSION},
        {"PRAGMA locking_mode", 0},
    };
    char word[16];
    int defensive = 0;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        cr_assert_eq(ask(&f, rows[i].pragma), rows[i].value, "%s", rows[i].pragma);
    must(db_query_word(&f.store->db, "PRAGMA journal_mode", word, err));
    cr_assert_str_eq(word, "wal");
    (void)sqlite3_db_config(f.store->db.handle, SQLITE_DBCONFIG_DEFENSIVE, -1, &defensive);
    cr_assert_eq(defensive, 1);
}

Test(store, sync_normal_is_possible_and_full_comes_back)
{
    f.cfg.sync_full = false;
    fixture_reopen(&f);
    cr_assert_eq(ask(&f, "PRAGMA synchronous"), 1);
    f.cfg.sync_full = true;
    fixture_reopen(&f);
    cr_assert_eq(ask(&f, "PRAGMA synchronous"), 2);
}

Test(store, files_belong_to_the_owner_alone)
{
    static const char *const names[] = {"jobs.db", "jobs.db-wal", "ballast"};
    char path[128];
    struct stat st;

    f.cfg.reserve_bytes = 1 << 20;
    fixture_reopen(&f);
    tx_begin(&f);
    (void)job_add(&f, NULL, 0);
    tx_commit(&f);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        fixture_path(&f, names[i], path);
        cr_assert_eq(stat(path, &st), 0, "%s", path);
        cr_assert_eq(st.st_mode & 0777, 0600, "%s", path);
    }
}

static void refused(const char *what)
{
    struct store *store = NULL;
    struct err err = {0};

    cr_assert(!store_open(&f.cfg, &store, &err));
    cr_assert_null(store);
    cr_assert_eq(err.code, ERR_STORAGE);
    cr_assert_not_null(strstr(err.detail, what), "%s", err.detail);
}

Test(store, a_newer_schema_is_refused_and_left_alone)
{
    must(db_exec(&f.store->db, "PRAGMA user_version=99", err));
    store_close(f.store);
    f.store = NULL;
    refused("newer version");
    refused("newer version");
}

Test(store, a_database_of_somebody_else_is_refused)
{
    must(db_exec(&f.store->db, "PRAGMA application_id=17", err));
    store_close(f.store);
    f.store = NULL;
    refused("another program");
}

Test(store, a_file_that_is_no_database_is_refused)
{
    char path[128];
    int fd;

    store_close(f.store);
    f.store = NULL;
    fixture_path(&f, "jobs.db", path);
    fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    cr_assert_eq(write(fd,
                       "this is a letter, and a long one, not a database; it goes on and on and on "
                       "and on and on and on"
                       " until it is longer than the header of one.",
                       138),
                 138);
    (void)close(fd);
    refused("damaged");
}

Test(store, a_damaged_schema_is_refused)
{
    char path[128], zeros[300] = {0};
    int fd;

    store_close(f.store);
    f.store = NULL;
    fixture_path(&f, "jobs.db", path);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    cr_assert_eq(pwrite(fd, zeros, sizeof(zeros), 100), sizeof(zeros)); /* the root page */
    (void)close(fd);
    refused("damaged");
}

Test(store, a_damaged_queue_is_refused)
{
    static const char *const damages[] = {"queues SET id = 0", "queues SET id = 99999999",
                                          "queues SET name = ''", "ledger SET queued = -1"};
    char sql[64];

    for (size_t i = 0; i < ARRAY_LEN(damages); i++) {
        tx_begin(&f);
        (void)job_add(&f, NULL, 0);
        tx_commit(&f);
        (void)snprintf(sql, sizeof(sql), "UPDATE %s", damages[i]);
        must(db_exec(&f.store->db, sql, err));
        store_close(f.store);
        f.store = NULL;
        refused("queue");
        fixture_close(&f);
        fixture_open(&f);
    }
}

Test(store, a_directory_that_is_missing_is_refused)
{
    f.cfg.data_dir = "/nonexistent/place";
    store_close(f.store);
    f.store = NULL;
    refused("/nonexistent/place");
}

Test(store, close_leaves_no_log_behind)
{
    char path[128];

    tx_begin(&f);
    (void)job_add(&f, NULL, 0);
    tx_commit(&f);
    store_close(f.store);
    f.store = NULL;
    fixture_path(&f, "jobs.db-wal", path);
    cr_assert_neq(access(path, F_OK), 0);
    must(store_open(&f.cfg, &f.store, err));
    cr_assert_eq(store_count(f.store, JOB_QUEUED), 1);
}

/* ---- transactions ---- */

Test(store, rollback_takes_everything_back)
{
    struct job_id kept, id;
    struct job_end end = job_end_ok();
    int64_t last;

    tx_begin(&f);
    kept = job_add(&f, "a", 0);
    tx_commit(&f);
    tx_begin(&f);
    (void)job_add(&f, "a", 0);
    id = job_add(&f, "new", 0);
    must(jobs_start(f.store, &(struct job_start){kept.no, 1, 0, NOW_US}, err));
    must(jobs_finish(f.store, kept.no, 1, &end, err));
    cr_assert_eq(store_waiting(f.store), 2);
    store_rollback(f.store);
    cr_assert(!store_in_transaction(f.store));
    cr_assert_eq(store_waiting(f.store), 1);
    cr_assert_eq(job_see(&f, kept.no).state, JOB_QUEUED, "nothing of it is remembered in memory");
    must_fail(NOT_FOUND, jobs_get_by_no(f.store, id.no, &(struct job_row){0}, err));
    counts_check(&f);
    tx_begin(&f);
    (void)job_add(&f, "new", 0);
    tx_commit(&f);
    counts_check(&f);
    last = f.store->newest.no;
    store_rollback(f.store); /* harmless without a transaction */
    cr_assert_eq(f.store->newest.no, last);
    counts_check(&f);
}

Test(store, a_savepoint_is_undone_alone)
{
    struct job_id before, inside;

    tx_begin(&f);
    before = job_add(&f, "a", 0);
    must(store_savepoint(f.store, err));
    inside = job_add(&f, "a", 0);
    (void)job_add(&f, "b", 0);
    must(jobs_start(f.store, &(struct job_start){before.no, 1, 0, NOW_US}, err));
    store_savepoint_undo(f.store);
    cr_assert_eq(job_see(&f, before.no).state, JOB_QUEUED);
    must_fail(NOT_FOUND, jobs_get_by_no(f.store, inside.no, &(struct job_row){0}, err));
    must(store_savepoint(f.store, err));
    cr_assert_eq(job_add(&f, "b", 0).no, inside.no);
    store_savepoint_release(f.store);
    tx_commit(&f);
    cr_assert_eq(store_count(f.store, JOB_QUEUED), 2);
    counts_check(&f);
}

Test(store, a_released_savepoint_still_goes_with_the_transaction)
{
    tx_begin(&f);
    must(store_savepoint(f.store, err));
    (void)job_add(&f, "a", 0);
    store_savepoint_release(f.store);
    must(store_savepoint(f.store, err));
    (void)job_add(&f, "a", 0);
    store_savepoint_undo(f.store);
    cr_assert_eq(store_waiting(f.store), 1);
    store_rollback(f.store);
    cr_assert_eq(store_waiting(f.store), 0);
    counts_check(&f);
}

Test(store, no_verb_writes_outside_a_transaction)
{
    struct job_spec spec = {.max_attempts = 1};
    struct job_new job = {.spec = &spec, .task = SLICE_LIT("t"), .now_us = NOW_US};
    struct job_id id;

    must_fail(STORAGE, jobs_insert(f.store, &job, &id, err));
    must_fail(STORAGE, inflight_clear(f.store, err));
    must_fail(STORAGE, store_meta_set(f.store, "k", SLICE_LIT("v"), err));
    must_fail(STORAGE, store_savepoint(f.store, err));
    cr_assert_eq(ask(&f, "SELECT count(*) FROM jobs"), 0);
}

Test(store, a_write_that_failed_dooms_its_transaction)
{
    struct err failure = {0};

    tx_begin(&f);
    (void)job_add(&f, NULL, 0);
    f.store->newest.no = 0; /* a bug for once: the number is taken */
    must_fail(INTERNAL, jobs_insert(f.store,
                                    &(struct job_new){.spec = &(struct job_spec){.max_attempts = 1},
                                                      .task = SLICE_LIT("t"),
                                                      .now_us = NOW_US},
                                    &(struct job_id){0}, err));
    cr_assert_eq(store_commit(f.store, &failure), COMMIT_NOT_STORED);
    cr_assert_eq(failure.code, ERR_STORAGE);
    cr_assert(!store_in_transaction(f.store));
    counts_check(&f);
    cr_assert_eq(store_count(f.store, JOB_QUEUED), 0);
}

Test(store, a_write_that_failed_is_undone_with_its_savepoint)
{
    struct job_spec spec = {.max_attempts = 1};
    struct job_new job = {.spec = &spec, .task = SLICE_LIT("t"), .now_us = NOW_US};
    struct job_id id;

    tx_begin(&f);
    (void)job_add(&f, NULL, 0);
    must(store_savepoint(f.store, err));
    f.store->newest.no = 0;
    must_fail(INTERNAL, jobs_insert(f.store, &job, &id, err));
    store_savepoint_undo(f.store);
    must(jobs_insert(f.store, &job, &id, err));
    tx_commit(&f);
    counts_check(&f);
    cr_assert_eq(store_count(f.store, JOB_QUEUED), 2);
    /* But not what failed before it. */
    tx_begin(&f);
    f.store->newest.no = 0;
    must_fail(INTERNAL, jobs_insert(f.store, &job, &id, err));
    must_fail(STORAGE, store_savepoint(f.store, err));
    store_rollback(f.store);
    counts_check(&f);
}

Test(store, counts_survive_random_walks)
{
    static const char *const queues[] = {"a", "b", "c"};
    uint64_t seed = 42;
    int64_t last = 0;

    for (int turn = 0; turn < 60; turn++) {
        tx_begin(&f);
        for (int i = 0; i < 12; i++) {
            struct job_end end = job_end_ok();
            struct output_ref files[OUTPUT_STREAMS];
            struct job_row row;
            enum job_state state;
            int64_t no;
            size_t n;

            seed = seed * 6364136223846793005u + 1442695040888963407u;
            if (seed >> 62 == 0 || last == 0) {
                last = job_add(&f, queues[(seed >> 40) % 3], 0).no;
                continue;
            }
            no = 1 + (int64_t)((seed >> 33) % (uint64_t)last);
            if (!jobs_get_by_no(f.store, no, &row, NULL))
                continue;
            if (row.state == JOB_QUEUED)
                must(jobs_start(f.store, &(struct job_start){no, row.attempt + 1, 0, NOW_US}, err));
            else if (row.state == JOB_RUNNING && (seed >> 50 & 1) != 0)
                must(jobs_cancel(f.store, &(struct job_cancel){no, NOW_US, NULL}, &state, err));
            else if (row.state == JOB_RUNNING || row.state == JOB_STOPPING)
                must(jobs_finish(f.store, no, row.attempt, &end, err));
            else if ((seed >> 51 & 1) != 0)
                must(jobs_forget(f.store, no, files, &n, err));
        }
        if (turn % 5 == 4)
            store_rollback(f.store);
        else
            tx_commit(&f);
        last = f.store->newest.no;
    }
    cr_assert_gt(store_count(f.store, JOB_SUCCEEDED), 0);
    counts_check(&f);
    fixture_reopen(&f);
    counts_check(&f);
    integrity_check(&f);
}

/* ---- small values ---- */

Test(store, meta_values_are_bytes)
{
    AUTO_BUF struct buf value;
    bool found;

    buf_init(&value, 64);
    must(store_meta_get(f.store, "x", &value, &found, err));
    cr_assert(!found);
    tx_begin(&f);
    must(store_meta_set(f.store, "x", SLICE_LIT("one"), err));
    must(store_meta_set(f.store, "x", SLICE_LIT("t\0o"), err));
    tx_commit(&f);
    fixture_reopen(&f);
    must(store_meta_get(f.store, "x", &value, &found, err));
    cr_assert(found && slice_eq(buf_slice(&value), SLICE_LIT("t\0o")));
}

Test(store, a_meta_value_beyond_the_buffer_is_an_error)
{
    AUTO_BUF struct buf value;
    bool found;

    buf_init(&value, 2);
    tx_begin(&f);
    must(store_meta_set(f.store, "x", SLICE_LIT("long"), err));
    must_fail(TOO_LARGE, store_meta_get(f.store, "x", &value, &found, err));
}
