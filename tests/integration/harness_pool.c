/* SPDX-License-Identifier: MIT */
#include "integration/harness_pool.h"

#include <signal.h>

void pool_make(struct server *s, const char *body)
{
    AUTO_RESPONSE r = http(s, "POST", "/v1/pools", body, NULL);
    expect_status(r, 201);
}

void pool_set(struct server *s, const char *body)
{
    AUTO_RESPONSE r = http(s, "PATCH", "/v1/pool", body, NULL);
    expect_status(r, 200);
}

void pool_verb(struct server *s, const char *verb, const char *body)
{
    AUTO_RESPONSE r = http(s, "POST", text_of("/v1/pool/%s", verb).s, body, NULL);
    expect_status(r, 200);
}

void pool_join(struct server *s)
{
    uint64_t until = deadline_in(60);
    for (;;) {
        AUTO_RESPONSE r = http_get(s, "/v1/pool/join?wait=20");
        if (r->status == 200)
            return;
        expect_status(r, 202);
        CHECK(!deadline_passed(until), "the pool has not ended its work");
    }
}

void expect_value(struct server *s, const char *members, const char *value)
{
    AUTO_RESPONSE r = job_run(s, "{'pool':'p',%s}", members);
    expect_outcome(r, "succeeded", NULL);
    expect_output(s, job_of(r), "result", value);
}

void expect_pool_state(struct server *s, const char *state)
{
    AUTO_RESPONSE r = http_get(s, "/v1/pool");
    expect_text(r, "state", state);
}

size_t workers_alive(struct server *s)
{
    AUTO_RESPONSE r = http_get(s, "/v1/workers");
    const cJSON *worker;
    size_t n = 0;
    cJSON_ArrayForEach(worker, json_find(r, "items"))
        n += cJSON_IsTrue(cJSON_GetObjectItem(worker, "alive")) ? 1 : 0;
    return n;
}

pid_t worker_pid(struct server *s, size_t at)
{
    AUTO_RESPONSE r = http_get(s, "/v1/workers");
    const cJSON *pid = json_find(r, text_of("items.%zu.pid", at).s);
    return cJSON_IsNumber(pid) ? (pid_t)pid->valuedouble : 0;
}

pid_t worker_await_new(struct server *s, size_t at, pid_t before)
{
    pid_t pid = 0; /* of one answer: between two of them it may have ended */
    AWAIT((pid = worker_pid(s, at)) > 0 && pid != before, 10);
    return pid;
}

struct text worker_kill(struct server *s, struct job_ref job)
{
    response_free(job_await_state(s, job, "running"));
    for (const uint64_t until = deadline_in(20);;) {
        AUTO_RESPONSE r = job_show(s, job);
        if (cJSON_IsNumber(json_find(r, "worker.job_pid"))) {
            CHECK(kill((pid_t)json_int(r, "worker.pid"), SIGKILL) == 0, "cannot kill the worker");
            return text_of("%s died (SIGKILL) under job %s", json_text(r, "worker.name"), job.id);
        }
        CHECK(!deadline_passed(until), "it does not begin: %s", r->body);
        pause_ms(1);
    }
}
