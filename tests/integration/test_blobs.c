/* SPDX-License-Identifier: MIT */
/* Blobs: what goes in comes out, nothing half is kept, nothing that is needed goes. */
#include "integration/harness_blob.h"
#include "integration/harness_test.h"

#include <time.h>

SERVER_TEST(blobs, what_goes_in_comes_out)
{
    const size_t sizes[] = {0, 1, 262143, 262144, 262145, 3000000};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        AUTO_TEXT bytes = blob_bytes(sizes[i], i);
        AUTO_RESPONSE r = blob_post(s, "/v1/blobs", bytes, sizes[i], NULL);
        expect_status(r, 201);
        expect_int(r, "bytes", (int64_t)sizes[i]);
        expect_text(r, "sha256", sha256_of(bytes, sizes[i]).s);
        struct job_ref id = job_of(r);
        expect_header(r, "Location", text_of("/v1/blobs/%s", id.id).s);
        AUTO_RESPONSE back = http_get(s, "/v1/blobs/%s", id.id);
        expect_status(back, 200);
        cr_assert_eq(back->len, sizes[i]);
        cr_assert_eq(memcmp(back->body, bytes, sizes[i]), 0);
        expect_header(back, "ETag", text_of("\"%s\"", sha256_of(bytes, sizes[i]).s).s);
    }
    cr_assert_eq(blob_files(s), COUNT_OF(sizes));
}

SERVER_TEST(blobs, ranges_heads_and_tags)
{
    AUTO_RESPONSE r = blob_put_text(s, "0123456789");
    struct text path = text_of("/v1/blobs/%s", job_of(r).id);
    AUTO_RESPONSE part = http(s, "GET", path.s, NULL, "Range: bytes=3-5", NULL);
    expect_status(part, 206);
    cr_assert_str_eq(part->body, "345");
    expect_header(part, "Content-Range", "bytes 3-5/10");
    AUTO_RESPONSE outside = http(s, "GET", path.s, NULL, "Range: bytes=10-", NULL);
    expect_problem(outside, 416, "range-not-satisfiable");
    expect_header(outside, "Content-Range", "bytes */10");
    AUTO_RESPONSE head = http(s, "HEAD", path.s, NULL, NULL);
    expect_status(head, 200);
    expect_header(head, "Content-Length", "10");
    AUTO_RESPONSE same = http(s, "GET", path.s, NULL,
                              text_of("If-None-Match: %s", header_of(head, "ETag")).s, NULL);
    expect_status(same, 304);
    AUTO_RESPONSE other = http(s, "GET", path.s, NULL, "Range: bytes=3-5", "If-Range: \"x\"", NULL);
    expect_status(other, 200);
}

SERVER_TEST(blobs, lists_go_by_cursor_and_deleted_ones_are_gone)
{
    struct job_ref ids[3];
    for (size_t i = 0; i < COUNT_OF(ids); i++) {
        AUTO_RESPONSE r = blob_put_text(s, text_of("blob %zu", i).s);
        ids[i] = job_of(r);
    }
    AUTO_RESPONSE first = http_get(s, "/v1/blobs?limit=2");
    expect_text(first, "items.0.id", ids[2].id);
    expect_text(first, "items.1.id", ids[1].id);
    AUTO_RESPONSE next = http_get(s, "/v1/blobs?cursor=%s", json_text(first, "next_cursor"));
    expect_text(next, "items.0.id", ids[0].id);
    cr_assert(json_is_null(next, "next_cursor"));
    struct text path = text_of("/v1/blobs/%s", ids[1].id);
    AUTO_RESPONSE gone = http(s, "DELETE", path.s, NULL, NULL);
    expect_status(gone, 204);
    AUTO_RESPONSE again = http(s, "DELETE", path.s, NULL, NULL);
    expect_problem(again, 404, "not-found");
    AUTO_RESPONSE missing = http_get(s, "%s", path.s);
    expect_problem(missing, 404, "not-found");
    AWAIT(blob_files(s) == 2, 10); /* a thread of its own unlinks */
    cr_assert_eq(metric_of(s, "ganger_blobs"), 2);
    cr_assert_eq(metric_of(s, "ganger_blob_bytes"), 12);
}

