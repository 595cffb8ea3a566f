/* SPDX-License-Identifier: MIT */
/* What a batch is: jobs that were submitted together and are counted, read, cancelled and retried
 * together. Pure vocabulary, as job.h. */
#ifndef GANGER_BASE_BATCH_H
#define GANGER_BASE_BATCH_H

#include "service/base/job.h"

/* Stored. */
enum batch_kind {
    BATCH_ITEMS,   /* one template, many items: Pool.map, job arrays */
    BATCH_GRAPH,   /* jobs of their own, which may depend on each other */
    BATCH_PIPELINE /* stages joined by kernel pipes, started together */
};

/* Stored. An open batch takes more; a halted one lets nothing begin any more. */
enum batch_phase { BATCH_UPLOADING, BATCH_OPEN, BATCH_CLOSED, BATCH_HALTED };

/* Stored, bits: what the engine still has to do for a batch, a bounded step in each turn. */
enum batch_work {
    BATCH_WORK_CANCEL = 1,  /* cancel what waits */
    BATCH_WORK_RELEASE = 2, /* let blocked elements into the queue */
    BATCH_WORK_UPLOAD = 4   /* nothing, but a server that finds it at its start knows that the
                               upload has broken off */
};

/* A batch as the engine and readers see it. Times are wall µs, 0 = not yet. */
struct batch {
    int64_t no;
    struct job_id id;
    int64_t version, created_us, finished_us, keep_us;
    int64_t gone_us;   /* when its row goes */
    int64_t remaining; /* elements whose rows are there */
    enum batch_kind kind;
    enum batch_phase phase;
    uint32_t work, flags, queue; /* flags: enum job_flag; queue: its number */
    int64_t place;               /* of the work: an index */
    int64_t gated;               /* elements that its gate holds back */
    int64_t n, ended;            /* elements; ends so far, a retried element counts again */
    int64_t failed_first;        /* index, in order of completion; -1: none */
    int64_t max_parallel, max_failures, chunksize; /* 0: no limit; chunksize ≥ 1 */
    int64_t count[JOB_STATE_COUNT];
};

/* Elements that have ended. */
static inline int64_t batch_done(const struct batch *b)
{
    return b->count[JOB_SUCCEEDED] + b->count[JOB_FAILED] + b->count[JOB_CANCELLED];
}

/* Elements that may begin, run, or wait for another attempt: what max_parallel limits. */
static inline int64_t batch_active(const struct batch *b)
{
    return b->n - batch_done(b) - b->gated;
}

/* Nothing can happen to it any more, unless elements are retried. */
static inline bool batch_is_over(const struct batch *b)
{
    return b->phase >= BATCH_CLOSED && batch_done(b) == b->n;
}

/* How a batch that is over went, in a job's words. */
static inline enum job_state batch_end_state(const struct batch *b)
{
    return b->count[JOB_FAILED] > 0                                  ? JOB_FAILED
           : b->phase == BATCH_HALTED || b->count[JOB_CANCELLED] > 0 ? JOB_CANCELLED
                                                                     : JOB_SUCCEEDED;
}

/* A batch as shown to clients. Strings are terminated, in the arena given to the reader. */
struct batch_view {
    struct batch batch;
    const char *name; /* NULL: none; as it was given, with its placeholders */
    const char *queue;
    struct slice labels, metadata;  /* raw JSON, or absent */
    struct job_id submitter;        /* the job that has submitted it; no = 0: none */
    struct callback_view *callback; /* with JOB_CALLBACK, else NULL */
    struct job_id *stages;          /* BATCH_PIPELINE: by index; no = 0: it has been forgotten */
    uint32_t n_stages;
};

/* As many workers as a pool can have. */
#define MAX_STAGES 1024

/* Elements [first_index, first_index + n) are the jobs from first_no on. */
struct batch_part {
    int64_t first_index, first_no, n;
};

/* Numbers of batches, newest first. */
struct number_page {
    int64_t *nos; /* room for max ≥ 1; the caller's */
    size_t max, n;
};

#endif
