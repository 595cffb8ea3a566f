/* SPDX-License-Identifier: MIT */
/* Why a job waits: what keeps it from beginning, in the order in which it will meet it. All of it
 * is read; the engine is not asked. So it is the state of a moment, and what only the dispatcher
 * knows (which start used up a rate) is concluded from what can be seen. */
#include "api/handlers.h"
#include "api/reply.h"
#include "api/view.h"

#include <math.h>
#include <stdarg.h>

#define MAX_POSITION 1000
#define MAX_PARENTS_SHOWN 20

struct explanation {
    struct request *rq;
    struct job_view job;
    struct queue_view queue;
    struct pool_view pool;
    uint32_t idle;    /* places of its workers that run nothing */
    int64_t position; /* 0 = not known */
    uint32_t n;       /* blockers written */
};

/* ------------------------------------------------------------------------------------------------
 * blockers: each is written only when it is one */

static void put_blocker(struct explanation *x, const char *type, const char *fmt, ...)
    PRINTF_LIKE(3, 4);

/* Opens the object: the caller may add members, and closes it. */
static void put_blocker(struct explanation *x, const char *type, const char *fmt, ...)
{
    struct buf *out = &x->rq->out;
    char detail[240];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(detail, sizeof detail, fmt, args);
    va_end(args);
    buf_printf(out, "%s{\"type\":\"%s\",\"detail\":", x->n++ == 0 ? "" : ",", type);
    buf_json_string(out, slice_of(detail));
}

static void close_blocker(struct explanation *x)
{
    buf_putc(&x->rq->out, '}');
}

static void put_schedule(struct explanation *x)
{
    char due[28];
    if (x->job.state != JOB_SCHEDULED)
        return;
    text_from_time_us(x->job.due_us, due);
    put_blocker(x, "schedule", "It is due at %s%s", due,
                x->job.attempt > 0 ? ", for its next attempt" : "");
    buf_printf(&x->rq->out, ",\"until\":\"%s\"", due);
    close_blocker(x);
}

static void put_parent(struct explanation *x, const struct parent_view *parent)
{
    char id[37];
    const char *kind = parent->is_batch ? "batch" : "job";
    job_id_format(&parent->id, id);
    put_blocker(x, "dependency", "It depends on %s %s, which has not ended", kind, id);
    buf_printf(&x->rq->out, ",\"parent\":\"%s\",\"state\":\"%s\"", id,
               job_state_name(parent->state));
    close_blocker(x);
}

/* `no` is the job, or its batch, which waits for all of its elements. */
static bool put_parents(struct explanation *x, int64_t no, struct err *err)
{
    struct parent_view parents[MAX_PARENTS_SHOWN];
    struct parent_list list = {.parents = parents, .max = MAX_PARENTS_SHOWN};
    if (!query_parents(x->rq->thread->query, no, &list, err))
        return false;
    for (size_t i = 0; i < list.n; i++)
        put_parent(x, &parents[i]);
    if (list.total > (int64_t)list.n) {
        put_blocker(x, "dependency", "It depends on %lld more",
                    (long long)(list.total - (int64_t)list.n));
        close_blocker(x);
    }
    return true;
}

static bool put_batch(struct explanation *x, struct err *err)
{
    struct batch batch;
    if ((x->job.flags & JOB_GATED) == 0 || x->job.batch.no == 0)
        return true;
    if (!query_batch_mark(x->rq->thread->query, &x->job.batch, &batch, err))
        return false;
    if (!put_parents(x, batch.no, err))
        return false;
    if (batch.phase == BATCH_HALTED)
        put_blocker(x, "batch", "Its batch is halted and lets nothing begin any more");
    else if (batch.max_parallel > 0)
        put_blocker(x, "batch", "Its batch has max_parallel %lld, and %lld of its jobs come first",
                    (long long)batch.max_parallel, (long long)batch_active(&batch));
    else if (batch.chunksize > 1)
        put_blocker(x, "batch", "It runs behind the others of its chunk");
    else
        put_blocker(x, "batch", "Its batch has not let it in yet");
    close_blocker(x);
    return true;
}

static int64_t queue_active(const struct explanation *x)
{
    return x->queue.count[JOB_RUNNING] + x->queue.count[JOB_STOPPING];
}

static void put_queue(struct explanation *x)
{
    const struct queue_settings *s = &x->queue.settings;
    if (s->paused) {
        put_blocker(x, "paused", "Queue %s is paused", x->queue.name);
        close_blocker(x);
    }
    if (x->job.state != JOB_QUEUED)
        return;
    bool is_full = s->concurrency > 0 && queue_active(x) >= (int64_t)s->concurrency;
    if (is_full) {
        put_blocker(x, "concurrency", "Queue %s runs %u jobs at a time, and %lld are running",
                    x->queue.name, s->concurrency, (long long)queue_active(x));
        close_blocker(x);
    }
    /* An idle worker, and nothing else in the way: the rate holds it back. */
    if (s->rate_n > 0 && !s->paused && !is_full && x->idle > 0) {
        put_blocker(x, "rate", "Queue %s begins at most %u jobs in %g s", x->queue.name, s->rate_n,
                    (double)s->rate_us / 1e6);
        close_blocker(x);
    }
}

