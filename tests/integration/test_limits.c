/* SPDX-License-Identifier: MIT */
/* What is refused: members that do not exist, values out of range, too much of anything, clients
 * that dawdle. */
#include "integration/harness_test.h"

static const struct {
    const char *members, *pointer;
} unknown_members[] = {
    {"'comand':['true']", "/comand"},
    {"'Command':['true']", "/Command"},
    {"'retry':{'max_atempts':2}", "/retry/max_atempts"},
    {"'stop':{'signal':'TERM','gracee':1}", "/stop/gracee"},
    {"'limits':{'outputs':1}", "/limits/outputs"},
    {"'time_out':1", "/time_out"},
    {"'id':'x'", "/id"},
    {"'state':'queued'", "/state"},
    {"'a/b~c':1", "/a~1b~0c"},
    /* Names that are kept for later versions. */
    {"'function':'fib'", "/function"},
    {"'args':[1]", "/args"},
    {"'kwargs':{}", "/kwargs"},
    {"'session':'x'", "/session"},
    {"'locks':['x']", "/locks"},
    {"'env_secret':{}", "/env_secret"},
};

SERVER_TEST(limits, unknown_members_are_refused_by_name)
{
    for (size_t i = 0; i < COUNT_OF(unknown_members); i++) {
        struct text body = text_of("{'command':['true'],'delay':'1h',%s}",
                                   unknown_members[i].members);
        AUTO_RESPONSE r = http(s, "POST", "/v1/jobs", body.s, NULL);
        expect_invalid(r, unknown_members[i].pointer);
    }
    AUTO_RESPONSE list = http_get(s, "/v1/jobs");
    cr_assert_eq(cJSON_GetArraySize(json_find(list, "items")), 0,
                 "a refused submission was stored");
}

static const struct {
    const char *members, *pointer;
} bad_values[] = {
    {"'callback':{'url':'https://x'}", "/callback/url"}, /* nothing is configured */
    {"'priority':101", "/priority"},
    {"'priority':-101", "/priority"},
    {"'priority':1.5", "/priority"},
    {"'priority':'5'", "/priority"},
    {"'priority':99999999999999999999", "/priority"},
    {"'timeout':-1", "/timeout"},
    {"'timeout':'soon'", "/timeout"},
    {"'timeout':'5 parsecs'", "/timeout"},
    {"'timeout':true", "/timeout"},
    {"'timeout':1e99", "/timeout"},
    {"'delay':-0.5", "/delay"},
    {"'delay':'1h1'", "/delay"},
    {"'run_at':'tomorrow'", "/run_at"},
    {"'run_at':'2026-02-30T00:00:00Z'", "/run_at"},
    {"'run_at':'2026-12-01T00:00:00'", "/run_at"},
    {"'run_at':1767225600", "/run_at"},
    {"'queue':''", "/queue"},
    {"'queue':'a b'", "/queue"},
    {"'queue':7", "/queue"},
    {"'name':7", "/name"},
    {"'labels':[]", "/labels"},
    {"'labels':{'a':1}", "/labels/a"},
    {"'env':{'A=B':'x'}", "/env/A=B"},
    {"'env':{'A':1}", "/env/A"},
    {"'env':{'':'x'}", "/env/"},
    {"'env':['A=b']", "/env"},
    {"'cwd':7", "/cwd"},
    {"'cwd':'relative/path'", "/cwd"},
    {"'stdin':7", "/stdin"},
    {"'stop':{'signal':'NOPE'}", "/stop/signal"},
    {"'stop':{'grace':-1}", "/stop/grace"},
    {"'stop':'TERM'", "/stop"},
    {"'retry':{'max_attempts':0}", "/retry/max_attempts"},
    {"'retry':{'max_attempts':21}", "/retry/max_attempts"},
    {"'retry':{'max_attempts':'3'}", "/retry/max_attempts"},
    {"'retry':{'max_attempts':2,'on':['sometimes']}", "/retry/on/0"},
    {"'retry':{'max_attempts':2,'on':['signal','exit:256']}", "/retry/on/1"},
    {"'retry':{'max_attempts':2,'on':'signal'}", "/retry/on"},
    {"'retry':{'max_attempts':2,'factor':-1}", "/retry/factor"},
    {"'retry':{'max_attempts':2,'delay':'x'}", "/retry/delay"},
    {"'retry':{'max_attempts':2,'jitter':'yes'}", "/retry/jitter"},
    {"'retry':3", "/retry"},
    {"'limits':{'output':-1}", "/limits/output"},
    {"'limits':{'output':'10 MB'}", "/limits/output"},
    {"'limits':{'on_output':'explode'}", "/limits/on_output"},
    {"'keep':-1", "/keep"},
    {"'keep':'for ever'", "/keep"},
    {"'result':'xml'", "/result"},
};

