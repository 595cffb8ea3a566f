/* SPDX-License-Identifier: MIT */
#include "api/routes.h"

#include "api/handlers.h"

#define JSON_TYPE "application/json"
#define NDJSON_TYPE "application/x-ndjson"
#define BYTES_TYPE "application/octet-stream"
#define TEXT_TYPE "text/plain; charset=utf-8"
#define EVENTS_TYPE "text/event-stream"

/* Headers of requests. */
#define KEY (1u << HEADER_IDEMPOTENCY_KEY)
#define TRACE (1u << HEADER_TRACEPARENT)
#define RANGE (1u << HEADER_RANGE)
#define LAST_EVENT (1u << HEADER_LAST_EVENT_ID)
#define IF_SAME (1u << HEADER_IF_MATCH)
#define IF_OTHER (1u << HEADER_IF_NONE_MATCH)
/* Headers of answers. */
#define LOCATION (1u << ANSWER_LOCATION)
#define ETAG (1u << ANSWER_ETAG)
#define EXISTING (1u << ANSWER_EXISTING)
#define DONE (1u << ANSWER_DONE)
#define LATER (1u << ANSWER_RETRY_AFTER)
#define RANGES (1u << ANSWER_RANGES)
#define BYTES (1u << ANSWER_DISPOSITION | 1u << ANSWER_POLICY)
#define PART (1u << ANSWER_RANGE | RANGES | BYTES)
#define STREAM (1u << ANSWER_UNBUFFERED)

