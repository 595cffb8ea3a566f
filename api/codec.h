/* SPDX-License-Identifier: MIT */
/* Bodies of requests → structs. Every body passes the strict scanner first; payload members stay
 * raw slices of it, so that they come back byte for byte. Failures are INVALID_JSON, or INVALID
 * with the pointer of the offending member. */
#ifndef GANGER_API_CODEC_H
#define GANGER_API_CODEC_H

#include "service/base/config.h"
#include "service/base/queue.h"

/* Where members come from that a job does not name: what its queue says, as a raw JSON object that
 * codec_read_queue has accepted, or absent. */
struct job_defaults {
    bool (*of_queue)(void *arg, struct slice queue, struct arena *a, struct slice *ret,
                     struct err *err); /* NULL: no queue has any */
    void *arg;
};

/* A job as in POST /v1/jobs. Defaults come from its queue, then from `cfg`. The spec borrows from
 * `body` and from the arena; both must live as long as it does. TOO_LARGE when the arena is full.
 */
struct job_source {
    struct slice body;
    const struct config *cfg;
    struct job_defaults defaults;
    struct arena *a;
    bool no_exec; /* the client may call functions, but bring no commands of its own: FORBIDDEN */
};
MUST_CHECK bool codec_read_job_from(const struct job_source *source, struct job_spec *ret,
                                    struct err *err);
/* The same without defaults of its queue. */
MUST_CHECK bool codec_read_job(struct slice body, const struct config *cfg, struct arena *a,
                               struct job_spec *ret, struct err *err);

/* The body of PUT and PATCH /v1/queues/{name}; an empty one names nothing. */
MUST_CHECK bool codec_read_queue(struct slice body, const struct config *cfg, struct arena *a,
                                 struct queue_change *ret, struct err *err);

/* The body of PATCH /v1/jobs/{id}. */
struct change_request {
    uint32_t members; /* enum job_member: what it names, which is in `spec` */
    struct job_spec spec;
};
MUST_CHECK bool codec_read_change(struct slice body, const struct config *cfg, struct arena *a,
                                  struct change_request *ret, struct err *err);

struct cancel_request {
    bool only_queued;
    int32_t signal;   /* 0: the job's own */
    int64_t grace_us; /* < 0: the job's own */
    char why[120];
};
/* The body of POST /v1/jobs/{id}/cancel; an empty one means all defaults. */
MUST_CHECK bool codec_read_cancel(struct slice body, struct cancel_request *ret, struct err *err);

struct signal_request {
    int32_t signal;
    bool is_tree;
};
/* The body of POST /v1/jobs/{id}/signal. */
MUST_CHECK bool codec_read_signal(struct slice body, struct signal_request *ret, struct err *err);
/* A body that says nothing: empty, or {}. */
MUST_CHECK bool codec_read_nothing(struct slice body, struct err *err);

/* Members of a job that are objects themselves; `value` is validated JSON, `pointer` its place. */
MUST_CHECK bool codec_read_stop(struct slice value, const char *pointer, struct job_spec *spec,
                                struct err *err);
MUST_CHECK bool codec_read_retry(struct slice value, const char *pointer, uint32_t max_attempts,
                                 struct job_spec *spec, struct err *err);
MUST_CHECK bool codec_read_limits(struct slice value, const char *pointer, struct job_spec *spec,
                                  struct err *err);

/* What the configuration says about functions, read as a job's members are, so that no call fails
 * because of it. INVALID names function and line. */
MUST_CHECK bool codec_check_functions(const struct config *cfg, struct err *err);
/* The queue of its calls that name neither queue nor pool. */
const char *codec_queue_of(const struct function *f);

/* Version 00 of a W3C traceparent header. */
bool codec_is_traceparent(struct slice value);

#endif
