/* SPDX-License-Identifier: MIT */
/* How often this worker has been called: static memory is the worker's, and stays. */
#include "include/ganger/plugin.h"

#include <stdio.h>

GANGER_PLUGIN

GANGER_FUNCTION(ganger_count)
{
    static int calls;
    char text[16];
    const int len = snprintf(text, sizeof text, "%d", ++calls);
    return ganger_result(call, text, (size_t)len, GANGER_JSON);
}
