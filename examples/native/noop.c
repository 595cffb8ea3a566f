/* SPDX-License-Identifier: MIT */
/* Nothing: what a call costs. */
#include "include/ganger/plugin.h"

GANGER_PLUGIN

GANGER_FUNCTION(ganger_noop)
{
    (void)call;
    return 0;
}