SERVER_TEST(blobs, a_blob_is_no_job_and_no_job_is_a_blob)
{
    AUTO_RESPONSE r = blob_put_text(s, "x");
    AUTO_RESPONSE job = http_get(s, "/v1/jobs/%s", job_of(r).id);
    expect_problem(job, 404, "not-found");
    struct job_ref run = job_submit(s, "{'command':['true']}");
    AUTO_RESPONSE blob = http_get(s, "/v1/blobs/%s", run.id);
    expect_problem(blob, 404, "not-found");
    AUTO_RESPONSE word = http_get(s, "/v1/blobs/word");
    expect_problem(word, 404, "not-found");
}

/* RFC 9110, section 6.6.1: whoever has a clock says when. */
static void expect_date_of_now(const struct response *r)
{
    struct tm utc = {0};
    const char *date = header_of(r, "Date");
    CHECK(date != NULL, "%ld without Date", r->status);
    const char *end = strptime(date, "%a, %d %b %Y %H:%M:%S GMT", &utc);
    CHECK(end != NULL && *end == '\0' && llabs((long long)(time(NULL) - timegm(&utc))) < 60, "%s",
          date);
}

SERVER_TEST_WITH(blobs, what_is_too_large_is_refused_before_it_is_sent,
                 .args = {"--blobs-max-size", "1MiB", "--blobs-max-total", "1200KiB"})
{
    AUTO_TEXT bytes = blob_bytes((1u << 20) + 1, 1);
    AUTO_CONN c = conn_open(s);
    cr_assert(conn_request(c, s, "POST /v1/blobs", "Content-Length: 1099511627776\r\n", NULL));
    cr_assert(conn_await_end(c, 10));
    cr_assert_eq(c->status, 413);
    AUTO_RESPONSE large = blob_post(s, "/v1/blobs", bytes, (1u << 20) + 1, NULL);
    expect_problem(large, 413, "too-large");
    AUTO_RESPONSE chunked = blob_post(s, "/v1/blobs", bytes, (1u << 20) + 1,
                                      "Transfer-Encoding: chunked");
    expect_problem(chunked, 413, "too-large");
    expect_date_of_now(chunked);
    AUTO_RESPONSE fits = blob_post(s, "/v1/blobs", bytes, 1u << 20, NULL);
    expect_status(fits, 201);
    AUTO_RESPONSE full = blob_post(s, "/v1/blobs", bytes, 500000, NULL);
    expect_problem(full, 503, "overloaded");
    AUTO_RESPONSE streamed = blob_post(s, "/v1/blobs", bytes, 500000, "Transfer-Encoding: chunked");
    expect_problem(streamed, 503, "overloaded");
    AWAIT(blob_files(s) == 1, 10);
    AUTO_RESPONSE limits = http_get(s, "/v1/limits");
    cr_assert_eq(cJSON_GetObjectItem(json_find(limits, ""), "blobs.max_size")->valuedouble,
                 1048576.0);
}

SERVER_TEST(blobs, requests_that_are_none)
{
    AUTO_RESPONSE json = http(s, "POST", "/v1/blobs", "{}", NULL);
    expect_problem(json, 415, "unsupported-media-type");
    AUTO_RESPONSE keep = blob_post(s, "/v1/blobs?keep=soon", "x", 1, NULL);
    expect_problem(keep, 422, "invalid-request");
    AUTO_RESPONSE zero = blob_post(s, "/v1/blobs?keep=0", "x", 1, NULL);
    expect_problem(zero, 422, "invalid-request");
    AUTO_RESPONSE who = blob_post(s, "/v1/blobs", "x", 1, "Authorization: Bearer nobody");
    expect_problem(who, 401, "unauthorized");
    cr_assert_eq(blob_files(s), 0);
}

SERVER_TEST(blobs, the_same_key_is_one_blob)
{
    AUTO_RESPONSE first = blob_post(s, "/v1/blobs", "one", 3, "Idempotency-Key: k");
    AUTO_RESPONSE again = blob_post(s, "/v1/blobs", "one", 3, "Idempotency-Key: k");
    AUTO_RESPONSE other = blob_post(s, "/v1/blobs", "two", 3, "Idempotency-Key: k");
    expect_status(again, 201);
    expect_header(again, "Idempotency-Replayed", "true");
    cr_assert_str_eq(job_of(first).id, job_of(again).id);
    expect_problem(other, 422, "key-reused");
    AWAIT(blob_files(s) == 1, 10);
}

