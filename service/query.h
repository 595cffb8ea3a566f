/* SPDX-License-Identifier: MIT */
/* The read side: what can be asked without the engine. Owner: one HTTP thread each. Never blocks
 * longer than a short read; no statement stays open. */
#ifndef GANGER_SERVICE_QUERY_H
#define GANGER_SERVICE_QUERY_H

#include "service/base/blob.h"
#include "service/base/queue.h"
#include "service/base/result.h"
#include "service/element.h"
#include "service/engine.h"

struct query;
MUST_CHECK bool query_open(struct engine *engine, struct query **ret_query, struct err *err);
void query_close(struct query *query);
void query_rest(struct query *query); /* nothing is expected soon: its memory becomes small */

/* One job, with its live facts (pids, progress, bytes so far) when it runs. Strings live in `a`. */
MUST_CHECK bool query_job(struct query *query, const struct job_id *id, struct arena *a,
                          struct job_view *ret, struct err *err);
/* Progress of the running job becomes a change of topic_output, and the newest one is in `job`.
 * To be called after the topic's epoch was loaded, each time before parking. False: it does not run
 * (yet). */
bool query_listen(struct query *query, struct job_view *job, struct arena *a);
/* Without the earlier attempts. */
MUST_CHECK bool query_job_by_no(struct query *query, int64_t no, struct arena *a,
                                struct job_view *ret, struct err *err);
/* A page of jobs; OVERLOADED when the arena cannot hold it. It may be short and yet not the last
 * (reader_list). */
MUST_CHECK bool query_list(struct query *query, const struct job_filter *filter, struct arena *a,
                           struct job_page *page, struct err *err);
/* The tries of a job's callbacks, those behind page->after. */
MUST_CHECK bool query_tries(struct query *query, int64_t no, struct arena *a, struct try_page *page,
                            struct err *err);
/* The job that has submitted this one; no = 0: it was none. */
MUST_CHECK bool query_submitter(struct query *query, int64_t no, struct job_id *ret,
                                struct err *err);
/* Cheap look for long polls. */
MUST_CHECK bool query_mark(struct query *query, const struct job_id *id, struct job_mark *ret,
                           struct err *err);

/* Queues, their numbers and settings: reader_queue, reader_queues, reader_defaults. */
MUST_CHECK bool query_queue(struct query *query, const char *name, struct arena *a,
                            struct queue_view *ret, struct err *err);
MUST_CHECK bool query_queues(struct query *query, const char *after, struct arena *a,
                             struct queue_page *page, struct err *err);
MUST_CHECK bool query_defaults(struct query *query, struct slice queue, struct arena *a,
                               struct slice *ret, struct err *err);
/* Batches: reader_batch.h. */
MUST_CHECK bool query_batch(struct query *query, const struct job_id *id, struct arena *a,
                            struct batch_view *ret, struct err *err);
MUST_CHECK bool query_batch_by_no(struct query *query, int64_t no, struct arena *a,
                                  struct batch_view *ret, struct err *err);
MUST_CHECK bool query_batch_nos(struct query *query, int64_t before, struct number_page *page,
                                struct err *err);
MUST_CHECK bool query_batch_mark(struct query *query, const struct job_id *id, struct batch *ret,
                                 struct err *err);
/* What an item of this batch must keep to; what that needs goes to `a`. */
MUST_CHECK bool query_element_rules(struct query *query, int64_t batch, struct arena *a,
                                    struct element_rules *ret, struct err *err);

/* reader_position. */
MUST_CHECK bool query_position(struct query *query, int64_t no, int64_t max, int64_t *ret,
                               struct err *err);
/* The parents that a job or a batch waits for: reader_parents. */
MUST_CHECK bool query_parents(struct query *query, int64_t child, struct parent_list *ret,
                              struct err *err);

/* What waits and streams read: storage/results.h. */
MUST_CHECK bool query_results(struct query *query, struct result_ask *ask, struct err *err);
MUST_CHECK bool query_result(struct query *query, int64_t no, const struct result_sink *sink,
                             struct err *err);
/* The standard output of a row whose is_spooled is set, appended. */
MUST_CHECK bool query_result_file(struct query *query, const struct result_row *row,
                                  struct buf *out, struct err *err);
MUST_CHECK bool query_member(struct query *query, const struct job_id *id, struct member_mark *ret,
                             struct err *err);
/* False in *ret_found: it is gone. */
MUST_CHECK bool query_queue_name(struct query *query, uint32_t queue, char ret[MAX_QUEUE_NAME + 1],
                                 bool *ret_found, struct err *err);
MUST_CHECK bool query_batch_id(struct query *query, int64_t no, struct job_id *ret, bool *ret_found,
                               struct err *err);
MUST_CHECK bool query_has_label(struct query *query, int64_t no, const struct label *label,
                                bool *ret, struct err *err);

/* Output of the newest attempt. `spool_fd` ≥ 0: a file, bytes [0, bytes) are readable, the caller
 * owns the descriptor. Else inline in the database: use query_output_read. `needs_watch`: the job
 * runs and its output is still in the worker's slot: park with `watch`, then ask again. */
struct query_output {
    struct output_ref ref;
    uint64_t bytes;
    bool running, truncated, expired, needs_watch;
    int spool_fd;
};
MUST_CHECK bool query_output_open(struct query *query, const struct job_view *job, int stream,
                                  struct query_output *ret, struct err *err);
/* chunk->n = 0: nothing is readable at this offset (yet). */
MUST_CHECK bool query_output_read(struct query *query, const struct query_output *out,
                                  struct chunk *chunk, struct err *err);

/* Blobs: storage/blobs.h. The descriptor is the caller's; STORAGE: the file is damaged or gone. */
MUST_CHECK bool query_blob(struct query *query, const struct job_id *id, struct arena *a,
                           struct blob *ret, struct err *err);
MUST_CHECK bool query_blob_id(struct query *query, int64_t no, struct job_id *ret, struct err *err);
MUST_CHECK bool query_blobs(struct query *query, struct arena *a, struct blob_page *page,
                            struct err *err);
MUST_CHECK bool query_blob_open(struct query *query, const struct blob *blob, int *ret_fd,
                                struct err *err);

struct query_worker {
    uint32_t slot, pool;
    bool alive, busy;
    int32_t pid, last_status; /* wait status of the last one that ended; -1 none */
    int64_t started_us;
    uint64_t tasks_done;
    struct job_id job;  /* no = 0: idle */
    uint64_t rss_bytes; /* from /proc, 0 = unknown */
};
uint32_t query_workers(struct query *query, struct query_worker *ret, uint32_t max);

#endif
