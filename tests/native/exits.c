/* SPDX-License-Identifier: MIT */
/* A module that ends the process that loads it. */
#include "include/ganger/plugin.h"

#include <sys/syscall.h>
#include <unistd.h>

GANGER_PLUGIN

static __attribute__((constructor)) void leave(void)
{
    (void)syscall(SYS_exit_group, 0); /* clang's ThreadSanitizer takes _exit in here for an error */
}

GANGER_FUNCTION(exits)
{
    return ganger_result(call, "0", 1, GANGER_JSON);
}
