/* SPDX-License-Identifier: MIT */
/* /v1/pool and /v1/workers. What a pool is said to be comes from the engine's board, its numbers
 * from the workers' own facts: nothing here waits for a commit but the verbs. */
#include "api/codec_pool.h"
#include "api/handlers.h"
#include "api/reply.h"

#include <signal.h>
#include <sys/wait.h>

#define MAX_WORKERS 1024u

static void reply_line(struct request *rq)
{
    buf_putc(&rq->out, '\n');
    reply_json(rq, 200);
}

/* ------------------------------------------------------------------------------------------------
 * a pool */

static void look(const struct request *rq, struct pool_view *ret)
{
    engine_pool_view(rq->thread->shared->engine, 0, ret);
}

static const char *state_of(const struct request *rq, const struct pool_view *pool)
{
    if (engine_phase(rq->thread->shared->engine) != PHASE_RUNNING)
        return "draining";
    if (pool->entry.phase == POOL_IS_TERMINATED)
        return "terminated";
    if (pool->is_broken)
        return "broken";
    return pool->entry.phase == POOL_IS_CLOSED ? "closed" : "open";
}

static void put_number(struct buf *out, const char *name, int64_t n)
{
    buf_printf(out, "\"%s\":", name);
    if (n == 0)
        buf_puts(out, "null");
    else
        buf_put_i64(out, n);
}

static void put_settings(struct buf *out, const struct pool_settings *s)
{
    buf_printf(out, "{\"size\":%u,\"min\":%u,\"idle\":", s->size, MIN(s->min, s->size));
    if (s->idle_us == 0)
        buf_puts(out, "null");
    else
        buf_json_seconds_us(out, s->idle_us);
    buf_putc(out, ',');
    put_number(out, "max_jobs_per_worker", s->max_jobs);
    buf_putc(out, ',');
    put_number(out, "max_rss", (int64_t)s->max_rss);
    buf_printf(out, ",\"start_failures\":%u,\"on_worker_death\":\"%s\"}", s->start_failures,
               worker_death_name(s->on_death));
}

static void put_pool(struct request *rq, const struct pool_view *pool)
{
    struct buf *out = &rq->out;
    buf_puts(out, "{\"name\":");
    buf_json_string(out, slice_of(pool->entry.name));
    buf_printf(out, ",\"state\":\"%s\",\"size\":%u,\"busy\":%u,\"idle\":%u,\"booting\":%u",
               state_of(rq, pool), pool->entry.settings.size, pool->busy, pool->idle,
               pool->booting);
    buf_printf(out,
               ",\"max_size\":%u,\"queued\":%lld,\"start_failures\":%u,\"reason\":", pool->max_size,
               (long long)pool->queued, pool->failures);
    if (pool->failures > 0)
        buf_json_string(out, slice_of(pool->why));
    else
        buf_puts(out, "null");
    buf_puts(out, ",\"settings\":");
    put_settings(out, &pool->entry.settings);
    buf_putc(out, '}');
}

static void reply_pool(struct request *rq, int status)
{
    struct pool_view pool;
    look(rq, &pool);
    buf_clear(&rq->out);
    put_pool(rq, &pool);
    buf_putc(&rq->out, '\n');
    reply_etag(rq, pool.entry.version);
    reply_json(rq, status);
}

void pool_show(struct request *rq)
{
    reply_pool(rq, 200);
}

/* ------------------------------------------------------------------------------------------------
 * verbs */

static void changed(struct request *rq)
{
    if (rq->cmd.err.code != ERR_NONE)
        reply_problem(rq, &rq->cmd.err);
    else
        reply_pool(rq, 200);
}

static void send_verb(struct request *rq, enum pool_verb verb)
{
    struct err err = {0};
    rq->cmd.kind = CMD_POOL;
    rq->cmd.pool.name = SLICE_LIT(DEFAULT_POOL);
    rq->cmd.pool.verb = verb;
    if (!request_send(rq, changed, &err))
        reply_problem(rq, &err);
}