/* What a row does not name, it does not have. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

/* clang-format off */
const struct route routes[] = {
    /* The routes that are asked for most stand first: the matcher walks from the top. */
    {METHOD_POST, "/v1/jobs", job_submit, SCOPE_SUBMIT, BODY_JSON | BODY_NDJSON, "JobRequest",
     {"wait"},
     {{202, JSON_TYPE, "Job", LOCATION | ETAG}, {200, JSON_TYPE, "Job", LOCATION | ETAG, EXISTING}, {200, NDJSON_TYPE, NULL}},
     "Submit one job, or many as NDJSON; answered when durable.",
     KEY | TRACE},
    {METHOD_GET, "/v1/jobs/{id}", job_show, SCOPE_READ, BODY_NONE, NULL, {"wait"},
     {{200, JSON_TYPE, "Job", ETAG}, {304, NULL, NULL, ETAG}},
     "One job; with If-None-Match and wait a long poll.",
     IF_OTHER},
    {METHOD_GET, "/v1/jobs/{id}/result", job_result, SCOPE_READ, BODY_NONE, NULL, {"wait"},
     {{200, BYTES_TYPE, NULL, BYTES, RANGES}, {200, JSON_TYPE, NULL, BYTES, RANGES}, {200, TEXT_TYPE, NULL, BYTES, RANGES},
      {202, JSON_TYPE, "Job", LATER}, {204, NULL, NULL},
      {206, BYTES_TYPE, NULL, PART}, {206, JSON_TYPE, NULL, PART}, {206, TEXT_TYPE, NULL, PART}},
     "The value itself; waits with Prefer.",
     RANGE},
    {METHOD_GET, "/v1/jobs", job_list, SCOPE_READ, BODY_NONE, NULL,
     {"state", "queue", "name", "label", "batch", "parent", "created_after", "order", "limit",
      "cursor"},
     {{200, JSON_TYPE, "JobList"}},
     "List jobs, newest first, by cursor."},
    {METHOD_POST, "/v1/jobs/{id}/cancel", job_cancel, SCOPE_CANCEL, BODY_JSON, "CancelRequest",
     {"wait"},
     {{200, JSON_TYPE, "Cancellation"}, {202, JSON_TYPE, "Cancellation"}},
     "End it with its whole tree; idempotent."},
    {METHOD_DELETE, "/v1/jobs/{id}", job_forget, SCOPE_CANCEL, BODY_NONE, NULL, {NULL},
     {{204, NULL, NULL}},
     "Forget a finished job.",
     IF_SAME},
    {METHOD_PATCH, "/v1/jobs/{id}", job_change, SCOPE_EXEC, BODY_JSON, "JobChange", {NULL},
     {{200, JSON_TYPE, "Job", ETAG}},
     "Change a job that waits.",
     IF_SAME},
    {METHOD_POST, "/v1/jobs/{id}/retry", job_retry, SCOPE_EXEC, BODY_JSON, "Nothing", {NULL},
     {{202, JSON_TYPE, "Job", ETAG}},
     "Run a finished job once more.",
     IF_SAME},
    {METHOD_GET, "/v1/jobs/{id}/explain", job_explain, SCOPE_READ, BODY_NONE, NULL, {NULL},
     {{200, JSON_TYPE, "Explanation"}},
     "Why it waits, how many are before it, and about how long."},
    {METHOD_GET, "/v1/jobs/{id}/processes", job_processes, SCOPE_READ, BODY_NONE, NULL, {NULL},
     {{200, JSON_TYPE, "Processes"}},
     "The processes of a running job, parents before their children."},
    {METHOD_POST, "/v1/jobs/{id}/signal", job_signal, SCOPE_CANCEL, BODY_JSON, "SignalRequest",
     {NULL}, {{202, JSON_TYPE, "Job", ETAG}},
     "Send a signal to a running command's main group, or to all of its processes."},
    {METHOD_POST, "/v1/jobs/{id}/suspend", job_suspend, SCOPE_CANCEL, BODY_JSON, "Nothing", {NULL},
     {{202, JSON_TYPE, "Job", ETAG}}, "Let all processes of a running command stand still."},
    {METHOD_POST, "/v1/jobs/{id}/resume", job_resume, SCOPE_CANCEL, BODY_JSON, "Nothing", {NULL},
     {{202, JSON_TYPE, "Job", ETAG}}, "Let them go on."},
    {METHOD_PUT, "/v1/jobs/{id}/stdin", job_feed, SCOPE_EXEC, BODY_BYTES, NULL, {"eof", "offset"},
     {{202, JSON_TYPE, "Fed"}},
     "Feed a running command whose standard input is open; ?eof=1 ends it."},
    {METHOD_POST, "/v1/jobs/cancel", job_cancel_many, SCOPE_CANCEL, BODY_JSON, "BulkCancel",
     {NULL}, {{200, JSON_TYPE, "BulkAnswer"}},
     "Cancel many jobs, by ids or by a filter."},
    {METHOD_POST, "/v1/jobs/retry", job_retry_many, SCOPE_EXEC, BODY_JSON, "BulkRequest",
     {NULL}, {{200, JSON_TYPE, "BulkAnswer"}},
     "Run many finished jobs once more."},
    {METHOD_POST, "/v1/jobs/delete", job_delete_many, SCOPE_CANCEL, BODY_JSON, "BulkRequest",
     {NULL}, {{200, JSON_TYPE, "BulkAnswer"}},
     "Forget many finished jobs."},
    {METHOD_GET, "/v1/jobs/{id}/stdout", job_stdout, SCOPE_READ, BODY_NONE, NULL, {"follow"},
     {{200, BYTES_TYPE, NULL, BYTES, RANGES | STREAM}, {200, TEXT_TYPE, NULL, BYTES, RANGES | STREAM}, {200, EVENTS_TYPE, NULL, STREAM},
      {206, BYTES_TYPE, NULL, PART}, {206, TEXT_TYPE, NULL, PART}},
     "The bytes so far; ?follow=1 or SSE until the end.",
     RANGE | LAST_EVENT},
    {METHOD_GET, "/v1/jobs/{id}/stderr", job_stderr, SCOPE_READ, BODY_NONE, NULL, {"follow"},
     {{200, BYTES_TYPE, NULL, BYTES, RANGES | STREAM}, {200, TEXT_TYPE, NULL, BYTES, RANGES | STREAM}, {200, EVENTS_TYPE, NULL, STREAM},
      {206, BYTES_TYPE, NULL, PART}, {206, TEXT_TYPE, NULL, PART}},
     "The same of standard error.",
     RANGE | LAST_EVENT},
    {METHOD_GET, "/v1/jobs/{id}/results", job_results, SCOPE_READ, BODY_NONE, NULL, {"follow"},
     {{200, NDJSON_TYPE, NULL, BYTES, RANGES | STREAM}, {206, NDJSON_TYPE, NULL, PART}},
     "Partial results of a runner's call so far, a line each; ?follow=1 until the end.",
     RANGE},
    {METHOD_GET, "/v1/jobs/{id}/events", job_events, SCOPE_READ, BODY_NONE, NULL, {NULL},
     {{200, EVENTS_TYPE, NULL, STREAM}},
     "States and progress as SSE, until the end.",
     LAST_EVENT},
    {METHOD_POST, "/v1/batches", batch_create, SCOPE_SUBMIT, BODY_JSON | BODY_NDJSON, "BatchRequest",
     {NULL},
     {{202, JSON_TYPE, "Batch", LOCATION | ETAG}},
     "One job for each item: map, starmap, job arrays (NDJSON: the batch, then an item a line); or "
     "a graph of jobs that wait for each other.",
     KEY | TRACE},
    {METHOD_POST, "/v1/batches/{id}/jobs", batch_add, SCOPE_SUBMIT, BODY_JSON | BODY_NDJSON,
     "BatchItems", {NULL},
     {{202, JSON_TYPE, "Batch", LOCATION | ETAG}},
     "More items for an open batch.",
     KEY},
    {METHOD_POST, "/v1/batches/{id}/close", batch_close, SCOPE_SUBMIT, BODY_JSON, "Nothing", {NULL},
     {{200, JSON_TYPE, "Batch", ETAG}},
     "An open batch takes no more items: it is over when all have ended."},
    {METHOD_POST, "/v1/batches/{id}/cancel", batch_cancel_some, SCOPE_CANCEL, BODY_JSON,
     "BatchCancelRequest", {"wait"},
     {{200, JSON_TYPE, "BatchCancellation"}, {202, JSON_TYPE, "BatchCancellation"}},
     "End what has not ended, or some by index."},
    {METHOD_POST, "/v1/batches/{id}/retry", batch_retry_some, SCOPE_EXEC, BODY_JSON,
     "BatchRetryRequest", {NULL},
     {{202, JSON_TYPE, "BatchRetry"}},
     "Once more those that failed, or some by index."},
    {METHOD_POST, "/v1/pipelines", pipeline_create, SCOPE_SUBMIT, BODY_JSON, "PipelineRequest",
     {"wait"},
     {{202, JSON_TYPE, "Batch", LOCATION | ETAG}, {200, JSON_TYPE, "Batch", LOCATION | ETAG}},
     "Jobs joined by kernel pipes, which begin together.",
     KEY | TRACE},
    {METHOD_GET, "/v1/batches", batch_list, SCOPE_READ, BODY_NONE, NULL, {"limit", "cursor"},
     {{200, JSON_TYPE, "BatchList"}}, "List batches, newest first, by cursor."},
    {METHOD_GET, "/v1/batches/{id}", batch_show, SCOPE_READ, BODY_NONE, NULL,
     {"wait", "until"},
     {{200, JSON_TYPE, "Batch", ETAG}, {304, NULL, NULL, ETAG}},
     "Its counts and progress; waits until it is over, or with If-None-Match until it changes.",
     IF_OTHER},
    {METHOD_GET, "/v1/batches/{id}/results", batch_results, SCOPE_READ, BODY_NONE, NULL,
     {"order", "after", "limit", "wait"},
     {{200, JSON_TYPE, "ResultList", DONE}, {200, NDJSON_TYPE, NULL, STREAM}, {200, EVENTS_TYPE, NULL, STREAM}},
     "Results as they complete or by index: SSE, NDJSON or an array; resumable.",
     LAST_EVENT},
    {METHOD_POST, "/v1/wait", jobs_wait, SCOPE_READ, BODY_JSON, "WaitRequest", {"wait"},
     {{200, JSON_TYPE, "WaitAnswer"}},
     "Wait for many jobs or batches, as concurrent.futures.wait."},
    {METHOD_POST, "/v1/as-completed", jobs_as_completed, SCOPE_READ, BODY_JSON,
     "AsCompletedRequest", {"after"},
     {{200, NDJSON_TYPE, NULL, STREAM}, {200, EVENTS_TYPE, NULL, STREAM}},
     "Results of these jobs and batches as they complete: NDJSON or SSE; resumable.",
     LAST_EVENT},
    {METHOD_GET, "/v1/events", events_show, SCOPE_READ, BODY_NONE, NULL,
     {"queue", "batch", "label", "state", "after"},
     {{200, EVENTS_TYPE, NULL, STREAM}, {200, NDJSON_TYPE, NULL, STREAM}},
     "Every change of every job, one sequence: SSE or NDJSON; resumable.",
     LAST_EVENT},
    {METHOD_GET, "/v1/pool", pool_show, SCOPE_READ, BODY_NONE, NULL, {NULL},
     {{200, JSON_TYPE, "Pool", ETAG}}, "Size, busy, idle, state."},
    {METHOD_PATCH, "/v1/pool", pool_patch, SCOPE_ADMIN, BODY_JSON, "PoolSettings", {NULL},
     {{200, JSON_TYPE, "Pool", ETAG}},
     "Change settings while it runs; when it shrinks, jobs that run go on.",
     IF_SAME},
    {METHOD_POST, "/v1/pool/close", pool_shut, SCOPE_ADMIN, BODY_JSON, "PoolClose", {NULL},
     {{200, JSON_TYPE, "Pool", ETAG}},
     "Pool.close(): submissions get 409 pool-closed, accepted jobs run."},
    {METHOD_POST, "/v1/pool/reopen", pool_reopen, SCOPE_ADMIN, BODY_JSON, "Nothing", {NULL},
     {{200, JSON_TYPE, "Pool", ETAG}}, "It takes jobs again; a broken pool tries at once to start workers."},
    {METHOD_POST, "/v1/pool/terminate", pool_terminate, SCOPE_ADMIN, BODY_JSON, "PoolStop", {NULL},
     {{200, JSON_TYPE, "Pool", ETAG}},
     "Pool.terminate(): running jobs are stopped, waiting ones cancelled, workers end."},
    {METHOD_GET, "/v1/pool/join", pool_join, SCOPE_READ, BODY_NONE, NULL, {"wait"},
     {{200, JSON_TYPE, "Pool", ETAG}, {202, JSON_TYPE, "Pool", ETAG | LATER}},
     "Pool.join(): 200 when all accepted jobs have ended, 409 pool-open while it takes more."},
    {METHOD_GET, "/v1/pools", pool_list, SCOPE_READ, BODY_NONE, NULL, {"limit", "cursor"},
     {{200, JSON_TYPE, "PoolList"}}, "All pools, the default one first."},
    {METHOD_POST, "/v1/pools", pool_create, SCOPE_ADMIN, BODY_JSON, "PoolRequest", {NULL},
     {{201, JSON_TYPE, "Pool", LOCATION | ETAG}},
     "Make a pool with workers and a queue of its own, for jobs that name it.",
     KEY},
    {METHOD_GET, "/v1/pools/{name}", pool_show, SCOPE_READ, BODY_NONE, NULL, {NULL},
     {{200, JSON_TYPE, "Pool", ETAG}}, "One of the pools."},
    {METHOD_PATCH, "/v1/pools/{name}", pool_patch, SCOPE_ADMIN, BODY_JSON, "PoolSettings", {NULL},
     {{200, JSON_TYPE, "Pool", ETAG}},
     "Change settings while it runs; when it shrinks, jobs that run go on.",
     IF_SAME},
    {METHOD_DELETE, "/v1/pools/{name}", pool_delete, SCOPE_ADMIN, BODY_NONE, NULL, {NULL},
     {{204, NULL, NULL}}, "Forget a pool; 409 while it has jobs that have not ended."},
    {METHOD_POST, "/v1/pools/{name}/close", pool_shut, SCOPE_ADMIN, BODY_JSON, "PoolClose", {NULL},
     {{200, JSON_TYPE, "Pool", ETAG}},
     "Pool.close(): submissions get 409 pool-closed, accepted jobs run."},
    {METHOD_POST, "/v1/pools/{name}/reopen", pool_reopen, SCOPE_ADMIN, BODY_JSON, "Nothing", {NULL},
     {{200, JSON_TYPE, "Pool", ETAG}}, "It takes jobs again; a broken pool tries at once to start workers."},
    {METHOD_POST, "/v1/pools/{name}/terminate", pool_terminate, SCOPE_ADMIN, BODY_JSON, "PoolStop", {NULL},
     {{200, JSON_TYPE, "Pool", ETAG}},
     "Pool.terminate(): running jobs are stopped, waiting ones cancelled, workers end."},
    {METHOD_GET, "/v1/pools/{name}/join", pool_join, SCOPE_READ, BODY_NONE, NULL, {"wait"},
     {{200, JSON_TYPE, "Pool", ETAG}, {202, JSON_TYPE, "Pool", ETAG | LATER}},
     "Pool.join(): 200 when all accepted jobs have ended, 409 pool-open while it takes more."},
    {METHOD_GET, "/v1/workers", worker_list, SCOPE_READ, BODY_NONE, NULL,
     {"pool", "limit", "cursor"},
     {{200, JSON_TYPE, "WorkerList"}}, "The worker processes."},
    {METHOD_GET, "/v1/workers/{name}", worker_show, SCOPE_READ, BODY_NONE, NULL, {NULL},
     {{200, JSON_TYPE, "Worker"}}, "One worker process."},
    {METHOD_POST, "/v1/workers/{name}/terminate", worker_terminate, SCOPE_ADMIN, BODY_JSON, "PoolStop",
     {NULL}, {{200, JSON_TYPE, "Worker"}},
     "Replace a worker; its job is killed, and fails or is retried as after any signal."},
    {METHOD_GET, "/v1/queues", queue_list, SCOPE_READ, BODY_NONE, NULL, {"limit", "cursor"},
     {{200, JSON_TYPE, "QueueList"}}, "Queues by name, with their numbers."},
    {METHOD_GET, "/v1/queues/{name}", queue_show, SCOPE_READ, BODY_NONE, NULL, {NULL},
     {{200, JSON_TYPE, "Queue", ETAG}}, "One queue and its numbers."},
    {METHOD_PUT, "/v1/queues/{name}", queue_put, SCOPE_ADMIN, BODY_JSON, "QueueSettings", {NULL},
     {{200, JSON_TYPE, "Queue", ETAG}, {201, JSON_TYPE, "Queue", LOCATION | ETAG}},
     "Make a queue, or replace all its settings; what is not named has no limit.",
     IF_SAME | IF_OTHER},
    {METHOD_PATCH, "/v1/queues/{name}", queue_patch, SCOPE_ADMIN, BODY_JSON, "QueueSettings",
     {NULL}, {{200, JSON_TYPE, "Queue", ETAG}}, "Change the settings that are named.",
     IF_SAME | IF_OTHER},
    {METHOD_DELETE, "/v1/queues/{name}", queue_delete, SCOPE_ADMIN, BODY_NONE, NULL, {NULL},
     {{204, NULL, NULL}}, "Take all settings back; 409 while it has jobs that have not ended.",
     IF_SAME | IF_OTHER},
    {METHOD_POST, "/v1/queues/{name}/pause", queue_pause, SCOPE_ADMIN, BODY_JSON, "Nothing", {NULL},
     {{200, JSON_TYPE, "Queue", ETAG}}, "None of its jobs begins any more; running ones go on.",
     IF_SAME | IF_OTHER},
    {METHOD_POST, "/v1/queues/{name}/resume", queue_resume, SCOPE_ADMIN, BODY_JSON, "Nothing", {NULL},
     {{200, JSON_TYPE, "Queue", ETAG}}, "Its jobs begin again.",
     IF_SAME | IF_OTHER},
    {METHOD_POST, "/v1/queues/{name}/purge", queue_purge, SCOPE_CANCEL, BODY_JSON, "Nothing", {NULL},
     {{200, JSON_TYPE, "Purge"}}, "Cancel all its jobs that wait."},
    {METHOD_GET, "/v1/functions", function_list, SCOPE_READ, BODY_NONE, NULL, {"limit", "cursor"},
     {{200, JSON_TYPE, "FunctionList"}}, "What can be called, and with which arguments."},
    {METHOD_POST, "/v1/blobs", blob_create, SCOPE_SUBMIT, BODY_BYTES, NULL, {"keep"},
     {{201, JSON_TYPE, "Blob", LOCATION}},
     "Keep bytes of any length, to be used by many jobs; answered when durable.",
     KEY},
    {METHOD_GET, "/v1/blobs", blob_list, SCOPE_READ, BODY_NONE, NULL, {"limit", "cursor"},
     {{200, JSON_TYPE, "BlobList"}}, "List blobs, newest first, by cursor."},
    {METHOD_GET, "/v1/blobs/{id}", blob_show, SCOPE_READ, BODY_NONE, NULL, {NULL},
     {{200, BYTES_TYPE, NULL, ETAG | RANGES | BYTES}, {206, BYTES_TYPE, NULL, ETAG | PART}, {304, NULL, NULL, ETAG}},
     "The bytes of a blob; with ranges.",
     RANGE | IF_OTHER},
    {METHOD_DELETE, "/v1/blobs/{id}", blob_forget, SCOPE_CANCEL, BODY_NONE, NULL, {NULL},
     {{204, NULL, NULL}}, "Forget it; 409 while a job needs it that has not ended."},
    {METHOD_GET, "/v1/stats", stats_show, SCOPE_READ, BODY_NONE, NULL, {NULL},
     {{200, JSON_TYPE, "Stats"}}, "Counters, each O(1)."},
    {METHOD_GET, "/v1/limits", limits_show, SCOPE_READ, BODY_NONE, NULL, {NULL},
     {{200, JSON_TYPE, "Limits"}}, "Every cap and default in force."},
    {METHOD_GET, "/v1/version", version_show, SCOPE_READ, BODY_NONE, NULL, {NULL},
     {{200, JSON_TYPE, "Version"}}, "Versions, CPUs, durability, authentication."},
    {METHOD_GET, "/problems/{slug}", problem_show, SCOPE_READ, BODY_NONE, NULL, {NULL},
     {{200, JSON_TYPE, "ProblemPage"}}, "One kind of failure in words."},
    {METHOD_GET, "/livez", live_show, SCOPE_NOBODY, BODY_NONE, NULL, {NULL},
     {{200, NULL, NULL}}, "Status code only: the process answers."},
    {METHOD_GET, "/readyz", ready_show, SCOPE_NOBODY, BODY_NONE, NULL, {NULL},
     {{200, NULL, NULL}, {503, NULL, NULL}}, "Status code only; 503 while starting or draining."},
    {METHOD_GET, "/metrics", metrics_show, SCOPE_READ, BODY_NONE, NULL, {NULL},
     {{200, "text/plain; version=0.0.4", NULL}}, "Prometheus text."},
    {METHOD_GET, "/openapi.json", openapi_show, SCOPE_READ, BODY_NONE, NULL, {NULL},
     {{200, JSON_TYPE, "AnyObject"}}, "This API as OpenAPI 3.1."},
};
/* clang-format on */
#pragma GCC diagnostic pop
const size_t n_routes = ARRAY_LEN(routes);

