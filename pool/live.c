/* SPDX-License-Identifier: MIT */
#include "pool/live.h"

#define WORD sizeof(uint64_t)
#define MAX_LOOKS 100 /* a writer needs far less than a microsecond; a dead one never ends */

/* Every word is written after the odd turn and read before the second look at the turn (release and
 * acquire on each), so a reader that has seen one of them sees that the turn has moved on. */
void live_write(_Atomic uint32_t *turn, _Atomic uint64_t *words, const void *record, size_t bytes)
{
    const uint32_t odd = atomic_load_explicit(turn, memory_order_relaxed) | 1u;
    uint64_t word;

    PRE(bytes % WORD == 0);
    atomic_store_explicit(turn, odd, memory_order_relaxed);
    for (size_t i = 0; i < bytes / WORD; i++) {
        memcpy(&word, (const char *)record + i * WORD, WORD);
        atomic_store_explicit(&words[i], word, memory_order_release);
    }
    /* In the order of all threads: who writes and then looks whether somebody listens, and who says
     * that he listens and then looks here, cannot both miss the other. */
    atomic_store(turn, odd + 1);
}

static bool look(const _Atomic uint32_t *turn, const _Atomic uint64_t *words, void *ret,
                 size_t bytes)
{
    const uint32_t before = atomic_load(turn);
    uint64_t word;

    for (size_t i = 0; i < bytes / WORD; i++) {
        word = atomic_load_explicit(&words[i], memory_order_acquire);
        memcpy((char *)ret + i * WORD, &word, WORD);
    }
    return (before & 1u) == 0 && atomic_load_explicit(turn, memory_order_relaxed) == before;
}

bool live_read(const _Atomic uint32_t *turn, const _Atomic uint64_t *words, void *ret, size_t bytes)
{
    PRE(bytes % WORD == 0);
    for (int i = 0; i < MAX_LOOKS; i++)
        if (look(turn, words, ret, bytes))
            return true;
    return false;
}
