/* SPDX-License-Identifier: MIT */
/* The hot row of `jobs` in memory: load it, change it, move it. `row_move` is the only UPDATE of
 * `state`. Owner: the engine thread's store; row_read alone is used by readers too. */
#ifndef GANGER_STORAGE_ROW_H
#define GANGER_STORAGE_ROW_H

#include "service/base/job.h"

#include <sqlite3.h>

struct store;

/* What the clock does to a row next; a row has at most one timer. The numbers are stored. */
enum row_timer {
    TIMER_NONE,    /* stored as NULL */
    TIMER_PROMOTE, /* scheduled: it is due */
    TIMER_EXPIRE,  /* waiting: queue_timeout or deadline passes before it can start */
    TIMER_KEEP,    /* ended: result and payload go */
    TIMER_ROW,     /* ended, result gone: the row goes */
    TIMER_COUNT
};

/* jobs.output_flags. The numbers are stored. */
enum output_flag {
    OUTPUT_STDOUT_TRUNCATED = 1,
    OUTPUT_STDERR_TRUNCATED = 2,
    OUTPUT_STDOUT_SPOOLED = 4,
    OUTPUT_STDERR_SPOOLED = 8,
    OUTPUT_EXPIRED = 16,
    OUTPUT_VALUE_SPOOLED = 32,
    OUTPUT_VALUE_TYPE = 64, /* times enum value_type */
    OUTPUT_ALL_TYPES = 192,
    OUTPUT_DATA_SPOOLED = 256,
    OUTPUT_ASIDE = 512 /* its result is in `outputs`, if it has succeeded */
};

/* All columns but the timer and the unique key, which follows from the others. Times: 0 = none. */
struct row {
    int64_t no;
    enum job_state state;
    uint32_t queue, salt;
    int32_t priority;
    uint32_t attempt, max_attempts;
    int64_t version;
    int64_t created_us, due_us, queued_us, started_us, finished_us;
    int64_t queue_deadline_us, deadline_us, keep_us;
    enum job_result result;
    bool retry, has_exit_code;
    int32_t slot; /* -1 = none */
    enum job_reason reason;
    int32_t exit_code, signal;
    struct job_usage usage;
    struct job_output output;
    int64_t batch, idx; /* batch 0 = none; idx: its place there */
    uint32_t flags;     /* enum job_flag */
    struct slice ukey;  /* for row_insert alone: 16 bytes, or absent */
    struct slice value; /* for row_move alone: what a function has returned, when it lies here */
};

/* Columns of TEXT_ROW that are also looked at alone. */
enum row_column { ROW_NO = 0, ROW_STATE = 1, ROW_QUEUE = 2, ROW_CREATED = 6 };
/* From a statement that stands on a row of TEXT_ROW. A damaged file is STORAGE, never an abort: a
 * state or queue out of range is found here. */
MUST_CHECK bool row_read(sqlite3_stmt *stmt, struct row *ret, struct err *err);
/* What a view has from the row alone: no texts, no batch, no submitter, nothing of its callback,
 * blobs and earlier attempts. */
void row_view(const struct row *row, struct job_view *ret);
uint32_t row_output_flags(const struct row *row);
/* End of the result: finished + keep; 0 while it has not ended. */
int64_t row_expires_us(const struct row *row);
/* The timer that a row in this state needs. *ret_wake_us is 0 with TIMER_NONE. */
enum row_timer row_timer(const struct row *row, int64_t *ret_wake_us);
struct job_id row_id(const struct row *row);
bool row_has_id(const struct row *row, const struct job_id *id);

/* NOT_FOUND when there is none. */
MUST_CHECK bool row_load(struct store *store, int64_t no, struct row *ret, struct err *err);
/* A new row; counts it. */
MUST_CHECK bool row_insert(struct store *store, const struct row *row, struct err *err);
/* The statement of row_insert alone, now. */
MUST_CHECK bool row_write_born(struct store *store, const struct row *row, struct err *err);
/* For an INSERT of many rows elsewhere: the parameters that its statement shares with row_insert's,
 * of which ROW_BORN_OWN is the first that it has for itself, and all that row_insert does beside
 * the row. */
#define ROW_BORN_OWN 13
void row_bind_born(struct store *store, sqlite3_stmt *insert, const struct row *row);
/* jobs.ran of the row; stays until the next one is bound. */
void row_bind_ran(struct store *store, sqlite3_stmt *stmt, int index, const struct row *row);
void row_bind_salt(sqlite3_stmt *insert, int index, uint32_t salt);
MUST_CHECK bool row_born(struct store *store, const struct row *row, struct err *err);
/* Writes the row with its new state, version + 1, and counts it. Who is queued or has ended is
 * gated no more. STATE_CONFLICT, with nothing
 * changed, when job.h's table does not know the move from the row's stored state. */
MUST_CHECK bool row_move(struct store *store, struct row *row, enum job_state to, struct err *err);
/* From QUEUED by way of RUNNING to the end in one write, for an attempt that began and ended since
 * the last commit. Everybody hears of both moves, and the version grows by 2. The row in the
 * database follows with jobs_passed; what row->value points to must live until then. */
MUST_CHECK bool row_pass(struct store *store, struct row *row, enum job_state to, struct err *err);
/* One of them; the others: pass.c. */
MUST_CHECK bool row_write_passed(struct store *store, const struct row *row, struct err *err);
/* Writes what a client may change (queue, priority, times, keep, attempts) of the row `was`, and
 * moves it to `to` when that is another state; version + 1 either way. */
MUST_CHECK bool row_change(struct store *store, const struct row *was, struct row *row,
                           enum job_state to, struct err *err);
/* Result and payload are gone; the row goes at wake_us. Not a move: the state stays, and so does
 * the version. */
MUST_CHECK bool row_expire(struct store *store, struct row *row, int64_t wake_us, struct err *err);
/* Only the flags. Not a move, and nothing that a client sees. */
MUST_CHECK bool row_set_flags(struct store *store, struct row *row, uint32_t flags,
                              struct err *err);
/* The spool files of its last attempt; their number. */
size_t row_spool_files(const struct row *row, struct output_ref ret[OUTPUT_STREAMS]);
/* For an UPDATE of many rows elsewhere: one of them has moved, so all that row_move does beside the
 * row itself is done. `row` needs what store_changes and batches tell of. */
MUST_CHECK bool row_moved(struct store *store, const struct row *row, enum job_state from,
                          enum job_state to, struct err *err);
MUST_CHECK bool row_delete(struct store *store, const struct row *row, struct err *err);

/* The rows that were seen last, by number. A job is inserted, started and ended within moments as a
 * rule; this saves the reads in between. Sound because this thread alone writes, through this
 * module alone, and every rollback empties it. */
#define ROW_CACHE_SIZE 1024
struct row_cache {
    struct row rows[ROW_CACHE_SIZE]; /* at no % size; no = 0: empty */
};
/* NULL: it is not at hand. */
const struct row *row_at_hand(const struct store *store, int64_t no);
void row_cache_clear(struct row_cache *cache);

#endif
