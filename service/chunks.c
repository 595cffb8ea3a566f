/* SPDX-License-Identifier: MIT */
/* Chunks: so many neighbours of a batch run one after another. One of them is in the queue or runs;
 * the others stand behind the gate of the batch, and each end lets the next one in. */
#include "service/engine_state.h"

#define ALIVE ((1u << JOB_SUCCEEDED) - 1u) /* the states before the first end */
_Static_assert(JOB_SUCCEEDED == 5, "the states that are no end come first");

/* Whether one of these elements has not ended. */
static bool any_alive(struct engine *e, struct batch_range range, bool *ret, struct err *err)
{
    const int64_t end = range.first + range.n;
    int64_t no;
    struct due_list list = {&no, 1, 0};
    while (list.n == 0 && range.first < end) {
        struct batch_range part = {range.batch, range.first, end - range.first};
        if (!batch_find(e->store, &part, ALIVE, &list, err))
            return err_wrap(err, "look at a chunk");
        range.first += part.n;
    }
    *ret = list.n > 0;
    return true;
}

bool chunk_is_busy(struct engine *e, const struct batch *b, int64_t idx, bool *ret, struct err *err)
{
    int64_t first = idx - idx % b->chunksize, end = MIN(first + b->chunksize, b->n);
    return any_alive(e, (struct batch_range){b->no, first, end - first}, ret, err);
}

/* The first element that the gate holds back from this index on; no = 0: none. */
static bool first_gated(struct engine *e, int64_t batch, int64_t from, struct job_row *ret,
                        struct err *err)
{
    int64_t no;
    struct due_list list = {&no, 1, 0};
    *ret = (struct job_row){0};
    if (!batch_gated(e->store, batch, from, &list, err))
        return err_wrap(err, "find what a batch holds back");
    return list.n == 0 || jobs_get_by_no(e->store, no, ret, err);
}

bool chunk_next(struct engine *e, const struct batch *b, int64_t ended, struct err *err)
{
    const int64_t chunksize = b->chunksize, chunk = ended / chunksize;
    struct job_row next;
    if (b->phase == BATCH_HALTED || (b->flags & JOB_WAITS) != 0 || b->gated == 0)
        return true;
    if (!first_gated(e, b->no, chunk * chunksize, &next, err))
        return false;
    if (next.no == 0 || next.idx / chunksize != chunk)
        return true;
    e->dispatch.dirty = true;
    return batch_release(e->store, next.no, e->turn.now_us, err);
}

/* Those before it may have ended while the batch waited, so it need not be the first of its chunk.
 * When one of them lives, it was let in by itself and its end lets the next one in. */
bool chunk_begin(struct engine *e, struct batch *b, struct err *err)
{
    struct job_row next;
    bool is_begun;
    if (!first_gated(e, b->no, b->place, &next, err))
        return false;
    if (next.no == 0) {
        b->work &= ~(uint32_t)BATCH_WORK_RELEASE;
        return true;
    }
    int64_t first = next.idx - next.idx % b->chunksize;
    b->place = first + b->chunksize;
    if (!any_alive(e, (struct batch_range){b->no, first, next.idx - first}, &is_begun, err))
        return false;
    e->dispatch.dirty = true;
    return is_begun || batch_release(e->store, next.no, e->turn.now_us, err);
}
