/* SPDX-License-Identifier: MIT */
/* The worker's word to the server that more of its task is to be seen: output in the spool,
 * progress in the bank. It says "look", not how much, and only while somebody looks; the first time
 * at once, then once in a period, so that who writes without end wakes nobody without end, and what
 * came last is told as well. Owner: the worker. */
#ifndef GANGER_POOL_TELLER_H
#define GANGER_POOL_TELLER_H

#include "pool/slot.h"

struct teller {
    int sock; /* to the server; borrowed as is the bank */
    struct bank *bank;
    uint64_t output_at_ns, progress_at_ns; /* not before this is news of it told */
    uint64_t output_told;                  /* bytes */
    uint32_t progress_told;                /* turn */
};

void teller_init(struct teller *t, int sock, struct bank *bank);
/* Tells what is due; `bytes` of output have been kept. */
void teller_tell(struct teller *t, uint64_t bytes, uint64_t now_ns);
/* When something is due; UINT64_MAX: there is no news. */
uint64_t teller_due_ns(const struct teller *t, uint64_t bytes);
/* The output is in the spool from now on; who asked hears so at once, even when there is none yet.
 */
void teller_watched(struct teller *t, uint64_t bytes);

#endif
