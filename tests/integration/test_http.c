/* SPDX-License-Identifier: MIT */
/* What every route has in common, and the routes that tell about the service. */
#include "integration/harness_schema.h"
#include "integration/harness_test.h"

#include <strings.h>

/* A path that fits a template of the document: parameters become a job's id, a worker's name or a
 * slug. */
static struct text path_for(const char *template)
{
    static const struct {
        const char *prefix, *value;
    } values[] = {{"/v1/workers/", "worker-0"},
                  {"/problems/", "not-found"},
                  {"", "01990000-0000-7000-8000-000000000000"}};
    const char *open = strchr(template, '{'), *close = strchr(template, '}');
    if (open == NULL)
        return text_of("%s", template);
    for (size_t i = 0;; i++) {
        if (strncmp(template, values[i].prefix, strlen(values[i].prefix)) == 0)
            return text_of("%.*s%s%s", (int)(open - template), template, values[i].value,
                           close + 1);
    }
}

static bool allow_has(const char *allow, const char *method)
{
    for (const char *at = allow; *at != '\0'; at += strspn(at, ", ")) {
        size_t len = strcspn(at, ", ");
        if (len == strlen(method) && strncasecmp(at, method, len) == 0)
            return true;
        at += len;
    }
    return false;
}

static const char *const all_methods[] = {"GET",    "POST",    "PUT",   "PATCH",
                                          "DELETE", "OPTIONS", "TRACE", "BREW"};

static bool document_has(const cJSON *route, const char *method)
{
    char lower[16] = {0};
    for (size_t i = 0; method[i] != '\0' && i + 1 < sizeof(lower); i++)
        lower[i] = (char)(method[i] | 0x20);
    return cJSON_GetObjectItemCaseSensitive(route, lower) != NULL;
}

static void check_methods(struct server *s, const cJSON *route)
{
    struct text path = path_for(route->string);
    for (size_t i = 0; i < COUNT_OF(all_methods); i++) {
        if (document_has(route, all_methods[i]))
            continue;
        AUTO_RESPONSE r = http(s, all_methods[i], path.s, NULL, NULL);
        CHECK(r->status == 405, "%s %s: %ld instead of 405", all_methods[i], path.s, r->status);
        expect_problem(r, 405, "method-not-allowed");
        const char *allow = header_of(r, "Allow");
        CHECK(allow != NULL, "%s %s: no Allow", all_methods[i], path.s);
        for (size_t k = 0; k < COUNT_OF(all_methods); k++) {
            CHECK(allow_has(allow, all_methods[k]) == document_has(route, all_methods[k]),
                  "%s: Allow: %s, %s?", path.s, allow, all_methods[k]);
        }
        CHECK(allow_has(allow, "HEAD") == document_has(route, "GET"), "%s: Allow: %s", path.s,
              allow);
    }
}

SERVER_TEST(http, every_route_refuses_other_methods_with_allow)
{
    const cJSON *paths = cJSON_GetObjectItemCaseSensitive(schema_document(s), "paths"),
                *route = NULL;
    cr_assert_gt(cJSON_GetArraySize(paths), 15);
    cJSON_ArrayForEach(route, paths) check_methods(s, route);
}

