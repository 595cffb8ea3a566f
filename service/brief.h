/* SPDX-License-Identifier: MIT */
/* Which calls are brief: how long those of each template have taken, so that neighbours of a batch
 * may share one turn of a worker (chunk_run.h) when a turn is dearer than they are. In memory only:
 * a new server learns it anew. Owner: the engine thread. */
#ifndef GANGER_SERVICE_BRIEF_H
#define GANGER_SERVICE_BRIEF_H

#include "service/base/util.h"

#define BRIEF_TEMPLATES 64 /* that are known at once; more of them push each other out */
#define BRIEF_TURN_NS UINT64_C(1000000) /* what a turn of brief calls should take */
#define BRIEF_MAX 32                    /* calls in it: more would save little */

struct brief {
    struct brief_template {
        uint64_t key;
        uint32_t n_seen;
        uint64_t mean_ns; /* the last few dozen count most */
    } templates[BRIEF_TEMPLATES];
};

/* Of the stored bytes of a template. 0: it calls no function, and nothing is learned about it:
 * starting a process is dearer than a turn. */
uint64_t brief_key(struct slice template_bytes);
/* One of them has ended, however. Key 0: nothing. */
void brief_note(struct brief *brief, uint64_t key, uint64_t took_us);
/* So many of them should share a turn; 1 as long as it is not known. */
uint32_t brief_together(const struct brief *brief, uint64_t key);

#endif
