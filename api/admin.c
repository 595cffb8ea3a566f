/* SPDX-License-Identifier: MIT */
#include "api/codec_graph.h"
#include "api/handlers.h"
#include "api/openapi.h"
#include "api/problem.h"
#include "api/reply.h"

static struct engine_stats read_stats(const struct request *rq)
{
    struct engine_stats stats = {0};
    engine_stats(rq->thread->shared->engine, &stats);
    return stats;
}

static void finish(struct request *rq)
{
    buf_putc(&rq->out, '\n');
    reply_json(rq, 200);
}

void stats_show(struct request *rq)
{
    const struct engine_stats s = read_stats(rq);
    const struct pool_totals workers = pool_totals(rq);
    struct buf *out = &rq->out;
    buf_puts(out, "{\"started\":");
    buf_json_time(out, s.started_us);
    buf_puts(out, ",\"uptime\":");
    buf_json_seconds_us(out, MAX(clock_wall_us() - s.started_us, 0));
    buf_puts(out, ",\"jobs\":{");
    for (int i = 0; i < JOB_STATE_COUNT; i++)
        buf_printf(out, "%s\"%s\":%lld", i == 0 ? "" : ",", job_state_name((enum job_state)i),
                   (long long)s.count[i]);
    buf_printf(out, "},\"workers\":{\"size\":%u,\"busy\":%u,\"idle\":%u}", workers.size,
               workers.busy, workers.idle);
    buf_printf(
        out, ",\"parked\":%llu,\"turns\":%llu,\"commits\":%llu,\"wal_bytes\":%llu,\"disk_low\":%s}",
        (unsigned long long)s.parked, (unsigned long long)s.turns, (unsigned long long)s.commits,
        (unsigned long long)s.wal_bytes, s.disk_low ? "true" : "false");
    finish(rq);
}

enum limit_kind { LIMIT_COUNT, LIMIT_SECONDS };

void limits_show(struct request *rq)
{
    const struct config *cfg = rq->thread->shared->cfg;
    const struct {
        const char *name;
        enum limit_kind kind;
        int64_t value;
    } limits[] = {
        {"http.max_body", LIMIT_COUNT, (int64_t)cfg->http_max_body},
        {"http.max_connections", LIMIT_COUNT, cfg->http_max_connections},
        {"http.connection_memory", LIMIT_COUNT, (int64_t)cfg->http_connection_memory},
        {"http.max_inflight_bytes", LIMIT_COUNT, (int64_t)cfg->http_max_inflight_bytes},
        {"http.max_parked", LIMIT_COUNT, cfg->http_max_parked},
        {"http.header_timeout", LIMIT_SECONDS, cfg->http_header_timeout_us},
        {"http.body_timeout", LIMIT_SECONDS, cfg->http_body_timeout_us},
        {"http.idle_timeout", LIMIT_SECONDS, cfg->http_idle_timeout_us},
        {"http.heartbeat", LIMIT_SECONDS, cfg->http_heartbeat_us},
        {"http.max_wait", LIMIT_SECONDS, cfg->http_max_wait_us},
        {"pool.workers", LIMIT_COUNT, cfg->pool_workers},
        {"pool.max_workers", LIMIT_COUNT, cfg->pool_max_workers},
        {"pool.kill_deadline", LIMIT_SECONDS, cfg->pool_kill_deadline_us},
        {"job.timeout", LIMIT_SECONDS, cfg->job_timeout_us},
        {"job.stop_grace", LIMIT_SECONDS, cfg->job_stop_grace_us},
        {"job.output", LIMIT_COUNT, (int64_t)cfg->job_output},
        {"job.keep", LIMIT_SECONDS, cfg->job_keep_us},
        {"job.row_keep", LIMIT_SECONDS, cfg->job_row_keep_us},
        {"job.max_attempts", LIMIT_COUNT, cfg->job_max_attempts},
        {"queue.max_jobs", LIMIT_COUNT, (int64_t)cfg->queue_max_jobs},
        {"queue.max_queues", LIMIT_COUNT, cfg->queue_max_queues},
        {"queue.max_concurrency", LIMIT_COUNT, MAX_CONCURRENCY},
        {"queue.max_rate", LIMIT_COUNT, MAX_RATE},
        {"queue.max_weight", LIMIT_COUNT, MAX_WEIGHT},
        {"queue.max_length", LIMIT_COUNT, MAX_LENGTH},
        {"queue.max_defaults", LIMIT_COUNT, MAX_DEFAULTS_BYTES},
        {"graph.max_jobs", LIMIT_COUNT, MAX_GRAPH_JOBS},
        {"graph.max_edges", LIMIT_COUNT, MAX_GRAPH_EDGES},
        {"idempotency.keep", LIMIT_SECONDS, cfg->idempotency_keep_us},
        {"drain", LIMIT_SECONDS, cfg->drain_us},
        {"blobs.max_size", LIMIT_COUNT, (int64_t)cfg->blob_max_size},
        {"blobs.max_total", LIMIT_COUNT, (int64_t)cfg->blob_max_total},
        {"blobs.keep", LIMIT_SECONDS, cfg->blob_keep_us},
        {"blobs.memory", LIMIT_COUNT, (int64_t)cfg->blob_memory},
        {"blobs.of_a_job", LIMIT_COUNT, MAX_JOB_BLOBS},
        {"callbacks.max_tries", LIMIT_COUNT, cfg->callback_max_tries},
        {"callbacks.timeout", LIMIT_SECONDS, cfg->callback_timeout_us},
    };
    buf_putc(&rq->out, '{');
    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        buf_printf(&rq->out, "%s\"%s\":", i == 0 ? "" : ",", limits[i].name);
        if (limits[i].kind == LIMIT_SECONDS)
            buf_json_seconds_us(&rq->out, limits[i].value);
        else
            buf_put_i64(&rq->out, limits[i].value);
    }
    buf_putc(&rq->out, '}');
    finish(rq);
}

