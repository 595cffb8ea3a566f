/* SPDX-License-Identifier: MIT */
/* /v1/pools. What a pool is said to be comes from the engine's board, its numbers from the workers'
 * own facts: nothing here waits for a commit but the verbs. */
#include "api/codec.h"
#include "api/codec_pool.h"
#include "api/handlers.h"
#include "api/reply.h"
#include "api/submit.h"
#include "service/base/json.h"

#include <signal.h>

/* ------------------------------------------------------------------------------------------------
 * a pool */

/* The pool that the path names, or the default one. */
static struct slice pool_name(const struct request *rq)
{
    return rq->match.args[0].len > 0 ? rq->match.args[0] : SLICE_LIT(DEFAULT_POOL);
}

static bool has_gone(struct err *err)
{
    return err_set(err, ERR_NOT_FOUND, "There is no pool with this name");
}

static bool find(const struct request *rq, uint32_t *ret_number, struct err *err)
{
    return engine_find_pool(rq->thread->shared->engine, pool_name(rq), ret_number) || has_gone(err);
}

/* The pool that was found under this number, unless it has been forgotten since. */
static bool look_at(const struct request *rq, uint32_t number, struct pool_view *ret,
                    struct err *err)
{
    engine_pool_view(rq->thread->shared->engine, number, ret);
    return slice_is(pool_name(rq), ret->entry.name) || has_gone(err);
}

static bool look(const struct request *rq, struct pool_view *ret, struct err *err)
{
    uint32_t number;
    return find(rq, &number, err) && look_at(rq, number, ret, err);
}

static const char *state_of(const struct request *rq, const struct pool_view *pool)
{
    if (engine_phase(rq->thread->shared->engine) != PHASE_RUNNING)
        return "draining";
    if (pool->entry.phase == POOL_IS_TERMINATED)
        return "terminated";
    if (pool->is_broken || pool->entry.phase == POOL_IS_BROKEN)
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
    buf_puts(out, ",\"start_timeout\":");
    buf_json_seconds_us(out, s->start_timeout_us);
    buf_printf(out, ",\"start_failures\":%u,\"on_worker_death\":\"%s\",\"isolation\":",
               s->start_failures, worker_death_name(s->on_death));
    const char *isolation = pool_isolation_name(s->isolation);
    if (isolation == NULL)
        buf_puts(out, "null}");
    else
        buf_printf(out, "\"%s\"}", isolation);
}

/* What it gets in INIT may be a secret. */
static void put_runner(struct buf *out, const char *runner)
{
    const char *separator = "{";
    struct slice key, value;
    struct json_iter it;
    bool has_init = false;
    if (runner[0] == '\0') {
        buf_puts(out, "null");
        return;
    }
    json_iter_init(&it, slice_of(runner));
    while (json_next_member(&it, &key, &value)) {
        has_init |= slice_is(key, "init_base64");
        if (slice_is(key, "init_base64"))
            continue;
        buf_printf(out, "%s\"%.*s\":", separator, (int)key.len, key.ptr);
        buf_append(out, value.ptr, value.len);
        separator = ",";
    }
    buf_printf(out, "%s\"has_init\":%s}", separator, has_init ? "true" : "false");
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
    if (pool->entry.phase == POOL_IS_BROKEN)
        buf_json_string(out, slice_of(pool->entry.why));
    else if (pool->failures > 0)
        buf_json_string(out, slice_of(pool->why));
    else
        buf_puts(out, "null");
    buf_puts(out, ",\"runner\":");
    put_runner(out, pool->entry.runner);
    buf_puts(out, ",\"settings\":");
    put_settings(out, &pool->entry.settings);
    buf_putc(out, '}');
}

static void reply_view(struct request *rq, const struct pool_view *pool, int status)
{
    buf_clear(&rq->out);
    put_pool(rq, pool);
    buf_putc(&rq->out, '\n');
    reply_etag(rq, pool->entry.version);
    reply_json(rq, status);
}

static void reply_pool(struct request *rq, int status)
{
    struct pool_view pool = {0};
    struct err err = {0};
    if (look(rq, &pool, &err))
        reply_view(rq, &pool, status);
    else
        reply_problem(rq, &err);
}

void pool_show(struct request *rq)
{
    reply_pool(rq, 200);
}

/* The pool from this number on, 0 being the default one. False: there is none. */
static bool next_pool(const struct request *rq, uint32_t *number, struct pool_view *ret)
{
    for (; *number < MAX_POOLS; (*number)++) {
        engine_pool_view(rq->thread->shared->engine, *number, ret);
        if (ret->entry.name[0] != '\0')
            return true;
    }
    return false;
}

void pool_list(struct request *rq)
{
    struct page page;
    struct pool_view pool;
    struct err err = {0};
    if (!request_page(rq, &page, &err)) {
        reply_problem(rq, &err);
        return;
    }
    uint32_t number = (uint32_t)MIN(page.cursor, (int64_t)MAX_POOLS);
    bool goes_on = next_pool(rq, &number, &pool);
    buf_puts(&rq->out, "{\"items\":[");
    for (int64_t n = 0; n < page.limit && goes_on; n++) {
        buf_puts(&rq->out, n == 0 ? "" : ",");
        put_pool(rq, &pool);
        number++;
        goes_on = next_pool(rq, &number, &pool);
    }
    reply_list_by_number(rq, goes_on ? number : 0);
}

struct pool_totals pool_totals(const struct request *rq)
{
    struct pool_totals totals = {0};
    struct pool_view pool;
    for (uint32_t number = 0; next_pool(rq, &number, &pool); number++) {
        totals.size += pool.entry.settings.size;
        totals.busy += pool.busy;
        totals.idle += pool.idle;
    }
    return totals;
}

