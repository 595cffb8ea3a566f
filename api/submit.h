/* SPDX-License-Identifier: MIT */
/* Submission of jobs: one by JSON, many by NDJSON. */
#ifndef GANGER_API_SUBMIT_H
#define GANGER_API_SUBMIT_H

#include "api/codec.h"
#include "api/request.h"

/* Reads the Idempotency-Key, if there is one, into the submit command; `body_digest` is the SHA-256
 * of the body. */
MUST_CHECK bool submit_read_key(struct request *rq, const uint8_t body_digest[32], struct err *err);
void submit_digest(struct slice body, uint8_t out[32]); /* SHA-256 */
/* The traceparent header, if it is a good one, becomes the job's. */
void submit_add_trace(struct request *rq, struct job_spec *spec);

/* ,"job":"<id>": who holds the unique key of a submission that was refused for it. */
#define SUBMIT_HOLDER_SIZE 48
size_t submit_name_holder(const struct job_id *id, char out[SUBMIT_HOLDER_SIZE]);

/* A job in these bytes, with what its queue says about members that it does not name: that costs
 * nothing as long as no queue says anything. */
struct job_source submit_source(const struct request *rq, struct slice body, struct arena *a);

/* A body of NDJSON that is still coming, by its route. Takes as much as fits and returns how much;
 * less than all when the request has been suspended to let the engine store a chunk: call again
 * with the rest. */
size_t submit_take(struct request *rq, struct slice bytes);
/* bulk.c: many jobs. The body is complete: ends with the reply or with a command on its way. */
size_t bulk_take(struct request *rq, struct slice bytes);
void bulk_end(struct request *rq);
/* uploads.c: the items of a new batch, or more for an open one. */
size_t upload_take(struct request *rq, struct slice bytes);
void upload_end(struct request *rq);
size_t upload_add_take(struct request *rq, struct slice bytes);
void upload_add_end(struct request *rq);

#endif
