/* SPDX-License-Identifier: MIT */
/* The read side: what can be asked without the engine. Owner: one HTTP thread each. Never blocks
 * longer than a short read; no statement stays open. */
#ifndef GANGER_SERVICE_QUERY_H
#define GANGER_SERVICE_QUERY_H

#include "service/engine.h"

struct query;
MUST_CHECK bool query_open(struct engine *engine, struct query **ret_query, struct err *err);
void query_close(struct query *query);

/* One job, with its live facts (pids, progress, bytes so far) when it runs. Strings live in `a`. */
MUST_CHECK bool query_job(struct query *query, const struct job_id *id, struct arena *a,
                          struct job_view *ret, struct err *err);
MUST_CHECK bool query_job_by_no(struct query *query, int64_t no, struct arena *a,
                                struct job_view *ret, bool *ret_found, struct err *err);
struct query_filter {
    uint32_t states;
    const char *queue, *name, *label_key, *label_value;
    int64_t created_after_us;
    bool oldest_first;
};
MUST_CHECK bool query_list(struct query *query, const struct query_filter *filter, int64_t cursor,
                           size_t limit, struct arena *a, struct job_view *ret, size_t *ret_n,
                           int64_t *ret_cursor, struct err *err);
/* Cheap look for long polls. */
struct query_mark {
    enum job_state state;
    uint32_t attempt;
    int64_t version;
};
MUST_CHECK bool query_mark(struct query *query, const struct job_id *id, struct query_mark *ret,
                           struct err *err);

/* Output of the newest attempt. `spool_fd` ≥ 0: a file, bytes [0, bytes) are readable, the caller
 * owns the descriptor. Else inline in the database: use query_output_read. `needs_watch`: the job
 * runs and its output is still in the worker's slot: park with `watch`, then ask again. */
struct query_output {
    uint32_t attempt;
    uint64_t bytes;
    bool running, truncated, expired, needs_watch;
    int spool_fd;
};
MUST_CHECK bool query_output_open(struct query *query, const struct job_view *job, int stream,
                                  struct query_output *ret, struct err *err);
MUST_CHECK bool query_output_read(struct query *query, const struct job_view *job,
                                  const struct query_output *out, int stream, uint64_t offset,
                                  void *to, size_t max, size_t *ret_n, struct err *err);

struct query_worker {
    uint32_t slot;
    bool alive, busy;
    int32_t pid, last_status; /* wait status of the last one that ended; -1 none */
    int64_t started_us;
    uint64_t tasks_done;
    struct job_id job;  /* no = 0: idle */
    uint64_t rss_bytes; /* from /proc, 0 = unknown */
};
uint32_t query_workers(struct query *query, struct query_worker *ret, uint32_t max);

#endif
