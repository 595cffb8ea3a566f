/* SPDX-License-Identifier: MIT */
/* A call of a pure function (service/base/function.h) need not wait for the disk: one that is born
 * in the open transaction leaves for a worker before the commit, and what ends at once has birth
 * and end in one transaction: one sync instead of two, and no worker that idles for the first.
 * Nobody hears of the call before the commit, so every promise about accepted jobs stays; when the
 * transaction is not stored, the call has run in vain. */
#include "service/engine_state.h"

#include <poll.h>

#define EARLY_NS UINT64_C(300000)   /* the transaction waits so long for ends */
#define TYPICAL_NS UINT64_C(100000) /* of calls that take longer none is waited for */

static bool is_asked(const struct engine *e)
{
    return e->pending != NULL || inbox_has(&e->inbox);
}

/* Until the pool tells something, or a client asks. */
static void wait_for_pool(struct engine *e, uint64_t ns)
{
    const struct timespec most = {.tv_nsec = (long)ns};
    struct pollfd fds[] = {{.fd = pool_fd(e->parts.pool), .events = POLLIN},
                           {.fd = e->inbox.event_fd, .events = POLLIN}};
    if (pool_sleeps(e->parts.pool))
        (void)ppoll(fds, ARRAY_LEN(fds), &most, NULL);
    pool_wakes(e->parts.pool);
}

/* How many of those that have left early have ended now. Everything else is for the next turn. */
static uint32_t hear(struct engine *e)
{
    const size_t n = pool_collect(e->parts.pool, e->held, MAX_POOL_EVENTS);
    uint32_t ended = 0;
    size_t k = 0;
    for (; k < n && dispatch_hear_early(&e->dispatch, &e->held[k]); k++) {
        if (e->held[k].type != POOL_DONE)
            continue;
        pace_note_end(e, e->held[k].place);
        ended++;
    }
    e->n_held = n - k;
    memmove(e->held, e->held + k, e->n_held * sizeof e->held[0]);
    return ended;
}

bool apply_early(struct engine *e, struct err *err)
{
    const uint32_t left = dispatch_start_early(&e->dispatch, &e->turn);
    if (left == 0)
        return true;
    if (FAULT("engine-early"))
        return err_set(err, ERR_STORAGE, "A fault after a call has left early");
    const uint64_t begin_ns = clock_mono_ns();
    uint64_t waited_ns = 0;
    uint32_t ended = hear(e);
    while (ended < left && e->n_held == 0 && e->typical_ns <= TYPICAL_NS && !is_asked(e) &&
           waited_ns < EARLY_NS) {
        wait_for_pool(e, EARLY_NS - waited_ns);
        ended += hear(e);
        waited_ns = clock_mono_ns() - begin_ns;
    }
    return ended == 0 || (apply_early_ends(e, err) && apply_changes(e, err));
}