SERVER_TEST(http, head_is_get_without_a_body)
{
    AUTO_RESPONSE done = job_run(s, "{'command':['echo','hello']}");
    struct job_ref job = job_of(done);
    const cJSON *paths = cJSON_GetObjectItemCaseSensitive(schema_document(s), "paths"),
                *route = NULL;
    cJSON_ArrayForEach(route, paths)
    {
        /* What every change is told by has no end. */
        if (!document_has(route, "GET") || strcmp(route->string, "/v1/events") == 0)
            continue;
        struct text path = path_for(route->string);
        AUTO_RESPONSE get = http(s, "GET", path.s, NULL, NULL);
        AUTO_RESPONSE head = http(s, "HEAD", path.s, NULL, NULL);
        CHECK(get->status == head->status, "%s: GET %ld, HEAD %ld", path.s, get->status,
              head->status);
        CHECK(head->len == 0, "HEAD %s has a body", path.s);
    }
    static const char *const streams[] = {"", "/result", "/stdout", "/stderr"};
    for (size_t i = 0; i < COUNT_OF(streams); i++) {
        struct text path = text_of("/v1/jobs/%s%s", job.id, streams[i]);
        AUTO_RESPONSE get = http(s, "GET", path.s, NULL, NULL);
        AUTO_RESPONSE head = http(s, "HEAD", path.s, NULL, NULL);
        expect_status(head, 200);
        expect_header(head, "Content-Length", text_of("%zu", get->len).s);
        expect_header(head, "Content-Type", header_of(get, "Content-Type"));
    }
}

SERVER_TEST(http, unknown_and_later_routes_are_404)
{
    static const char *const paths[] = {
        "/nothing",
        "/v1",
        "/v1/",
        "/v1/job",
        "/v2/jobs",
        "/v1/jobs/",
        "/healthz",
        "/v1/leases",
        "/v1/pipes",
        "/v1/webhooks",
        "/v1/schedules",
        "/v1/sessions",
        "/v1/shared/x",
        "/v1/tokens",
        "/v1/batches/01990000-0000-7000-8000-000000000000/nothing",
        "/v1/jobs/01990000-0000-7000-8000-000000000000/nothing",
        "/problems/no-such-problem",
        "/v1/workers/nobody",
    };
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        AUTO_RESPONSE r = http_get(s, "%s", paths[i]);
        expect_problem(r, 404, "not-found");
    }
}

SERVER_TEST(http, request_ids_are_made_or_taken_over)
{
    AUTO_RESPONSE made = http_get(s, "/v1/pool");
    cr_assert_not_null(header_of(made, "X-Request-Id"));
    AUTO_RESPONSE other = http_get(s, "/v1/pool");
    cr_assert_str_neq(header_of(made, "X-Request-Id"), header_of(other, "X-Request-Id"));
    AUTO_RESPONSE taken = http(s, "GET", "/v1/nothing", NULL, "X-Request-Id: my-request.7", NULL);
    expect_header(taken, "X-Request-Id", "my-request.7");
    expect_problem(taken, 404, "not-found");
    AUTO_RESPONSE odd = http(s, "GET", "/v1/pool", NULL, "X-Request-Id: a\"b<c>", NULL);
    expect_status(odd, 200);
    cr_assert_str_neq(header_of(odd, "X-Request-Id"), "a\"b<c>",
                      "what cannot be an id is replaced");
}

SERVER_TEST(http, every_answer_is_guarded_against_sniffing_and_caching)
{
    static const char *const paths[] = {"/v1/jobs", "/v1/pool", "/v1/nothing", "/openapi.json",
                                        "/v1/version"};
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        AUTO_RESPONSE r = http_get(s, "%s", paths[i]);
        expect_header(r, "X-Content-Type-Options", "nosniff");
        if (strncmp(paths[i], "/v1/", 4) == 0) {
            const char *cache = header_of(r, "Cache-Control");
            CHECK(cache != NULL && strstr(cache, "no-store") != NULL, "%s: Cache-Control: %s",
                  paths[i], cache == NULL ? "(absent)" : cache);
        }
    }
}

