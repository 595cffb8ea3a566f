/* SPDX-License-Identifier: MIT */
/* What the pool tells, at the beginning of a turn. */
#include "service/engine_state.h"

/* `idle`: the slots whose worker is left without a task by these events. */
static void hear_pool(struct engine *e, const struct pool_event *ev, bool idle[MAX_WORKERS])
{
    struct dispatch *d = &e->dispatch;
    uint32_t slot = ev->place.slot;
    switch (ev->type) {
    case POOL_READY:
        metrics_add(e->parts.metrics, COUNT_WORKER_STARTS, 1);
        idle[slot] = true;
        break;
    case POOL_DONE:
        dispatch_ended(d, ev->place);
        pace_note_end(e, ev->place);
        idle[slot] = true;
        break;
    case POOL_STARTED:
        dispatch_offer_begun(d, ev->place);
        idle[slot] = false;
        break;
    case POOL_LOST: dispatch_ended(d, ev->place); break;
    case POOL_PART: dispatch_part(d, ev->place); break;
    case POOL_RETURNED: dispatch_offer_returned(d, ev->place); break;
    case POOL_OUTPUT: publish_output(e, ev); break;
    case POOL_WORKER_GONE:
        idle[slot] = false;
        pools_worker_gone(e, ev);
        break;
    case POOL_BROKEN:
    case POOL_MENDED: pools_health_changed(e, ev); break;
    case POOL_ZYGOTE_GONE: e->zygote_gone = true; break;
    }
}

void collect_pool(struct engine *e)
{
    struct pool_event events[MAX_POOL_EVENTS];
    bool idle[MAX_WORKERS] = {false};
    size_t n, all = e->n_held;
    for (size_t i = 0; i < e->n_held; i++)
        hear_pool(e, &e->held[i], idle);
    e->n_held = 0;
    do {
        n = pool_collect(e->parts.pool, events, MAX_POOL_EVENTS);
        for (size_t i = 0; i < n; i++)
            hear_pool(e, &events[i], idle);
        all += n;
    } while (n == MAX_POOL_EVENTS || (n > 0 && e->nap_from_ns != 0)); /* several messages of a
                                                                         worker may have come */
    for (uint32_t slot = 0; all > 0 && slot < pool_slots(e->parts.pool); slot++)
        if (idle[slot])
            dispatch_idle(&e->dispatch, slot);
    if (all > 0)
        dispatch_offer(&e->dispatch);
}
