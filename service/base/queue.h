/* SPDX-License-Identifier: MIT */
/* What a queue is to clients: its numbers, and what an administrator has said about it. */
#ifndef GANGER_BASE_QUEUE_H
#define GANGER_BASE_QUEUE_H

#include "service/base/job.h"

#define MAX_CONCURRENCY 1000000
#define MAX_RATE 1000000
#define MAX_WEIGHT 1000
#define MAX_LENGTH INT64_C(1000000000)
#define MAX_DEFAULTS_BYTES 16384u /* the text of `defaults` */

/* Zero stands for "no limit". */
struct queue_settings {
    int64_t version;      /* + 1 with each change: the entity tag; 0 = nothing has ever been set */
    bool is_gone;         /* deleted: without jobs it is not shown any more */
    bool paused;          /* nothing begins */
    bool has_defaults;    /* members of jobs that name none */
    uint32_t concurrency; /* jobs at the same time */
    uint32_t rate_n;      /* starts in any span of */
    int64_t rate_us;      /* this length */
    uint32_t weight;      /* share of the starts among jobs of equal priority; 0 counts as 1 */
    int64_t max_length;   /* waiting jobs */
};

/* Whether it has a say in which job begins next. */
static inline bool queue_settings_rule(const struct queue_settings *s)
{
    return s->paused || s->concurrency != 0 || s->rate_n != 0 || s->weight != 0;
}

/* The members that a change replaces. */
enum queue_member {
    QUEUE_PAUSED = 1,
    QUEUE_CONCURRENCY = 2,
    QUEUE_RATE = 4,
    QUEUE_WEIGHT = 8,
    QUEUE_MAX_LENGTH = 16,
    QUEUE_DEFAULTS = 32,
    QUEUE_ALL = 63
};

#define QUEUE_ANY_VERSION (-1)
#define QUEUE_IS_NEW (-2) /* there must be no such queue */

struct queue_change {
    unsigned members; /* bits of enum queue_member */
    struct queue_settings to;
    struct slice defaults; /* raw JSON object, or absent */
    int64_t if_version;    /* or QUEUE_ANY_VERSION, QUEUE_IS_NEW */
};

/* A queue as clients see it. */
struct queue_view {
    char name[MAX_QUEUE_NAME + 1];
    int64_t count[JOB_STATE_COUNT]; /* jobs by state */
    struct queue_settings settings;
    struct slice defaults; /* raw JSON object, in the reader's arena; absent: none */
    int64_t oldest_us;     /* since when the job waits that waits longest; 0 = none is queued */
};

struct queue_page {
    struct queue_view *queues; /* room for max ≥ 1; the caller's */
    size_t max, n;
};

#endif
