/* SPDX-License-Identifier: MIT */
/* Pools and workers by the public API. JSON is written with ' for ". */
#ifndef GANGER_TESTS_HARNESS_POOL_H
#define GANGER_TESTS_HARNESS_POOL_H

#include "integration/harness_test.h"

/* POST /v1/pools; wants 201. */
void pool_make(struct server *s, const char *body);
/* PATCH /v1/pool; wants 200. */
void pool_set(struct server *s, const char *body);
/* POST /v1/pool/<verb>; wants 200. body NULL: none. */
void pool_verb(struct server *s, const char *verb, const char *body);
/* Waits for GET /v1/pool/join to answer 200. */
void pool_join(struct server *s);
/* A job of the pool `p` with these members succeeds with this result. */
void expect_value(struct server *s, const char *members, const char *value);
void expect_pool_state(struct server *s, const char *state);
/* Workers that are alive. */
size_t workers_alive(struct server *s);
/* The worker of this place in the list: its process; 0: none just now. */
pid_t worker_pid(struct server *s, size_t at);
/* Waits until there is one, and not `before` (0: any). */
pid_t worker_await_new(struct server *s, size_t at, pid_t before);
/* kill -9 of the worker of the job, once the job's process is there. What the pool says of it. */
struct text worker_kill(struct server *s, struct job_ref job);

#endif
