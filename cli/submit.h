/* SPDX-License-Identifier: MIT */
/* Submitting one job, for `run` and `submit`. */
#ifndef GANGER_CLI_SUBMIT_H
#define GANGER_CLI_SUBMIT_H

#include "cli/cli.h"
#include "cli/client.h"
#include "cli/json.h"

#define KEY_SIZE 256 /* of an Idempotency-Key in quotes, with its NUL */

/* A key of 128 random bits. */
void submit_make_key(char key[KEY_SIZE]);

/* The answer to a submission. `job` points into reply and arena. */
struct submission {
    struct reply reply;
    struct arena arena;
    struct json_job job;
};
#define AUTO_SUBMISSION __attribute__((cleanup(submission_release)))
void submission_init(struct submission *s);
void submission_release(struct submission *s);

/* Submits what the arguments say, into an initialised submission. Repeated under one key until the
 * service has answered, so there is one job. */
MUST_CHECK bool submit_one(struct cli *cli, bool sends_stdin, struct submission *ret,
                           struct err *err);

#endif
