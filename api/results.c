/* SPDX-License-Identifier: MIT */
/* The results of a batch: a cursor into what is stored, as a stream or as an array. Nothing is
 * queued for a reader; a slow one costs its connection. */
#include "api/batches.h"
#include "api/handlers.h"
#include "api/item.h"
#include "api/live.h"
#include "api/reply.h"

#define PIECE_ITEMS 512
#define PIECE_BYTES (96u * 1024) /* beyond a few pieces' worth memory would not stay warm */
#define JSON_TYPE "application/json"

struct results {
    struct job_id id;
    struct live live; /* LIVE_BYTES stands for the array */
    enum result_order order;
    int64_t after; /* the cursor */
    int64_t left;  /* items that may still be sent; INT64_MAX: no limit was asked for */
    uint64_t until_ns;
    int64_t n_sent;
    /* BY_INDEX: the element that is waited for. Its epoch must be known before it is read, so the
     * first look at it is followed by another one. */
    int64_t watched_no;
    int64_t ready;         /* the array: elements before this index are known to have ended */
    struct told_end *told; /* a stream BY_END: what a wake-up has brought */
};

/* ------------------------------------------------------------------------------------------------
 * what is asked */

static bool read_order(struct request *rq, struct results *s, struct err *err)
{
    struct slice text;
    s->order = s->live.form == LIVE_BYTES ? RESULTS_BY_INDEX : RESULTS_BY_END;
    if (!request_param(rq, "order", &text))
        return true;
    s->order = slice_is(text, "index") ? RESULTS_BY_INDEX : RESULTS_BY_END;
    return s->order == RESULTS_BY_INDEX || slice_is(text, "completed") ||
           request_bad_param(err, "order", "completed or index");
}

/* Last-Event-ID is newer than the address: an EventSource asks with the same one again. */
static bool read_place(struct request *rq, struct results *s, struct err *err)
{
    struct slice text, last = request_header(rq, HEADER_LAST_EVENT_ID);
    s->left = INT64_MAX;
    if (request_param(rq, "after", &text) && (!text_to_i64(text, &s->after) || s->after < 0))
        return request_bad_param(err, "after", "the seq of an item");
    if (request_param(rq, "limit", &text) && (!text_to_i64(text, &s->left) || s->left < 1))
        return request_bad_param(err, "limit", "a number from 1 on");
    if (last.ptr != NULL && (!text_to_i64(last, &s->after) || s->after < 0))
        s->after = 0;
    s->ready = s->after;
    return request_wait(rq, &s->until_ns, err);
}

static bool has_waited(const struct results *s)
{
    return clock_mono_ns() >= s->until_ns;
}

/* ------------------------------------------------------------------------------------------------
 * reading */

/* The epoch that goes with the read that follows, and what to park on if it finds nothing. */
static struct park prepare(const struct request *rq, const struct results *s)
{
    struct park park = {.topic = topic_batch(s->id.no)};
    if (s->order == RESULTS_BY_INDEX && s->watched_no != 0)
        park.topic = topic_end(s->watched_no);
    park.epoch = request_epoch(rq, park.topic);
    return park;
}

/* The walk has met its end. True: what it waits for was not watched yet, look once more. */
static bool watch_next(struct results *s, const struct result_ask *ask, struct park *park)
{
    if (s->order == RESULTS_BY_END) {
        park->wish.min_ended = s->after + 1;
        park->told = s->told;
        return false;
    }
    park->wish.min_elements = s->after + 1; /* unless an element is watched */
    bool again = s->watched_no != ask->next_no;
    s->watched_no = ask->next_no;
    return again;
}

static bool take_item(void *target, const struct result_row *row)
{
    struct request *rq = target;
    struct results *s = rq->state;
    bool as_array = s->live.form == LIVE_BYTES;
    if (!as_array)
        live_event_begin(rq, &s->live, "result", row->seq);
    else if (s->n_sent > 0)
        buf_putc(&rq->out, ',');
    item_write(rq->thread->query, row, &rq->out);
    if (!as_array)
        live_event_end(rq, &s->live);
    s->n_sent++;
    s->left -= s->left == INT64_MAX ? 0 : 1;
    return rq->out.len < PIECE_BYTES;
}