SERVER_TEST(limits, values_out_of_range_are_refused_by_place)
{
    for (size_t i = 0; i < COUNT_OF(bad_values); i++) {
        struct text body = text_of("{'command':['true'],%s}", bad_values[i].members);
        AUTO_RESPONSE r = http(s, "POST", "/v1/jobs", body.s, NULL);
        expect_invalid(r, bad_values[i].pointer);
    }
    AUTO_RESPONSE list = http_get(s, "/v1/jobs");
    cr_assert_eq(cJSON_GetArraySize(json_find(list, "items")), 0,
                 "a refused submission was stored");
}

SERVER_TEST(limits, a_command_must_be_words)
{
    static const struct {
        const char *body, *pointer;
    } rows[] = {
        {"{'command':'true'}", "/command"},
        {"{'command':[]}", "/command"},
        {"{'command':[1]}", "/command/0"},
        {"{'command':['sh',null]}", "/command/1"},
        {"{'command':['']}", "/command/0"},
        {"{'command':{}}", "/command"},
        {"{}", "/command"},
        {"{'command':null}", "/command"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        AUTO_RESPONSE r = http(s, "POST", "/v1/jobs", rows[i].body, NULL);
        expect_invalid(r, rows[i].pointer);
    }
    static const char *const no_object[] = {"[]", "3", "null", "'x'"};
    for (size_t i = 0; i < COUNT_OF(no_object); i++) {
        AUTO_RESPONSE r = http(s, "POST", "/v1/jobs", no_object[i], NULL);
        expect_problem(r, 422, "invalid-request");
    }
}

/* The answer must come while the client still has most of the body to send. */
SERVER_TEST(limits, a_body_that_is_too_large_is_refused_early)
{
    AUTO_CONN c = conn_open(s);
    struct text head = text_of(
        "POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n"
        "Content-Type: application/json\r\nContent-Length: 1073741824\r\n\r\n{",
        s->token);
    cr_assert(conn_send(c, head.s, strlen(head.s)));
    cr_assert(conn_await_end(c, 10), "no answer before the body");
    cr_assert_eq(c->status, 413);
    cr_assert(strstr(c->body, "/problems/too-large") != NULL, "%s", c->body);
    cr_assert(conn_await_close(c, 10), "the connection stays open");
}

SERVER_TEST(limits, an_endless_chunked_body_is_ended)
{
    AUTO_CONN c = conn_open(s);
    struct text head = text_of(
        "POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n"
        "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
        s->token);
    cr_assert(conn_send(c, head.s, strlen(head.s)));
    static char chunk[8 + 65536 + 2];
    memcpy(chunk, "10000\r\n", 7);
    memset(chunk + 7, ' ', 65536);
    memcpy(chunk + 7 + 65536, "\r\n", 2);
    int sent = 0;
    while (sent < 1000 && conn_send(c, chunk, 7 + 65536 + 2))
        sent++;
    cr_assert_lt(sent, 1000, "64 MB were taken");
    AUTO_RESPONSE alive = http_get(s, "/v1/pool");
    expect_status(alive, 200);
}

SERVER_TEST(limits, bodies_up_to_the_limit_are_taken)
{
    const size_t limit = 1048576;
    for (int over = 0; over <= 1; over++) {
        char *body = need_alloc(limit + 10);
        int head = snprintf(body, 100, "{\"command\":[\"true\"],\"delay\":\"1h\",\"metadata\":\"");
        memset(body + head, 'm', limit - (size_t)head);
        memcpy(body + limit - 2 + (size_t)over, "\"}", 3);
        struct call call = {
            .method = "POST", .path = "/v1/jobs", .body = body, .body_len = limit + (size_t)over};
        AUTO_RESPONSE r = http_send(s, &call);
        free(body);
        if (over == 0)
            expect_status(r, 202);
        else
            expect_problem(r, 413, "too-large");
    }
}

SERVER_TEST(limits, too_many_or_too_large_headers_are_refused)
{
    AUTO_CONN many = conn_open(s);
    conn_send(many, "GET /livez HTTP/1.1\r\nHost: localhost\r\n", 38);
    for (int i = 0; i < 2000; i++) {
        struct text line = text_of("X-%d: y\r\n", i);
        if (!conn_send(many, line.s, strlen(line.s)))
            break;
    }
    (void)conn_send(many, "\r\n", 2);
    cr_assert(conn_await_head(many, 10));
    cr_assert(many->status == 431 || many->status == 400, "%ld", many->status);
    AUTO_TEXT long_value = need_alloc(20001);
    memset(long_value, 'v', 20000);
    AUTO_CONN large = conn_open(s);
    conn_send(large, "GET /livez HTTP/1.1\r\nHost: localhost\r\nX: ", 41);
    (void)conn_send(large, long_value, 20000);
    (void)conn_send(large, "\r\n\r\n", 4);
    cr_assert(conn_await_head(large, 10));
    cr_assert(large->status == 431 || large->status == 400, "%ld", large->status);
    AUTO_CONN target = conn_open(s);
    conn_send(target, "GET /", 5);
    (void)conn_send(target, long_value, 20000);
    (void)conn_send(target, " HTTP/1.1\r\nHost: localhost\r\n\r\n", 30);
    cr_assert(conn_await_head(target, 10));
    cr_assert(target->status == 414 || target->status == 431 || target->status == 400, "%ld",
              target->status);
}

/* An absolute deadline, however steadily the bytes trickle; and nobody else waits. */
SERVER_TEST_WITH(limits, a_slow_client_is_cut_off_and_disturbs_nobody,
                 .args = {"--http-header-timeout", "300ms", "--http-body-timeout", "300ms"})
{
    enum { SLOW = 40 };
    struct conn *slow[SLOW];
    for (int i = 0; i < SLOW; i++) {
        slow[i] = conn_open(s);
        if (i % 2 == 0)
            conn_send(slow[i], "GET /v1/pool HTTP/1.1\r\nHost: localhost\r\nX-Slow: ", 47);
        else
            conn_request(slow[i], s, "POST /v1/jobs",
                         "Content-Type: application/json\r\nContent-Length: 500\r\n", NULL);
    }
    int cut = 0;
    double worst = 0;
    bool closed[SLOW] = {false};
    uint64_t until = deadline_in(20);
    while (cut < SLOW) {
        cr_assert_not(deadline_passed(until), "%d of %d slow clients are still there", SLOW - cut,
                      SLOW);
        for (int i = 0; i < SLOW; i++) {
            (void)conn_send(slow[i], "x", 1);
            if (!closed[i] && conn_await_close(slow[i], 0.001)) {
                closed[i] = true;
                cut++;
            }
        }
        uint64_t start = now_ns();
        AUTO_RESPONSE r = http_get(s, "/v1/pool");
        expect_status(r, 200);
        worst = seconds_since(start) > worst ? seconds_since(start) : worst;
        pause_ms(20);
    }
    cr_assert_lt(worst, 0.5 * slow_factor(), "a healthy request took %.3f s", worst);
    for (int i = 0; i < SLOW; i++)
        conn_close(slow[i]);
}

SERVER_TEST_WITH(limits, too_many_waiters_are_refused, .args = {"--http-max-parked", "5"})
{
    struct job_ref job = job_submit(s, "{'command':['true'],'delay':'1h'}");
    struct conn *c[12];
    int refused = 0;
    for (size_t i = 0; i < COUNT_OF(c); i++) {
        c[i] = conn_open(s);
        conn_request(c[i], s, text_of("GET /v1/jobs/%s", job.id).s, "Prefer: wait=30\r\n", NULL);
    }
    bool is_refused[COUNT_OF(c)] = {false};
    for (uint64_t until = deadline_in(20); refused < 7;) {
        cr_assert_not(deadline_passed(until), "only %d are refused", refused);
        for (size_t i = 0; i < COUNT_OF(c); i++) {
            if (is_refused[i] || !conn_await_end(c[i], 0.01))
                continue;
            cr_assert_eq(c[i]->status, 429);
            cr_assert(strstr(c[i]->body, "/problems/too-many-waiters") != NULL, "%s", c[i]->body);
            cr_assert(conn_header(c[i], "Retry-After").s[0] != '\0');
            is_refused[i] = true;
            refused++;
        }
    }
    AUTO_RESPONSE stats = http_get(s, "/v1/stats");
    expect_int(stats, "parked", 5);
    AUTO_RESPONSE end = job_cancel(s, job, NULL, 0);
    for (size_t i = 0; i < COUNT_OF(c); i++) {
        cr_assert(is_refused[i] || conn_await_end(c[i], 10));
        conn_close(c[i]);
    }
}

SERVER_TEST_WITH(limits, a_full_service_refuses_with_retry_after, .args = {"--queue-max-jobs", "3"})
{
    for (int i = 0; i < 3; i++)
        (void)job_submit(s, "{'command':['true'],'delay':'1h'}");
    AUTO_RESPONSE r = http(s, "POST", "/v1/jobs", "{'command':['true'],'delay':'1h'}", NULL);
    expect_problem(r, 503, "overloaded");
    cr_assert_not_null(header_of(r, "Retry-After"));
    AUTO_RESPONSE list = http_get(s, "/v1/jobs");
    cr_assert_eq(cJSON_GetArraySize(json_find(list, "items")), 3);
}

/* What clients that vanish held (bytes of bodies, places of waiters) is free again. */
SERVER_TEST_WITH(limits, bodies_that_are_cut_off_are_not_counted_for_ever,
                 .args = {"--http-max-inflight-bytes", "1MiB"})
{
    AUTO_TEXT half = need_alloc(400001);
    memset(half, ' ', 400000);
    for (int i = 0; i < 20; i++) {
        AUTO_CONN c = conn_open(s);
        conn_request(c, s, "POST /v1/jobs",
                     i % 2 == 0
                         ? "Content-Type: application/json\r\nContent-Length: 800000\r\n"
                         : "Content-Type: application/x-ndjson\r\nContent-Length: 800000\r\n",
                     NULL);
        cr_assert(conn_send(c, half, 400000));
    }
    uint64_t until = deadline_in(10);
    long status = 0;
    while (status != 202) {
        cr_assert_not(deadline_passed(until), "still %ld", status);
        AUTO_RESPONSE r = http(s, "POST", "/v1/jobs", "{'command':['true'],'delay':'1h'}", NULL);
        status = r->status;
    }
}

SERVER_TEST_WITH(limits, waiters_that_leave_make_room, .args = {"--http-max-parked", "5"})
{
    struct job_ref job = job_submit(s, "{'command':['true'],'delay':'1h'}");
    struct text path = text_of("/v1/jobs/%s", job.id);
    for (int round = 0; round < 10; round++) {
        struct conn *c[5];
        for (size_t i = 0; i < COUNT_OF(c); i++) {
            c[i] = conn_open(s);
            conn_request(c[i], s, text_of("GET %s", path.s).s, "Prefer: wait=50\r\n", NULL);
        }
        for (size_t i = 0; i < COUNT_OF(c); i++)
            conn_close(c[i]);
    }
    uint64_t until = deadline_in(10);
    long status = 429;
    while (status == 429) {
        cr_assert_not(deadline_passed(until), "nobody can wait any more");
        AUTO_RESPONSE r = http(s, "GET", path.s, NULL, "Prefer: wait=1", NULL);
        status = r->status;
    }
    cr_assert_eq(status, 200);
}
