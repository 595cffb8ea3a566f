/* SPDX-License-Identifier: MIT */
#include "integration/harness_batch.h"

#include <stdarg.h>

struct job_ref batch_submit(struct server *s, const char *fmt, ...)
{
    char body[32768];
    va_list args;
    va_start(args, fmt);
    CHECK((size_t)vsnprintf(body, sizeof body, fmt, args) < sizeof body, "too long");
    va_end(args);
    AUTO_RESPONSE r = http(s, "POST", "/v1/batches", body, NULL);
    expect_status(r, 202);
    return job_of(r);
}

struct response *batch_show(struct server *s, struct job_ref batch)
{
    struct response *r = http_get(s, "/v1/batches/%s", batch.id);
    expect_status(r, 200);
    return r;
}

struct response *batch_await(struct server *s, struct job_ref batch)
{
    uint64_t until = deadline_in(60);
    for (;;) {
        struct response *r = http(s, "GET", text_of("/v1/batches/%s", batch.id).s, NULL,
                                  "Prefer: wait=20", NULL);
        expect_status(r, 200);
        if (json_bool(r, "done"))
            return r;
        CHECK(!deadline_passed(until), "the batch is not over: %s", r->body);
        response_free(r);
        AUTO_RESPONSE now = batch_show(s, batch);
        check_was_woken(now);
    }
}

int64_t batch_count(struct server *s, struct job_ref batch, const char *state)
{
    AUTO_RESPONSE r = batch_show(s, batch);
    return json_int(r, text_of("counts.%s", state).s);
}

struct job_ref element_of(struct server *s, struct job_ref batch, int64_t index)
{
    AUTO_RESPONSE r = http_get(s, "/v1/jobs?batch=%s&order=oldest&limit=1%s", batch.id,
                               index == 0 ? "" : text_of("&cursor=%lld", (long long)index).s);
    struct job_ref job = {0};
    expect_int(r, "items.0.index", index);
    (void)snprintf(job.id, sizeof job.id, "%s", json_text(r, "items.0.id"));
    return job;
}

struct response *batch_post(struct server *s, struct job_ref batch, const char *verb,
                            const char *body)
{
    return http(s, "POST", text_of("/v1/batches/%s/%s", batch.id, verb).s, body, NULL);
}

void text_add(struct text_builder *b, const char *fmt, ...)
{
    va_list args;
    if (b->cap - b->len < 1024) {
        b->cap = b->cap == 0 ? 65536 : b->cap * 2;
        b->text = need_realloc(b->text, b->cap);
    }
    va_start(args, fmt);
    int n = vsnprintf(b->text + b->len, 1024, fmt, args);
    va_end(args);
    CHECK(n >= 0 && n < 1024, "too long");
    b->len += (size_t)n;
}

void text_free(struct text_builder *b)
{
    free(b->text);
    *b = (struct text_builder){0};
}
