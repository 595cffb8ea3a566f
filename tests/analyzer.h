/* SPDX-License-Identifier: MIT */
/* Included before every file that clang-tidy reads (tests/lint.sh), and by no build. Its analyzer
 * looks at one file at a time and cannot know what these functions of another file promise: that an
 * error setter returns false, and that small allocations never fail. */
#ifndef GANGER_TESTS_ANALYZER_H
#define GANGER_TESTS_ANALYZER_H

#include "service/base/error.h"

static inline void *analyzer_not_null(void *p)
{
    if (p == NULL)
        __builtin_unreachable();
    return p;
}

#define must_alloc(...) analyzer_not_null(must_alloc(__VA_ARGS__))
#define must_realloc(...) analyzer_not_null(must_realloc(__VA_ARGS__))
#define err_set(...) (err_set(__VA_ARGS__), false)
#define err_sys(...) (err_sys(__VA_ARGS__), false)
#define err_at(...) (err_at(__VA_ARGS__), false)
#define err_wrap(...) (err_wrap(__VA_ARGS__), false)

#endif
