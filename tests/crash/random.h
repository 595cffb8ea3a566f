/* SPDX-License-Identifier: MIT */
/* Random numbers that repeat with their seed. Owner: one thread each. */
#ifndef GANGER_TESTS_CRASH_RANDOM_H
#define GANGER_TESTS_CRASH_RANDOM_H

#include <stdint.h>

struct dice {
    uint64_t state;
};

/* splitmix64 (Steele, Lea, Flood 2014): every seed is good, also 0. */
static inline uint64_t dice_roll(struct dice *d)
{
    uint64_t z = (d->state += 0x9E3779B97F4A7C15U);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31);
}

/* 0 … n-1 */
static inline uint32_t dice_below(struct dice *d, uint32_t n)
{
    return (uint32_t)(dice_roll(d) % n);
}

#endif