void version_show(struct request *rq)
{
    const struct http_shared *shared = rq->thread->shared;
    const struct config *cfg = shared->cfg;
    buf_printf(&rq->out,
               "{\"version\":\"%s\",\"api\":\"v1\",\"cpus\":%u,\"sync\":\"%s\",\"auth\":\"%s\","
               "\"exposed\":%s,\"root\":%s,"
               "\"sandbox\":\"process\"}",
               GANGER_VERSION, config_cpu_count(), cfg->store_sync == SYNC_FULL ? "full" : "normal",
               cfg->auth == AUTH_TOKEN ? "token" : "none", shared->is_exposed ? "true" : "false",
               geteuid() == 0 ? "true" : "false");
    finish(rq);
}

void problem_show(struct request *rq)
{
    enum err_code code = err_by_slug(rq->match.args[0]);
    struct err err = {0};
    if (code == ERR_NONE) {
        (void)err_set(&err, ERR_NOT_FOUND, "There is no problem type with this name");
        reply_problem(rq, &err);
        return;
    }
    problem_write_page(code, &rq->out);
    reply_json(rq, 200);
}

void live_show(struct request *rq)
{
    reply_empty(rq, 200);
}

void ready_show(struct request *rq)
{
    reply_empty(rq, engine_phase(rq->thread->shared->engine) == PHASE_RUNNING ? 200 : 503);
}

void metrics_show(struct request *rq)
{
    const struct engine_stats s = read_stats(rq);
    const struct pool_totals workers = pool_totals(rq);
    struct buf *out = &rq->out;
    struct err err = {0};
    metrics_write(rq->thread->shared->metrics, out);
    for (int i = 0; i < JOB_STATE_COUNT; i++) {
        char labels[48];
        (void)snprintf(labels, sizeof labels, "state=\"%s\"", job_state_name((enum job_state)i));
        metrics_write_gauge(out, "ganger_jobs", i == 0 ? "Jobs in the store, by state." : NULL,
                            labels, (double)s.count[i]);
    }
    metrics_write_gauge(out, "ganger_workers", "Worker processes wanted.", NULL, workers.size);
    metrics_write_gauge(out, "ganger_workers_busy", "Workers that run a job.", NULL, workers.busy);
    metrics_write_gauge(out, "ganger_parked_requests", "Requests that wait for a change.", NULL,
                        (double)s.parked);
    metrics_write_gauge(out, "ganger_callbacks_pending", "Callbacks that are not delivered yet.",
                        NULL, (double)s.deliveries);
    metrics_write_gauge(out, "ganger_blobs", "Blobs.", NULL, (double)s.blobs);
    metrics_write_gauge(out, "ganger_blob_bytes", "Bytes of all blobs.", NULL,
                        (double)s.blob_bytes);
    metrics_write_gauge(out, "ganger_blob_memory_bytes", "Bytes of blobs that are in memory.", NULL,
                        (double)s.blob_memory);
    metrics_write_gauge(out, "ganger_wal_bytes", "Size of the write-ahead log.", NULL,
                        (double)s.wal_bytes);
    metrics_write_gauge(out, "ganger_disk_low", "1 while the store has no room.", NULL,
                        s.disk_low ? 1 : 0);
    pool_metrics(rq);
    if (queue_metrics(rq, &err))
        reply_out(rq, 200, "text/plain; version=0.0.4; charset=utf-8");
    else
        reply_problem(rq, &err);
}

void openapi_show(struct request *rq)
{
    openapi_write(&rq->out);
    reply_json(rq, 200);
}
