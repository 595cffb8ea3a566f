/* SPDX-License-Identifier: MIT */
/* How a failed check ends a crash program. */
#include "integration/harness.h"

#include <stdarg.h>

void check_failed(const char *file, int line, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fprintf(stderr, "%s:%d: ", file, line);
    (void)vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
    harness_print_log();
    printf("result: 0 passed, 1 failed\n");
    exit(1);
}
