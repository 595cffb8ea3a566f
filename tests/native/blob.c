/* SPDX-License-Identifier: MIT */
/* Functions that take blobs. */
#include "include/ganger/plugin.h"

#include <stdio.h>

GANGER_PLUGIN

/* The bytes of its input `data` are its result. */
GANGER_FUNCTION(copy)
{
    size_t len;
    const void *bytes = ganger_input(call, "data", &len);
    if (bytes == NULL)
        return ganger_error(call, "KeyError", "there is no input called data");
    return ganger_result(call, bytes, len, GANGER_BYTES);
}

/* The sum of the bytes of its input `data`, read where they lie. */
GANGER_FUNCTION(sum)
{
    size_t len;
    const unsigned char *bytes = ganger_input(call, "data", &len);
    unsigned long long sum = 0;
    char text[32];
    for (size_t i = 0; i < len; i++)
        sum += bytes[i];
    return ganger_result(call, text, (size_t)snprintf(text, sizeof text, "%llu", sum), GANGER_JSON);
}

/* What must not be possible: the end is a signal. */
GANGER_FUNCTION(spoil)
{
    size_t len;
    char *bytes = (char *)(uintptr_t)ganger_input(call, "data", &len);
    if (bytes == NULL)
        return 1;
    bytes[0] = 'x';
    return ganger_result(call, "true", 4, GANGER_JSON);
}
