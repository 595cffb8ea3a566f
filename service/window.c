/* SPDX-License-Identifier: MIT */
#include "service/window.h"

#define NS_PER_US UINT64_C(1000)

void window_init(struct window *w, int64_t span_us, uint64_t now_ns)
{
    PRE(span_us > 0);
    uint64_t span_ns = (uint64_t)span_us * NS_PER_US;
    *w = (struct window){.slot_ns = (span_ns + WINDOW_PARTS - 1) / WINDOW_PARTS};
    w->slot = now_ns / w->slot_ns;
}

static void forget_old(struct window *w, uint64_t now_ns)
{
    uint64_t slot = MAX(now_ns / w->slot_ns, w->slot);
    uint64_t passed = MIN(slot - w->slot, (uint64_t)WINDOW_SLOTS);
    for (uint64_t i = 1; i <= passed; i++) {
        uint32_t *count = &w->count[(w->slot + i) % WINDOW_SLOTS];
        w->total -= *count;
        *count = 0;
    }
    w->slot = slot;
}

void window_add(struct window *w, uint64_t now_ns, uint32_t n)
{
    forget_old(w, now_ns);
    w->count[w->slot % WINDOW_SLOTS] += n;
    w->total += n;
}

uint32_t window_count(struct window *w, uint64_t now_ns)
{
    forget_old(w, now_ns);
    return w->total;
}

uint64_t window_next_ns(const struct window *w)
{
    for (uint64_t age = WINDOW_SLOTS - 1; w->total > 0; age--) {
        if (age <= w->slot && w->count[(w->slot - age) % WINDOW_SLOTS] > 0)
            return (w->slot - age + WINDOW_SLOTS) * w->slot_ns;
        PRE(age > 0);
    }
    return UINT64_MAX;
}

void window_save(struct window *w, uint64_t now_ns, struct window_bytes *ret)
{
    forget_old(w, now_ns);
    ret->slot_ns = (int64_t)w->slot_ns;
    for (uint64_t age = 0; age < WINDOW_SLOTS; age++)
        ret->ages[age] = age <= w->slot ? w->count[(w->slot - age) % WINDOW_SLOTS] : 0;
}

bool window_load(struct window *w, uint64_t now_ns, int64_t wall_us, struct slice bytes)
{
    struct window_bytes b;
    if (bytes.len != sizeof b)
        return false;
    memcpy(&b, bytes.ptr, sizeof b);
    if (b.slot_ns != (int64_t)w->slot_ns)
        return false;
    /* A wall clock that was set back: no time at all has passed, for all we know. */
    uint64_t passed_ns = (uint64_t)MAX(wall_us - b.wall_us, 0) * NS_PER_US;
    uint64_t passed = MIN(passed_ns / w->slot_ns, (uint64_t)WINDOW_SLOTS);
    forget_old(w, now_ns);
    for (uint64_t age = 0; age < WINDOW_SLOTS; age++) {
        /* The slots of then and now do not begin at the same moment: one less, so that none of them
         * is forgotten too early. */
        uint64_t age_now = MAX(age + passed, 1) - 1;
        if (age_now >= WINDOW_SLOTS || age_now > w->slot)
            continue;
        w->count[(w->slot - age_now) % WINDOW_SLOTS] += b.ages[age];
        w->total += b.ages[age];
    }
    window_add(w, now_ns, b.held);
    return true;
}
