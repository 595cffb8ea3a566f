/* SPDX-License-Identifier: MIT */
/* Waiting for many jobs at once: until enough of them have ended, or for each in turn. */
#include "api/codec_read.h"
#include "api/handlers.h"
#include "api/item.h"
#include "api/live.h"
#include "api/members.h"
#include "api/reply.h"

#define PIECE_ITEMS 256u
#define PIECE_BYTES (128u * 1024)
#define NS_PER_US UINT64_C(1000)

struct wait {
    struct members members;
    enum return_when when;
    uint64_t until_ns;
    /* as-completed */
    struct live live;
    struct received received;
    uint32_t n_sent; /* of members.ended, those included that had come before */
};

static void leave(struct request *rq)
{
    struct wait *w = rq->state;
    members_leave(rq, &w->members);
}

static struct wait *begin(struct request *rq)
{
    struct wait *w = arena_alloc(&rq->arena, sizeof *w);
    PRE(w != NULL); /* the first bytes of the arena */
    rq->state = w;
    rq->release = leave;
    return w;
}

/* ------------------------------------------------------------------------------------------------
 * POST /v1/wait */

static bool is_over(const struct wait *w)
{
    const struct members *m = &w->members;
    return m->n_done == m->n || (w->when == FIRST_COMPLETED && m->n_done > 0) ||
           (w->when == FIRST_EXCEPTION && m->has_failed);
}

static void put_ids(struct buf *out, const struct members *m, bool done)
{
    const char *comma = "";
    char id[37];
    for (uint32_t i = 0; i < m->n; i++) {
        if (m->all[i].is_done != done)
            continue;
        job_id_format(&m->all[i].id, id);
        buf_puts(out, comma);
        buf_putc(out, '"');
        buf_append(out, id, 36);
        buf_putc(out, '"');
        comma = ",";
    }
}

static void reply_wait(struct request *rq, const struct wait *w)
{
    buf_clear(&rq->out);
    buf_puts(&rq->out, "{\"done\":[");
    put_ids(&rq->out, &w->members, true);
    buf_puts(&rq->out, "],\"not_done\":[");
    put_ids(&rq->out, &w->members, false);
    buf_puts(&rq->out, "]}\n");
    reply_json(rq, 200);
}

static void wait_step(struct request *rq);

static void park_or_reply(struct request *rq, struct wait *w)
{
    struct park park = members_park(&w->members, w->when, w->until_ns);
    struct err err = {0};
    if (is_over(w) || rq->conn->half_closed || clock_mono_ns() >= w->until_ns)
        reply_wait(rq, w);
    else if (!request_park(rq, &park, wait_step, &err))
        reply_problem(rq, &err);
    else
        members_parked(&w->members);
}

static void wait_step(struct request *rq)
{
    struct wait *w = rq->state;
    struct err err = {0};
    if (members_heard(rq, &w->members, &err))
        park_or_reply(rq, w);
    else
        reply_problem(rq, &err);
}

void jobs_wait(struct request *rq)
{
    struct wait *w = begin(rq);
    struct wait_request asked;
    struct err err = {0};
    if (!codec_read_wait(buf_slice(&rq->body), WAIT_UNTIL, &rq->arena, &asked, &err) ||
        !members_open(rq, &asked, NULL, &w->members, &err) ||
        !request_wait(rq, &w->until_ns, &err)) {
        reply_problem(rq, &err);
        return;
    }
    w->when = asked.when;
    park_or_reply(rq, w);
}

/* ------------------------------------------------------------------------------------------------
 * POST /v1/as-completed */

static bool take_item(void *target, const struct result_row *row)
{
    struct request *rq = target;
    const struct wait *w = rq->state;
    struct result_row placed = *row;
    placed.seq = w->n_sent + 1;
    placed.index = w->members.all[w->members.ended[w->n_sent]].index;
    item_write(rq->thread->query, &placed, &rq->out);
    return true;
}

static void put_id(struct request *rq, const struct wait *w)
{
    if (w->live.form != LIVE_SSE)
        return;
    buf_puts(&rq->out, "id: ");
    received_put(&w->received, &rq->out);
    buf_putc(&rq->out, '\n');
}

