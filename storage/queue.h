/* SPDX-License-Identifier: MIT */
/* The order in which jobs run: what is ready, what becomes ready when, what was in flight when a
 * server died. */
#ifndef GANGER_STORAGE_QUEUE_H
#define GANGER_STORAGE_QUEUE_H

#include "storage/jobs.h"

/* The head of the ready order: higher priority first, then oldest (lowest number). Nothing is
 * changed. Reservations are the engine's business. Cost: one seek of a partial index per queue that
 * has ready jobs, plus one row per entry, and one per job that is left out. */
struct ready_job {
    int64_t no;
    int32_t priority;
    uint32_t attempt; /* the row's, i.e. of the attempt before */
    uint32_t queue;
    bool contested;  /* its queue was chosen by weight, among several */
    uint32_t flags;  /* enum job_flag */
    int64_t batch;   /* 0 = none */
    uint32_t stages; /* the caller's: workers that a pipeline takes; 0 for any other job */
};

/* What the settings of a queue make of that order. */
struct queue_lane {
    uint32_t room;   /* at most so many of its jobs are ready, its reserved ones included */
    uint32_t weight; /* 0 counts as 1 */
    int64_t pass; /* virtual time: how many starts it has had, each counted as LANE_STRIDE / weight
                   */
};
#define LANE_STRIDE (INT64_C(1) << 20)
#define LANE_FREE ((struct queue_lane){UINT32_MAX, 0, 0})

struct ready_list {
    struct ready_job *jobs; /* room for max; the caller's */
    size_t max, n;
    const struct queue_lane *lanes; /* entry i: queue i + 1; NULL: no queue has limits or a weight
                                     */
    /* Among jobs of equal priority the queue with the smallest pass comes first, as if each entry
     * of the list had begun. Cost: one seek per queue that has ready jobs, and one or two per
     * entry. */
    bool by_weight;
    uint32_t without;      /* leaves out jobs that have one of these flags */
    uint32_t only;         /* looks at this queue alone; 0: at all but those of `apart` */
    const uint32_t *apart; /* n_apart queues; 0 among them stands for none */
    size_t n_apart;
};
MUST_CHECK bool queue_peek(struct store *store, struct ready_list *list, struct err *err);

/* What is needed to start a job: the task's bytes and its names. Slices live in `a`. */
struct start_info {
    struct job_row row;
    struct slice task; /* with JOB_ITEM: of the batch, to be made its own with `item` */
    struct slice item; /* raw JSON, or absent */
    const char *name, *queue;
    struct slice traceparent;
};
MUST_CHECK bool queue_start_info(struct store *store, int64_t no, struct arena *a,
                                 struct start_info *ret, struct err *err);

/* Timers. Promote: SCHEDULED → QUEUED for all that are due, at most max. */
struct due_list {
    int64_t *nos; /* room for max; the caller's */
    size_t max, n;
};
MUST_CHECK bool queue_promote(struct store *store, int64_t now_us, struct due_list *ret,
                              struct err *err);
/* Waiting jobs whose queue_timeout or deadline passed, at most max; nothing is changed (see
 * jobs_expire). */
struct expired_job {
    int64_t no;
    enum job_reason reason;
};
struct expired_list {
    struct expired_job *jobs; /* room for max; the caller's */
    size_t max, n;
};
MUST_CHECK bool queue_expired(struct store *store, int64_t now_us, struct expired_list *ret,
                              struct err *err);
/* The earliest of due, queue deadline, retention: wall µs, INT64_MAX = none. */
MUST_CHECK bool queue_next_due(struct store *store, int64_t *ret_us, struct err *err);

/* In flight: reserved or running attempts, a few for each worker, so that recovery need not look at
 * the queue. The engine's places for them are written in groups, since one row with many costs
 * little more than one with one. */
#define INFLIGHT_GROUP 64
struct inflight {
    int64_t no; /* 0: this place is empty */
    uint32_t attempt;
    uint32_t n; /* a chunk: some of the jobs [no, no + n); 1 as a rule */
};
/* The places of a group from its first one on; those behind `n` are empty. */
MUST_CHECK bool inflight_put(struct store *store, uint32_t group, const struct inflight *entries,
                             size_t n, struct err *err);
MUST_CHECK bool inflight_clear(struct store *store, struct err *err); /* all groups */
/* What the places hold that are not empty. */
MUST_CHECK bool inflight_all(struct store *store, struct inflight *ret, size_t max, size_t *ret_n,
                             struct err *err);

#endif
