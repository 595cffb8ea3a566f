/* SPDX-License-Identifier: MIT */
#include "service/base/buf.h"

#include <stdalign.h>

#define FIRST_CHUNK 4096u
#define SMALL_CHUNK 512u
#define LARGEST_CHUNK (64u * 1024)

/* The list starts with the newest chunk, the only one that still has room. */
struct arena_chunk {
    struct arena_chunk *next;
    size_t cap, len;
    alignas(max_align_t) char bytes[];
};

void arena_init(struct arena *a, size_t max)
{
    PRE(max < SIZE_MAX / 2);
    *a = (struct arena){.max = max, .least = FIRST_CHUNK};
}

void arena_init_small(struct arena *a, size_t max)
{
    arena_init(a, max);
    a->least = SMALL_CHUNK;
}

static void free_chunks(struct arena_chunk *chunk)
{
    while (chunk != NULL) {
        struct arena_chunk *next = chunk->next;
        free(chunk);
        chunk = next;
    }
}

void arena_release(struct arena *a)
{
    free_chunks(a->first);
    *a = (struct arena){0};
}

void arena_clear(struct arena *a)
{
    a->used = 0;
    if (a->first == NULL)
        return;
    free_chunks(a->first->next);
    a->first->next = NULL;
    a->first->len = 0;
}

static bool add_chunk(struct arena *a, size_t size)
{
    size_t cap = a->first == NULL ? a->least : MIN(a->first->cap * 2, LARGEST_CHUNK);
    cap = MAX(cap, size);
    struct arena_chunk *chunk = malloc(sizeof(*chunk) + cap);
    if (chunk == NULL)
        return false;
    chunk->next = a->first;
    chunk->cap = cap;
    chunk->len = 0;
    a->first = chunk;
    return true;
}

void *arena_alloc(struct arena *a, size_t size)
{
    if (size > a->max)
        return NULL;
    size_t step = alignof(max_align_t);
    size = (MAX(size, 1u) + step - 1) / step * step;
    if (size > a->max || a->used > a->max - size)
        return NULL;
    if ((a->first == NULL || a->first->cap - a->first->len < size) && !add_chunk(a, size))
        return NULL;
    void *p = a->first->bytes + a->first->len;
    a->first->len += size;
    a->used += size;
    return memset(p, 0, size);
}

char *arena_dup(struct arena *a, struct slice s)
{
    char *copy = arena_alloc(a, s.len + 1);
    if (copy != NULL && s.len > 0)
        memcpy(copy, s.ptr, s.len);
    return copy;
}
