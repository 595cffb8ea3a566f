/* SPDX-License-Identifier: MIT */
/* Waiting awake. To wake a thread that sleeps on another processor takes 25 us and more, in which
 * nothing else happens when the service is at rest; so who hears that it will be needed within a
 * moment looks again and again, by calls that do not block:
 *
 *     for (vigil_begin(v, ns); found == 0 && vigil_goes_on(v);)
 *         found = look();
 *
 * Nothing depends on it: what comes after the vigil wakes the thread as ever. */
#ifndef GANGER_BASE_VIGIL_H
#define GANGER_BASE_VIGIL_H

#include "service/base/util.h"

/* For what follows a commit: most of them take 100 to 250 us when the disk is at rest. */
#define VIGIL_COMMIT_NS UINT64_C(400000)
/* For what a worker tells of a task that takes a few microseconds. */
#define VIGIL_TASK_NS UINT64_C(50000)
/* After one in vain there is none for so long, and twice as long after each further one: on a
 * machine that is never at rest they take no more than 0.2 % of a processor. */
#define VIGIL_PAUSE_MIN_NS UINT64_C(2000000)
#define VIGIL_PAUSE_MAX_NS UINT64_C(200000000)

/* All zero: there was none. */
struct vigil {
    uint64_t until_ns, looked_ns; /* until_ns 0: it is over, or there was none */
    uint64_t pause_ns, paused_until_ns;
    bool was_robbed; /* somebody else had the processor: one more look, and it is over */
};

void vigil_begin(struct vigil *v, uint64_t ns); /* ns 0: there is none */
bool vigil_goes_on(struct vigil *v);
/* Whether there are processors to spare. */
bool vigil_is_possible(void);

#endif
