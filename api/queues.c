/* SPDX-License-Identifier: MIT */
#include "api/codec.h"
#include "api/handlers.h"
#include "api/reply.h"

static void put_count(struct buf *out, const char *name, int64_t n)
{
    buf_printf(out, ",\"%s\":", name);
    if (n == 0)
        buf_puts(out, "null");
    else
        buf_put_i64(out, n);
}

/* As it is given: in the largest unit that leaves a whole number. */
static void put_rate(struct buf *out, const struct queue_settings *s)
{
    static const struct {
        const char *name;
        int64_t us;
    } units[] = {{"h", 3600000000}, {"m", 60000000}, {"s", 1000000}, {"ms", 1000}};
    if (s->rate_n == 0) {
        buf_puts(out, ",\"rate\":null");
        return;
    }
    size_t i = 0;
    while (i < ARRAY_LEN(units) - 1 && s->rate_us % units[i].us != 0)
        i++;
    buf_printf(out, ",\"rate\":\"%u/%lld%s\"", s->rate_n, (long long)(s->rate_us / units[i].us),
               units[i].name);
}

static void put_settings(struct buf *out, const struct queue_view *queue)
{
    const struct queue_settings *s = &queue->settings;
    buf_printf(out, ",\"paused\":%s", s->paused ? "true" : "false");
    put_count(out, "concurrency", s->concurrency);
    put_rate(out, s);
    put_count(out, "weight", s->weight);
    put_count(out, "max_length", s->max_length);
    buf_puts(out, ",\"defaults\":");
    if (queue->defaults.ptr != NULL)
        buf_append(out, queue->defaults.ptr, queue->defaults.len);
    else
        buf_puts(out, "null");
}

static void put_queue(struct buf *out, const struct queue_view *queue)
{
    buf_puts(out, "{\"name\":");
    buf_json_string(out, slice_of(queue->name));
    buf_printf(out, ",\"depth\":%lld,\"oldest_age\":", (long long)queue->count[JOB_QUEUED]);
    if (queue->oldest_us != 0)
        buf_json_seconds_us(out, MAX(clock_wall_us() - queue->oldest_us, (int64_t)0));
    else
        buf_puts(out, "null");
    put_settings(out, queue);
    buf_puts(out, ",\"jobs\":{");
    for (int s = 0; s < JOB_STATE_COUNT; s++)
        buf_printf(out, "%s\"%s\":%lld", s == 0 ? "" : ",", job_state_name((enum job_state)s),
                   (long long)queue->count[s]);
    buf_puts(out, "}}");
}

/* {name} of the path, terminated. */
static const char *queue_name(struct request *rq)
{
    const char *name = arena_dup(&rq->arena, rq->match.args[0]);
    PRE(name != NULL); /* 64 bytes of an arena that has room for a body */
    return name;
}

/* The tag is that of the settings: it does not change with the jobs. */
static void reply_queue(struct request *rq, const char *name, int status)
{
    struct queue_view queue;
    struct err err = {0};
    if (!query_queue(rq->thread->query, name, &rq->arena, &queue, &err)) {
        reply_problem(rq, &err);
        return;
    }
    buf_clear(&rq->out);
    put_queue(&rq->out, &queue);
    buf_putc(&rq->out, '\n');
    reply_etag(rq, queue.settings.version);
    reply_json(rq, status);
}

void queue_show(struct request *rq)
{
    reply_queue(rq, queue_name(rq), 200);
}

static void write_queues(struct request *rq, const struct queue_page *page, bool is_last)
{
    buf_puts(&rq->out, "{\"items\":[");
    for (size_t i = 0; i < page->n; i++) {
        if (i > 0)
            buf_putc(&rq->out, ',');
        put_queue(&rq->out, &page->queues[i]);
    }
    reply_list(rq, is_last ? NULL : page->queues[page->n - 1].name);
}

void queue_list(struct request *rq)
{
    int64_t limit;
    struct slice after = SLICE_LIT("");
    struct err err = {0};
    (void)request_param(rq, "cursor", &after); /* terminated, when it is given */
    if (!request_limit(rq, &limit, &err)) {
        reply_problem(rq, &err);
        return;
    }
    /* One more than asked for tells whether there is a next page. */
    struct queue_page page = {.max = (size_t)limit + 1};
    page.queues = arena_alloc(request_scratch(rq), page.max * sizeof *page.queues);
    PRE(page.queues != NULL); /* 230 KiB of a scratch arena that was empty */
    if (!query_queues(rq->thread->query, after.ptr, &rq->arena, &page, &err)) {
        reply_problem(rq, &err);
        return;
    }
    bool is_last = page.n < page.max;
    page.n -= is_last ? 0 : 1;
    write_queues(rq, &page, is_last);
}

struct family {
    const char *name, *help;
    enum job_state state;
};

/* One gauge a queue; there are at most queue.max_queues. */
static bool put_family(struct request *rq, const struct family *family, struct err *err)
{
    struct queue_view queues[64];
    struct queue_page page = {.queues = queues, .max = ARRAY_LEN(queues)};
    char after[MAX_QUEUE_NAME + 1] = "", labels[MAX_QUEUE_NAME + 16];
    const char *help = family->help;
    do {
        if (!query_queues(rq->thread->query, after, request_scratch(rq), &page, err))
            return false;
        for (size_t i = 0; i < page.n; i++, help = NULL) {
            memcpy(after, queues[i].name, sizeof after);
            (void)snprintf(labels, sizeof labels, "queue=\"%s\"", after);
            metrics_write_gauge(&rq->out, family->name, help, labels,
                                (double)queues[i].count[family->state]);
        }
    } while (page.n == page.max);
    return true;
}

