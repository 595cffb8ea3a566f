/* SPDX-License-Identifier: MIT */
/* Many clients at once, and whether the numbers add up afterwards. */
#include "integration/harness_test.h"

/* Each client has a connection of its own and keeps it; all requests of a round are under way
 * together. */
SERVER_TEST_WITH(jobs, many_clients_each_get_their_own_answer, .workers = 4,
                 .args = {"--http-threads", "3"})
{
    enum { CLIENTS = 40, ROUNDS = 5 };
    struct conn *c[CLIENTS];
    for (size_t i = 0; i < CLIENTS; i++)
        c[i] = conn_open(s);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < CLIENTS; i++) {
            struct text body = text_of("{'command':['echo','%d of %d'],'name':'%d-%d'}", i, round,
                                       i, round);
            cr_assert(conn_request(c[i], s, "POST /v1/jobs", "Prefer: wait=30\r\n", body.s));
        }
        for (int i = 0; i < CLIENTS; i++) {
            cr_assert(conn_await_end(c[i], 60), "client %d got no answer", i);
            cr_assert_eq(c[i]->status, 200, "%s", c[i]->body);
            cJSON *job = cJSON_Parse(c[i]->body);
            cr_assert_str_eq(json_at(job, "name")->valuestring, text_of("%d-%d", i, round).s);
            struct text target = text_of("GET %s", json_at(job, "links.stdout")->valuestring);
            cJSON_Delete(job);
            conn_next(c[i]);
            cr_assert(conn_request(c[i], s, target.s, "", NULL));
        }
        for (int i = 0; i < CLIENTS; i++) {
            cr_assert(conn_await_end(c[i], 60));
            cr_assert_str_eq(c[i]->body, text_of("%d of %d\n", i, round).s);
            conn_next(c[i]);
        }
    }
    for (size_t i = 0; i < CLIENTS; i++)
        conn_close(c[i]);
}

static size_t count_listed(struct server *s, const char *state)
{
    AUTO_RESPONSE r = http_get(s, "/v1/jobs?limit=1000&state=%s", state);
    expect_status(r, 200);
    return (size_t)cJSON_GetArraySize(json_find(r, "items"));
}

/* Submits, cancels and forgets in a mixed order; then statistics and lists must agree. */
SERVER_TEST_WITH(jobs, statistics_and_lists_agree_after_a_storm, .workers = 3)
{
    enum { JOBS = 150 };
    static const char *const commands[] = {"['true']", "['false']", "['sleep','600']",
                                           "['sh','-c','kill -9 $$']", "['no-such']"};
    struct job_ref jobs[JOBS];
    size_t forgotten = 0;
    for (size_t i = 0; i < JOBS; i++) {
        jobs[i] = job_submit(s, "{'command':%s,'delay':'%zums','stop':{'grace':0}}",
                             commands[i % COUNT_OF(commands)], i % 7 == 0 ? i : (size_t)0);
        if (i >= 10 && i % 3 == 0)
            response_free(job_cancel(s, jobs[i - 10], NULL, 0));
    }
    for (size_t i = 2; i < JOBS; i += COUNT_OF(commands))
        response_free(job_cancel(s, jobs[i], NULL, 20));
    for (size_t i = 0; i < JOBS; i++) {
        AUTO_RESPONSE end = job_await(s, jobs[i]);
        if (i % 4 != 0)
            continue;
        AUTO_RESPONSE gone = http(s, "DELETE", text_of("/v1/jobs/%s", jobs[i].id).s, NULL, NULL);
        expect_status(gone, 204);
        forgotten++;
    }
    static const char *const states[] = {"scheduled", "blocked",   "queued", "running",
                                         "stopping",  "succeeded", "failed", "cancelled"};
    AUTO_RESPONSE stats = http_get(s, "/v1/stats");
    size_t sum = 0;
    for (size_t i = 0; i < COUNT_OF(states); i++) {
        size_t listed = count_listed(s, states[i]);
        expect_int(stats, text_of("jobs.%s", states[i]).s, (int64_t)listed);
        sum += listed;
    }
    cr_assert_eq(sum, JOBS - forgotten);
    AUTO_RESPONSE pool = http_get(s, "/v1/pool");
    expect_int(pool, "busy", 0);
    expect_int(pool, "idle", 3);
}

/* An attempt that fails is ready again in the turn that records it, while its worker already runs
 * something else. */
