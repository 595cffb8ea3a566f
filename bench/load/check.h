/* SPDX-License-Identifier: MIT */
/* Reads what the server answers and ends the program when it is not what was asked for: a failed or
 * missing job must never be counted as work done. */
#ifndef GANGER_BENCH_LOAD_CHECK_H
#define GANGER_BENCH_LOAD_CHECK_H

#include "load/client.h"

#include <cjson/cJSON.h>

#define JOB_ID_BYTES 64

/* Ends the program unless the answer has this status; `what` says which request it was. */
void check_status(const struct answer *answer, int status, const char *what);

/* The answer as JSON; the caller deletes it. */
cJSON *check_json(const struct answer *answer);

/* A member that must be a string. */
const char *check_text(const cJSON *object, const char *name);

/* The `id` of a job in a JSON text that may go on behind it. */
void check_job_id(const char *job_json, char ret_id[JOB_ID_BYTES]);

/* Ends the program unless the job has succeeded with exit code 0. */
void check_succeeded(const cJSON *job);

/* Counts the lines of a bulk answer; each must be a job. */
int64_t check_bulk_lines(char *body);

/* How long `n` jobs of a queue took, from the first `created` to the last `finished`, in
 * microseconds. All of them must have succeeded. */
int64_t check_queue_took_us(struct client *client, const char *queue, int64_t n);

#endif
