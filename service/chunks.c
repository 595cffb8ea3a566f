/* SPDX-License-Identifier: MIT */
/* Chunks: so many neighbours of a batch run one after another. One of them is in the queue or runs;
 * the others stand behind the gate of the batch, and each end lets the next one in. */
#include "service/engine_state.h"

#define ALIVE ((1u << JOB_SUCCEEDED) - 1u) /* the states before the first end */
_Static_assert(JOB_SUCCEEDED == 5, "the states that are no end come first");

bool chunk_is_busy(struct engine *e, const struct batch *b, int64_t idx, bool *ret, struct err *err)
{
    int64_t no, first = idx - idx % b->chunksize, end = MIN(first + b->chunksize, b->n);
    int64_t batch = b->no;
    struct due_list list = {&no, 1, 0};
    while (list.n == 0 && first < end) {
        struct batch_range range = {batch, first, end - first};
        if (!batch_find(e->store, &range, ALIVE, &list, err))
            return err_wrap(err, "look at a chunk");
        first += range.n;
    }
    *ret = list.n > 0;
    return true;
}

bool chunk_next(struct engine *e, const struct batch *b, int64_t ended, struct err *err)
{
    const int64_t chunksize = b->chunksize, chunk = ended / chunksize;
    int64_t no;
    struct due_list list = {&no, 1, 0};
    struct job_row next;
    if (b->phase == BATCH_HALTED || (b->flags & JOB_WAITS) != 0 || b->gated == 0)
        return true;
    if (!batch_gated(e->store, &(struct gate_ask){b->no, chunk * chunksize, 1}, &list, err))
        return err_wrap(err, "find the next of a chunk");
    if (list.n == 0 || !jobs_get_by_no(e->store, no, &next, err))
        return list.n == 0;
    if (next.idx / chunksize != chunk)
        return true;
    e->dispatch.dirty = true;
    return batch_release(e->store, no, e->turn.now_us, err);
}
