/* SPDX-License-Identifier: MIT */
#include "integration/harness_pipeline.h"

#include <stdarg.h>

struct response *pipeline_run(struct server *s, const char *body)
{
    struct response *r = http(s, "POST", "/v1/pipelines", body, "Prefer: wait=50", NULL);
    expect_status(r, 200);
    expect_text(r, "kind", "pipeline");
    CHECK(json_bool(r, "done"), "the pipeline is not over");
    return r;
}

struct job_ref pipeline_submit(struct server *s, const char *fmt, ...)
{
    char body[2048];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(body, sizeof(body), fmt, args);
    va_end(args);
    AUTO_RESPONSE r = http(s, "POST", "/v1/pipelines", body, NULL);
    expect_status(r, 202);
    return job_of(r);
}

struct job_ref stage_of(struct response *r, int index)
{
    struct job_ref stage;
    (void)snprintf(stage.id, sizeof(stage.id), "%s", json_text(r, text_of("jobs.%d.id", index).s));
    expect_int(r, text_of("jobs.%d.index", index).s, index);
    return stage;
}

struct job_ref stage(struct server *s, struct job_ref pipeline, int index)
{
    AUTO_RESPONSE r = batch_show(s, pipeline);
    return stage_of(r, index);
}

void expect_stage(struct server *s, struct response *r, int index, const char *state,
                  const char *reason)
{
    AUTO_RESPONSE job = job_show(s, stage_of(r, index));
    expect_outcome(job, state, reason);
}

void expect_result(struct server *s, struct response *r, const char *text)
{
    AUTO_RESPONSE result = http_get(s, "%s", json_text(r, "links.result"));
    expect_status(result, 200);
    CHECK(strcmp(result->body, text) == 0, "the result is %.200s, not %.200s", result->body, text);
}
