/* SPDX-License-Identifier: MIT */
/* What a start reads of a specification, kept from its insertion on: most jobs start a moment after
 * their birth. Only what is short, and of the newest jobs. Sound as the cache of rows is (row.h):
 * this thread alone writes, who changes a specification forgets it here, and every rollback forgets
 * all. Owner: the engine thread's store. */
#ifndef GANGER_STORAGE_SPEC_H
#define GANGER_STORAGE_SPEC_H

#include "service/base/util.h"

/* Absent ones have no ptr. */
struct spec_texts {
    struct slice name, traceparent, task;
};

#define SPEC_TEXTS 3
#define SPEC_KEPT_BYTES 488 /* of all three */
#define SPEC_CACHE_SIZE 64
struct spec_cache {
    struct kept_spec {
        int64_t no;              /* 0: empty */
        int32_t len[SPEC_TEXTS]; /* -1: absent */
        char bytes[SPEC_KEPT_BYTES];
    } items[SPEC_CACHE_SIZE]; /* at no % size */
};

void spec_keep(struct spec_cache *cache, int64_t no, const struct spec_texts *texts);
/* False: it is not at hand. The slices are good until the next specification is kept. */
bool spec_at_hand(const struct spec_cache *cache, int64_t no, struct spec_texts *ret);
void spec_forget(struct spec_cache *cache, int64_t no);
void spec_cache_clear(struct spec_cache *cache);

#endif
