/* SPDX-License-Identifier: MIT */
/* The handlers that the route table names. Each runs on an HTTP thread when the request is
 * complete, and ends with exactly one reply, or with a command on its way to the engine and a step
 * that goes on afterwards (request.h). */
#ifndef GANGER_API_HANDLERS_H
#define GANGER_API_HANDLERS_H

#include "api/request.h"

/* jobs.c */
void job_submit(struct request *rq);
void job_list(struct request *rq);
void job_show(struct request *rq);
void job_forget(struct request *rq);
void job_cancel(struct request *rq);
/* change.c */
void job_change(struct request *rq);
void job_retry(struct request *rq);
/* running.c */
void job_processes(struct request *rq);
void job_signal(struct request *rq);
void job_suspend(struct request *rq);
void job_resume(struct request *rq);
/* feed.c */
void job_feed(struct request *rq);
/* batches.c */
void batch_create(struct request *rq);
void batch_list(struct request *rq);
void batch_show(struct request *rq);
void batch_add(struct request *rq);
void batch_close(struct request *rq);
/* explain.c */
void job_explain(struct request *rq);
/* many.c */
void job_cancel_many(struct request *rq);
void job_retry_many(struct request *rq);
void job_delete_many(struct request *rq);
/* batch_verbs.c */
void batch_cancel_some(struct request *rq);
void batch_retry_some(struct request *rq);
/* pipelines.c */
void pipeline_create(struct request *rq);
/* output.c */
void job_result(struct request *rq);
void job_stdout(struct request *rq);
void job_stderr(struct request *rq);
void job_results(struct request *rq);
/* streams.c */
void job_events(struct request *rq);
/* wait.c */
void jobs_wait(struct request *rq);
void jobs_as_completed(struct request *rq);
/* results.c */
void batch_results(struct request *rq);
/* events.c */
void events_show(struct request *rq);
/* queues.c */
void queue_list(struct request *rq);
void queue_show(struct request *rq);
void queue_put(struct request *rq);
void queue_patch(struct request *rq);
void queue_delete(struct request *rq);
void queue_pause(struct request *rq);
void queue_resume(struct request *rq);
void queue_purge(struct request *rq);
MUST_CHECK bool queue_metrics(struct request *rq, struct err *err); /* a part of /metrics */
/* blobs.c */
void blob_create(struct request *rq);
void blob_list(struct request *rq);
void blob_show(struct request *rq);
void blob_forget(struct request *rq);
/* functions.c */
void function_list(struct request *rq);
/* pools.c */
void pool_show(struct request *rq);
void pool_list(struct request *rq);
void pool_metrics(struct request *rq); /* a part of /metrics */
/* Of all pools together: workers wanted, and those that there are. */
struct pool_totals {
    uint32_t size, busy, idle;
};
struct pool_totals pool_totals(const struct request *rq);
void pool_create(struct request *rq);
void pool_patch(struct request *rq);
void pool_delete(struct request *rq);
void pool_shut(struct request *rq);
void pool_reopen(struct request *rq);
void pool_terminate(struct request *rq);
void pool_join(struct request *rq);
void worker_list(struct request *rq);
void worker_show(struct request *rq);
void worker_terminate(struct request *rq);
/* admin.c */
void stats_show(struct request *rq);
void limits_show(struct request *rq);
void version_show(struct request *rq);
void problem_show(struct request *rq);
void live_show(struct request *rq);
void ready_show(struct request *rq);
void metrics_show(struct request *rq);
void openapi_show(struct request *rq);

#endif