const char *scope_name(enum scope scope)
{
    static const char *const names[SCOPE_COUNT] = {
        [SCOPE_NOBODY] = "none", [SCOPE_READ] = "read",     [SCOPE_SUBMIT] = "submit",
        [SCOPE_EXEC] = "exec",   [SCOPE_CANCEL] = "cancel", [SCOPE_WORKER] = "worker",
        [SCOPE_ADMIN] = "admin",
    };
    PRE((unsigned)scope < SCOPE_COUNT);
    return names[scope];
}

/* One segment after the slash at `*at`; moves behind it. */
static struct slice next_segment(const char **at, const char *end)
{
    const char *first = *at + 1;
    const char *slash = memchr(first, '/', (size_t)(end - first));
    *at = slash == NULL ? end : slash;
    return (struct slice){first, (size_t)(*at - first)};
}

static bool path_fits(const char *pattern, struct slice path, struct slice args[MAX_ROUTE_ARGS])
{
    const char *p = path.ptr, *path_end = path.ptr + path.len;
    const char *q = pattern, *pattern_end = pattern + strlen(pattern);
    uint32_t n_args = 0;
    while (p < path_end && q < pattern_end) {
        struct slice have = next_segment(&p, path_end), want = next_segment(&q, pattern_end);
        if (want.len == 0 || want.ptr[0] != '{') {
            if (!slice_eq(have, want))
                return false;
            continue;
        }
        PRE(n_args < MAX_ROUTE_ARGS);
        if (!text_is_token(have, 64))
            return false;
        args[n_args++] = have;
    }
    return p == path_end && q == pattern_end;
}