/* Each kind of problem that this version can send has its page. */
SERVER_TEST(http, problems_explain_themselves)
{
    static const char *const slugs[] = {
        "bad-request",
        "invalid-json",
        "unauthorized",
        "forbidden",
        "foreign-origin",
        "unknown-host",
        "not-found",
        "method-not-allowed",
        "not-acceptable",
        "state-conflict",
        "job-failed",
        "job-cancelled",
        "result-expired",
        "version-mismatch",
        "too-large",
        "unsupported-media-type",
        "range-not-satisfiable",
        "invalid-request",
        "key-reused",
        "queue-limit",
        "too-many-waiters",
        "internal",
        "overloaded",
        "draining",
        "disk-full",
        "storage-unavailable",
        "outcome-unknown",
    };
    for (size_t i = 0; i < COUNT_OF(slugs); i++) {
        AUTO_RESPONSE r = http_get(s, "/problems/%s", slugs[i]);
        CHECK(r->status == 200 && r->len > 0, "/problems/%s: %ld", slugs[i], r->status);
        CHECK(strstr(r->body, slugs[i]) != NULL, "/problems/%s does not name itself: %s", slugs[i],
              r->body);
    }
}

SERVER_TEST(http, a_type_that_the_route_has_not_is_not_acceptable)
{
    struct job_ref job = job_submit(s, "{'command':['echo','x']}");
    response_free(job_await(s, job));
    struct text self = text_of("/v1/jobs/%s", job.id), out = text_of("/v1/jobs/%s/stdout", job.id);
    const struct {
        const char *path, *accept;
        long status;
    } rows[] = {
        {self.s, "Accept: image/png", 406},
        {self.s, "Accept: text/event-stream", 406},
        {self.s, "Accept: */*, application/*;q=0", 406},
        {self.s, "Accept: text/html,application/xhtml+xml,*/*;q=0.8", 200},
        {self.s, "Accept: application/*", 200},
        {self.s, "Accept: ", 200},
        {out.s, "Accept: text/plain", 200},
        {out.s, "Accept: application/json", 200}, /* as curl --json says, whatever it is about */
        {out.s, "Accept: image/*", 406},
        {"/metrics", "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5", 200},
        {"/metrics", "Accept: text/event-stream", 406},
        {"/livez", "Accept: image/png", 200},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        AUTO_RESPONSE r = http(s, "GET", rows[i].path, NULL, rows[i].accept, NULL);
        CHECK(r->status == rows[i].status, "%s, %s: %ld: %s", rows[i].path, rows[i].accept,
              r->status, r->body);
        if (rows[i].status == 406)
            expect_problem(r, 406, "not-acceptable");
    }
    AUTO_RESPONSE text = http(s, "GET", out.s, NULL, "Accept: text/plain", NULL);
    expect_header(text, "Content-Type", "text/plain; charset=utf-8");
    AUTO_RESPONSE bytes = http(s, "GET", out.s, NULL, "Accept: text/plain;q=0, */*", NULL);
    expect_header(bytes, "Content-Type", "application/octet-stream");
    AUTO_RESPONSE made = http(s, "POST", "/v1/jobs", "{'command':['true']}", "Accept: image/png",
                              NULL);
    expect_problem(made, 406, "not-acceptable");
    AUTO_RESPONSE list = http_get(s, "/v1/jobs");
    cr_assert_eq(cJSON_GetArraySize(json_find(list, "items")), 1, "nothing was made");
}

SERVER_TEST(http, an_invalid_request_names_every_place_by_pointer)
{
    AUTO_RESPONSE r = http(s, "POST", "/v1/jobs", "{'command':['true'],'retry':{'max_attempts':0}}",
                           NULL);
    expect_invalid(r, "/retry/max_attempts");
    expect_text(r, "instance", "/v1/jobs");
    cr_assert(json_text(r, "errors.0.detail")[0] != '\0');
}

static int64_t job_pid_of(struct server *s, struct job_ref job)
{
    AUTO_RESPONSE r = job_show(s, job);
    return json_is_null(r, "worker.job_pid") ? 0 : json_int(r, "worker.job_pid");
}

