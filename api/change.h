/* SPDX-License-Identifier: MIT */
/* What the verbs on one job have in common. */
#ifndef GANGER_API_CHANGE_H
#define GANGER_API_CHANGE_H

#include "api/request.h"

/* If-Match: the version that the client has seen; 0 = it does not say. NOT_FOUND, VERSION_MISMATCH.
 */
MUST_CHECK bool change_condition(struct request *rq, const struct job_id *id, int64_t *ret_version,
                                 struct err *err);
/* What the problem of a refused move names beside the common members, the state and the moves that
 * are allowed, as raw JSON in the arena; absent for other failures. */
struct slice change_members(struct request *rq, const struct job_id *id, const struct err *err);
/* A failure; a refused move names the moves that are allowed. */
void change_refused(struct request *rq, const struct job_id *id, const struct err *err);

/* The job as it is after the command of the request, with its entity tag; or why it was refused. */
void change_reply(struct request *rq, const struct job_id *id, int status);

#endif