SERVER_TEST_WITH(jobs, retries_without_a_delay_follow_at_once, .workers = 3)
{
    enum { JOBS = 60, ATTEMPTS = 12 };
    static const char line[] =
        "{\"command\":[\"false\"],\"retry\":{\"max_attempts\":12,\"delay\":0}}\n";
    char *lines = need_alloc(JOBS * sizeof(line));
    for (size_t i = 0; i < JOBS; i++)
        memcpy(lines + i * (sizeof(line) - 1), line, sizeof(line) - 1);
    const char *headers[] = {"Content-Type: application/x-ndjson", NULL};
    struct call call = {.method = "POST",
                        .path = "/v1/jobs",
                        .body = lines,
                        .body_len = JOBS * (sizeof(line) - 1),
                        .headers = headers};
    AUTO_RESPONSE made = http_send(s, &call);
    free(lines);
    expect_status(made, 200);
    AWAIT(count_listed(s, "failed") == JOBS, 60);
    AUTO_RESPONSE r = http_get(s, "/v1/jobs?limit=1");
    expect_int(r, "items.0.attempt", ATTEMPTS);
}

SERVER_TEST(http, metrics_count_what_happened)
{
    for (int i = 0; i < 5; i++)
        response_free(job_run(s, "{'command':['true']}"));
    response_free(job_run(s, "{'command':['false'],'retry':{'max_attempts':3,'delay':'1ms'}}"));
    cr_assert_eq(metric_of(s, "ganger_jobs_submitted_total"), 6);
    cr_assert_eq(metric_of(s, "ganger_attempts_started_total"), 8);
    cr_assert_eq(metric_of(s, "ganger_retries_total"), 2);
    cr_assert_geq(metric_of(s, "ganger_worker_starts_total"), 2, "two workers were started");
    cr_assert_eq(metric_of(s, "ganger_worker_deaths_total"), 0);
    cr_assert_geq(metric_of(s, "ganger_http_requests_total"), 7);
    cr_assert_geq(metric_of(s, "ganger_commits_total"), 2);
}

SERVER_TEST(limits, defaults_are_told)
{
    static const struct {
        const char *name;
        int64_t value;
    } defaults[] = {
        {"job.timeout", 3600},       {"job.stop_grace", 5},    {"job.output", 10485760},
        {"job.keep", 86400},         {"job.row_keep", 604800}, {"http.max_body", 1048576},
        {"http.max_wait", 55},       {"http.heartbeat", 15},   {"job.max_attempts", 20},
        {"idempotency.keep", 86400},
    };
    AUTO_RESPONSE r = http_get(s, "/v1/limits");
    expect_status(r, 200);
    (void)json_find(r, "");
    for (size_t i = 0; i < COUNT_OF(defaults); i++) {
        const cJSON *value = cJSON_GetObjectItemCaseSensitive(r->json, defaults[i].name);
        CHECK(cJSON_IsNumber(value) && (int64_t)value->valuedouble == defaults[i].value, "%s in %s",
              defaults[i].name, r->body);
    }
}

SERVER_TEST(limits, output_is_cut_at_ten_mebibytes_unless_told)
{
    AUTO_RESPONSE r = job_run(
        s, "{'command':['sh','-c','head -c 11000000 /dev/zero; head -c 11000000 /dev/zero >&2']}");
    expect_outcome(r, "succeeded", NULL);
    expect_int(r, "output.stdout_bytes", 10485760);
    expect_int(r, "output.stderr_bytes", 10485760);
    cr_assert(json_bool(r, "output.truncated"));
}

/* The write-ahead log is checkpointed while work goes on, so it does not grow with it. */
SERVER_TEST(limits, the_log_of_the_store_stays_small)
{
    enum { LINES = 500 };
    const int requests = slow_factor() == 1 ? 30 : 5;
    char *lines = need_alloc((size_t)LINES * 600);
    size_t len = 0;
    for (int i = 0; i < LINES; i++)
        len += (size_t)snprintf(
            lines + len, 600, "{\"command\":[\"true\"],\"delay\":\"1h\",\"metadata\":\"%0500d\"}\n",
            i);
    const char *headers[] = {"Content-Type: application/x-ndjson", NULL};
    struct call call = {
        .method = "POST", .path = "/v1/jobs", .body = lines, .body_len = len, .headers = headers};
    int64_t most = 0;
    for (int i = 0; i < requests; i++) {
        s->unchecked = true;
        AUTO_RESPONSE r = http_send(s, &call);
        s->unchecked = false;
        expect_status(r, 200);
        AUTO_RESPONSE stats = http_get(s, "/v1/stats");
        int64_t bytes = json_int(stats, "wal_bytes");
        most = bytes > most ? bytes : most;
    }
    free(lines);
    /* Without a checkpoint they come to 11 MiB. */
    cr_assert_lt(most, 8 << 20, "the log had %lld bytes", (long long)most);
}