#define ID_LENGTH 36u

/* A path that a row names word for word belongs to it alone: `/v1/jobs/cancel` is no job. No such
 * word is as long as an id, so the routes that are asked for most are not searched twice. */
static bool is_named(struct slice path, const struct slice args[MAX_ROUTE_ARGS])
{
    if (args[0].ptr == NULL || args[0].len == ID_LENGTH)
        return false;
    for (size_t i = 0; i < n_routes; i++) {
        if (slice_is(path, routes[i].path))
            return true;
    }
    return false;
}

void route_match(enum method method, struct slice path, struct route_match *ret)
{
    enum method row_method = method == METHOD_HEAD ? METHOD_GET : method;
    *ret = (struct route_match){0};
    if (path.len == 0 || path.ptr[0] != '/')
        return;
    for (size_t i = 0; i < n_routes; i++) {
        struct slice args[MAX_ROUTE_ARGS] = {0};
        if (!path_fits(routes[i].path, path, args) || is_named(path, args))
            continue;
        ret->methods |= 1u << routes[i].method;
        if (routes[i].method == METHOD_GET)
            ret->methods |= 1u << METHOD_HEAD;
        if (routes[i].method != row_method)
            continue;
        ret->route = &routes[i];
        memcpy(ret->args, args, sizeof args);
        return;
    }
}

