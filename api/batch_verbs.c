/* SPDX-License-Identifier: MIT */
/* POST /v1/batches/{id}/cancel and /retry. What is more than one turn can bear goes on by itself
 * (service/chores.c); the answer comes when all is done. */
#include "api/batches.h"
#include "api/handlers.h"
#include "api/reply.h"
#include "api/view_batch.h"

struct pick_state {
    struct pick_request req;
    struct job_id id;
    enum command_kind kind;
    uint64_t until_ns;
    bool by_index;
    struct chore_tally tally;
};

static void reply_picked(struct request *rq, const struct batch_view *view)
{
    const struct pick_state *s = rq->state;
    bool cancels = s->kind == CMD_BATCH_CANCEL;
    bool is_over = cancels && (s->by_index ? !s->tally.is_stopping : batch_is_over(&view->batch));
    buf_clear(&rq->out);
    buf_puts(&rq->out, "{\"batch\":");
    view_write_batch(view, &rq->out);
    buf_printf(&rq->out, ",\"%s\":%lld}\n", cancels ? "cancelled" : "retried",
               (long long)s->tally.changed);
    reply_json(rq, is_over ? 200 : 202);
}

/* A cancel of the whole batch may be waited for. */
static void answer_when_over(struct request *rq)
{
    const struct pick_state *s = rq->state;
    uint32_t epoch = request_epoch(rq, topic_batch(s->id.no));
    struct batch_view view;
    struct err err = {0};
    if (!query_batch(rq->thread->query, &s->id, request_scratch(rq), &view, &err)) {
        reply_problem(rq, &err);
        return;
    }
    if (!batch_is_over(&view.batch) && !rq->conn->half_closed && clock_mono_ns() < s->until_ns) {
        struct park park = {.topic = topic_batch(s->id.no),
                            .epoch = epoch,
                            .deadline_ns = s->until_ns,
                            .wish = {.min_done = WISH_END_ONLY}};
        if (request_park(rq, &park, answer_when_over, &err))
            return;
    }
    reply_picked(rq, &view);
}

static void answer(struct request *rq)
{
    struct pick_state *s = rq->state;
    struct err err = {0};
    if (s->kind == CMD_BATCH_RETRY && s->tally.changed == 0 && s->tally.expired > 0) {
        (void)err_set(&err, ERR_RESULT_EXPIRED,
                      "What the elements have to run was kept as long as their results, and is "
                      "gone");
        reply_problem(rq, &err);
        return;
    }
    if (s->kind != CMD_BATCH_CANCEL || s->by_index)
        s->until_ns = 0;
    answer_when_over(rq);
}

static void picked(struct request *rq)
{
    struct pick_state *s = rq->state;
    if (rq->cmd.err.code == ERR_NONE && rq->cmd.timed_out)
        (void)err_set(&rq->cmd.err, ERR_DRAINING,
                      "The service stops; what is left is done when it runs again");
    if (rq->cmd.err.code != ERR_NONE) {
        reply_problem(rq, &rq->cmd.err);
        return;
    }
    s->tally = rq->cmd.tally;
    answer(rq);
}

/* Without indexes: all elements there are now. */
static bool take_all(struct request *rq, struct pick_state *s, int64_t n, struct err *err)
{
    s->req.ranges = arena_alloc(&rq->arena, sizeof *s->req.ranges);
    if (s->req.ranges == NULL)
        return err_set(err, ERR_TOO_LARGE, "The request takes too much memory");
    s->req.ranges[0] = (struct index_range){0, MAX(n, 1)};
    s->req.n_ranges = 1;
    return true;
}

static bool prepare(struct request *rq, struct pick_state *s, struct err *err)
{
    struct batch batch;
    if (!batch_request_id(rq, &s->id, err) || !request_wait(rq, &s->until_ns, err) ||
        !codec_read_pick(buf_slice(&rq->body), s->kind == CMD_BATCH_CANCEL, &rq->arena, &s->req,
                         err) ||
        !query_batch_mark(rq->thread->query, &s->id, &batch, err))
        return false;
    s->by_index = s->req.n_ranges > 0;
    if (s->req.last >= batch.n)
        return err_at(err, ERR_INVALID, "/indexes",
                      "names element %lld, but the batch has %lld, counted from 0",
                      (long long)s->req.last, (long long)batch.n);
    if (!s->by_index && !take_all(rq, s, batch.n, err))
        return false;
    rq->cmd.kind = s->kind;
    rq->cmd.pick = (struct batch_pick){
        .id = s->id, .by_index = s->by_index, .ranges = s->req.ranges, .n_ranges = s->req.n_ranges};
    memcpy(rq->cmd.pick.why, s->req.why, sizeof rq->cmd.pick.why);
    return true;
}

static void begin(struct request *rq, enum command_kind kind)
{
    struct err err = {0};
    struct pick_state *s = arena_alloc(&rq->arena, sizeof *s);
    PRE(s != NULL); /* the first bytes of the arena */
    s->kind = kind;
    rq->state = s;
    if (!prepare(rq, s, &err) || !request_send(rq, picked, &err))
        reply_problem(rq, &err);
}

void batch_cancel_some(struct request *rq)
{
    begin(rq, CMD_BATCH_CANCEL);
}

void batch_retry_some(struct request *rq)
{
    begin(rq, CMD_BATCH_RETRY);
}
