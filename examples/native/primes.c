/* SPDX-License-Identifier: MIT */
/* How many primes there are up to n, by the sieve of Eratosthenes. Tells how far it is, and stops
 * when its job is cancelled. */
#include "numbers.h"

#include <stdio.h>

GANGER_PLUGIN

#define MOST 200000000

/* Crosses out the multiples of each number; false: cancelled. */
static bool sieve(struct ganger_call *call, char *crossed, size_t n)
{
    char text[64];
    for (size_t p = 2; p * p <= n; p++) {
        if (crossed[p] != 0)
            continue;
        if (ganger_is_cancelled(call))
            return false;
        (void)snprintf(text, sizeof text, "multiples of %zu", p);
        ganger_progress(call, (double)(p * p) / (double)n, text);
        for (size_t i = p * p; i <= n; i += p)
            crossed[i] = 1;
    }
    return true;
}

GANGER_FUNCTION(ganger_primes)
{
    char text[32];
    long n;
    size_t count = 0;
    if (!read_whole(call, (struct place){0, "n"}, MOST, &n))
        return 1;
    char *crossed = calloc((size_t)n + 1, 1);
    if (crossed == NULL)
        return ganger_error(call, "MemoryError", "no room for the sieve");
    const bool is_whole = sieve(call, crossed, (size_t)n);
    for (size_t i = 2; i <= (size_t)n; i++)
        count += crossed[i] == 0;
    free(crossed);
    if (!is_whole)
        return ganger_error(call, "Cancelled", "it was asked to stop");
    const int len = snprintf(text, sizeof text, "%zu", count);
    return ganger_result(call, text, (size_t)len, GANGER_JSON);
}
