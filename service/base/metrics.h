/* SPDX-License-Identifier: MIT */
/* Counters and histograms in one table. Owner: main; every thread may count (relaxed atomics),
 * anyone may print. Names follow Prometheus' conventions: ganger_ prefix, base units, _total. */
#ifndef GANGER_BASE_METRICS_H
#define GANGER_BASE_METRICS_H

#include "service/base/buf.h"
#include "service/base/callback.h"
#include "service/base/job.h"

#include <stdatomic.h>

/* clang-format off */
#define COUNTERS(X) /* name, metric, help */                                                       \
    X(JOBS_SUBMITTED,  "ganger_jobs_submitted_total",     "Jobs accepted.")                        \
    X(ATTEMPTS,        "ganger_attempts_started_total",   "Attempts handed to a worker.")          \
    X(RETRIES,         "ganger_retries_total",            "Failed attempts that were put back.")   \
    X(COMMITS,         "ganger_commits_total",            "Transactions committed.")               \
    X(COMMIT_FAILURES, "ganger_commit_failures_total",    "Transactions that failed.")             \
    X(STEPS_DROPPED,   "ganger_steps_dropped_total",      "Steps dropped since they failed.")      \
    X(CHECKPOINTS,     "ganger_checkpoints_total",        "WAL checkpoints.")                      \
    X(WORKER_DEATHS,   "ganger_worker_deaths_total",      "Workers that ended unasked.")           \
    X(WORKER_STARTS,   "ganger_worker_starts_total",      "Workers that became ready.")            \
    X(WORKERS_REPLACED, "ganger_workers_replaced_total",  "Workers sent away: recycled, idle, too many.") \
    X(RUNNER_STARTS,   "ganger_runner_starts_total",      "Runners started.")                      \
    X(RUNNER_FAILURES, "ganger_runner_start_failures_total", "Runners that did not come up.")      \
    X(HTTP_REQUESTS,   "ganger_http_requests_total",      "Requests answered.")                    \
    X(HTTP_REFUSED,    "ganger_http_refused_total",       "Requests refused by the gate.")         \
    X(HTTP_ERRORS,     "ganger_http_errors_total",        "Requests answered with 5xx.")           \
    X(STREAM_EVENTS,   "ganger_stream_events_total",      "Events sent on streams.")               \
    X(WAKEUPS,         "ganger_waiter_wakeups_total",     "Parked requests woken.")

#define HISTOGRAMS(X) /* name, metric (seconds), help */                                           \
    X(QUEUE_WAIT,      "ganger_job_queue_wait_seconds",   "From ready to started.")                \
    X(RUN_TIME,        "ganger_job_run_seconds",          "From start to end of an attempt.")      \
    X(COMMIT_TIME,     "ganger_commit_seconds",           "Duration of COMMIT.")                   \
    X(TURN_TIME,       "ganger_engine_turn_seconds",      "Work of one engine turn.")              \
    X(HTTP_TIME,       "ganger_http_request_seconds",     "From request to answer, waits included.")
/* clang-format on */

enum counter {
#define X(id, metric, help) COUNT_##id,
    COUNTERS(X)
#undef X
        COUNTER_COUNT
};
enum histogram {
#define X(id, metric, help) HIST_##id,
    HISTOGRAMS(X)
#undef X
        HISTOGRAM_COUNT
};

#define HISTOGRAM_BUCKETS 16 /* upper bounds in metrics.c, 100 µs … 1 h, then +Inf */
struct metrics {
    _Atomic uint64_t counters[COUNTER_COUNT];
    _Atomic uint64_t finished[JOB_STATE_COUNT];         /* ganger_jobs_finished_total{state=…} */
    _Atomic uint64_t callback_tries[TRY_OUTCOME_COUNT]; /* ganger_callback_tries_total{outcome=…} */
    struct {
        _Atomic uint64_t bucket[HISTOGRAM_BUCKETS + 1];
        _Atomic uint64_t sum_us;
    } histograms[HISTOGRAM_COUNT];
};

static inline void metrics_add(struct metrics *m, enum counter c, uint64_t n)
{
    atomic_fetch_add_explicit(&m->counters[c], n, memory_order_relaxed);
}
void metrics_observe_us(struct metrics *m, enum histogram h, uint64_t us);
/* The mean of what was observed since the start; < 0: nothing was. */
double metrics_mean_us(const struct metrics *m, enum histogram h);
/* Prometheus text exposition 0.0.4 of all of the above. Gauges are appended by the caller with
 * metrics_write_gauge. */
void metrics_write(const struct metrics *m, struct buf *out);
/* `labels` may be NULL, or what stands between the braces: state="queued". HELP and TYPE are
 * written when help != NULL, that is before the first sample of a name. */
void metrics_write_gauge(struct buf *out, const char *name, const char *help, const char *labels,
                         double value);

#endif
