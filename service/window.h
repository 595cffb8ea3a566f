/* SPDX-License-Identifier: MIT */
/* How many jobs have begun within a span of time: n tokens, each of which comes back one span after
 * it was used. So there are never more than n beginnings in any span of that length, wherever it
 * begins; after a pause all n may begin at once. Plain data without a clock of its own. */
#ifndef GANGER_SERVICE_WINDOW_H
#define GANGER_SERVICE_WINDOW_H

#include "service/base/buf.h"

/* Beginnings are counted by slots of a 64th of the span, so memory does not grow with n. A slot is
 * forgotten when its last moment lies a whole span back: a token comes back up to 1/64 late, never
 * early. */
#define WINDOW_PARTS 64
#define WINDOW_SLOTS (WINDOW_PARTS + 1)

struct window {
    uint64_t slot_ns;
    uint64_t slot;                /* the current one, counted from time 0 */
    uint32_t count[WINDOW_SLOTS]; /* at slot % WINDOW_SLOTS */
    uint32_t total;
};

void window_init(struct window *w, int64_t span_us, uint64_t now_ns);
/* `now_ns` never decreases. */
void window_add(struct window *w, uint64_t now_ns, uint32_t n);
uint32_t window_count(struct window *w, uint64_t now_ns);
/* When the next token comes back; UINT64_MAX: none is out. */
uint64_t window_next_ns(const struct window *w);

/* Its bytes outlive the server. `held`: tokens of jobs that may begin before the next bytes are
 * written; the next server counts them as used when it starts. The wall clock tells how much time
 * lies between. */
struct window_bytes {
    int64_t wall_us, slot_ns;
    uint32_t held;
    uint32_t ages[WINDOW_SLOTS]; /* [0]: the slot in which it was written */
};
void window_save(struct window *w, uint64_t now_ns, struct window_bytes *ret);
/* False: the bytes are damaged, and all n tokens are to be counted as used now. */
bool window_load(struct window *w, uint64_t now_ns, int64_t wall_us, struct slice bytes);

#endif
