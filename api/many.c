/* SPDX-License-Identifier: MIT */
/* One verb on many jobs, by ids or by a filter. This thread finds them, a bounded number of rows at
 * a time, and hands the engine their names in chunks, one transaction each; while the engine works
 * on one, the next is looked for. Between two steps other requests have their turn. Memory does not
 * grow with the number of jobs. A client that leaves ends the work after the chunk under way. */
#include "api/codec_bulk.h"
#include "api/handlers.h"
#include "api/reply.h"
#include "service/base/json.h"

#include <poll.h>

#define PAGE_BYTES (2u << 20)

struct work {
    struct bulk_request asked;
    enum bulk_verb verb;
    uint32_t states; /* of the jobs that the verb applies to */
    int64_t newest;  /* what comes after this number was not meant */
    int64_t cursor;
    struct json_iter ids; /* the rest of asked.ids */
    bool at_end;
    struct portion {
        struct job_id ids[BULK_SHARE];
        uint32_t n;
    } portions[2], *sent, *next; /* the engine's; what is looked for */
    struct err err;              /* of looking for the next one, until the other has come back */
    uint64_t matched, changed;
};

static const uint32_t verb_states[BULK_VERB_COUNT] = {
    [BULK_CANCEL] = TO(SCHEDULED) | TO(BLOCKED) | TO(QUEUED) | TO(RUNNING),
    [BULK_RETRY] = TO(SUCCEEDED) | TO(FAILED) | TO(CANCELLED),
    [BULK_DELETE] = TO(SUCCEEDED) | TO(FAILED) | TO(CANCELLED),
};

static void step(struct request *rq);

/* ------------------------------------------------------------------------------------------------
 * finding them */

static bool take_id(struct request *rq, struct work *w, struct slice text, struct err *err)
{
    struct job_id id;
    struct job_mark mark;
    struct err missing = {0};
    PRE(text.len >= 2);
    if (!job_id_parse((struct slice){text.ptr + 1, text.len - 2}, &id))
        return err_set(err, ERR_INVALID, "An id is not one any more"); /* all have been read */
    if (!query_mark(rq->thread->query, &id, &mark, &missing))
        return missing.code == ERR_NOT_FOUND || err_set(err, missing.code, "%s", missing.detail);
    if ((w->states >> mark.state & 1u) != 0)
        w->next->ids[w->next->n++] = id;
    return true;
}

static bool collect_ids(struct request *rq, struct work *w, struct err *err)
{
    struct slice element;
    for (uint32_t looked = 0; looked < BULK_SHARE; looked++) {
        if (!json_next_element(&w->ids, &element)) {
            w->at_end = true;
            return true;
        }
        if (!take_id(rq, w, element, err))
            return false;
    }
    return true;
}

static bool collect_matches(struct request *rq, struct work *w, struct err *err)
{
    AUTO_ARENA struct arena a = {0};
    struct job_filter filter = w->asked.filter;
    struct job_page page = {.max = BULK_SHARE, .cursor = w->cursor, .only_ids = true};
    arena_init(&a, PAGE_BYTES);
    page.jobs = arena_alloc(&a, page.max * sizeof *page.jobs);
    if (page.jobs == NULL)
        return err_set(err, ERR_OVERLOADED, "There is not enough memory for this request now");
    filter.states = w->states;
    if (!query_list(rq->thread->query, &filter, &a, &page, err))
        return false;
    w->cursor = page.cursor;
    /* In a batch the cursor is an index, and elements that come later are its last ones. */
    w->at_end = page.cursor == 0 || (filter.batch.no == 0 && page.cursor > w->newest);
    for (size_t i = 0; i < page.n && page.jobs[i].id.no <= w->newest; i++)
        w->next->ids[w->next->n++] = page.jobs[i].id;
    return true;
}

/* The number of the newest job: those that are submitted meanwhile are not meant, and a retry must
 * not meet what it has just queued. */
static bool find_newest(struct request *rq, struct work *w, struct err *err)
{
    struct job_view view;
    struct job_filter any = {0};
    struct job_page page = {.jobs = &view, .max = 1, .only_ids = true};
    if (!query_list(rq->thread->query, &any, request_scratch(rq), &page, err))
        return false;
    w->newest = page.n == 0 ? 0 : view.id.no;
    return true;
}

/* ------------------------------------------------------------------------------------------------
 * the work */

