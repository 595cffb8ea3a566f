/* SPDX-License-Identifier: MIT */
/* A running job, as HTTP threads see it without the engine. */
#ifndef GANGER_SERVICE_RUNNING_H
#define GANGER_SERVICE_RUNNING_H

#include "service/query.h"

#define MAX_PROCESSES 1000
#define MAX_ARGV_BYTES 4096 /* shown of one process */

struct process_view {
    int32_t pid, ppid;
    char state; /* proc(5): 'R', 'S', 'D', 'T', 'Z' … */
    char name[16];
    struct slice argv; /* each argument with a NUL behind it; the last one may be cut */
    uint64_t rss_bytes;
    int64_t cpu_us;
};

struct process_list {
    struct job_view job; /* whose they are */
    struct process_view *items;
    uint32_t n;
    bool is_cut; /* there are more than MAX_PROCESSES */
};

/* The processes of a job, parents before their children, and the job itself. STATE_CONFLICT when it
 * does not run. Bytes go to `a`. */
MUST_CHECK bool query_processes(struct query *query, const struct job_id *id, struct arena *a,
                                struct process_list *ret, struct err *err);

#endif
