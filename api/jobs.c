/* SPDX-License-Identifier: MIT */
#include "api/change.h"
#include "api/codec.h"
#include "api/handlers.h"
#include "api/reply.h"
#include "api/self.h"
#include "api/view.h"

#define MAX_PAGE_BYTES (16u << 20)
#define SELF_WAIT_NS UINT64_C(1000000000)

/* What a waiting handler keeps between its steps. */
struct wait_state {
    struct job_id id;
    uint64_t until_ns;
};

static struct wait_state *begin_wait(struct request *rq, struct err *err)
{
    struct wait_state *w = arena_alloc(&rq->arena, sizeof *w);
    PRE(w != NULL); /* the first bytes of the arena */
    rq->state = w;
    return request_job_id(rq, &w->id, err) && request_wait(rq, &w->until_ns, err) ? w : NULL;
}

static void reply_job(struct request *rq, const struct job_view *job)
{
    buf_clear(&rq->out);
    view_write_job(job, &rq->out);
    buf_putc(&rq->out, '\n');
    reply_etag(rq, job->version);
    reply_json(rq, 200);
}

/* With If-None-Match: until the row changes. Without: until the job has ended. */
static void show_step(struct request *rq)
{
    const struct wait_state *w = rq->state;
    bool by_tag = request_header(rq, HEADER_IF_NONE_MATCH).ptr != NULL;
    bool by_self = rq->who.job.no == w->id.no;
    uint64_t topic = by_tag || by_self ? topic_job(w->id.no) : topic_end(w->id.no);
    uint32_t epoch = request_epoch(rq, topic);
    struct job_view job;
    struct err err = {0};
    if (!query_job(rq->thread->query, &w->id, request_scratch(rq), &job, &err)) {
        reply_problem(rq, &err);
        return;
    }
    bool same = request_etag_matches(rq, HEADER_IF_NONE_MATCH, job.version);
    bool wants_more = by_tag ? same : !job_state_is_end(job.state);
    uint64_t until_ns = w->until_ns;
    if (by_self && (job.state == JOB_QUEUED || job.state == JOB_BLOCKED)) {
        wants_more = true; /* it runs, but its worker was faster than the row that says so */
        until_ns = MAX(until_ns, rq->began_ns + SELF_WAIT_NS);
    }
    if (wants_more && !rq->conn->half_closed && clock_mono_ns() < until_ns) {
        struct park park = {.topic = topic, .epoch = epoch, .deadline_ns = until_ns};
        if (!request_park(rq, &park, show_step, &err))
            reply_problem(rq, &err);
        return;
    }
    if (!same) {
        reply_job(rq, &job);
        return;
    }
    reply_etag(rq, job.version);
    reply_empty(rq, 304);
}

void job_show(struct request *rq)
{
    struct err err = {0};
    if (begin_wait(rq, &err) == NULL)
        reply_problem(rq, &err);
    else
        show_step(rq);
}

static void forgotten(struct request *rq)
{
    if (rq->cmd.err.code == ERR_NONE)
        reply_empty(rq, 204);
    else
        change_refused(rq, &rq->cmd.forget.id, &rq->cmd.err);
}

void job_forget(struct request *rq)
{
    struct err err = {0};
    struct command *cmd = &rq->cmd;
    cmd->kind = CMD_FORGET;
    if (!request_job_id(rq, &cmd->forget.id, &err) ||
        !change_condition(rq, &cmd->forget.id, &cmd->forget.if_version, &err) ||
        !request_send(rq, forgotten, &err))
        reply_problem(rq, &err);
}

/* What ended, and what is known about it: the job's tree is reaped before its end is stored. */
static void write_receipt(const struct job_view *job, uint64_t took_ns, struct buf *out)
{
    if (!job_state_is_end(job->state)) {
        buf_puts(out, "null");
        return;
    }
    bool stuck = job->state == JOB_FAILED && job->reason == REASON_UNKILLABLE;
    const char *guarantee = job->started_us == 0 ? "never_started" : stuck ? "none" : "tree_reaped";
    buf_printf(out,
               "{\"processes_killed\":%u,\"survivors\":%d,\"took\":", job->usage.processes_killed,
               stuck ? 1 : 0);
    buf_json_seconds_us(out, (int64_t)(took_ns / 1000));
    buf_printf(out, ",\"guarantee\":\"%s\"}", guarantee);
}

