/* SPDX-License-Identifier: MIT */
/* Callbacks: where the end of a job or a batch is told. What a URL must be before it is accepted,
 * and once more before it is called: the lists may have changed in between. Pure vocabulary, as
 * job.h. */
#ifndef GANGER_BASE_CALLBACK_H
#define GANGER_BASE_CALLBACK_H

#include "service/base/config.h"
#include "service/base/job.h"

#define CALLBACK_MAX_URL 2048u
/* "https://", 253 bytes of a name, ":65535" */
#define CALLBACK_MAX_RECEIVER 272u

/* Whether anything is configured that may be called. */
bool callback_is_on(const struct config *cfg);
/* Whether an item of callbacks.hosts or .private_hosts can mean something: a name, "*.suffix", an
 * address. */
bool callback_is_host_rule(const char *item);

struct callback_target {
    char receiver[CALLBACK_MAX_RECEIVER]; /* scheme, host and port; what one may show of the URL */
    bool is_private;                      /* of callbacks.private_hosts: any address will do */
};
/* INVALID with words for the client, at no pointer, unless the URL may be called. */
MUST_CHECK bool callback_check(const struct config *cfg, struct slice url,
                               struct callback_target *ret, struct err *err);

/* How a try went. Stored. */
enum try_outcome {
    TRY_DELIVERED,
    TRY_FAILED, /* it will be tried again */
    TRY_GAVE_UP,
    TRY_OUTCOME_COUNT
};
const char *try_outcome_name(enum try_outcome outcome);

/* The newest callback of a job or batch, as clients see it. */
struct callback_view {
    const char *receiver;
    uint32_t states; /* bit mask of TO(): the ends that are told */
    int64_t tries;   /* of all its callbacks */
    bool is_pending, has_tried;
    enum try_outcome outcome; /* of the last try */
    int32_t http_status;      /* of the last try; 0: no answer */
};

/* One try, for the events of a job. */
struct callback_try {
    int64_t seq, at_us, took_us;
    int32_t http_status;
    enum try_outcome outcome;
    const char *error; /* or NULL */
};

/* The first tries with a seq above `after`. */
struct try_page {
    struct callback_try *tries; /* room for max; the caller's */
    size_t max, n;
    int64_t after;
};

#endif
