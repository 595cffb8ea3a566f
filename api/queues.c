/* SPDX-License-Identifier: MIT */
#include "api/handlers.h"
#include "api/reply.h"

static void put_queue(struct buf *out, const struct queue_view *queue)
{
    buf_puts(out, "{\"name\":");
    buf_json_string(out, slice_of(queue->name));
    buf_printf(out, ",\"depth\":%lld,\"jobs\":{", (long long)queue->count[JOB_QUEUED]);
    for (int s = 0; s < JOB_STATE_COUNT; s++)
        buf_printf(out, "%s\"%s\":%lld", s == 0 ? "" : ",", job_state_name((enum job_state)s),
                   (long long)queue->count[s]);
    buf_puts(out, "}}");
}

void queue_show(struct request *rq)
{
    struct queue_view queue;
    struct err err = {0};
    const char *name = arena_dup(&rq->arena, rq->match.args[0]); /* terminated */
    PRE(name != NULL); /* among the first bytes of the arena */
    if (!query_queue(rq->thread->query, name, &rq->arena, &queue, &err)) {
        reply_problem(rq, &err);
        return;
    }
    put_queue(&rq->out, &queue);
    buf_putc(&rq->out, '\n');
    reply_json(rq, 200);
}

/* RFC 8288. Names are words: they need no percent-encoding. */
static void add_next_link(struct request *rq, const char *last, int64_t limit)
{
    char link[160];
    int len = snprintf(link, sizeof link, "</v1/queues?limit=%lld&cursor=%s>; rel=\"next\"",
                       (long long)limit, last);
    char *text = arena_dup(&rq->arena, (struct slice){link, (size_t)len});
    if (text != NULL)
        reply_header(rq, "Link", text);
}

static void write_queues(struct request *rq, const struct queue_page *page, bool is_last)
{
    buf_puts(&rq->out, "{\"items\":[");
    for (size_t i = 0; i < page->n; i++) {
        if (i > 0)
            buf_putc(&rq->out, ',');
        put_queue(&rq->out, &page->queues[i]);
    }
    buf_puts(&rq->out, "],\"next_cursor\":");
    if (is_last) {
        buf_puts(&rq->out, "null}\n");
    } else {
        const char *last = page->queues[page->n - 1].name;
        buf_json_string(&rq->out, slice_of(last));
        buf_puts(&rq->out, "}\n");
        add_next_link(rq, last, (int64_t)page->n);
    }
    reply_json(rq, 200);
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
    PRE(page.queues != NULL); /* 130 KiB of a scratch arena that was empty */
    if (!query_queues(rq->thread->query, after.ptr, &rq->arena, &page, &err)) {
        reply_problem(rq, &err);
        return;
    }
    bool is_last = page.n < page.max;
    page.n -= is_last ? 0 : 1;
    write_queues(rq, &page, is_last);
}
