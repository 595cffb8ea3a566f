/* SPDX-License-Identifier: MIT */
/* How a failed check ends a Criterion test. */
#include "integration/harness.h"

#include <criterion/criterion.h>

#include <stdarg.h>

void check_failed(const char *file, int line, const char *fmt, ...)
{
    char why[4096];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(why, sizeof(why), fmt, args);
    va_end(args);
    harness_print_log();
    cr_assert_fail("%s:%d: %s", file, line, why);
    abort();
}