static bool read_condition(struct request *rq, struct err *err)
{
    struct pool_view pool;
    rq->cmd.pool.if_version = 0;
    if (rq->head.header[HEADER_IF_MATCH].ptr == NULL)
        return true;
    look(rq, &pool);
    rq->cmd.pool.if_version = pool.entry.version;
    return request_etag_matches(rq, HEADER_IF_MATCH, pool.entry.version) ||
           err_set(err, ERR_VERSION_MISMATCH, "The pool's entity tag is \"%lld\"",
                   (long long)pool.entry.version);
}

void pool_patch(struct request *rq)
{
    struct pool_change change;
    struct err err = {0};
    if (!codec_read_pool(buf_slice(&rq->body), &change, &err) || !read_condition(rq, &err)) {
        reply_problem(rq, &err);
        return;
    }
    rq->cmd.pool.members = change.members;
    rq->cmd.pool.to = change.to;
    send_verb(rq, POOL_CHANGE);
}

void pool_shut(struct request *rq)
{
    struct pool_stop how;
    struct err err = {0};
    if (!codec_read_pool_close(buf_slice(&rq->body), &how, &err)) {
        reply_problem(rq, &err);
        return;
    }
    rq->cmd.pool.cancel_queued = how.cancel_queued;
    send_verb(rq, POOL_CLOSE);
}

void pool_reopen(struct request *rq)
{
    struct pool_change change = {0};
    struct err err = {0};
    if ((rq->body.len == 0 || codec_read_pool(buf_slice(&rq->body), &change, &err)) &&
        change.members == 0) {
        send_verb(rq, POOL_REOPEN);
        return;
    }
    if (err.code == ERR_NONE)
        (void)err_set(&err, ERR_INVALID, "This verb has no members; send an empty body or {}");
    reply_problem(rq, &err);
}

void pool_terminate(struct request *rq)
{
    struct pool_stop how;
    struct err err = {0};
    if (!codec_read_pool_stop(buf_slice(&rq->body), &how, &err)) {
        reply_problem(rq, &err);
        return;
    }
    rq->cmd.pool.signal = how.signal;
    rq->cmd.pool.grace_us = how.signal == SIGKILL && how.grace_us < 0 ? 0 : how.grace_us;
    send_verb(rq, POOL_TERMINATE);
}

static void join_step(struct request *rq)
{
    const uint64_t *until_ns = rq->state;
    struct park park = {.topic = topic_pool(0), .deadline_ns = *until_ns};
    struct pool_view pool;
    struct err err = {0};
    park.epoch = request_epoch(rq, park.topic);
    look(rq, &pool);
    if (pool.entry.phase == POOL_IS_OPEN) {
        (void)err_set(&err, ERR_POOL_OPEN, "The pool takes more jobs; close or terminate it first");
        reply_problem(rq, &err);
        return;
    }
    if (pool.unfinished == 0) {
        reply_pool(rq, 200);
        return;
    }
    if (!rq->conn->half_closed && clock_mono_ns() < *until_ns &&
        request_park(rq, &park, join_step, &err))
        return;
    reply_header(rq, "Retry-After", "1");
    reply_pool(rq, 202);
}

void pool_join(struct request *rq)
{
    uint64_t *until_ns = arena_alloc(&rq->arena, sizeof *until_ns);
    struct err err = {0};
    PRE(until_ns != NULL);
    rq->state = until_ns;
    if (!request_wait(rq, until_ns, &err))
        reply_problem(rq, &err);
    else
        join_step(rq);
}

/* ------------------------------------------------------------------------------------------------
 * workers */

/* As Process.exitcode: null while none has ended, -N after a signal. */
static void put_exit(struct buf *out, int32_t wait_status)
{
    if (wait_status < 0)
        buf_puts(out, "null");
    else
        buf_put_i64(out,
                    WIFSIGNALED(wait_status) ? -WTERMSIG(wait_status) : WEXITSTATUS(wait_status));
}