static bool put_item(struct request *rq, struct wait *w, struct err *err)
{
    const struct member *m = &w->members.all[w->members.ended[w->n_sent]];
    struct item_place place = {w->n_sent + 1, m->index};
    struct result_sink sink = {take_item, rq};
    struct err gone = {0};
    received_add(&w->received, m->index);
    put_id(rq, w);
    live_event_begin(rq, &w->live, "result", 0);
    if (m->is_batch && !m->is_gone)
        item_write_batch(&place, &m->id, m->state, &rq->out);
    else if (m->is_gone || !query_result(rq->thread->query, m->id.no, &sink, &gone))
        item_write_gone(&place, &m->id, &rq->out);
    live_event_end(rq, &w->live);
    w->n_sent++;
    return gone.code == ERR_NONE || gone.code == ERR_NOT_FOUND ||
           err_set(err, gone.code, "%s", gone.detail);
}

/* The counts that a TimeoutError tells: "2 (of 4) futures unfinished". */
static void put_last(struct request *rq, const struct wait *w, const char *name)
{
    live_event_begin(rq, &w->live, name, 0);
    buf_printf(&rq->out, "{\"%s\":true,\"unfinished\":%u,\"of\":%u}", name,
               w->members.n - w->n_sent, w->members.n);
    live_event_end(rq, &w->live);
}

static enum fill fill_as_completed(struct request *rq)
{
    struct wait *w = rq->state;
    struct members *m = &w->members;
    struct err err = {0};
    enum fill fill;
    if (!members_heard(rq, m, &err))
        return FILL_ABORT;
    if (live_beat(rq, &w->live, &fill))
        return fill;
    uint32_t before = w->n_sent;
    while (w->n_sent < m->n_ended && w->n_sent - before < PIECE_ITEMS &&
           rq->out.len < PIECE_BYTES) {
        if (!put_item(rq, w, &err))
            return FILL_ABORT;
    }
    if (w->n_sent > before)
        (void)live_sent(rq, &w->live, w->n_sent - before);
    if (w->n_sent == m->n) {
        put_last(rq, w, "end");
        return FILL_END;
    }
    if (w->n_sent > before)
        return FILL_MORE;
    if (w->until_ns != 0 && clock_mono_ns() >= w->until_ns) {
        put_last(rq, w, "timeout");
        put_last(rq, w, "end");
        return FILL_END;
    }
    fill = live_park(rq, &w->live, members_park(m, FIRST_COMPLETED, w->until_ns));
    if (fill == FILL_PARKED)
        members_parked(m);
    return fill;
}

/* As read_place of a batch's results does it: Last-Event-ID is newer than the address, and one that
 * was never given for these jobs begins anew. */
static bool read_received(struct request *rq, struct wait *w, bool *ret_goes_on, struct err *err)
{
    const struct slice last = request_header(rq, HEADER_LAST_EVENT_ID);
    struct slice after;
    *ret_goes_on = false;
    if (last.ptr != NULL) {
        *ret_goes_on = received_read(&w->received, last);
        return true;
    }
    if (!request_param(rq, "after", &after))
        return true;
    *ret_goes_on = received_read(&w->received, after);
    return *ret_goes_on ||
           request_bad_param(
               err, "after",
               "the id of an event (SSE) of a stream of "
               "these jobs, named in the same order; without one, leave those that have come "
               "out of \"jobs\"");
}

static bool open_each(struct request *rq, struct wait *w, struct err *err)
{
    struct members *m = &w->members;
    struct wait_request asked;
    bool goes_on;
    if (!codec_read_wait(buf_slice(&rq->body), WAIT_EACH, &rq->arena, &asked, err))
        return false;
    if (!received_init(&w->received, &asked, &rq->arena))
        return codec_arena_full(err);
    if (!read_received(rq, w, &goes_on, err) ||
        !members_open(rq, &asked, goes_on ? &w->received : NULL, m, err))
        return false;
    while (w->n_sent < m->n_ended && received_has(&w->received, m->all[m->ended[w->n_sent]].index))
        w->n_sent++;
    if (asked.timeout_us >= 0)
        w->until_ns = MAX(rq->began_ns + (uint64_t)asked.timeout_us * NS_PER_US, UINT64_C(1));
    return true;
}

void jobs_as_completed(struct request *rq)
{
    struct wait *w = begin(rq);
    struct err err = {0};
    if (!open_each(rq, w, &err)) {
        reply_problem(rq, &err);
        return;
    }
    live_begin(rq, &w->live, live_accepted(rq, LIVE_LINES));
    reply_stream(rq, live_type(w->live.form), fill_as_completed);
}