/* The end that has woken the stream, when it came with that. The last one of a limit is read. */
static bool take_told(struct request *rq)
{
    struct results *s = rq->state;
    bool is_next = s->told != NULL && s->told->is_there && s->told->row.seq == s->after + 1 &&
                   s->left > 1;
    if (is_next) {
        (void)take_item(rq, &s->told->row);
        s->after = s->told->row.seq;
    }
    if (s->told != NULL)
        s->told->is_there = false;
    return is_next;
}

/* The next piece to rq->out. `b` was read before. */
static bool read_piece(struct request *rq, const struct batch *b, struct result_ask *ask,
                       struct err *err)
{
    struct results *s = rq->state;
    *ask = (struct result_ask){.batch = s->id.no,
                               .order = s->order,
                               .after = s->after,
                               .max = MIN(s->left, PIECE_ITEMS),
                               .sink = {take_item, rq}};
    if (!query_results(rq->thread->query, ask, err))
        return false;
    /* Ends that are no results any more (retried since) are passed over. */
    if (ask->is_at_end && s->order == RESULTS_BY_END)
        ask->after = MAX(ask->after, b->ended);
    s->after = ask->after;
    return true;
}

static bool is_complete(const struct batch *b, const struct result_ask *ask)
{
    return b->finished_us != 0 && ask->is_at_end && ask->next_no == 0;
}

/* ------------------------------------------------------------------------------------------------
 * as a stream */

static void put_end(struct request *rq, const struct batch *b, bool done)
{
    const struct results *s = rq->state;
    live_event_begin(rq, &s->live, "end", 0);
    buf_printf(&rq->out,
               "{\"end\":true,\"done\":%s,\"state\":\"%s\",\"items\":%lld,\"after\":%lld}",
               done ? "true" : "false", done ? job_state_name(batch_end_state(b)) : "running",
               (long long)s->n_sent, (long long)s->after);
    live_event_end(rq, &s->live);
}

static void put_timeout(struct request *rq, const struct batch *b)
{
    const struct results *s = rq->state;
    live_event_begin(rq, &s->live, "timeout", 0);
    buf_printf(&rq->out, "{\"timeout\":true,\"unfinished\":%lld,\"of\":%lld}",
               (long long)(b->n - batch_done(b)), (long long)b->n);
    live_event_end(rq, &s->live);
}

/* Nothing was found by this read. */
static enum fill wait_for_more(struct request *rq, const struct batch *b,
                               const struct result_ask *ask, struct park *park)
{
    struct results *s = rq->state;
    if (s->until_ns != 0 && has_waited(s)) {
        put_timeout(rq, b);
        put_end(rq, b, false);
        return FILL_END;
    }
    if (watch_next(s, ask, park))
        return FILL_MORE;
    park->deadline_ns = s->until_ns;
    return live_park(rq, &s->live, *park);
}

static enum fill fill_results(struct request *rq)
{
    struct results *s = rq->state;
    struct park park = prepare(rq, s);
    struct result_ask ask;
    struct batch b;
    struct err err = {0};
    enum fill fill;
    int64_t before = s->n_sent;
    if (live_beat(rq, &s->live, &fill))
        return fill;
    if (take_told(rq))
        return live_sent(rq, &s->live, 1);
    if (!query_batch_mark(rq->thread->query, &s->id, &b, &err) || !read_piece(rq, &b, &ask, &err))
        return FILL_ABORT; /* also when it was forgotten: the client asks, and hears that */
    if (s->n_sent > before)
        (void)live_sent(rq, &s->live, (uint64_t)(s->n_sent - before));
    bool is_done = is_complete(&b, &ask);
    if (is_done || s->left == 0) {
        put_end(rq, &b, is_done);
        return FILL_END;
    }
    return s->n_sent > before || !ask.is_at_end ? FILL_MORE : wait_for_more(rq, &b, &ask, &park);
}

/* ------------------------------------------------------------------------------------------------
 * as an array */

static bool count_item(void *target, const struct result_row *row)
{
    (void)target;
    (void)row;
    return true;
}

/* How far the elements have ended, without a gap; up to what is asked for. */
static bool read_ready(struct request *rq, struct results *s, struct result_ask *ask,
                       struct err *err)
{
    int64_t wanted = s->left > INT64_MAX - s->after ? INT64_MAX : s->after + s->left;
    *ask = (struct result_ask){.batch = s->id.no,
                               .order = RESULTS_BY_INDEX,
                               .after = s->ready,
                               .max = MAX(wanted - s->ready, 1),
                               .sink = {count_item, NULL}};
    if (!query_results(rq->thread->query, ask, err))
        return false;
    s->ready = ask->after;
    return true;
}

