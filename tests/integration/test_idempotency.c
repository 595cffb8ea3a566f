/* SPDX-License-Identifier: MIT */
/* Idempotency-Key: the same request twice is one job, whatever happens to the connection. */
#include "integration/harness_test.h"

#include <sys/socket.h>
#include <unistd.h>

#define LATER "{'command':['true'],'delay':'1h','name':'once'}"

static struct response *submit_with_key(struct server *s, const char *body, const char *key)
{
    return http(s, "POST", "/v1/jobs", body, text_of("Idempotency-Key: %s", key).s, NULL);
}

static size_t count_jobs(struct server *s, const char *query)
{
    size_t n = 0;
    char cursor[200] = "";
    do {
        AUTO_RESPONSE r = http_get(s, "/v1/jobs?limit=1000&%s%s%s", query,
                                   cursor[0] == '\0' ? "" : "&cursor=", cursor);
        expect_status(r, 200);
        n += (size_t)cJSON_GetArraySize(json_find(r, "items"));
        const cJSON *next = json_find(r, "next_cursor");
        (void)snprintf(cursor, sizeof(cursor), "%s", cJSON_IsString(next) ? next->valuestring : "");
    } while (cursor[0] != '\0');
    return n;
}

SERVER_TEST(futures, a_key_makes_a_repeated_submission_one_job)
{
    AUTO_RESPONSE first = submit_with_key(s, LATER, "\"key 1\"");
    AUTO_RESPONSE second = submit_with_key(s, LATER, "\"key 1\"");
    expect_status(first, 202);
    expect_status(second, 202);
    cr_assert_null(header_of(first, "Idempotency-Replayed"));
    expect_header(second, "Idempotency-Replayed", "true");
    cr_assert_str_eq(job_of(first).id, job_of(second).id);
    expect_header(second, "Location", header_of(first, "Location"));
    cr_assert_str_eq(first->body, second->body, "the stored answer is repeated");
    cr_assert_eq(count_jobs(s, ""), 1);
}

SERVER_TEST(futures, a_key_may_be_quoted_or_bare)
{
    AUTO_RESPONSE quoted = submit_with_key(s, LATER, "\"same-key\"");
    AUTO_RESPONSE bare = submit_with_key(s, LATER, "same-key");
    cr_assert_str_eq(job_of(quoted).id, job_of(bare).id);
    AUTO_RESPONSE other = submit_with_key(s, LATER, "other-key");
    cr_assert_str_neq(job_of(quoted).id, job_of(other).id);
}

SERVER_TEST(futures, a_key_with_another_body_is_refused)
{
    AUTO_RESPONSE first = submit_with_key(s, LATER, "k");
    AUTO_RESPONSE second = submit_with_key(s, "{'command':['false'],'delay':'1h'}", "k");
    expect_status(first, 202);
    expect_problem(second, 422, "key-reused");
    cr_assert_eq(count_jobs(s, ""), 1);
}

SERVER_TEST(futures, a_refused_submission_does_not_use_up_its_key)
{
    AUTO_RESPONSE refused = submit_with_key(s, "{'comand':['true']}", "k");
    expect_problem(refused, 422, "invalid-request");
    AUTO_RESPONSE accepted = submit_with_key(s, LATER, "k");
    expect_status(accepted, 202);
}

SERVER_TEST(futures, a_key_outlives_kill_9_and_restart)
{
    AUTO_RESPONSE first = submit_with_key(s, LATER, "k");
    expect_status(first, 202);
    server_kill(s);
    server_restart(s, NULL);
    AUTO_RESPONSE second = submit_with_key(s, LATER, "k");
    expect_status(second, 202);
    expect_header(second, "Idempotency-Replayed", "true");
    cr_assert_str_eq(job_of(first).id, job_of(second).id);
}

