/* SPDX-License-Identifier: MIT */
/* fib(n), the slow way: work for a processor. */
#include "fib.h"
#include "numbers.h"

#include <stdio.h>

GANGER_PLUGIN

GANGER_FUNCTION(ganger_fib)
{
    char text[32];
    long n;
    if (!read_whole(call, (struct place){0, "n"}, 60, &n))
        return 1;
    const int len = snprintf(text, sizeof text, "%ld", fib(n));
    return ganger_result(call, text, (size_t)len, GANGER_JSON);
}
