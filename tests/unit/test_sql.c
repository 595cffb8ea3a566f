/* SPDX-License-Identifier: MIT */
/* What keeps ten million rows cheap: no statement of the hot path scans or sorts, and the numbers
 * in the SQL text are those of the tables in C. */
#include "storage_fixture.h"

enum heat { COLD, HOT };

struct statement {
    const char *name, *text;
    enum heat heat;
};

static const struct statement statements[] = {
#define X(name, heat, text) {#name, text, heat},
    WRITER_SQL(X) READER_SQL(X)
#undef X
};

static struct fixture f;

static void setup(void)
{
    fixture_open(&f);
}

static void teardown(void)
{
    fixture_close(&f);
}

TestSuite(sql, .init = setup, .fini = teardown, .timeout = 60);

Test(sql, every_statement_prepares)
{
    for (size_t i = 0; i < ARRAY_LEN(statements); i++) {
        sqlite3_stmt *stmt = NULL;
        int rc = sqlite3_prepare_v2(f.store->db.handle, statements[i].text, -1, &stmt, NULL);

        cr_assert_eq(rc, SQLITE_OK, "%s: %s", statements[i].name,
                     sqlite3_errmsg(f.store->db.handle));
        cr_assert_not_null(stmt);
        (void)sqlite3_finalize(stmt);
    }
}

/* A step of a plan that reads more than it needs. Constant rows are no table. */
static bool step_is_slow(const char *detail)
{
    return (strstr(detail, "SCAN") != NULL && strstr(detail, "CONSTANT ROW") == NULL) ||
           strstr(detail, "TEMP B-TREE") != NULL;
}

/* Whether a step of the plan is slow; its text goes to `slow`. */
static bool plan_is_slow(const char *text, char slow[256])
{
    char explain[4096];
    sqlite3_stmt *plan = NULL;
    bool found = false;

    (void)snprintf(explain, sizeof(explain), "EXPLAIN QUERY PLAN %s", text);
    cr_assert_eq(sqlite3_prepare_v2(f.store->db.handle, explain, -1, &plan, NULL), SQLITE_OK, "%s",
                 text);
    while (sqlite3_step(plan) == SQLITE_ROW) {
        const char *detail = (const char *)sqlite3_column_text(plan, 3);

        if (step_is_slow(detail)) {
            (void)snprintf(slow, 256, "%s", detail);
            found = true;
        }
    }
    (void)sqlite3_finalize(plan);
    return found;
}

Test(sql, no_hot_statement_scans_or_sorts)
{
    char slow[256] = "";

    for (size_t i = 0; i < ARRAY_LEN(statements); i++) {
        if (statements[i].heat == HOT)
            cr_assert(!plan_is_slow(statements[i].text, slow), "%s: %s", statements[i].name, slow);
    }
}

Test(sql, a_scan_would_be_seen)
{
    char slow[256] = "";

    cr_assert(plan_is_slow("SELECT no FROM jobs WHERE attempt = 1", slow));
    cr_assert(plan_is_slow("SELECT no FROM jobs WHERE queue = 1 AND state = 2 ORDER BY created_us",
                           slow));
    /* The partial index serves only the state that it names. */
    cr_assert(plan_is_slow(
        "SELECT no FROM jobs WHERE queue = 1 AND state = 3 ORDER BY priority DESC, no", slow));
}

/* Whether SQLite has prepared the statement once more because another number was bound, which takes
 * ten times as long as a short statement itself. */
static bool is_prepared_anew(const char *text)
{
    sqlite3_stmt *stmt = NULL;
    int times;

    cr_assert_eq(sqlite3_prepare_v2(f.store->db.handle, text, -1, &stmt, NULL), SQLITE_OK);
    for (int64_t number = 1; number <= 3; number++) {
        for (int i = 1; i <= sqlite3_bind_parameter_count(stmt); i++)
            bind_i64(stmt, i, number);
        (void)sqlite3_step(stmt);
        (void)sqlite3_reset(stmt);
    }
    times = sqlite3_stmt_status(stmt, SQLITE_STMTSTATUS_REPREPARE, 0);
    (void)sqlite3_finalize(stmt);
    return times > 0;
}

Test(sql, no_statement_is_prepared_anew_by_what_is_bound)
{
    tx_begin(&f);
    for (size_t i = 0; i < ARRAY_LEN(statements); i++) {
        if (strchr(statements[i].text, '?') != NULL)
            cr_expect(!is_prepared_anew(statements[i].text), "%s", statements[i].name);
    }
    cr_assert(is_prepared_anew("SELECT no FROM jobs WHERE queue = ?1 AND flags & ?2 = 0"));
    store_rollback(f.store);
}

static void plan_uses(const char *name, const char *what)
{
    for (size_t i = 0; i < ARRAY_LEN(statements); i++) {
        char sql[2048];
        sqlite3_stmt *plan = NULL;

        if (strcmp(statements[i].name, name) != 0)
            continue;
        (void)snprintf(sql, sizeof(sql), "EXPLAIN QUERY PLAN %s", statements[i].text);
        cr_assert_eq(sqlite3_prepare_v2(f.store->db.handle, sql, -1, &plan, NULL), SQLITE_OK);
        cr_assert_eq(sqlite3_step(plan), SQLITE_ROW);
        cr_assert_not_null(strstr((const char *)sqlite3_column_text(plan, 3), what), "%s: %s", name,
                           (const char *)sqlite3_column_text(plan, 3));
        (void)sqlite3_finalize(plan);
        return;
    }
    cr_assert_fail("no statement %s", name);
}

