/* SPDX-License-Identifier: MIT */
/* Tokens of running attempts (GANGER_TOKEN): the id of the job and the number of the attempt, with
 * a MAC by a key that is made when the service starts and exists in its memory alone. So nothing is
 * kept of them anywhere, and none outlives the service; whether the attempt still runs is asked of
 * the job's row when one comes. Any thread: the key does not change. */
#ifndef GANGER_SERVICE_JOB_TOKEN_H
#define GANGER_SERVICE_JOB_TOKEN_H

#include "service/base/text.h"

struct job_token_key {
    uint8_t bytes[32];
};
void job_token_key_make(struct job_token_key *ret);

#define JOB_TOKEN_SIZE 128
/* "<id>.<attempt>.<64 hexadecimal digits>", terminated. */
void job_token_write(const struct job_token_key *key, const struct job_id *job, uint32_t attempt,
                     char out[JOB_TOKEN_SIZE]);
/* False: the key has not made it. */
MUST_CHECK bool job_token_read(const struct job_token_key *key, struct slice text,
                               struct job_id *ret_job, uint32_t *ret_attempt);

#endif