void route_write_allow(uint32_t methods, struct buf *out)
{
    const char *comma = "";
    for (int m = 0; m < METHOD_OTHER; m++) {
        if ((methods >> m & 1u) == 0)
            continue;
        buf_puts(out, comma);
        buf_puts(out, gate_method_name((enum method)m));
        comma = ", ";
    }
}

static void write_answers(const struct route *route, struct buf *out)
{
    int last = 0;
    for (size_t i = 0; i < MAX_ANSWERS && route->answers[i].status != 0; i++) {
        if (route->answers[i].status == last)
            continue;
        last = route->answers[i].status;
        buf_printf(out, "%s%d", i == 0 ? "" : ", ", last);
    }
}

static void write_headers(const struct route *route, struct buf *out)
{
    const char *space = "";
    for (int h = 0; h < HEADER_COUNT; h++) {
        const char *name = request_header_name((enum header)h);
        if (name == NULL || h == HEADER_REQUEST_ID || !route_takes(route, (enum header)h))
            continue;
        buf_printf(out, "%s`%s`", space, name);
        space = " ";
    }
}

void route_write_markdown(struct buf *out)
{
    buf_puts(out, "| method | path | scope | body | parameters | headers | success | does "
                  "|\n|---|---|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < n_routes; i++) {
        const struct route *r = &routes[i];
        buf_printf(out, "| %s | `%s` | %s | ", gate_method_name(r->method), r->path,
                   scope_name(r->scope));
        buf_puts(out, (r->body & BODY_JSON) != 0 ? "JSON" : r->body == BODY_BYTES ? "bytes" : "");
        buf_puts(out, (r->body & BODY_NDJSON) != 0 ? ", NDJSON | " : " | ");
        for (size_t k = 0; k < MAX_PARAMS && r->params[k] != NULL; k++)
            buf_printf(out, "%s`%s`", k == 0 ? "" : " ", r->params[k]);
        buf_puts(out, " | ");
        write_headers(r, out);
        buf_puts(out, " | ");
        write_answers(r, out);
        buf_printf(out, " | %s |\n", r->summary);
    }
}