/* While its connection is suspended the library does not look. */
static bool client_has_left(const struct request *rq)
{
    struct pollfd fd = {.fd = rq->conn->fd, .events = POLLRDHUP};
    return poll(&fd, 1, 0) == 1 && (fd.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
}

static void finish(struct request *rq)
{
    const struct work *w = rq->state;
    buf_clear(&rq->out);
    buf_printf(&rq->out, "{\"matched\":%llu,\"changed\":%llu,\"dry_run\":%s}\n",
               (unsigned long long)w->matched, (unsigned long long)w->changed,
               w->asked.dry_run ? "true" : "false");
    reply_json(rq, 200);
}

static void chunk_done(struct request *rq);

static bool send_from(struct request *rq, const struct work *w, uint32_t from, struct err *err)
{
    struct command *cmd = &rq->cmd;
    const struct cancel_request *cancel = &w->asked.cancel;
    cmd->kind = CMD_BULK;
    cmd->wait_until_ns = 0;
    cmd->bulk.verb = w->verb;
    cmd->bulk.ids = w->sent->ids + from;
    cmd->bulk.n = w->sent->n - from;
    cmd->bulk.signal = cancel->signal;
    cmd->bulk.grace_us = cancel->grace_us;
    memcpy(cmd->bulk.why, cancel->why, sizeof cmd->bulk.why);
    return request_send(rq, chunk_done, err);
}

/* Into w->next, which is empty. */
static bool collect(struct request *rq, struct work *w, struct err *err)
{
    bool ok = w->at_end ||
              (w->asked.by_ids ? collect_ids(rq, w, err) : collect_matches(rq, w, err));
    w->matched += ok ? w->next->n : 0;
    return ok;
}

/* What was found goes to the engine, and the next ones are looked for meanwhile. */
static bool send_next(struct request *rq, struct work *w, struct err *err)
{
    struct portion *empty = w->sent;
    w->sent = w->next;
    w->next = empty;
    w->next->n = 0;
    if (!send_from(rq, w, 0, err))
        return false;
    (void)collect(rq, w, &w->err); /* the request is the engine's: an error must wait */
    return true;
}

static void chunk_done(struct request *rq)
{
    struct work *w = rq->state;
    struct err err = rq->cmd.err;
    if (err.code == ERR_NONE) {
        uint32_t from = (uint32_t)(rq->cmd.bulk.ids - w->sent->ids) + rq->cmd.bulk.n_done;
        w->changed += rq->cmd.bulk.n_changed;
        if (from == w->sent->n) {
            step(rq);
            return;
        }
        if (send_from(rq, w, from, &err))
            return;
    }
    reply_problem(rq, &err);
}

/* Nothing of what was read matters: others have their turn before more is read. */
static bool yield(struct request *rq, struct err *err)
{
    struct park now = {
        .topic = topic_end(0), .epoch = request_epoch(rq, topic_end(0)), .deadline_ns = 1};
    return request_park(rq, &now, step, err);
}

static bool go_on(struct request *rq, struct work *w, struct err *err)
{
    if (w->asked.dry_run)
        w->next->n = 0;
    if (w->next->n == 0 && !collect(rq, w, err))
        return false;
    return w->next->n > 0 && !w->asked.dry_run ? send_next(rq, w, err) : yield(rq, err);
}

static void step(struct request *rq)
{
    struct work *w = rq->state;
    if (client_has_left(rq))
        (void)err_set(&w->err, ERR_BAD_REQUEST, "The client has left before all jobs were treated");
    else if (w->err.code == ERR_NONE && w->at_end && (w->next->n == 0 || w->asked.dry_run))
        finish(rq);
    else if (w->err.code == ERR_NONE && go_on(rq, w, &w->err))
        return;
    if (w->err.code != ERR_NONE)
        reply_problem(rq, &w->err);
}

/* A retry by filter means what has failed, unless the filter says otherwise. */
static uint32_t states_of(const struct work *w)
{
    uint32_t asked = w->asked.filter.states;
    if (asked == 0 && w->verb == BULK_RETRY && !w->asked.by_ids)
        asked = TO(FAILED);
    return asked == 0 ? verb_states[w->verb] : verb_states[w->verb] & asked;
}

static void begin(struct request *rq, enum bulk_verb verb)
{
    struct err err = {0};
    struct work *w = arena_alloc(&rq->arena, sizeof *w);
    if (w == NULL || !codec_read_bulk(buf_slice(&rq->body), verb, &rq->arena, &w->asked, &err) ||
        !find_newest(rq, w, &err)) {
        if (w == NULL)
            (void)err_set(&err, ERR_TOO_LARGE, "The request takes too much memory");
        reply_problem(rq, &err);
        return;
    }
    rq->state = w;
    w->verb = verb;
    w->states = states_of(w);
    w->at_end = w->states == 0;
    w->sent = &w->portions[0];
    w->next = &w->portions[1];
    if (w->asked.by_ids)
        json_iter_init(&w->ids, w->asked.ids);
    step(rq);
}

void job_cancel_many(struct request *rq)
{
    begin(rq, BULK_CANCEL);
}

void job_retry_many(struct request *rq)
{
    begin(rq, BULK_RETRY);
}

void job_delete_many(struct request *rq)
{
    begin(rq, BULK_DELETE);
}
