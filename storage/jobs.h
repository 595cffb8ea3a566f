/* SPDX-License-Identifier: MIT */
/* One row's life: insert, move, finish, cancel, forget, prune. Owner: the engine thread.
 * Verbs that write need a transaction (store_begin). All moves go through `row_move` (row.h), whose
 * WHERE is the column of job.h's table; a refused move is STATE_CONFLICT. A claim carries (job,
 * attempt); every later write of an attempt is a compare-and-set on both.
 * NOT_FOUND, STATE_CONFLICT, INVALID, OVERLOADED and QUEUE_LIMIT leave the transaction as it was.
 * Any other error dooms it: store_commit will refuse it, unless store_savepoint_undo takes the
 * failed verb back. */
#ifndef GANGER_STORAGE_JOBS_H
#define GANGER_STORAGE_JOBS_H

#include "storage/store.h"

/* A job about to be born. Bytes are borrowed. */
struct job_new {
    const struct job_spec *spec; /* name, queue, priority, labels, metadata, retry, keep, result,
                                    max_attempts … */
    struct slice task;           /* encoded task, kept as bytes */
    int64_t now_us;
    int64_t due_us;            /* ≤ now: queued at once; later: scheduled */
    int64_t queue_deadline_us; /* absolute, 0 = none: fail with queue_timeout when still waiting */
    int64_t deadline_us;       /* absolute, 0 = none */
    uint32_t salt;             /* random part of the id */
    int64_t batch, idx;        /* batch 0 = none; idx: the batch's n before this element */
    uint32_t flags;            /* enum job_flag; with WAITS or GATED it is born `blocked`; CALLBACK
                                  follows from the spec */
    struct slice ukey;         /* 16 bytes with JOB_UNIQUE, else absent */
};
/* ret_id: complete, ms never goes back. Numbers are consecutive within a transaction and never used
 * twice. Fails with OVERLOADED when a new queue name would pass max_queues; the name of a queue
 * without any row and settings makes room. Fails with QUEUE_LIMIT when the queue is full. */
MUST_CHECK bool jobs_insert(struct store *store, const struct job_new *job, struct job_id *ret_id,
                            struct err *err);
/* After a rollback: the numbers up to this one are used, though nothing is stored under them. */
void jobs_skip(struct store *store, int64_t no);

/* What the engine needs to know of a row. */
struct job_row {
    int64_t no;
    struct job_id id;
    enum job_state state;
    uint32_t attempt, max_attempts;
    int64_t version;
    int64_t created_us, started_us, deadline_us, keep_us;
    bool has_retry;
    int32_t priority;
    enum job_result result;
    uint32_t queue;     /* its number */
    int64_t batch, idx; /* batch 0 = none; idx: its place there */
    uint32_t flags;     /* enum job_flag */
};
/* NOT_FOUND when there is none, or the id's time and salt do not match. */
MUST_CHECK bool jobs_get(struct store *store, const struct job_id *id, struct job_row *ret,
                         struct err *err);
MUST_CHECK bool jobs_get_by_no(struct store *store, int64_t no, struct job_row *ret,
                               struct err *err);

/* A job has succeeded a moment ago and is, but for what its row says, as it was born: one attempt,
 * no verb in between, nothing in side tables. Then *ret is what row_view gives, from memory; else
 * the answer is false, and somebody has to read. */
bool jobs_plain_end(const struct store *store, int64_t no, struct job_view *ret);

/* QUEUED → RUNNING. STATE_CONFLICT unless the attempt is the row's + 1. */
struct job_start {
    int64_t no;
    uint32_t attempt, slot;
    int64_t now_us;
};
MUST_CHECK bool jobs_start(struct store *store, const struct job_start *start, struct err *err);

/* How an attempt ended. */
struct job_end {
    enum job_state state; /* SUCCEEDED, FAILED, CANCELLED; or SCHEDULED/QUEUED: it is tried again at
                             retry_at_us, the history row says FAILED */
    enum job_reason reason;
    bool has_exit_code;
    int32_t exit_code, signal; /* exit_code = -signal after a signal */
    const char *error_detail;  /* or NULL */
    int64_t started_us, finished_us, retry_at_us;
    struct job_usage usage;
    struct job_output output;
    struct slice inline_out[OUTPUT_STREAMS]; /* those that are not in the spool */
    int64_t keep_us;
};
/* Compare-and-set on (no, attempt); STATE_CONFLICT when the attempt is not the running one
 * (fencing). Works from RUNNING and STOPPING, and for recovery from QUEUED when the attempt was
 * only reserved but had started. */
MUST_CHECK bool jobs_finish(struct store *store, int64_t no, uint32_t attempt,
                            const struct job_end *end, struct err *err);
/* jobs_start and jobs_finish, for an attempt that began and ended since the last commit: one write
 * when the job is over by it, together with others and by jobs_passed at the latest. Until then
 * what `end` points to must stay. */