SERVER_TEST_WITH(http, the_pool_and_its_workers_are_shown, .workers = 3)
{
    AUTO_RESPONSE pool = http_get(s, "/v1/pool");
    expect_status(pool, 200);
    expect_int(pool, "size", 3);
    expect_text(pool, "state", "open");
    struct text hold = fifo_make(s, "hold");
    struct job_ref job = job_submit(s, "{'command':['cat','%s']}", hold.s);
    AUTO_RESPONSE running = job_await_state(s, job, "running");
    AUTO_RESPONSE busy = http_get(s, "/v1/pool");
    expect_int(busy, "busy", 1);
    expect_int(busy, "idle", 2);
    AUTO_RESPONSE list = http_get(s, "/v1/workers");
    cr_assert_eq(cJSON_GetArraySize(json_find(list, "items")), 3);
    const cJSON *each = NULL;
    int with_job = 0;
    cJSON_ArrayForEach(each, json_find(list, "items"))
    {
        pid_t pid = (pid_t)json_at(each, "pid")->valueint;
        cr_assert(cJSON_IsTrue(json_at(each, "alive")) && proc_is_alive(pid));
        AUTO_RESPONSE one = http_get(s, "/v1/workers/%s", json_at(each, "name")->valuestring);
        expect_int(one, "pid", pid);
        with_job += strstr(one->body, job.id) != NULL ? 1 : 0;
    }
    cr_assert_eq(with_job, 1, "one worker runs the job: %s", list->body);
    AWAIT(job_pid_of(s, job) > 0, 10); /* it runs from its assignment on, before it has a process */
    AUTO_RESPONSE shown = job_show(s, job);
    pid_t job_pid = (pid_t)json_int(shown, "worker.job_pid");
    cr_assert_eq(proc_parent(job_pid), (pid_t)json_int(shown, "worker.pid"));
    fifo_release(hold.s);
    AUTO_RESPONSE end = job_await(s, job);
    expect_outcome(end, "succeeded", NULL);
}

SERVER_TEST(http, statistics_count_jobs_by_state)
{
    AUTO_RESPONSE a = job_run(s, "{'command':['true']}");
    AUTO_RESPONSE b = job_run(s, "{'command':['false']}");
    struct job_ref later = job_submit(s, "{'command':['true'],'delay':'1h'}");
    AUTO_RESPONSE c = job_cancel(s, later, NULL, 5);
    struct job_ref due = job_submit(s, "{'command':['true'],'delay':'1h'}");
    AUTO_RESPONSE r = http_get(s, "/v1/stats");
    expect_status(r, 200);
    static const char *const states[] = {"succeeded", "failed", "cancelled", "scheduled"};
    for (size_t i = 0; i < COUNT_OF(states); i++)
        expect_int(r, text_of("jobs.%s", states[i]).s, 1);
    AUTO_RESPONSE metrics = http_get(s, "/metrics");
    expect_status(metrics, 200);
    cr_assert(strncmp(header_of(metrics, "Content-Type"), "text/plain", 10) == 0);
    cr_assert(strstr(metrics->body, "# TYPE ganger_") != NULL, "%.300s", metrics->body);
    cr_assert(strstr(metrics->body, "ganger_jobs") != NULL, "%.300s", metrics->body);
    (void)due;
}

SERVER_TEST(http, version_and_limits_are_told)
{
    AUTO_RESPONSE version = http_get(s, "/v1/version");
    expect_status(version, 200);
    expect_text(version, "sync", "full");
    cr_assert_geq(json_int(version, "cpus"), 1);
    cr_assert_not_null(json_find(version, "sandbox"));
    AUTO_RESPONSE limits = http_get(s, "/v1/limits");
    expect_status(limits, 200);
}

SERVER_TEST_WITH(http, sync_normal_is_told, .args = {"--sync", "normal"})
{
    AUTO_RESPONSE version = http_get(s, "/v1/version");
    expect_text(version, "sync", "normal");
}