static void put_workers(struct explanation *x)
{
    if (x->job.state != JOB_QUEUED)
        return;
    if (engine_phase(x->rq->thread->shared->engine) != PHASE_RUNNING) {
        put_blocker(x, "workers", "The service is stopping and begins nothing");
        close_blocker(x);
    } else if (x->pool.entry.phase == POOL_IS_TERMINATED) {
        put_blocker(x, "workers", "The pool is terminated and begins nothing");
        close_blocker(x);
    } else if (x->pool.entry.phase == POOL_IS_BROKEN) {
        put_blocker(x, "workers", "The pool is broken and begins nothing: %.160s",
                    x->pool.entry.why);
        close_blocker(x);
    } else if (x->pool.is_broken) {
        put_blocker(x, "workers", "The pool is broken: its workers cannot start: %.170s",
                    x->pool.why);
        close_blocker(x);
    } else if (x->idle == 0) {
        put_blocker(x, "workers", "All %u workers are busy", x->pool.entry.settings.size);
        close_blocker(x);
    } else if ((x->job.flags & JOB_GANG) != 0) {
        put_blocker(x, "workers",
                    "It is a stage of a pipeline and begins when there is a worker for each stage");
        close_blocker(x);
    }
}

static void put_order(struct explanation *x)
{
    if (x->job.state != JOB_QUEUED || x->position == 1)
        return;
    if (x->position == 0 && x->queue.count[JOB_QUEUED] < MAX_POSITION)
        return; /* it began between two reads */
    if (x->position == 0)
        put_blocker(x, "order", "More than %d jobs of queue %s come before it", MAX_POSITION - 1,
                    x->queue.name);
    else
        put_blocker(x, "order", "%lld job%s of queue %s come%s before it",
                    (long long)(x->position - 1), x->position == 2 ? "" : "s", x->queue.name,
                    x->position == 2 ? "s" : "");
    close_blocker(x);
}

static bool put_blockers(struct explanation *x, struct err *err)
{
    put_schedule(x);
    if ((x->job.flags & JOB_WAITS) != 0 && !put_parents(x, x->job.id.no, err))
        return false;
    if (!put_batch(x, err))
        return false;
    put_queue(x);
    put_workers(x);
    put_order(x);
    return true;
}

/* ------------------------------------------------------------------------------------------------
 * the estimate */

/* Seconds until it begins; < 0: not known. A scheduled job: until it is due. A queued one: the jobs
 * of its queue up to it, at the mean run time of all attempts since the service started, over the
 * workers that its queue may use; not faster than its queue's rate. Other queues are left out. */
static double estimate(const struct explanation *x)
{
    const struct queue_settings *s = &x->queue.settings;
    bool is_gated = (x->job.flags & (JOB_WAITS | JOB_GATED | JOB_GANG)) != 0;
    double mean_us = metrics_mean_us(x->rq->thread->shared->metrics, HIST_RUN_TIME);
    uint32_t workers = x->pool.entry.settings.size;
    if (is_gated || s->paused)
        return -1;
    if (x->job.state == JOB_SCHEDULED)
        return fmax((double)(x->job.due_us - clock_wall_us()) / 1e6, 0);
    if (x->job.state != JOB_QUEUED || x->position == 0 || mean_us < 0 || workers == 0)
        return -1;
    if (s->concurrency > 0)
        workers = MIN(workers, s->concurrency);
    double turns = ceil((double)x->position / workers);
    bool begins_now = s->rate_n == 0 && x->position <= (int64_t)x->idle &&
                      (s->concurrency == 0 ||
                       queue_active(x) + x->position <= (int64_t)s->concurrency);
    double by_work = begins_now ? 0 : turns * mean_us / 1e6;
    double by_rate = s->rate_n == 0
                         ? 0
                         : (double)(x->position - 1) / s->rate_n * (double)s->rate_us / 1e6;
    return fmax(by_work, by_rate);
}

static bool waits(enum job_state state)
{
    return state == JOB_SCHEDULED || state == JOB_BLOCKED || state == JOB_QUEUED;
}

static bool write_explanation(struct explanation *x, struct err *err)
{
    struct buf *out = &x->rq->out;
    char id[37];
    job_id_format(&x->job.id, id);
    buf_clear(out);
    buf_printf(out, "{\"id\":\"%s\",\"state\":\"%s\",\"blockers\":[", id,
               job_state_name(x->job.state));
    if (waits(x->job.state) && !put_blockers(x, err))
        return false;
    buf_puts(out, "],\"position\":");
    if (x->position > 0)
        buf_put_i64(out, x->position);
    else
        buf_puts(out, "null");
    double seconds = waits(x->job.state) ? estimate(x) : -1;
    buf_puts(out, ",\"estimate\":");
    if (seconds >= 0)
        buf_json_seconds_us(out, (int64_t)(seconds * 1e6));
    else
        buf_puts(out, "null");
    buf_puts(out, "}\n");
    return true;
}

/* A pool beside the default one has the queue of its name. Always true. */
static bool look_at_pool(struct explanation *x)
{
    const struct engine *e = x->rq->thread->shared->engine;
    uint32_t pool;
    if (!engine_find_pool(e, slice_of(x->job.queue), &pool))
        pool = 0;
    engine_pool_view(e, pool, &x->pool);
    x->idle = x->pool.entry.settings.size - MIN(x->pool.entry.settings.size, x->pool.busy);
    return true;
}

void job_explain(struct request *rq)
{
    AUTO_ARENA struct arena a = {0};
    struct explanation x = {.rq = rq};
    struct job_id id;
    struct err err = {0};
    arena_init(&a, 4u << 20); /* metadata may be as long as a request */
    if (!request_job_id(rq, &id, &err) || !query_job(rq->thread->query, &id, &a, &x.job, &err) ||
        !look_at_pool(&x) || !query_queue(rq->thread->query, x.job.queue, &a, &x.queue, &err) ||
        !query_position(rq->thread->query, id.no, MAX_POSITION, &x.position, &err) ||
        !write_explanation(&x, &err))
        reply_problem(rq, &err);
    else
        reply_json(rq, 200);
}
