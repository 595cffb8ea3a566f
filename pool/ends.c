/* SPDX-License-Identifier: MIT */
#include "pool/ends.h"

#define BITS 64u

void ends_ring(const struct slots *slots, uint32_t slot)
{
    (void)atomic_fetch_or(&slots->bell->slots[slot / BITS], UINT64_C(1) << slot % BITS);
}

/* The worker rings and then asks whether the server sleeps; the server says that it sleeps and then
 * looks at the bell. One of the two sees the other. */
bool ends_tell(const struct slots *slots, uint32_t slot, const struct slot_end *end)
{
    struct slot_head *head = slots_head(slots, slot);
    const uint32_t n = atomic_load_explicit(&head->n_ends, memory_order_relaxed);

    head->ends[n % SLOT_BANKS] = *end;
    atomic_store_explicit(&head->n_ends, n + 1, memory_order_release);
    ends_ring(slots, slot);
    return atomic_load(&slots->bell->is_awake) == 0;
}

void ends_reset(const struct slots *slots, uint32_t slot)
{
    atomic_store(&slots_head(slots, slot)->n_ends, 0);
}

uint32_t ends_count(const struct slots *slots, uint32_t slot)
{
    return atomic_load_explicit(&slots_head(slots, slot)->n_ends, memory_order_acquire);
}

void ends_wake(const struct slots *slots)
{
    atomic_store(&slots->bell->is_awake, 1);
}

bool ends_sleep(const struct slots *slots)
{
    bool rings = false;

    atomic_store(&slots->bell->is_awake, 0);
    for (uint32_t group = 0; group < BELL_GROUPS; group++)
        rings = rings || atomic_load(&slots->bell->slots[group]) != 0;
    if (rings)
        ends_wake(slots);
    return !rings;
}

uint64_t ends_heard(const struct slots *slots, uint32_t group)
{
    _Atomic uint64_t *bits = &slots->bell->slots[group];
    return atomic_load_explicit(bits, memory_order_relaxed) == 0 ? 0 : atomic_exchange(bits, 0);
}
