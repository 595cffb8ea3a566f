/* SPDX-License-Identifier: MIT */
/* PUT /v1/jobs/{id}/stdin: a body of any length goes into the pipe of a running command as it
 * comes. */
#ifndef GANGER_API_FEED_H
#define GANGER_API_FEED_H

#include "api/request.h"

/* Before the body. */
MUST_CHECK bool feed_begin(struct request *rq, struct err *err);
/* A part of it; returns how much was taken. Less than all: the request is suspended, or wants to be
 * called again. */
size_t feed_take(struct request *rq, struct slice bytes);
/* For http.c: the pipe that this event (FROM_FEED) is about has room again, or no reader. */
void feed_room(void *source);

#endif