SERVER_TEST(blobs, its_time_ends)
{
    AUTO_RESPONSE r = blob_post(s, "/v1/blobs?keep=50ms", "short", 5, NULL);
    expect_status(r, 201);
    AUTO_RESPONSE kept = blob_put_text(s, "long");
    AWAIT(blob_files(s) == 1, 10);
    AUTO_RESPONSE gone = http_get(s, "/v1/blobs/%s", job_of(r).id);
    expect_problem(gone, 404, "not-found");
    AUTO_RESPONSE there = http_get(s, "/v1/blobs/%s", job_of(kept).id);
    expect_status(there, 200);
}

/* An upload of that length, of which half has been sent. */
static struct conn *upload_half(struct server *s, const char *bytes, size_t n)
{
    struct conn *c = conn_open(s);
    cr_assert(conn_request(c, s, "POST /v1/blobs", text_of("Content-Length: %zu\r\n", n).s, NULL));
    cr_assert(conn_send(c, bytes, n / 2));
    return c;
}

/* Neither was too much when it began. Who comes second is refused by the engine, and nobody else in
 * its turn is. */
SERVER_TEST_WITH(blobs, two_that_are_too_much_together_cost_nobody_else_a_write,
                 .args = {"--blobs-max-total", "300000"})
{
    AUTO_TEXT bytes = blob_bytes(200000, 5);
    AUTO_CONN one = upload_half(s, bytes, 200000);
    AUTO_CONN two = upload_half(s, bytes, 200000);
    cr_assert(conn_send(one, bytes + 100000, 100000));
    cr_assert(conn_await_end(one, 10));
    cr_assert_eq(one->status, 201);
    cr_assert(conn_send(two, bytes + 100000, 100000));
    cr_assert(conn_await_end(two, 10));
    cr_assert_eq(two->status, 503);
    cr_assert_not_null(strstr(two->body, "/problems/overloaded"));
    AUTO_RESPONSE job = http(s, "POST", "/v1/jobs", "{'command':['true']}", NULL);
    expect_status(job, 202);
    cr_assert_eq(metric_of(s, "ganger_commit_failures_total"), 0);
    AWAIT(blob_files(s) == 1, 10);
}

/* It never says how long it is: the limit is met before the sixth piece, which could not be
 * written.
 */
SERVER_TEST_WITH(blobs, one_of_unknown_length_is_refused_at_the_limit,
                 .args = {"--blobs-max-total", "1MiB"}, .env = {"GANGER_FP=blob-write:error:6"})
{
    AUTO_TEXT bytes = blob_bytes(2u << 20, 6);
    AUTO_RESPONSE r = blob_post(s, "/v1/blobs", bytes, 2u << 20, "Transfer-Encoding: chunked");
    expect_problem(r, 503, "overloaded");
    AWAIT(blob_files(s) == 0, 10);
}

/* Sends the head and a first part of a body that would be longer. */
static struct conn *begin_upload(struct server *s, size_t n)
{
    AUTO_TEXT bytes = blob_bytes(n, 7);
    struct conn *c = conn_open(s);
    cr_assert(conn_request(c, s, "POST /v1/blobs", "Content-Length: 100000000\r\n", NULL));
    cr_assert(conn_send(c, bytes, n));
    return c;
}

SERVER_TEST(blobs, an_upload_that_breaks_off_leaves_nothing)
{
    struct conn *c = begin_upload(s, 600000);
    AWAIT(blob_files(s) == 1, 10);
    conn_close(c);
    AWAIT(blob_files(s) == 0, 10);
    AUTO_RESPONSE list = http_get(s, "/v1/blobs");
    cr_assert_eq(cJSON_GetArraySize(json_find(list, "items")), 0);
}

PLAIN_TEST(blobs, after_kill_9_of_the_server_an_upload_leaves_nothing_and_the_others_are_there)
{
    struct server s;
    server_start(&s, NULL);
    AUTO_RESPONSE kept = blob_put_text(&s, "kept");
    struct job_ref id = job_of(kept);
    AUTO_CONN c = begin_upload(&s, 600000);
    AWAIT(blob_files(&s) == 2, 10);
    server_kill(&s);
    server_restart(&s, NULL);
    cr_assert_eq(blob_files(&s), 1);
    AUTO_RESPONSE r = http_get(&s, "/v1/blobs/%s", id.id);
    cr_assert_str_eq(r->body, "kept");
    server_stop(&s);
}

