/* SPDX-License-Identifier: MIT */
/* How a service that has nothing to do stays small. */
#ifndef GANGER_BASE_FOOTPRINT_H
#define GANGER_BASE_FOOTPRINT_H

/* Before the first large allocation. Memory of a long answer goes back to the kernel when it is
 * freed, always: by itself the allocator moves the size from which it does that upwards, to the
 * longest piece that was ever freed. */
void footprint_limit(void);

/* When a process has started. Gives back the pages of program and libraries that can be read again
 * from their files: loading, relocating and initialising them touches far more than running ever
 * will. What is needed again comes back by itself, from the page cache. Other threads may run. */
void footprint_trim(void);

#endif
