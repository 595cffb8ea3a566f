/* SPDX-License-Identifier: MIT */
/* Requests with the own token of a running job (GANGER_TOKEN). It may submit jobs and batches,
 * which become its children with all their elements, and read itself and its children. Whatever is
 * not listed in self.c is refused. */
#ifndef GANGER_API_SELF_H
#define GANGER_API_SELF_H

#include "api/request.h"

/* Who asks, by either kind of token. UNAUTHORIZED as token_find. */
MUST_CHECK bool self_identify(struct request *rq, struct err *err);
/* FORBIDDEN when a job asks for a route that is not for jobs. */
MUST_CHECK bool self_may(const struct request *rq, struct err *err);
/* The {id} of the path, or "self". To a job every job but itself and its children is NOT_FOUND. */
MUST_CHECK bool self_job_id(struct request *rq, struct slice text, struct job_id *ret,
                            struct err *err);
/* The {id} of a batch: to a job those of others are NOT_FOUND. */
MUST_CHECK bool self_batch_id(struct request *rq, struct slice text, struct job_id *ret,
                              struct err *err);
/* Whether the job or batch may be read: to a job itself and its children, to others everything. */
MUST_CHECK bool self_sees(struct request *rq, const struct job_id *id, bool *ret, struct err *err);
/* A job that asks becomes the submitter of `spec`, of a job or a batch. FORBIDDEN when the spec has
 * a unique key or inputs, INVALID when it waits for other jobs than its own. */
MUST_CHECK bool self_submits(struct request *rq, struct job_spec *spec, struct err *err);

#endif