static void put_worker(struct buf *out, const struct query_worker *w)
{
    char job[37];
    buf_printf(out, "{\"name\":\"worker-%u\",\"pool\":\"default\",\"pid\":", w->slot);
    if (w->pid > 0)
        buf_put_i64(out, w->pid);
    else
        buf_puts(out, "null");
    buf_printf(out, ",\"alive\":%s,\"busy\":%s,\"exitcode\":", w->alive ? "true" : "false",
               w->busy ? "true" : "false");
    put_exit(out, w->last_status);
    buf_puts(out, ",\"started\":");
    buf_json_time(out, w->started_us);
    buf_printf(out, ",\"jobs_done\":%llu,\"job\":", (unsigned long long)w->tasks_done);
    if (w->job.no != 0) {
        job_id_format(&w->job, job);
        buf_printf(out, "\"%s\"", job);
    } else {
        buf_puts(out, "null");
    }
    buf_puts(out, ",\"rss\":");
    if (w->rss_bytes > 0)
        buf_put_i64(out, (int64_t)w->rss_bytes);
    else
        buf_puts(out, "null");
    buf_putc(out, '}');
}

static struct query_worker *read_workers(struct request *rq, uint32_t *ret_n)
{
    struct query_worker *workers = arena_alloc(request_scratch(rq), MAX_WORKERS * sizeof *workers);
    PRE(workers != NULL); /* 64 KiB of a scratch arena that was empty */
    *ret_n = query_workers(rq->thread->query, workers, MAX_WORKERS);
    return workers;
}

void worker_list(struct request *rq)
{
    uint32_t n, n_written = 0;
    const struct query_worker *workers = read_workers(rq, &n);
    struct slice pool = SLICE_LIT(DEFAULT_POOL);
    struct err err = {0};
    if (request_param(rq, "pool", &pool) && !slice_is(pool, DEFAULT_POOL)) {
        (void)err_set(&err, ERR_NOT_FOUND, "There is no pool with this name");
        reply_problem(rq, &err);
        return;
    }
    buf_puts(&rq->out, "{\"items\":[");
    for (uint32_t i = 0; i < n; i++) {
        if (n_written++ > 0)
            buf_putc(&rq->out, ',');
        put_worker(&rq->out, &workers[i]);
    }
    buf_puts(&rq->out, "],\"next_cursor\":null}");
    reply_line(rq);
}

/* The worker that the path names. False: there is none, and this has been answered. */
static bool find_worker(struct request *rq, struct query_worker *ret)
{
    uint32_t n;
    const struct query_worker *workers = read_workers(rq, &n);
    struct err err = {0};
    for (uint32_t i = 0; i < n; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "worker-%u", workers[i].slot);
        if (!slice_is(rq->match.args[0], name))
            continue;
        *ret = workers[i];
        return true;
    }
    (void)err_set(&err, ERR_NOT_FOUND, "There is no worker with this name");
    reply_problem(rq, &err);
    return false;
}

void worker_show(struct request *rq)
{
    struct query_worker worker;
    if (!find_worker(rq, &worker))
        return;
    buf_clear(&rq->out);
    put_worker(&rq->out, &worker);
    reply_line(rq);
}

static void worker_ended(struct request *rq)
{
    if (rq->cmd.err.code != ERR_NONE)
        reply_problem(rq, &rq->cmd.err);
    else
        worker_show(rq);
}

/* By default at once: terminating a worker is for one that does not listen. */
void worker_terminate(struct request *rq)
{
    struct query_worker worker;
    struct pool_stop how;
    struct err err = {0};
    if (!find_worker(rq, &worker))
        return;
    rq->cmd.kind = CMD_WORKER;
    if (codec_read_pool_stop(buf_slice(&rq->body), &how, &err)) {
        const bool is_given = how.signal != 0 || how.grace_us >= 0;
        rq->cmd.worker.slot = worker.slot;
        rq->cmd.worker.signal = is_given ? how.signal : SIGKILL;
        rq->cmd.worker.grace_us = is_given ? how.grace_us : 0;
        if (request_send(rq, worker_ended, &err))
            return;
    }
    reply_problem(rq, &err);
}