bool queue_metrics(struct request *rq, struct err *err)
{
    static const struct family families[] = {
        {"ganger_queue_depth", "Jobs of a queue that wait for a worker.", JOB_QUEUED},
        {"ganger_queue_running", "Jobs of a queue that run.", JOB_RUNNING},
    };
    for (size_t i = 0; i < ARRAY_LEN(families); i++)
        if (!put_family(rq, &families[i], err))
            return false;
    return true;
}

/* ------------------------------------------------------------------------------------------------
 * settings */

/* If-Match and If-None-Match: * (RFC 9110, section 13.1), as the version that the engine shall
 * find.
 */
static bool read_condition(struct request *rq, const char *name, int64_t *ret, struct err *err)
{
    struct queue_view queue;
    struct err missing = {0};
    *ret = slice_is(request_header(rq, HEADER_IF_NONE_MATCH), "*") ? QUEUE_IS_NEW
                                                                   : QUEUE_ANY_VERSION;
    if (request_header(rq, HEADER_IF_MATCH).ptr == NULL)
        return true;
    if (!query_queue(rq->thread->query, name, request_scratch(rq), &queue, &missing))
        return missing.code == ERR_NOT_FOUND
                   ? err_set(err, ERR_VERSION_MISMATCH, "There is no such queue")
                   : err_set(err, missing.code, "%s", missing.detail);
    *ret = queue.settings.version;
    return request_etag_matches(rq, HEADER_IF_MATCH, *ret) ||
           err_set(err, ERR_VERSION_MISMATCH, "The queue's entity tag is \"%lld\"",
                   (long long)*ret);
}

static void changed(struct request *rq)
{
    const char *name = rq->cmd.queue.name.ptr;
    bool is_new = rq->cmd.queue.is_new;
    if (rq->cmd.err.code != ERR_NONE) {
        reply_problem(rq, &rq->cmd.err);
        return;
    }
    if (rq->cmd.queue.is_delete) {
        reply_empty(rq, 204);
        return;
    }
    char *location = arena_alloc(&rq->arena, 16 + MAX_QUEUE_NAME);
    if (is_new && location != NULL) {
        (void)snprintf(location, 16 + MAX_QUEUE_NAME, "/v1/queues/%s", name);
        reply_header(rq, ANSWER_LOCATION, location);
    }
    reply_queue(rq, name, is_new ? 201 : 200);
}

/* The body is read and checked. */
static void change(struct request *rq, bool may_make)
{
    struct err err = {0};
    const char *name = queue_name(rq);
    rq->cmd.kind = CMD_QUEUE;
    rq->cmd.queue.name = slice_of(name);
    rq->cmd.queue.may_make = may_make;
    if (!read_condition(rq, name, &rq->cmd.queue.change.if_version, &err) ||
        !request_send(rq, changed, &err))
        reply_problem(rq, &err);
}

static bool read_settings(struct request *rq, struct err *err)
{
    return codec_read_queue(buf_slice(&rq->body), rq->thread->shared->cfg, &rq->arena,
                            &rq->cmd.queue.change, err);
}

void queue_put(struct request *rq)
{
    struct err err = {0};
    if (!read_settings(rq, &err)) {
        reply_problem(rq, &err);
        return;
    }
    rq->cmd.queue.change.members = QUEUE_ALL;
    change(rq, true);
}

void queue_patch(struct request *rq)
{
    struct err err = {0};
    if (read_settings(rq, &err))
        change(rq, false);
    else
        reply_problem(rq, &err);
}

static void set_paused(struct request *rq, bool paused)
{
    struct err err = {0};
    if (!codec_read_nothing(buf_slice(&rq->body), &err)) {
        reply_problem(rq, &err);
        return;
    }
    rq->cmd.queue.change = (struct queue_change){.members = QUEUE_PAUSED, .to.paused = paused};
    change(rq, false);
}

void queue_pause(struct request *rq)
{
    set_paused(rq, true);
}

void queue_resume(struct request *rq)
{
    set_paused(rq, false);
}

void queue_delete(struct request *rq)
{
    rq->cmd.queue.is_delete = true;
    change(rq, false);
}

/* ------------------------------------------------------------------------------------------------
 * purge */

static void purged(struct request *rq)
{
    if (rq->cmd.err.code == ERR_NONE && rq->cmd.timed_out)
        (void)err_set(&rq->cmd.err, ERR_DRAINING,
                      "The service stops; what is left is cancelled when it runs again");
    if (rq->cmd.err.code != ERR_NONE) {
        reply_problem(rq, &rq->cmd.err);
        return;
    }
    buf_clear(&rq->out);
    buf_puts(&rq->out, "{\"queue\":");
    buf_json_string(&rq->out, rq->cmd.purge.queue);
    buf_printf(&rq->out, ",\"purged\":%lld}\n", (long long)rq->cmd.tally.changed);
    reply_json(rq, 200);
}

void queue_purge(struct request *rq)
{
    struct err err = {0};
    rq->cmd.kind = CMD_PURGE;
    rq->cmd.purge.queue = slice_of(queue_name(rq));
    if (!codec_read_nothing(buf_slice(&rq->body), &err) || !request_send(rq, purged, &err))
        reply_problem(rq, &err);
}
