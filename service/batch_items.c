/* SPDX-License-Identifier: MIT */
/* How items become the elements of their batch, inside the turn's transaction. */
#include "service/engine_state.h"

/* What all elements of one command are made from. */
struct element_source {
    struct template_head head;
    struct job_spec spec; /* of their rows; texts and task are the batch's and the item's */
    struct batch batch;   /* as it is now */
    bool is_busy;         /* the chunk of the next element has one that has not ended */
    int64_t due_us;
};

static bool source_open(struct engine *e, int64_t no, struct element_source *ret, struct err *err)
{
    const struct batch *b;
    *ret = (struct element_source){0};
    if (!batch_get_by_no(e->store, no, &b, err) || !batch_head(e->store, no, &ret->head, err))
        return false;
    const struct template_head *head = &ret->head;
    ret->batch = *b;
    ret->spec = (struct job_spec){
        .queue = slice_of(store_queue_name(e->store, b->queue)),
        .priority = head->priority,
        .max_attempts = head->max_attempts,
        .has_retry = head->has_retry != 0,
        .result = (enum job_result)head->result,
        .keep_us = head->keep_us,
    };
    ret->due_us = head->run_at_us != 0 ? head->run_at_us : e->turn.now_us + head->delay_us;
    return true;
}

/* In the order of indexes: whoever comes after one that is held back is held back too. In chunks:
 * whoever is not the first of its chunk that has not ended. */
static bool is_held_back(const struct element_source *source)
{
    const struct batch *b = &source->batch;
    if (b->chunksize > 1)
        return (b->flags & JOB_WAITS) != 0 || (source->is_busy && b->n % b->chunksize != 0);
    return (b->flags & JOB_WAITS) != 0 || b->gated > 0 ||
           (b->max_parallel > 0 && batch_active(b) >= b->max_parallel);
}

/* Elements that are born alike: all held back by the gate, or none. */
#define MAX_ALIKE 256
struct litter {
    struct element_new elements[MAX_ALIKE];
    size_t n;
    bool gated;
};

static bool insert_litter(struct engine *e, struct element_source *source, struct litter *litter,
                          struct err *err)
{
    const struct template_head *head = &source->head;
    const struct batch *b = &source->batch;
    int64_t now_us = e->turn.now_us;
    const struct job_new job = {
        .spec = &source->spec,
        .now_us = now_us,
        .due_us = source->due_us,
        .queue_deadline_us = head->queue_timeout_us == 0 ? 0 : now_us + head->queue_timeout_us,
        .deadline_us = head->deadline_us == 0 ? 0 : now_us + head->deadline_us,
        .batch = b->no,
        .idx = b->n - (int64_t)litter->n,
        .flags = JOB_ITEM | (litter->gated ? (unsigned)JOB_GATED : 0) |
                 (b->flags & (JOB_INPUTS | JOB_OUTPUTS)) |
                 (b->chunksize > 1 ? (unsigned)JOB_CHUNKED : 0),
    };
    if (!batch_insert_elements(e->store, &job, litter->elements, litter->n, err))
        return err_wrap(err, "store items");
    apply_due_at(e, job.queue_deadline_us);
    apply_due_at(e, job.deadline_us);
    e->turn.submitted += litter->n;
    litter->n = 0;
    return true;
}

static bool insert_items(struct engine *e, struct element_source *source,
                         const struct batch_ask *ask, struct err *err)
{
    struct litter litter = {.n = 0};
    for (uint32_t i = 0; i < ask->n_items; i++) {
        const bool gated = is_held_back(source);
        if ((litter.n == MAX_ALIKE || (litter.n > 0 && litter.gated != gated)) &&
            !insert_litter(e, source, &litter, err))
            return false;
        litter.elements[litter.n++] = (struct element_new){ask->items[i], apply_salt(e)};
        litter.gated = gated;
        source->batch.n++;
        source->batch.gated += gated;
        source->is_busy = true;
    }
    return litter.n == 0 || insert_litter(e, source, &litter, err);
}

bool batch_add_items(struct engine *e, int64_t no, const struct batch_ask *ask, struct err *err)
{
    struct element_source source;
    if (ask->n_items == 0)
        return true;
    if (!source_open(e, no, &source, err))
        return false;
    if (source.batch.chunksize > 1 &&
        !chunk_is_busy(e, &source.batch, source.batch.n, &source.is_busy, err))
        return false;
    if (!insert_items(e, &source, ask, err))
        return false;
    if (source.due_us > e->turn.now_us)
        apply_due_at(e, source.due_us);
    e->dispatch.dirty = true;
    return true;
}
