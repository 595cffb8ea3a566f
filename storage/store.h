/* SPDX-License-Identifier: MIT */
/* The store: one SQLite file, one connection that writes and checkpoints. Owner of struct store:
 * the engine thread. Readers have their own connection: reader.h. All SQL text is in schema.sql,
 * schema_2.sql and sql.h. */
#ifndef GANGER_STORAGE_STORE_H
#define GANGER_STORAGE_STORE_H

#include "service/base/job.h"
#include "service/base/log.h"

struct store;

struct store_config {
    const char *data_dir; /* jobs.db, ballast */
    bool sync_full;
    uint64_t cache_bytes, reserve_bytes;
    int64_t row_keep_us; /* how long the row of a finished job stays after its result is gone */
    uint32_t max_queues;
    const struct log *log;
};

/* Opens or creates, migrates, reads back the pragmas it needs (synchronous!). Refuses a file of a
 * newer schema or a damaged one with advice. */
MUST_CHECK bool store_open(const struct store_config *cfg, struct store **ret_store,
                           struct err *err);
/* Last commit has happened; wal_checkpoint(TRUNCATE), close. Accepts NULL. */
void store_close(struct store *store);

enum commit_result { COMMIT_STORED, COMMIT_NOT_STORED, COMMIT_UNKNOWN };

/* BEGIN IMMEDIATE. */
MUST_CHECK bool store_begin(struct store *store, struct err *err);
/* Writes the changed counters, then COMMIT; ends the transaction. STORED: durable (sync mode).
 * NOT_STORED: an error before COMMIT itself, or SQLITE_FULL from it, and a clean rollback. UNKNOWN:
 * any other error of COMMIT: the caller must stop the service; store_close then writes nothing any
 * more, and the next store_open tells what was stored. */
enum commit_result store_commit(struct store *store, struct err *err);
/* After an error inside the transaction. In-memory counters go back too. Never fails; ends any
 * transaction; does nothing without one. */
void store_rollback(struct store *store);
/* False when SQLite has ended the transaction by itself (FULL, IOERR, NOMEM may do that). */
bool store_in_transaction(const struct store *store);
/* Whether the open transaction may be committed: no write of it has failed that was not undone. */
bool store_can_go_on(const struct store *store);
/* For commands of several verbs: a savepoint that can be undone alone. One at a time; release or
 * undo it before the commit. */
MUST_CHECK bool store_savepoint(struct store *store, struct err *err);
void store_savepoint_release(struct store *store);
void store_savepoint_undo(struct store *store);

/* Checkpoint policy: PASSIVE from 4 MiB of WAL, RESTART with 50 ms limit from 32 MiB. Call after a
 * commit. True when one ran. */
bool store_maintain(struct store *store);
void store_rest(struct store *store); /* nothing is expected soon: its memory becomes small. Outside
                                         of a transaction */
uint64_t store_wal_bytes(const struct store *store);
bool store_disk_is_low(struct store *store); /* the ballast could not be kept: refuse submissions,
                                                finish jobs */

/* Small persistent values. */
MUST_CHECK bool store_meta_get(struct store *store, const char *key, struct buf *ret_value,
                               bool *ret_found, struct err *err);
MUST_CHECK bool store_meta_set(struct store *store, const char *key, struct slice value,
                               struct err *err);

/* What the open transaction has changed so far, in order: births, moves, deletions, and batches
 * that are over. Everybody who must react to a change reads it here, so no road to a state can be
 * missed. Valid until the next verb; emptied by store_begin. */
struct job_change {
    int64_t no;
    int64_t batch, idx;      /* 0 = none; its place in it */
    enum job_state from, to; /* JOB_BIRTH, JOB_GONE; the same: only its members have changed */
    uint32_t attempt, queue;
    uint32_t flags; /* enum job_flag; GATED of an end: it ended behind the gate */
    uint32_t salt;
    int64_t version, created_us;
    bool is_batch; /* no is a batch that is over: `to` says how */
};
static inline bool job_change_is_end(const struct job_change *change)
{
    return change->to != JOB_GONE && job_state_is_end(change->to);
}
const struct job_change *store_changes(const struct store *store, size_t *ret_n);

/* Counts, kept in memory by the verbs and written with each commit (never COUNT(*)). Engine thread.
 */
int64_t store_count(const struct store *store, enum job_state state); /* all queues */
int64_t store_waiting(const struct store *store); /* scheduled + blocked + queued */
const char *store_queue_name(const struct store *store, uint32_t number);
struct queue_counts {
    const char *queue;
    int64_t count[JOB_STATE_COUNT];
};
size_t store_queue_counts(const struct store *store, struct queue_counts *ret, size_t max);

#endif