/* Whether everything that is asked for can be answered. A limit may be reached before the batch is
 * over. */
static bool is_ready(struct request *rq, const struct batch *b, struct result_ask *ask, bool *ret,
                     struct err *err)
{
    struct results *s = rq->state;
    *ask = (struct result_ask){.is_at_end = true};
    *ret = b->finished_us != 0;
    if (*ret || s->left == INT64_MAX)
        return true;
    if (s->order == RESULTS_BY_END) {
        *ret = b->ended - s->after >= s->left;
        return true;
    }
    if (!read_ready(rq, s, ask, err))
        return false;
    *ret = s->ready - s->after >= s->left;
    return true;
}

static enum fill fill_array(struct request *rq)
{
    struct results *s = rq->state;
    struct result_ask ask;
    struct batch b;
    struct err err = {0};
    if (rq->conn->is_gone || !query_batch_mark(rq->thread->query, &s->id, &b, &err) ||
        !read_piece(rq, &b, &ask, &err))
        return FILL_ABORT;
    if (s->left > 0 && !ask.is_at_end)
        return FILL_MORE;
    buf_puts(&rq->out, "]\n");
    return FILL_END;
}

static void reply_array(struct request *rq, const struct batch *b)
{
    struct results *s = rq->state;
    int64_t size = s->order == RESULTS_BY_END ? b->ended : b->n;
    bool done = b->finished_us != 0 && size - s->after <= s->left;
    struct err err = {0};
    buf_clear(&rq->out);
    buf_putc(&rq->out, '[');
    const enum fill fill = fill_array(rq);
    if (fill == FILL_ABORT) {
        (void)err_set(&err, ERR_STORAGE, "The results cannot be read");
        reply_problem(rq, &err);
        return;
    }
    PRE(fill != FILL_PARKED);
    reply_header(rq, ANSWER_DONE, done ? "true" : "false");
    if (fill == FILL_END)
        reply_json(rq, 200);
    else
        reply_stream(rq, JSON_TYPE, fill_array);
}

static struct park array_park(struct results *s, struct park park)
{
    bool by_limit = s->left != INT64_MAX;
    park.wish = (struct batch_wish){.min_done = WISH_END_ONLY};
    if (by_limit && s->order == RESULTS_BY_END)
        park.wish.min_ended = s->after + s->left;
    if (by_limit && s->order == RESULTS_BY_INDEX)
        park.wish.min_elements = s->ready + 1;
    park.deadline_ns = s->until_ns;
    return park;
}

static void array_step(struct request *rq)
{
    struct results *s = rq->state;
    struct batch b;
    struct result_ask ask;
    struct err err = {0};
    for (;;) {
        struct park park = prepare(rq, s);
        bool ready;
        if (!query_batch_mark(rq->thread->query, &s->id, &b, &err) ||
            !is_ready(rq, &b, &ask, &ready, &err))
            break;
        if (ready || has_waited(s) || rq->conn->half_closed) {
            reply_array(rq, &b);
            return;
        }
        bool again = s->watched_no != ask.next_no;
        s->watched_no = ask.next_no;
        if (again)
            continue;
        park = array_park(s, park);
        if (!request_park(rq, &park, array_step, &err))
            break;
        return;
    }
    reply_problem(rq, &err);
}

void batch_results(struct request *rq)
{
    struct results *s = arena_alloc(&rq->arena, sizeof *s);
    enum live_form form = live_accepted(rq, LIVE_BYTES);
    struct batch b;
    struct err err = {0};
    PRE(s != NULL); /* the first bytes of the arena */
    rq->state = s;
    s->live.form = form;
    if (!batch_request_id(rq, &s->id, &err) || !read_order(rq, s, &err) ||
        !read_place(rq, s, &err) || !query_batch_mark(rq->thread->query, &s->id, &b, &err)) {
        reply_problem(rq, &err);
        return;
    }
    if (form == LIVE_BYTES) {
        array_step(rq);
        return;
    }
    if (s->order == RESULTS_BY_END) {
        s->told = arena_alloc(&rq->arena, sizeof *s->told);
        PRE(s->told != NULL);
    }
    live_begin(rq, &s->live, form);
    reply_stream(rq, live_type(form), fill_results);
}
