/* SPDX-License-Identifier: MIT */
/* The standard input of a running command that clients feed (PUT …/stdin). The engine keeps the
 * writing end of a pipe of the kernel; who feeds gets a copy of it, one at a time, and writes by
 * itself. So neither the engine nor the worker sees the bytes, and a job that does not read keeps
 * nobody waiting but who feeds it. Owner: the engine thread. */
#ifndef GANGER_SERVICE_FEED_H
#define GANGER_SERVICE_FEED_H

#include "pool/pool.h"

struct feed {
    int fd;          /* writing end, non-blocking; -1: its end has been told */
    uint64_t holder; /* who feeds now; 0: nobody */
    uint64_t bytes;  /* fed by those who are done */
};

/* *ret_in is the reading end, for the task. */
MUST_CHECK bool feed_open(struct feed **ret, int *ret_in, struct err *err);
void feed_free(struct feed *feed); /* NULL does nothing */

#endif
