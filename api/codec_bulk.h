/* SPDX-License-Identifier: MIT */
/* The body of POST /v1/jobs/cancel, /retry, /delete: which jobs, and how. */
#ifndef GANGER_API_CODEC_BULK_H
#define GANGER_API_CODEC_BULK_H

#include "api/codec.h"
#include "service/command.h"

struct bulk_request {
    bool by_ids;
    struct slice ids; /* a JSON array of strings that are ids, in the body */
    struct job_filter filter;
    bool dry_run;
    struct cancel_request cancel; /* BULK_CANCEL: signal, grace_us, why */
};
/* INVALID when it names neither ids, nor a filter, nor "all", or both. Texts go to the arena. */
MUST_CHECK bool codec_read_bulk(struct slice body, enum bulk_verb verb, struct arena *a,
                                struct bulk_request *ret, struct err *err);

#endif
