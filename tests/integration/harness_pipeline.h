/* SPDX-License-Identifier: MIT */
/* Pipelines by the public API. JSON is written with ' for ". */
#ifndef GANGER_TESTS_HARNESS_PIPELINE_H
#define GANGER_TESTS_HARNESS_PIPELINE_H

#include "integration/harness_batch.h"

/* Submits one and waits until all stages have ended. */
struct response *pipeline_run(struct server *s, const char *body);
/* Submits one; wants 202. */
struct job_ref pipeline_submit(struct server *s, const char *fmt, ...) PRINTF_ARGS(2, 3);
/* A stage, as an answer names it; or asked for. */
struct job_ref stage_of(struct response *r, int index);
struct job_ref stage(struct server *s, struct job_ref pipeline, int index);
void expect_stage(struct server *s, struct response *r, int index, const char *state,
                  const char *reason);
/* What links.result holds. */
void expect_result(struct server *s, struct response *r, const char *text);

#endif
