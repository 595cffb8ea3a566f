/* SPDX-License-Identifier: MIT */
#include "storage/spec.h"

void spec_keep(struct spec_cache *cache, int64_t no, const struct spec_texts *texts)
{
    struct kept_spec *kept = &cache->items[(uint64_t)no % SPEC_CACHE_SIZE];
    const struct slice from[SPEC_TEXTS] = {texts->name, texts->traceparent, texts->task};
    size_t used = 0;

    kept->no = 0;
    for (int i = 0; i < SPEC_TEXTS; i++) {
        kept->len[i] = from[i].ptr == NULL ? -1 : (int32_t)from[i].len;
        if (from[i].ptr == NULL || from[i].len == 0)
            continue;
        if (from[i].len > SPEC_KEPT_BYTES - used)
            return;
        memcpy(kept->bytes + used, from[i].ptr, from[i].len);
        used += from[i].len;
    }
    kept->no = no;
}

bool spec_at_hand(const struct spec_cache *cache, int64_t no, struct spec_texts *ret)
{
    const struct kept_spec *kept = &cache->items[(uint64_t)no % SPEC_CACHE_SIZE];
    struct slice *to[SPEC_TEXTS] = {&ret->name, &ret->traceparent, &ret->task};
    const char *at = kept->bytes;

    if (kept->no != no || no == 0)
        return false;
    for (int i = 0; i < SPEC_TEXTS; i++) {
        *to[i] = (struct slice){NULL, 0};
        if (kept->len[i] < 0)
            continue;
        *to[i] = (struct slice){at, (size_t)kept->len[i]};
        at += kept->len[i];
    }
    return true;
}

void spec_forget(struct spec_cache *cache, int64_t no)
{
    struct kept_spec *kept = &cache->items[(uint64_t)no % SPEC_CACHE_SIZE];

    if (kept->no == no)
        kept->no = 0;
}

void spec_cache_clear(struct spec_cache *cache)
{
    for (size_t i = 0; i < SPEC_CACHE_SIZE; i++)
        cache->items[i].no = 0;
}