MUST_CHECK bool jobs_pass(struct store *store, const struct job_start *start,
                          const struct job_end *end, struct err *err);
/* All that have passed are in the database now: after the last one, and before anybody looks for
 * jobs by what they are. A commit does it as well. */
MUST_CHECK bool jobs_passed(struct store *store, struct err *err);
/* jobs_start for an element behind the gate of its batch, which has begun in the turn of another
 * one of its chunk. Nothing is done when it is RUNNING or STOPPING already. */
MUST_CHECK bool jobs_start_mate(struct store *store, const struct job_start *start,
                                struct err *err);
/* Such elements that have begun and ended since the last commit: from behind the gate to their ends
 * in one write, since nobody could see the steps between. Neighbours with like ends share one
 * statement. */
#define LEAPS_AT_ONCE 32
struct job_leap {
    const struct job_row *row; /* as batch_mates has told */
    uint32_t attempt, slot;
    struct job_end end; /* with a state that is an end */
    bool has_leapt;     /* out. False: its row stands somewhere else now, or not as `row` says
                           (another version, other flags), and is not changed: jobs_start_mate,
                           jobs_finish */
};
MUST_CHECK bool jobs_leap(struct store *store, struct job_leap *leaps, size_t n, struct err *err);
/* A start that did not happen (TASK_START_FAILED, recovery of a reservation): RUNNING → QUEUED,
 * attempt not counted. */
MUST_CHECK bool jobs_unstart(struct store *store, int64_t no, uint32_t attempt, struct err *err);
/* Reads the retry policy of a row (has_retry). */
MUST_CHECK bool jobs_retry_policy(struct store *store, int64_t no, struct retry_policy *ret,
                                  struct err *err);

/* SCHEDULED/BLOCKED/QUEUED → CANCELLED at once; RUNNING → STOPPING. ret_state: the state after it.
 * An ended job: STATE_CONFLICT is not raised, ret_state tells. */
struct job_cancel {
    int64_t no;
    int64_t now_us;
    const char *why; /* or NULL */
};
MUST_CHECK bool jobs_cancel(struct store *store, const struct job_cancel *cancel,
                            enum job_state *ret_state, struct err *err);
/* The same of those of the jobs [first_no, first_no + n) that wait and are in no batch, in a third
 * of the time; *ret_n: how many these are. */
struct job_range {
    int64_t first_no, n;
    int64_t now_us;
    const char *why; /* or NULL */
};
MUST_CHECK bool jobs_cancel_range(struct store *store, const struct job_range *range,
                                  int64_t *ret_n, struct err *err);
/* Words about the end of a job; of a batch: for those of its elements that were cancelled and have
 * none. NULL: nothing is done. */
MUST_CHECK bool jobs_put_words(struct store *store, int64_t no, const char *words, struct err *err);
/* Waiting → FAILED with this reason (queue_timeout, deadline). */
MUST_CHECK bool jobs_expire(struct store *store, int64_t no, enum job_reason reason, int64_t now_us,
                            struct err *err);
/* The same with words that say why. */
struct job_refusal {
    int64_t no;
    enum job_reason reason;
    int64_t now_us;
    const char *why; /* or NULL */
};
MUST_CHECK bool jobs_refuse(struct store *store, const struct job_refusal *refusal,
                            struct err *err);
/* Forget an ended job now: row, payload and history. STATE_CONFLICT while it is not ended. Its
 * spool files go to ret_files: unlink after the commit. */
MUST_CHECK bool jobs_forget(struct store *store, int64_t no,
                            struct output_ref ret_files[OUTPUT_STREAMS], size_t *ret_n,
                            struct err *err);
/* Retention: rows whose keep is over lose payload and output (then 410), rows past row_keep go
 * entirely (then 404). Spool files are those of the last attempt: whoever makes an attempt history,
 * removes its own. */
struct prune {
    int64_t now_us;
    uint32_t limit;           /* rows to treat at most */
    struct output_ref *files; /* out: to unlink after the commit; the caller's */
    size_t max_files;         /* ≥ OUTPUT_STREAMS */
    size_t n_files;           /* out */
    bool more;                /* out: there is more to do now */
};
MUST_CHECK bool jobs_prune(struct store *store, struct prune *prune, struct err *err);

/* Idempotency keys. key: SHA-256 of token name, route and key; body: SHA-256 of the body. */
struct idem_entry {
    uint8_t key[32], body[32];
    int64_t first_no; /* first job made by that request */
    int64_t n;        /* how many, consecutive numbers; service/key.c has other uses of it */
    int64_t created_us;
};
MUST_CHECK bool idem_find(struct store *store, const uint8_t key[32], struct idem_entry *ret,
                          bool *ret_found, struct err *err);
/* Inserts, or replaces an entry that is over. */
MUST_CHECK bool idem_put(struct store *store, const struct idem_entry *entry, struct err *err);
MUST_CHECK bool idem_prune(struct store *store, int64_t older_than_us, uint32_t limit,
                           struct err *err);

#endif
