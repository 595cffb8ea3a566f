/* SPDX-License-Identifier: MIT */
/* Live answers. A stream holds a cursor, not a queue: it reads the next piece when the client has
 * taken the last one, and parks when there is none. */
#ifndef GANGER_API_STREAMS_H
#define GANGER_API_STREAMS_H

#include "api/request.h"

/* Output of a job until its end: raw bytes, or SSE with the id <attempt>.<offset> (Last-Event-ID
 * resumes behind it). Replies. */
void stream_output(struct request *rq, const struct job_id *id, int stream, bool as_events);

#endif
