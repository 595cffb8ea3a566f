/* SPDX-License-Identifier: MIT */
/* A module that ends the process that loads it. */
#include "include/ganger/plugin.h"

#include <unistd.h>

GANGER_PLUGIN

static __attribute__((constructor)) void leave(void)
{
    _exit(0);
}

GANGER_FUNCTION(exits)
{
    return ganger_result(call, "0", 1, GANGER_JSON);
}
