/* SPDX-License-Identifier: MIT */
/* Reading the service's answers. Text is validated once (json_read_*), then looked into by path.
 * Numbers stay exact and unknown members are ignored: a newer service may send more. */
#ifndef GANGER_CLI_JSON_H
#define GANGER_CLI_JSON_H

#include "service/base/job.h"
#include "service/base/json.h"

/* Strings live in the arena that was given, and are never NULL. */
struct json_problem {
    const char *slug, *title, *detail, *pointer;
};
MUST_CHECK bool json_read_problem(struct slice text, struct arena *a, struct json_problem *ret);

/* What the client itself needs of a job; everything else is shown from `raw`. */
struct json_job {
    struct slice raw; /* the validated object; borrowed */
    char id[37];
    enum job_state state;
    enum job_reason reason;
    bool done;
    int64_t attempt;
    bool has_exit_code;
    int64_t exit_code;
    int signal;                        /* 0: none */
    const char *name, *queue, *detail; /* of its error, or "" */
    uint64_t output_bytes[2];
    bool truncated; /* it wrote more than limits.output */
};
MUST_CHECK bool json_read_job(struct slice text, struct arena *a, struct json_job *ret,
                              struct err *err);
/* The same for an object inside text that was validated already. */
MUST_CHECK bool json_take_job(struct slice object, struct arena *a, struct json_job *ret,
                              struct err *err);

/* One whole answer; INTERNAL when it is not JSON. */
MUST_CHECK bool json_check(struct slice text, struct err *err);

/* The value at a path of member names, "output.stdout_bytes"; an absent slice when there is none or
 * it is null. Text must have been validated. */
struct slice json_at(struct slice object, const char *path);
const char *json_text_at(struct slice object, const char *path, struct arena *a); /* "" if none */
int64_t json_i64_at(struct slice object, const char *path, int64_t fallback);
double json_double_at(struct slice object, const char *path, double fallback);
bool json_is_true(struct slice value);

#endif