static void cancelled(struct request *rq)
{
    struct job_view job;
    struct err err = rq->cmd.err;
    struct job_id id = rq->cmd.cancel.id;
    if (err.code != ERR_NONE ||
        !query_job(rq->thread->query, &id, request_scratch(rq), &job, &err)) {
        reply_problem(rq, &err);
        return;
    }
    bool was_left = rq->cmd.cancel.only_queued && !rq->cmd.cancel.cancelled;
    buf_clear(&rq->out);
    buf_puts(&rq->out, "{\"job\":");
    view_write_job(&job, &rq->out);
    buf_printf(&rq->out,
               ",\"cancelled\":%s,\"receipt\":", rq->cmd.cancel.cancelled ? "true" : "false");
    write_receipt(&job, clock_mono_ns() - rq->began_ns, &rq->out);
    buf_puts(&rq->out, "}\n");
    reply_json(rq, was_left || job_state_is_end(job.state) ? 200 : 202);
}

void job_cancel(struct request *rq)
{
    struct cancel_request asked;
    struct command *cmd = &rq->cmd;
    struct err err = {0};
    cmd->kind = CMD_CANCEL;
    if (!request_job_id(rq, &cmd->cancel.id, &err) ||
        !request_wait(rq, &cmd->wait_until_ns, &err) ||
        !codec_read_cancel(buf_slice(&rq->body), &asked, &err)) {
        reply_problem(rq, &err);
        return;
    }
    cmd->cancel.only_queued = asked.only_queued;
    cmd->cancel.signal = asked.signal;
    cmd->cancel.grace_us = asked.grace_us;
    _Static_assert(sizeof cmd->cancel.why == sizeof asked.why, "one text");
    memcpy(cmd->cancel.why, asked.why, sizeof asked.why);
    if (!request_send(rq, cancelled, &err))
        reply_problem(rq, &err);
}

/* Decoded parameters are terminated: they may be used as strings. */
static bool read_filter(struct request *rq, struct job_filter *filter, struct err *err)
{
    struct slice text;
    if (!request_states(rq, &filter->states, err) ||
        !request_label(rq, &filter->label_key, &filter->label_value, err))
        return false;
    if (request_param(rq, "queue", &text))
        filter->queue = text.ptr;
    if (request_param(rq, "name", &text))
        filter->name = text.ptr;
    if (request_param(rq, "created_after", &text) &&
        !text_to_time_us(text, &filter->created_after_us))
        return request_bad_param(err, "created_after", "a time such as 2026-12-01T00:00:00Z");
    if (request_param(rq, "batch", &text) && !job_id_parse(text, &filter->batch))
        return request_bad_param(err, "batch", "the id of a batch");
    /* A job sees its children and nobody else's. */
    struct job_id parent = rq->who.job;
    if (request_param(rq, "parent", &text) &&
        (!self_job_id(rq, text, &parent, err) ||
         (rq->who.job.no != 0 && parent.no != rq->who.job.no)))
        return request_bad_param(err, "parent", "the id of a job%s",
                                 rq->who.job.no != 0 ? ": of the one whose token asks" : "");
    filter->submitter = parent.no;
    if (request_param(rq, "order", &text)) {
        filter->oldest_first = slice_is(text, "oldest");
        if (!filter->oldest_first && !slice_is(text, "newest"))
            return request_bad_param(err, "order", "newest or oldest");
    }
    return true;
}

static void write_page(struct request *rq, const struct job_page *page)
{
    buf_clear(&rq->out);
    buf_puts(&rq->out, "{\"items\":[");
    for (size_t i = 0; i < page->n; i++) {
        if (i > 0)
            buf_putc(&rq->out, ',');
        view_write_job(&page->jobs[i], &rq->out);
    }
    reply_list_by_number(rq, page->cursor);
}

/* A page whose jobs carry more payload than fits becomes a shorter page. */
static bool list_page(struct request *rq, const struct job_filter *filter, struct page asked,
                      struct err *err)
{
    for (;;) {
        AUTO_ARENA struct arena a = {0};
        struct job_page page = {.max = (size_t)asked.limit, .cursor = asked.cursor};
        arena_init(&a, MAX_PAGE_BYTES);
        page.jobs = arena_alloc(&a, page.max * sizeof *page.jobs);
        PRE(page.jobs != NULL);
        if (query_list(rq->thread->query, filter, &a, &page, err)) {
            write_page(rq, &page);
            return true;
        }
        if (err->code != ERR_OVERLOADED || asked.limit == 1) /* OVERLOADED: the arena was full */
            return false;
        asked.limit = MAX(asked.limit / 4, 1);
    }
}

void job_list(struct request *rq)
{
    struct job_filter filter = {0};
    struct page asked;
    struct err err = {0};
    if (!read_filter(rq, &filter, &err) || !request_page(rq, &asked, &err) ||
        !list_page(rq, &filter, asked, &err))
        reply_problem(rq, &err);
}