/* A gauge for each pool. */
static void put_gauge(struct request *rq, const char *name, const char *help,
                      uint32_t (*of)(const struct pool_view *pool))
{
    struct pool_view pool;
    for (uint32_t number = 0; next_pool(rq, &number, &pool); number++) {
        char labels[MAX_POOL_NAME + 16];
        (void)snprintf(labels, sizeof labels, "pool=\"%.*s\"", MAX_POOL_NAME, pool.entry.name);
        metrics_write_gauge(&rq->out, name, help, labels, of(&pool));
        help = NULL;
    }
}

static uint32_t alive_of(const struct pool_view *pool)
{
    return pool->busy + pool->idle + pool->booting;
}

static uint32_t busy_of(const struct pool_view *pool)
{
    return pool->busy;
}

static uint32_t broken_of(const struct pool_view *pool)
{
    return pool->is_broken || pool->entry.phase == POOL_IS_BROKEN ? 1 : 0;
}

void pool_metrics(struct request *rq)
{
    put_gauge(rq, "ganger_pool_workers", "Worker processes of a pool.", alive_of);
    put_gauge(rq, "ganger_pool_workers_busy", "Workers of a pool that run a job.", busy_of);
    put_gauge(rq, "ganger_pool_broken", "1 while a pool is broken.", broken_of);
}

/* ------------------------------------------------------------------------------------------------
 * verbs */

static void reply_made(struct request *rq)
{
    char *location = arena_alloc(&rq->arena, 24 + MAX_POOL_NAME);
    struct pool_view pool = {0};
    struct err err = {0};
    if (!look(rq, &pool, &err)) { /* by a key, of one that has been deleted since */
        reply_problem(rq, &err);
        return;
    }
    if (location != NULL) {
        (void)snprintf(location, 24 + MAX_POOL_NAME, "/v1/pools/%s", pool.entry.name);
        reply_header(rq, ANSWER_LOCATION, location);
    }
    if (rq->cmd.key.replayed)
        reply_header(rq, ANSWER_REPLAYED, "true");
    reply_view(rq, &pool, 201);
}

static void changed(struct request *rq)
{
    if (rq->cmd.err.code != ERR_NONE)
        reply_problem(rq, &rq->cmd.err);
    else if (rq->cmd.pool.verb == POOL_MAKE)
        reply_made(rq);
    else if (rq->cmd.pool.verb == POOL_DELETE)
        reply_empty(rq, 204);
    else
        reply_pool(rq, 200);
}

static void send_verb(struct request *rq, enum pool_verb verb)
{
    struct err err = {0};
    rq->cmd.kind = CMD_POOL;
    rq->cmd.pool.name = pool_name(rq);
    rq->cmd.pool.verb = verb;
    if (!request_send(rq, changed, &err))
        reply_problem(rq, &err);
}

static bool read_condition(struct request *rq, struct err *err)
{
    struct pool_view pool = {0};
    rq->cmd.pool.if_version = 0;
    if (request_header(rq, HEADER_IF_MATCH).ptr == NULL)
        return true;
    if (!look(rq, &pool, err))
        return false;
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

/* {name} of the path comes from the body here, so that the answer is the pool's as ever. */
void pool_create(struct request *rq)
{
    struct pool_change change;
    struct err err = {0};
    uint8_t digest[32] = {0};
    if (request_header(rq, HEADER_IDEMPOTENCY_KEY).ptr != NULL)
        submit_digest(buf_slice(&rq->body), digest);
    if (!codec_read_new_pool(buf_slice(&rq->body), &change, &err) ||
        !submit_read_key(rq, digest, &err)) {
        reply_problem(rq, &err);
        return;
    }
    rq->match.args[0] = change.name;
    rq->cmd.pool.runner = (struct slice){arena_dup(&rq->arena, slice_of(change.runner)),
                                         strlen(change.runner)};
    PRE(rq->cmd.pool.runner.ptr != NULL); /* 4 KiB */
    rq->cmd.pool.members = change.members;
    rq->cmd.pool.to = change.to;
    send_verb(rq, POOL_MAKE);
}

void pool_delete(struct request *rq)
{
    send_verb(rq, POOL_DELETE);
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
    struct err err = {0};
    if (codec_read_nothing(buf_slice(&rq->body), &err))
        send_verb(rq, POOL_REOPEN);
    else
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

struct join {
    uint64_t until_ns;
};

static void join_step(struct request *rq)
{
    const struct join *join = rq->state;
    uint32_t number;
    struct pool_view pool;
    struct err err = {0};
    if (!find(rq, &number, &err)) {
        reply_problem(rq, &err);
        return;
    }
    struct park park = {.topic = topic_pool(number), .deadline_ns = join->until_ns};
    park.epoch = request_epoch(rq, park.topic);
    if (!look_at(rq, number, &pool, &err)) {
        reply_problem(rq, &err);
    } else if (pool.entry.phase == POOL_IS_OPEN) {
        (void)err_set(&err, ERR_POOL_OPEN, "The pool takes more jobs; close or terminate it first");
        reply_problem(rq, &err);
    } else if (pool.unfinished == 0) {
        reply_view(rq, &pool, 200);
    } else if (rq->conn->half_closed || clock_mono_ns() >= join->until_ns ||
               !request_park(rq, &park, join_step, &err)) {
        reply_header(rq, ANSWER_RETRY_AFTER, "1");
        reply_view(rq, &pool, 202);
    }
}

void pool_join(struct request *rq)
{
    struct join *join = arena_alloc(&rq->arena, sizeof *join);
    struct err err = {0};
    PRE(join != NULL);
    rq->state = join;
    if (!request_wait(rq, &join->until_ns, &err))
        reply_problem(rq, &err);
    else
        join_step(rq);
}
