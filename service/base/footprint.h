/* SPDX-License-Identifier: MIT */
/* How a service that has nothing to do stays small. */
#ifndef GANGER_BASE_FOOTPRINT_H
#define GANGER_BASE_FOOTPRINT_H

#include "service/base/util.h"

#include <stdatomic.h>

/* Before the first large allocation. Memory of a long answer goes back to the kernel when it is
 * freed, always: by itself the allocator moves the size from which it does that upwards, to the
 * longest piece that was ever freed. */
void footprint_limit(void);

/* When a process has started, and when it rests. Gives back the pages of program and libraries that
 * can be read again from their files: loading, relocating and initialising them touches far more
 * than running ever will. What is needed again comes back by itself, from the page cache. Other
 * threads may run. */
void footprint_trim(void);

/* A thread that has had no work for this long rests: it gives back what only makes work faster. */
#define REST_NS UINT64_C(5000000000)

/* One thread's way to rest. It wakes up once for it, and not again before it has worked. */
struct rest {
    _Atomic uint32_t *n_awake; /* threads of the process that do not rest */
    uint64_t at_ns;            /* when it rests unless something comes; 0: it does already */
};
void rest_worked(struct rest *rest, uint64_t now_ns);
static inline uint64_t rest_next_ns(const struct rest *rest)
{
    return rest->at_ns == 0 ? UINT64_MAX : rest->at_ns;
}
/* The caller gives back what is its own, and then calls rest_begin: the last one trims the process.
 */
static inline bool rest_is_due(const struct rest *rest, uint64_t now_ns)
{
    return now_ns >= rest_next_ns(rest);
}
void rest_begin(struct rest *rest);
/* For poll(2): the earlier of that time and `ms`, of which a negative number means never. */
int rest_wait_ms(const struct rest *rest, uint64_t now_ns, int ms);

#endif