Test(sql, the_partial_indexes_are_used)
{
    plan_uses("READY", "jobs_ready (queue=?)");
    plan_uses("READY_BESIDE", "jobs_ready (queue=? AND priority=? AND rowid>?)");
    plan_uses("READY_BELOW", "jobs_ready (queue=? AND priority<?)");
    plan_uses("READ_WAITING", "jobs_ready (queue=? AND priority<?)");
    plan_uses("TIMERS", "jobs_timer (timer=? AND wake_us<?)");
    plan_uses("TIMER_NEXT", "jobs_timer (timer=?)");
    plan_uses("BATCH_GATED", "jobs_gated (batch=? AND idx>?)");
    plan_uses("BATCH_WORK", "batches_work");
    plan_uses("BATCH_GONE", "batches_gone (gone_us<?)");
    plan_uses("BATCH_CANCEL", "USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)");
    plan_uses("BATCH_FIND", "USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)");
    plan_uses("IDEM_OLD", "idem_age (created_us<?)");
    plan_uses("KEY_HOLDER", "PRIMARY KEY (key=?)");
    plan_uses("KEY_FREE", "PRIMARY KEY (key=?)");
    plan_uses("ROW_GET", "INTEGER PRIMARY KEY (rowid=?)");
}

/* A change that no plan shows: which indexes the rows of a life are in. Counted by their entries.
 */
Test(sql, a_row_is_in_the_index_of_its_phase_only)
{
    struct job_id id;
    struct job_end end = job_end_ok();

    tx_begin(&f);
    id = job_add(&f, NULL, 0);
    cr_assert_eq(ask(&f, "SELECT count(*) FROM jobs INDEXED BY jobs_ready WHERE state = 2"), 1);
    cr_assert_eq(ask(&f, "SELECT count(*) FROM jobs INDEXED BY jobs_timer WHERE timer IS NOT NULL"),
                 0);
    must(jobs_start(f.store, &(struct job_start){id.no, 1, 0, NOW_US}, err));
    cr_assert_eq(ask(&f, "SELECT count(*) FROM jobs INDEXED BY jobs_ready WHERE state = 2"), 0);
    cr_assert_eq(ask(&f, "SELECT count(*) FROM jobs INDEXED BY jobs_timer WHERE timer IS NOT NULL"),
                 0);
    must(jobs_finish(f.store, id.no, 1, &end, err));
    cr_assert_eq(ask(&f, "SELECT count(*) FROM jobs INDEXED BY jobs_ready WHERE state = 2"), 0);
    cr_assert_eq(ask(&f, "SELECT count(*) FROM jobs INDEXED BY jobs_timer WHERE timer IS NOT NULL"),
                 1);
    tx_commit(&f);
}

static int insert_state(int state)
{
    char sql[128];

    (void)snprintf(sql, sizeof(sql),
                   "INSERT INTO jobs (state, queue, created_us, salt) VALUES (%d, 1, 1, 1)", state);
    return sqlite3_exec(f.store->db.handle, sql, NULL, NULL, NULL);
}

Test(sql, the_schema_knows_exactly_the_states_of_the_table)
{
    tx_begin(&f);
    for (int s = 0; s < JOB_STATE_COUNT; s++)
        cr_assert_eq(insert_state(s), SQLITE_OK, "%d", s);
    cr_assert_eq(insert_state(-1), SQLITE_CONSTRAINT_CHECK);
    cr_assert_eq(insert_state(JOB_STATE_COUNT), SQLITE_CONSTRAINT_CHECK);
    store_rollback(f.store);
}

/* Otherwise SQLite makes each value at one place and copies it to another. */
Test(sql, a_birth_names_columns_in_the_order_of_the_table)
{
    cr_assert_eq(ask(&f, "SELECT group_concat(name, ', ') = '" TEXT_BORN ", salt, ukey' FROM"
                         " (SELECT name FROM pragma_table_info('jobs') LIMIT 14)"),
                 1);
}

Test(sql, the_schema_knows_exactly_the_timers)
{
    char sql[96];

    tx_begin(&f);
    (void)job_add(&f, NULL, 0);
    all_is_written(&f);
    for (int timer = 0; timer <= TIMER_COUNT; timer++) {
        bool known = timer > TIMER_NONE && timer < TIMER_COUNT;

        (void)snprintf(sql, sizeof(sql), "UPDATE jobs SET timer = %d", timer);
        cr_assert_eq(sqlite3_exec(f.store->db.handle, sql, NULL, NULL, NULL) == SQLITE_OK, known,
                     "%d", timer);
    }
    store_rollback(f.store);
}

Test(sql, the_ledger_has_one_column_per_state_in_order)
{
    sqlite3_stmt *columns = NULL;
    int n = 0;

    cr_assert_eq(sqlite3_prepare_v2(f.store->db.handle,
                                    "SELECT name FROM pragma_table_info('ledger') ORDER BY cid", -1,
                                    &columns, NULL),
                 SQLITE_OK);
    while (sqlite3_step(columns) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(columns, 0);

        if (n >= 2)
            cr_assert_str_eq(name, job_state_name((enum job_state)(n - 2)));
        n++;
    }
    (void)sqlite3_finalize(columns);
    cr_assert_eq(n, 2 + JOB_STATE_COUNT);
}
