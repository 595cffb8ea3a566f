/* SPDX-License-Identifier: MIT */
/* Uploads of blobs: bytes that go to the disk while they come. */
#ifndef GANGER_API_BLOBS_H
#define GANGER_API_BLOBS_H

#include "api/request.h"

/* Before the body: what can be known now is refused now. INVALID, TOO_LARGE, DISK_FULL, OVERLOADED,
 * DRAINING. */
MUST_CHECK bool blob_begin(struct request *rq, struct err *err);
/* As submit_take. */
size_t blob_take(struct request *rq, struct slice bytes);

#endif
