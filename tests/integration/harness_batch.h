/* SPDX-License-Identifier: MIT */
/* Batches by the public API. JSON is written with ' for ". */
#ifndef GANGER_TESTS_HARNESS_BATCH_H
#define GANGER_TESTS_HARNESS_BATCH_H

#include "integration/harness_test.h"

/* Submits one; wants 202. */
struct job_ref batch_submit(struct server *s, const char *fmt, ...) PRINTF_ARGS(2, 3);
struct response *batch_show(struct server *s, struct job_ref batch);
/* Waits until it is over (60 s), by `Prefer: wait`. */
struct response *batch_await(struct server *s, struct job_ref batch);
/* How many of its elements are in this state. */
int64_t batch_count(struct server *s, struct job_ref batch, const char *state);
/* The element with this index. */
struct job_ref element_of(struct server *s, struct job_ref batch, int64_t index);
/* POST /v1/batches/{id}/<verb>; body NULL: none. */
struct response *batch_post(struct server *s, struct job_ref batch, const char *verb,
                            const char *body);

/* Text that grows. */
struct text_builder {
    char *text;
    size_t len, cap;
};
void text_add(struct text_builder *b, const char *fmt, ...) PRINTF_ARGS(2, 3);
void text_free(struct text_builder *b);

#endif
