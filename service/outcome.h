/* SPDX-License-Identifier: MIT */
/* How the end of a task becomes the end, or the next attempt, of a job. Pure: the policy of retries
 * lives here and nowhere else. */
#ifndef GANGER_SERVICE_OUTCOME_H
#define GANGER_SERVICE_OUTCOME_H

#include "pool/task.h"
#include "storage/jobs.h"

struct attempt_facts {
    struct job_row row; /* as claimed */
    uint32_t attempt;
    const struct job_start *start; /* the row says `queued`: it has begun since the last commit; or
                                      NULL */
    bool stop_requested, drain_stop;
    bool retries_lost;  /* its pool has `lost` among the reasons of every policy */
    const char *broken; /* its pool is broken by a death: what died; else NULL */
    bool feeds_another; /* its stdout is the stdin of the next stage of a pipeline */
    bool has_policy;
    struct retry_policy policy;
    int64_t now_us;
};

/* Fills ret from the task's outcome; slices and strings of it point into `outcome`.
 * TASK_START_FAILED is no end: see jobs_unstart. */
void outcome_of(const struct attempt_facts *facts, const struct task_outcome *outcome,
                struct job_end *ret);
/* The same for an attempt of which nothing is known but that it may have run. */
void outcome_lost(const struct attempt_facts *facts, struct job_end *ret);

/* The files that the task has left lie in memory that its worker can still write to: each is copied
 * once, and from then on `outcome` speaks of the copies, of those that are sound. False: some are
 * not, or are there twice. */
bool outcome_take_blobs(struct task_outcome *outcome, struct task_blob kept[TASK_MAX_OUTPUTS]);

#endif
