/* SPDX-License-Identifier: MIT */
/* The bodies of verbs on pools and workers. */
#ifndef GANGER_API_CODEC_POOL_H
#define GANGER_API_CODEC_POOL_H

#include "service/base/error.h"
#include "service/base/pool_spec.h"

/* The body of PATCH /v1/pool. INVALID at the member that is not one. */
struct pool_change {
    unsigned members; /* bits of enum pool_member */
    struct pool_settings to;
    struct slice name;            /* of a new one */
    char runner[POOL_RUNNER_MAX]; /* the same; "": it has none */
};
MUST_CHECK bool codec_read_pool(struct slice body, struct pool_change *ret, struct err *err);
/* The body of POST /v1/pools: the same with a name; the size must be given. */
MUST_CHECK bool codec_read_new_pool(struct slice body, struct pool_change *ret, struct err *err);

/* The bodies of close ("cancel_queued") and of the two verbs that stop something ("signal",
 * "grace"); an empty one means all defaults. */
struct pool_stop {
    bool cancel_queued;
    int32_t signal;   /* 0: not given */
    int64_t grace_us; /* < 0: not given */
};
MUST_CHECK bool codec_read_pool_close(struct slice body, struct pool_stop *ret, struct err *err);
MUST_CHECK bool codec_read_pool_stop(struct slice body, struct pool_stop *ret, struct err *err);

#endif
