/* SPDX-License-Identifier: MIT */
/* How a worker tells that a task of its has ended: by a note in a ring of its slot, and by a bit in
 * the bell of the pool, which says in whose ring to look. A server that is awake looks there before
 * it sleeps. Only one that sleeps is sent a frame as well (DONE), and one whose worker has nothing
 * to do next; the frame itself says no more than that there is something in the ring. */
#ifndef GANGER_POOL_ENDS_H
#define GANGER_POOL_ENDS_H

#include "pool/slot.h"

/* ---- the worker ---- */

/* True: nobody looks by itself, so a frame is to be sent. */
MUST_CHECK bool ends_tell(const struct slots *slots, uint32_t slot, const struct slot_end *end);

/* ---- the server ---- */

/* Before the worker of a slot is forked. */
void ends_reset(const struct slots *slots, uint32_t slot);
/* So many the worker has told in its life; what it wrote before is to be seen. */
uint32_t ends_count(const struct slots *slots, uint32_t slot);
/* Before waiting for frames. False: something was told without one, so there is no waiting. */
MUST_CHECK bool ends_sleep(const struct slots *slots);
void ends_wake(const struct slots *slots);
/* The slots that have rung since the last call, of the 64 from `group` * 64 on, as bits. */
uint64_t ends_heard(const struct slots *slots, uint32_t group);
/* There was no room for what one of them has told. */
void ends_ring(const struct slots *slots, uint32_t slot);

#endif
