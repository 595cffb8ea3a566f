/* SPDX-License-Identifier: MIT */
/* What the tests of the storage layer share: a store in a directory of its own, jobs in one line,
 * one number from a query. */
#ifndef GANGER_TESTS_STORAGE_FIXTURE_H
#define GANGER_TESTS_STORAGE_FIXTURE_H

#include "storage/batches.h"
#include "storage/queue.h"
#include "storage/reader.h"
#include "storage/store_impl.h"

#include <criterion/criterion.h>

#define SECOND_US INT64_C(1000000)
#define NOW_US (INT64_C(1790000000) * SECOND_US) /* the tests' clock: a moment in 2026 */

struct fixture {
    char dir[64];
    struct store_config cfg;
    struct store *store;
};

void fixture_open(struct fixture *f);
void fixture_reopen(struct fixture *f);
void fixture_close(struct fixture *f); /* and removes the directory */
/* Only the directory, with nothing in it yet. */
void fixture_make_dir(char dir[64]);
void fixture_remove_dir(const char *dir);
void fixture_path(const struct fixture *f, const char *name, char ret[128]);

void tx_begin(struct fixture *f);
void tx_commit(struct fixture *f);

/* A plain job, in a transaction that is open. queue NULL = default. */
struct job_id job_add(struct fixture *f, const char *queue, int32_t priority);
struct job_id job_add_as(struct fixture *f, const struct job_new *job);
/* The same, but already moved there through the verbs. */
struct job_id job_add_in(struct fixture *f, enum job_state state);
/* A batch without elements, whose template is a task of nothing; `batch` says the rest. Its number.
 */
int64_t batch_add_as(struct fixture *f, const struct batch_new *batch);
struct batch batch_see(struct fixture *f, int64_t no);
/* A successful end of one second. */
struct job_end job_end_ok(void);
struct job_row job_see(struct fixture *f, int64_t no);

/* A new job may wait to be written: before statements that the store does not know. */
void all_is_written(struct fixture *f);
/* 1 when the two rows differ in no column but their number and salt; else 2. */
int64_t kinds_of_rows(struct fixture *f, int64_t a, int64_t b);
/* One integer from the store's own connection. There is a view `facts` of `jobs` beside the tables,
 * where each packed number has a column: due_us, queue_deadline_us, deadline_us, max_attempts,
 * result, retry; queued_us, started_us, finished_us, slot, reason, exit_code, signal, wall_us,
 * user_us, system_us, max_rss_bytes, killed, stdout_bytes, stderr_bytes, value_bytes. */
int64_t ask(struct fixture *f, const char *sql);
/* Makes that view, for a store that was opened otherwise. */
void facts_make(struct fixture *f);
/* The stored counts of all queues equal those in memory and what COUNT(*) finds, and unique keys
 * are held by those that have not ended. After a commit. */
void counts_check(struct fixture *f);
void integrity_check(struct fixture *f);

/* The tests of the suite have a store `f` each, with an open transaction. Once in a file. */
#define STORE_TESTS(suite)     \
    static struct fixture f;   \
    static void setup(void)    \
    {                          \
        fixture_open(&f);      \
        tx_begin(&f);          \
    }                          \
    static void teardown(void) \
    {                          \
        fixture_close(&f);     \
    }                          \
    TestSuite(suite, .init = setup, .fini = teardown, .timeout = 60)

/* For expressions that must succeed: prints the error's detail otherwise. */
#define must(expr)                                         \
    do {                                                   \
        struct err must_err = {0};                         \
        struct err *err = &must_err;                       \
        cr_assert(expr, "%s: %s", #expr, must_err.detail); \
    } while (0)
/* For expressions that must fail with this code. */
#define must_fail(code_, expr)                                                           \
    do {                                                                                 \
        struct err must_err = {0};                                                       \
        struct err *err = &must_err;                                                     \
        cr_assert(!(expr), "%s succeeded", #expr);                                       \
        cr_assert_eq(must_err.code, ERR_##code_, "%s: %d %s", #expr, (int)must_err.code, \
                     must_err.detail);                                                   \
    } while (0)

#endif