SERVER_TEST(futures, a_replayed_submission_may_wait_too)
{
    static const char body[] = "{'command':['echo','x']}";
    AUTO_RESPONSE first = submit_with_key(s, body, "k");
    AUTO_RESPONSE end = job_await(s, job_of(first));
    AUTO_RESPONSE again = http(s, "POST", "/v1/jobs", body, "Idempotency-Key: k", "Prefer: wait=20",
                               NULL);
    cr_assert(again->status == 200 || again->status == 202, "%ld", again->status);
    cr_assert_str_eq(job_of(again).id, job_of(first).id);
    cr_assert_eq(count_jobs(s, ""), 1);
}

SERVER_TEST(jobs, bulk_with_a_key_is_submitted_once)
{
    static const char lines[] = "{\"command\":[\"true\"],\"delay\":\"1h\"}\n{\"x\":1}\n{"
                                "\"command\":[\"true\"],\"delay\":\"1h\"}\n";
    const char *headers[] = {"Content-Type: application/x-ndjson", "Idempotency-Key: bulk-1", NULL};
    struct call call = {.method = "POST",
                        .path = "/v1/jobs",
                        .body = lines,
                        .body_len = sizeof(lines) - 1,
                        .headers = headers};
    AUTO_RESPONSE first = http_send(s, &call);
    AUTO_RESPONSE second = http_send(s, &call);
    expect_status(first, 200);
    expect_status(second, 200);
    expect_header(second, "Idempotency-Replayed", "true");
    cr_assert_eq(count_jobs(s, ""), 2);
}

/* The request as bytes, so that it can be cut. */
static char *request_bytes(const struct server *s, int key)
{
    char *text = NULL;
    AUTO_TEXT body = json_of(
        "{'command':['true'],'delay':'1h','name':'cut-%d','metadata':{'padding':'%0120d'}}", key,
        0);
    int n = asprintf(&text,
                     "POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "
                     "%s\r\nIdempotency-Key: cut-%d\r\n"
                     "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                     s->token, key, strlen(body), body);
    CHECK(n > 0, "out of memory");
    return text;
}

/* Sends `sent` bytes, reads `read_back` bytes of the answer, and cuts the connection (with a reset,
 * so that nothing lingers). */
static void exchange_cut(const struct server *s, const char *request, size_t sent, size_t read_back)
{
    char byte;
    AUTO_CONN c = conn_open(s);
    (void)conn_send(c, request, sent);
    for (size_t i = 0; i < read_back; i++) {
        if (recv(c->fd, &byte, 1, 0) != 1)
            break;
    }
    struct linger hard = {.l_onoff = 1};
    (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
}

static void retry_whole(const struct server *s, const char *request, int key)
{
    AUTO_CONN c = conn_open(s);
    cr_assert(conn_send(c, request, strlen(request)));
    cr_assert(conn_await_end(c, 20), "no answer to the retry of request %d", key);
    cr_assert_eq(c->status, 202, "retry %d: %ld %s", key, c->status, c->body);
}

SERVER_TEST(futures, a_connection_cut_at_every_byte_leaves_exactly_one_job)
{
    const size_t answer = 260; /* bytes of the answer that are cut, too: status line, header, begin
                                  of the body */
    AUTO_TEXT sample = request_bytes(s, 100);
    const size_t request = strlen(sample);
    int key = 100; /* three digits, so that all requests have the same length */
    for (size_t i = 1; i <= request; i++, key++) {
        AUTO_TEXT bytes = request_bytes(s, key);
        exchange_cut(s, bytes, i < strlen(bytes) ? i : strlen(bytes), 0);
        retry_whole(s, bytes, key);
    }
    for (size_t i = 1; i <= answer; i += 3, key++) {
        AUTO_TEXT bytes = request_bytes(s, key);
        exchange_cut(s, bytes, strlen(bytes), i);
        retry_whole(s, bytes, key);
    }
    cr_assert_gt(request + answer, 600);
    cr_assert_eq(count_jobs(s, ""), (size_t)(key - 100));
    for (int k = 100; k < key; k += 37)
        cr_assert_eq(count_jobs(s, text_of("name=cut-%d", k).s), 1);
}
