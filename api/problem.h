/* SPDX-License-Identifier: MIT */
/* struct err → application/problem+json (RFC 9457). */
#ifndef GANGER_API_PROBLEM_H
#define GANGER_API_PROBLEM_H

#include "service/base/buf.h"
#include "service/base/error.h"

struct problem {
    const struct err *err;  /* code is not ERR_NONE */
    struct slice instance;  /* path of the request, or absent */
    const char *request_id; /* or NULL */
    struct slice extra;     /* further members as JSON text that begins with a comma, or absent */
};
void problem_write(const struct problem *problem, struct buf *out);
/* Seconds for Retry-After, 0 = the header does not belong to this failure. */
int problem_retry_after_s(enum err_code code);
/* The page /problems/{slug}. */
void problem_write_page(enum err_code code, struct buf *out);

#endif
