/* SPDX-License-Identifier: MIT */
#ifndef GANGER_API_CODEC_WAIT_H
#define GANGER_API_CODEC_WAIT_H

#include "service/base/job.h"

#define MAX_WAIT_JOBS 10000u

/* As concurrent.futures.wait. */
enum return_when { ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION };

struct wait_request {
    struct job_id *ids; /* of jobs or batches, as they were named; in the arena */
    uint32_t n;
    enum return_when when;
    int64_t timeout_us; /* < 0: none */
};

enum wait_verb {
    WAIT_UNTIL, /* POST /v1/wait: jobs, return_when */
    WAIT_EACH   /* POST /v1/as-completed: jobs, timeout */
};
MUST_CHECK bool codec_read_wait(struct slice body, enum wait_verb verb, struct arena *a,
                                struct wait_request *ret, struct err *err);

#endif
