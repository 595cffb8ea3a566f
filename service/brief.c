/* SPDX-License-Identifier: MIT */
#include "service/brief.h"

#include "service/base/template.h"

#define ENOUGH 32 /* ends before anything is concluded */
#define WEIGHT 32 /* one end changes the mean by this part of what it differs */

/* FNV-1a, http://www.isthe.com/chongo/tech/comp/fnv/ */
static uint64_t hash(struct slice bytes)
{
    uint64_t h = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < bytes.len; i++)
        h = (h ^ (unsigned char)bytes.ptr[i]) * UINT64_C(1099511628211);
    return h;
}

uint64_t brief_key(struct slice template_bytes)
{
    struct template_head head;
    struct err damaged;
    if (!template_open(template_bytes, &head, NULL, &damaged) || head.call_bytes == 0)
        return 0;
    return MAX(hash(template_bytes), UINT64_C(1));
}

void brief_note(struct brief *brief, uint64_t key, uint64_t took_us)
{
    struct brief_template *t = &brief->templates[key % BRIEF_TEMPLATES];
    const uint64_t took_ns = took_us * 1000;
    if (key == 0)
        return;
    if (t->key != key)
        *t = (struct brief_template){.key = key, .mean_ns = took_ns};
    t->n_seen += t->n_seen < ENOUGH;
    t->mean_ns = (t->mean_ns * (WEIGHT - 1) + took_ns) / WEIGHT;
}

uint32_t brief_together(const struct brief *brief, uint64_t key)
{
    const struct brief_template *t = &brief->templates[key % BRIEF_TEMPLATES];
    if (key == 0 || t->key != key || t->n_seen < ENOUGH)
        return 1;
    const uint64_t fits = BRIEF_TURN_NS / MAX(t->mean_ns, UINT64_C(1));
    return (uint32_t)MAX(MIN(fits, (uint64_t)BRIEF_MAX), UINT64_C(1));
}
