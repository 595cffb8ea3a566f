/* SPDX-License-Identifier: MIT */
/* The job of a plan as one line of JSON. */
#ifndef GANGER_BENCH_LOAD_JOB_H
#define GANGER_BENCH_LOAD_JOB_H

#include "load/modes.h"

/* The caller frees. `members` is a JSON object whose members are added. */
char *job_line(const struct plan *plan);
char *job_line_with(const struct plan *plan, const char *members);

/* What a call is given that is told nothing else: JSON of 100 bytes. */
#define JOB_ARGUMENT                                      \
    "\"0123456789012345678901234567890123456789012345678" \
    "9012345678901234567890123456789012345678901234567\""

#endif
