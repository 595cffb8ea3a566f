/* SPDX-License-Identifier: MIT */
/* The inside of struct store, for the files of storage/ that write. */
#ifndef GANGER_STORAGE_STORE_IMPL_H
#define GANGER_STORAGE_STORE_IMPL_H

#include "storage/ballast.h"
#include "storage/batches_impl.h"
#include "storage/blobs.h"
#include "storage/counts.h"
#include "storage/db.h"
#include "storage/row_pack.h"
#include "storage/row_timer.h"
#include "storage/spec.h"
#include "storage/sql.h"
#include "storage/store.h"

/* The newest row there ever was: numbers are never used twice and ms never goes back, also when
 * that row has been deleted. */
struct newest {
    int64_t no, created_us;
};
/* Its copy in `meta`, written when that row is deleted. */
#define META_NEWEST "newest deleted row"

/* The second argument of leap(). The numbers are those of SQL_ROWS_LEAP and SQL_ROWS_PASS. */
enum leap_column {
    LEAP_TIMER,
    LEAP_WAKE,
    LEAP_RAN,
    LEAP_VALUE,
    LEAP_IS_MEANT, /* no column: whether the statement is to write this row */
    LEAP_COLUMNS
};
_Static_assert(LEAP_COLUMNS == 5, "the statements name these columns by their numbers");

/* What a statement that ends many jobs asks about its rows (leap.c). */
struct leap_row {
    enum row_timer timer;
    int64_t wake_us;
    struct packed ran;
    struct slice value;
    bool is_meant, done;
};
struct leaping {
    int64_t first_no;
    size_t n;
    struct leap_row *rows;
};

struct boarding;

/* Rows that have passed from QUEUED to their ends and are not written yet (row_pass). */
#define PASSES_AT_ONCE 32
struct passing {
    struct row rows[PASSES_AT_ONCE];
    size_t n;
};

/* The row of a job that was born a moment ago and is not written yet. At rest it begins in the same
 * transaction, and is written once, as it is then; nor does it come and go in the index of what is
 * ready, of which a page would be written for nothing. It waits for the first statement that might
 * ask for it (store_stmt), and for the commit at the latest. */
struct newborn {
    struct row row; /* no 0: none. QUEUED, of no batch and without a unique key */
};

/* Bounded by what one turn of the engine may change. */
struct change_list {
    struct job_change *items;
    size_t n, cap, n_at_savepoint;
};

struct store {
    struct gather_vfs vfs;
    struct db db;
    struct counts counts;
    struct row_cache cache;
    struct spec_cache specs;
    struct batch_cache batches;
    struct change_list changes;
    struct timer_run timers;
    struct leaping leaping;
    struct boarding *boarding; /* mates.c */
    struct passing passing;
    struct newborn newborn;
    struct packed terms, ran; /* what is bound to a statement */
    struct ballast ballast;
    struct newest newest, newest_at_begin, newest_at_savepoint;
    struct blob_totals blobs, blobs_at_begin, blobs_at_savepoint;
    int64_t deliveries, deliveries_at_begin, deliveries_at_savepoint; /* rows of that table */
    /* A write failed in the middle of a verb: what the transaction holds may be half a job, so it
     * must not be committed. */
    bool poisoned, in_savepoint;
    bool is_broken;              /* a commit had an unknown outcome */
    uint64_t wal_bytes;          /* as of the last commit */
    uint64_t checkpointed_bytes; /* wal_bytes when a checkpoint ran last */
    uint64_t page_bytes;
    int64_t row_keep_us;
    const struct log *log;
};

/* newborn.c: writes it, if there is one. */
MUST_CHECK bool newborn_write(struct store *store, struct err *err);
/* The row of a new job that may wait to be written: it does, and who waited before is written. */
MUST_CHECK bool newborn_keep(struct store *store, const struct row *row, struct err *err);
static inline bool newborn_may_wait(const struct row *row)
{
    return row->state == JOB_QUEUED && row->batch == 0 && row->ukey.ptr == NULL;
}
/* The same before a statement that might ask for it; a failure poisons the transaction. */
void newborn_settle(struct store *store, enum writer_sql which);
/* It begins: it is written as `begun`, which is the same row RUNNING. */
MUST_CHECK bool newborn_begin(struct store *store, const struct row *begun, struct err *err);
static inline bool newborn_is(const struct store *store, int64_t no)
{
    return store->newborn.row.no == no && no != 0;
}

static inline sqlite3_stmt *store_stmt(struct store *store, enum writer_sql which)
{
    if (store->newborn.row.no != 0)
        newborn_settle(store, which);
    return db_stmt(&store->db, which);
}

void changes_add(struct store *store, const struct job_change *change);

/* Runs a bound statement that returns no rows. Refuses outside a transaction: SQLite ends one by
 * itself after some errors, and what follows would then be committed statement by statement. */
MUST_CHECK bool store_run(struct store *store, sqlite3_stmt *stmt, struct err *err);
/* A failed write: poisons the transaction, gives the ballast back when the disk is full. Always
 * false. */
bool store_fail(struct store *store, int rc, struct err *err);
/* The statement `which` with its only parameter, e.g. the deletes by number. */
MUST_CHECK bool store_run_no(struct store *store, enum writer_sql which, int64_t no,
                             struct err *err);

/* Before the row of a job or a batch is deleted: its number is never used again. */
MUST_CHECK bool newest_keep(struct store *store, int64_t no, struct err *err);
/* The number of a queue, made when this is its first job. */
MUST_CHECK bool queue_number(struct store *store, struct slice name, uint32_t *ret_number,
                             struct err *err);
/* The row of a job about to be born, with the next number. */
struct job_new;
MUST_CHECK bool job_row_new(struct store *store, const struct job_new *job, struct row *ret,
                            struct err *err);
/* The job or batch `child` was submitted by a running job. */
MUST_CHECK bool offspring_insert(struct store *store, int64_t child, const struct job_id *submitter,
                                 struct err *err);
struct job_end;
/* What is known of its last attempt, into the row, and what it has put out beside the row. */
void row_take_end(struct row *row, const struct job_end *end);
MUST_CHECK bool outputs_put(struct store *store, const struct row *row, const struct job_end *end,
                            struct err *err);
/* The SQL function leap(), and what it answers of a row but for its timer. */
MUST_CHECK bool leap_open(struct store *store, struct err *err);
void leap_row_of(const struct row *row, struct leap_row *ret);
/* What neighbours share that end by one statement. */
bool leap_is_alike(const struct row *a, const struct row *b);
/* The SQL function board(). */
MUST_CHECK bool mates_open(struct store *store, struct err *err);
/* The row's last attempt becomes history. */
MUST_CHECK bool attempt_insert(struct store *store, const struct row *row,
                               const struct job_end *end, struct err *err);
/* QUEUE_LIMIT when as many of its jobs wait as its max_length allows. Moving jobs there, other than
 * by a retry of the engine's, has to ask. */
MUST_CHECK bool queue_has_room(const struct store *store, uint32_t queue, struct err *err);
/* At the start: the settings of all queues. */
MUST_CHECK bool settings_load(struct store *store, struct err *err);
/* A stored policy, checked. `no`: whose, for the error. */
MUST_CHECK bool retry_policy_read(struct slice policy, int64_t no, struct retry_policy *ret,
                                  struct err *err);

#endif
