/* SPDX-License-Identifier: MIT */
/* /v1/workers: the processes of all pools, from facts that they keep in shared memory. */
#include "api/codec_pool.h"
#include "api/handlers.h"
#include "api/reply.h"

#include <signal.h>
#include <sys/wait.h>

/* As Process.exitcode: null while none has ended, -N after a signal. */
static void put_exit(struct buf *out, int32_t wait_status)
{
    if (wait_status < 0)
        buf_puts(out, "null");
    else
        buf_put_i64(out,
                    WIFSIGNALED(wait_status) ? -WTERMSIG(wait_status) : WEXITSTATUS(wait_status));
}

static void put_worker(struct buf *out, const struct query_worker *w, const char *pool)
{
    char job[37];
    buf_printf(out, "{\"name\":\"worker-%u\",\"pool\":", w->slot);
    buf_json_string(out, slice_of(pool));
    buf_puts(out, ",\"pid\":");
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
    PRE(workers != NULL); /* 80 KiB of a scratch arena that was empty */
    *ret_n = query_workers(rq->thread->query, workers, MAX_WORKERS);
    return workers;
}

/* The workers of this pool alone. */
static void keep_pool(struct query_worker *workers, uint32_t *n, uint32_t pool)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < *n; i++)
        if (workers[i].pool == pool)
            workers[kept++] = workers[i];
    *n = kept;
}

static void write_page(struct request *rq, const struct query_worker *workers, uint32_t n,
                       const struct page *page)
{
    uint32_t i = 0;
    while (i < n && workers[i].slot < page->cursor)
        i++;
    const uint32_t end = i + (uint32_t)MIN((int64_t)(n - i), page->limit);
    struct pool_view pool = {0};
    uint32_t looked_at = MAX_POOLS; /* a look is dear, and neighbours are mostly of one pool */
    buf_puts(&rq->out, "{\"items\":[");
    for (const char *comma = ""; i < end; i++, comma = ",") {
        if (workers[i].pool != looked_at)
            engine_pool_view(rq->thread->shared->engine, workers[i].pool, &pool);
        looked_at = workers[i].pool;
        buf_puts(&rq->out, comma);
        put_worker(&rq->out, &workers[i], pool.entry.name);
    }
    reply_list_by_number(rq, end < n ? workers[end].slot : 0);
}

void worker_list(struct request *rq)
{
    uint32_t n, pool;
    struct query_worker *workers = read_workers(rq, &n);
    struct slice name;
    struct page page;
    struct err err = {0};
    bool ok = request_page(rq, &page, &err);
    if (ok && request_param(rq, "pool", &name)) {
        ok = engine_find_pool(rq->thread->shared->engine, name, &pool) ||
             err_set(&err, ERR_NOT_FOUND, "There is no pool with this name");
        if (ok)
            keep_pool(workers, &n, pool);
    }
    if (ok)
        write_page(rq, workers, n, &page);
    else
        reply_problem(rq, &err);
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
    struct pool_view pool;
    if (!find_worker(rq, &worker))
        return;
    engine_pool_view(rq->thread->shared->engine, worker.pool, &pool);
    buf_clear(&rq->out);
    put_worker(&rq->out, &worker, pool.entry.name);
    buf_putc(&rq->out, '\n');
    reply_json(rq, 200);
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