/* Killed between the file and its row: nobody was told of it, so it is gone. Nobody's number is
 * used again. */
PLAIN_TEST(blobs, a_file_without_a_row_is_swept)
{
    SKIP_WITHOUT_FAULTS();
    struct server s;
    static const struct server_options options = {.env = {"GANGER_FP=blob-durable:kill:1"},
                                                  .unchecked = true};
    server_start(&s, &options);
    const char *headers[] = {BLOB_TYPE, NULL};
    struct call call = {
        .method = "POST", .path = "/v1/blobs", .body = "x", .body_len = 1, .headers = headers};
    AUTO_RESPONSE r = http_try(&s, &call);
    cr_assert_null(r);
    cr_assert_eq(server_wait_exit(&s, 20), 128 + 9);
    cr_assert_eq(blob_files(&s), 1);
    static const struct server_options healthy = {.workers = 2};
    server_restart(&s, &healthy);
    cr_assert_eq(blob_files(&s), 0);
    server_stop(&s);
}

/* A large file takes a while to go: nobody waits for it, and the next start goes on. */
SERVER_TEST_WITH(blobs, a_file_that_takes_long_to_go_holds_up_nobody, .workers = 1,
                 .env = {"GANGER_BUG=stuck-unlink"})
{
    struct job_ref blob = blob_put(s, "x", 1, "");
    AUTO_RESPONSE gone = http(s, "DELETE", text_of("/v1/blobs/%s", blob.id).s, NULL, NULL);
    expect_status(gone, 204);
    AUTO_RESPONSE end = job_run(s, "{'command':['true']}");
    expect_outcome(end, "succeeded", NULL);
    cr_assert_eq(blob_files(s), 1);
    static const struct server_options healthy = {.workers = 1};
    server_kill(s);
    server_restart(s, &healthy);
    cr_assert_eq(blob_files(s), 0);
}

static void expect_disk_full(struct server *s)
{
    AUTO_TEXT bytes = blob_bytes(600000, 3);
    AUTO_RESPONSE full = blob_post(s, "/v1/blobs", bytes, 600000, NULL);
    expect_problem(full, 503, "disk-full");
    AWAIT(blob_files(s) == 0, 10);
}

SERVER_TEST_WITH(blobs, a_disk_that_becomes_full_is_said_and_leaves_nothing,
                 .env = {"GANGER_FP=blob-write:error:2"})
{
    expect_disk_full(s);
    AUTO_TEXT bytes = blob_bytes(600000, 3);
    AUTO_RESPONSE fits = blob_post(s, "/v1/blobs", bytes, 600000, NULL);
    expect_status(fits, 201);
}

SERVER_TEST_WITH(blobs, a_disk_whose_room_goes_meanwhile_ends_the_upload,
                 .env = {"GANGER_FP=blob-room:error:3"})
{
    expect_disk_full(s);
}

/* Most of it has not been sent, and never will be: the answer comes all the same. */
SERVER_TEST_WITH(blobs, a_disk_that_becomes_full_is_said_in_the_middle,
                 .env = {"GANGER_FP=blob-write:error:2"})
{
    AUTO_TEXT bytes = blob_bytes(600000, 3);
    AUTO_CONN c = conn_open(s);
    cr_assert(conn_request(c, s, "POST /v1/blobs",
                           "Content-Type: application/octet-stream\r\n"
                           "Content-Length: 1000000000\r\n",
                           NULL));
    cr_assert(conn_send(c, bytes, 600000));
    cr_assert(conn_await_end(c, 10));
    cr_assert_eq(c->status, 503);
    cr_assert_not_null(strstr(c->body, "/problems/disk-full"), "%s", c->body);
    cr_assert_str_eq(conn_header(c, "Connection").s, "close");
    cr_assert_str_eq(conn_header(c, "Retry-After").s, "1");
    AWAIT(blob_files(s) == 0, 10);
}

SERVER_TEST_WITH(blobs, a_disk_without_room_refuses_before_the_body,
                 .env = {"GANGER_FP=blob-room:error:1"})
{
    AUTO_CONN c = conn_open(s);
    cr_assert(conn_request(c, s, "POST /v1/blobs", "Content-Length: 100000000\r\n", NULL));
    cr_assert(conn_await_end(c, 10));
    cr_assert_eq(c->status, 503);
}
