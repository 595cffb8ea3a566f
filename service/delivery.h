/* SPDX-License-Identifier: MIT */
/* What follows from one try of a callback, and how its message is named. No clock, no network. */
#ifndef GANGER_SERVICE_DELIVERY_H
#define GANGER_SERVICE_DELIVERY_H

#include "service/base/callback.h"

struct delivery_answer {
    uint32_t tries_before;
    int32_t http_status;    /* 0: none came */
    int64_t retry_after_us; /* 0: not asked for */
    bool is_hopeless;       /* it cannot be tried at all any more */
};
struct delivery_verdict {
    enum try_outcome outcome;
    int64_t again_us; /* with TRY_FAILED */
};
/* 2xx: delivered. 410: the receiver wants no more. Everything else is tried again after a random
 * time that grows with each try, and not before the time that a 429 or 503 asks for. */
struct delivery_verdict delivery_judge(const struct config *cfg,
                                       const struct delivery_answer *answer, int64_t now_us,
                                       uint64_t random);

#define DELIVERY_ID_BYTES 72
/* The same for all tries of one message, and never used for another: the row's number is never
 * given twice, and each end has a version of its own. */
void delivery_message_id(const struct job_id *id, int64_t version, char out[DELIVERY_ID_BYTES]);

#endif