SERVER_TEST(http, the_description_is_openapi_3_1)
{
    const cJSON *document = schema_document(s);
    const cJSON *version = json_at(document, "openapi");
    cr_assert(cJSON_IsString(version) && strncmp(version->valuestring, "3.1.", 4) == 0);
    cr_assert(cJSON_IsString(json_at(document, "info.title")) &&
              cJSON_IsString(json_at(document, "info.version")));
    const cJSON *route = NULL, *operation = NULL;
    cJSON_ArrayForEach(route, json_at(document, "paths"))
    {
        cJSON_ArrayForEach(operation, route)
        {
            if (cJSON_IsArray(operation))
                continue; /* parameters of the path */
            CHECK(cJSON_IsObject(json_at(operation, "responses")), "%s %s has no responses",
                  operation->string, route->string);
        }
    }
}

SERVER_TEST(http, the_unix_socket_serves_the_same)
{
    static const char body[] = "{\"command\":[\"echo\",\"by socket\"]}";
    const char *headers[] = {"Prefer: wait=20", NULL};
    struct call call = {.method = "POST",
                        .path = "/v1/jobs",
                        .body = body,
                        .body_len = sizeof(body) - 1,
                        .headers = headers,
                        .over_socket = true};
    AUTO_RESPONSE r = http_send(s, &call);
    expect_status(r, 200);
    expect_output(s, job_of(r), "stdout", "by socket\n");
}

SERVER_TEST(http, what_cannot_be_accepted_is_406)
{
    AUTO_RESPONSE done = job_run(s, "{'command':['true']}");
    AUTO_RESPONSE any = http(s, "GET", "/v1/jobs", NULL, "Accept: */*", NULL);
    expect_status(any, 200);
    AUTO_RESPONSE listed = http(s, "GET", "/v1/jobs", NULL,
                                "Accept: text/html, application/*;q=0.8", NULL);
    expect_status(listed, 200);
    AUTO_RESPONSE html = http(s, "GET", text_of("/v1/jobs/%s/events", job_of(done).id).s, NULL,
                              "Accept: image/png", NULL);
    cr_assert(html->status == 406 || html->status == 200, "%ld", html->status);
}

/* The place of what is wrong in the query is "?name", as that of a member is its JSON pointer. */
SERVER_TEST(http, errors_name_the_parameter)
{
    static const char *const rows[][2] = {
        {"/v1/jobs?limit=0", "?limit"},
        {"/v1/jobs?cursor=x", "?cursor"},
        {"/v1/jobs?state=happy", "?state"},
        {"/v1/jobs?label=x", "?label"},
        {"/v1/jobs?order=x", "?order"},
        {"/v1/jobs?batch=x", "?batch"},
        {"/v1/jobs?created_after=x", "?created_after"},
        {"/v1/jobs?nope=1", "?nope"},
        {"/v1/jobs?queue=a&queue=b", "?queue"},
        {"/v1/jobs?name=%zz", "?name"},
        {"/v1/events?after=x", "?after"},
        {"/v1/events?batch=x", "?batch"},
        {"/v1/functions?cursor=x", "?cursor"},
        {"/v1/pools?limit=x", "?limit"},
        {"/v1/jobs/%s?wait=x", "?wait"},
        {"/v1/jobs/%s/stdout?follow=x", "?follow"},
    };
    struct job_ref job = job_submit(s, "{'command':['true'],'delay':'1h'}");
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        const char *gap = strstr(rows[i][0], "%s");
        struct text path = gap == NULL ? text_of("%s", rows[i][0])
                                       : text_of("%.*s%s%s", (int)(gap - rows[i][0]), rows[i][0],
                                                 job.id, gap + 2);
        AUTO_RESPONSE r = http(s, "GET", path.s, NULL, NULL);
        expect_invalid(r, rows[i][1]);
    }
    AUTO_RESPONSE put = http(s, "PUT", text_of("/v1/jobs/%s/stdin?eof=x", job.id).s, "x",
                             "Content-Type: application/octet-stream", NULL);
    expect_invalid(put, "?eof");
}
