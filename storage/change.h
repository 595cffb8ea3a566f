/* SPDX-License-Identifier: MIT */
/* What clients may do to a job besides ending it: change it while it waits, run it once more, find
 * it by its unique key. Owner: the engine thread. Errors as in jobs.h. */
#ifndef GANGER_STORAGE_CHANGE_H
#define GANGER_STORAGE_CHANGE_H

#include "storage/jobs.h"

/* The encoded task of a job, in `a`; absent when it has expired. Of an element: its item. */
MUST_CHECK bool jobs_task(struct store *store, int64_t no, struct arena *a, struct slice *ret,
                          struct err *err);

/* Other members of a job that waits (scheduled, blocked, queued; also for a retry). */
struct job_patch {
    int64_t no;
    uint32_t members;            /* enum job_member: which are taken from `spec` */
    const struct job_spec *spec; /* timeouts are relative to the creation, as at the submission */
    struct slice task;           /* absent: stays as it is */
    int64_t now_us;
    int64_t due_us;  /* with MEMBER_DUE; not later than now: as soon as possible */
    int64_t wake_us; /* out: when the row's timer runs out; 0 = it has none */
};
/* SCHEDULED ⇄ QUEUED and BLOCKED → SCHEDULED with a new due time, else no move. STATE_CONFLICT when
 * the job does not wait; OVERLOADED as jobs_insert. */
MUST_CHECK bool jobs_change(struct store *store, struct job_patch *patch, struct err *err);

/* Ended → QUEUED (or BLOCKED), with one attempt more at least; the last attempt becomes history.
 * Deadlines count from now. */
struct job_again {
    int64_t no;
    int64_t now_us;
    bool gated;                              /* BLOCKED instead: its batch lets it in */
    struct slice task;                       /* absent: stays as it is */
    int64_t wake_us;                         /* out, as in job_patch */
    struct output_ref files[OUTPUT_STREAMS]; /* out: of the last attempt, to unlink after the commit
                                              */
    size_t n_files;
};
/* STATE_CONFLICT while it has not ended; RESULT_EXPIRED when its payload is gone; DUPLICATE when
 * another job holds its unique key. */
MUST_CHECK bool jobs_retry_again(struct store *store, struct job_again *again, struct err *err);

/* The job that holds this unique key, which has not ended; 0: none. */
MUST_CHECK bool jobs_key_holder(struct store *store, const uint8_t key[UNIQUE_KEY_BYTES],
                                int64_t *ret_no, struct err *err);
/* The parent that this waiting job has because it replaced it: one with the same key, which has not
 * ended; 0: none. */
MUST_CHECK bool jobs_key_ending(struct store *store, int64_t no, int64_t *ret_no, struct err *err);

#endif
