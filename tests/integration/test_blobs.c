/* SPDX-License-Identifier: MIT */
/* Blobs: what goes in comes out, nothing half is kept, nothing that is needed goes. */
#include "integration/harness_config.h"
#include "integration/harness_test.h"

#include <dirent.h>
#include <nettle/sha2.h>
#include <unistd.h>

#define BYTES "Content-Type: application/octet-stream"

/* Bytes that are not the same anywhere. */
static char *make_bytes(size_t n, uint64_t seed)
{
    char *bytes = need_alloc(n + 1);
    for (size_t i = 0; i < n; i++) {
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        bytes[i] = (char)(seed >> 56);
    }
    bytes[n] = '\0';
    return bytes;
}

static struct response *put(struct server *s, const char *path, const char *bytes, size_t n,
                            const char *header)
{
    const char *headers[] = {BYTES, header, NULL};
    struct call call = {
        .method = "POST", .path = path, .body = bytes, .body_len = n, .headers = headers};
    return http_send(s, &call);
}

static struct response *put_text(struct server *s, const char *text)
{
    return put(s, "/v1/blobs", text, strlen(text), NULL);
}

static struct text sha_of(const char *bytes, size_t n)
{
    struct text hex = {0};
    struct sha256_ctx ctx;
    uint8_t digest[32];
    sha256_init(&ctx);
    sha256_update(&ctx, n, (const uint8_t *)bytes);
    sha256_digest(&ctx, sizeof digest, digest);
    for (size_t i = 0; i < sizeof digest; i++)
        (void)snprintf(hex.s + 2 * i, 3, "%02x", digest[i]);
    return hex;
}

static size_t count_files(const struct server *s)
{
    size_t n = 0;
    DIR *dir = opendir(text_of("%s/blobs", s->dir).s);
    for (const struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;)
        n += e->d_name[0] != '.';
    if (dir != NULL)
        (void)closedir(dir);
    return n;
}

SERVER_TEST(blobs, what_goes_in_comes_out)
{
    const size_t sizes[] = {0, 1, 262143, 262144, 262145, 3000000};
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        AUTO_TEXT bytes = make_bytes(sizes[i], i);
        AUTO_RESPONSE r = put(s, "/v1/blobs", bytes, sizes[i], NULL);
        expect_status(r, 201);
        expect_int(r, "bytes", (int64_t)sizes[i]);
        expect_text(r, "sha256", sha_of(bytes, sizes[i]).s);
        struct job_ref id = job_of(r);
        expect_header(r, "Location", text_of("/v1/blobs/%s", id.id).s);
        AUTO_RESPONSE back = http_get(s, "/v1/blobs/%s", id.id);
        expect_status(back, 200);
        cr_assert_eq(back->len, sizes[i]);
        cr_assert_eq(memcmp(back->body, bytes, sizes[i]), 0);
        expect_header(back, "ETag", text_of("\"%s\"", sha_of(bytes, sizes[i]).s).s);
    }
    cr_assert_eq(count_files(s), COUNT_OF(sizes));
}

SERVER_TEST(blobs, ranges_heads_and_tags)
{
    AUTO_RESPONSE r = put_text(s, "0123456789");
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
        AUTO_RESPONSE r = put_text(s, text_of("blob %zu", i).s);
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
    cr_assert_eq(count_files(s), 2);
    AUTO_RESPONSE metrics = http_get(s, "/metrics");
    cr_assert_not_null(strstr(metrics->body, "\nganger_blobs 2\n"));
    cr_assert_not_null(strstr(metrics->body, "\nganger_blob_bytes 12\n"));
}

SERVER_TEST(blobs, a_blob_is_no_job_and_no_job_is_a_blob)
{
    AUTO_RESPONSE r = put_text(s, "x");
    AUTO_RESPONSE job = http_get(s, "/v1/jobs/%s", job_of(r).id);
    expect_problem(job, 404, "not-found");
    struct job_ref run = job_submit(s, "{'command':['true']}");
    AUTO_RESPONSE blob = http_get(s, "/v1/blobs/%s", run.id);
    expect_problem(blob, 404, "not-found");
    AUTO_RESPONSE word = http_get(s, "/v1/blobs/word");
    expect_problem(word, 404, "not-found");
}

SERVER_TEST_WITH(blobs, what_is_too_large_is_refused_before_it_is_sent,
                 .args = {"--blobs-max-size", "1MiB", "--blobs-max-total", "1200KiB"})
{
    AUTO_TEXT bytes = make_bytes((1u << 20) + 1, 1);
    AUTO_CONN c = conn_open(s);
    cr_assert(conn_request(c, s, "POST /v1/blobs", "Content-Length: 1099511627776\r\n", NULL));
    cr_assert(conn_await_end(c, 10));
    cr_assert_eq(c->status, 413);
    AUTO_RESPONSE large = put(s, "/v1/blobs", bytes, (1u << 20) + 1, NULL);
    expect_problem(large, 413, "too-large");
    AUTO_RESPONSE chunked = put(s, "/v1/blobs", bytes, (1u << 20) + 1,
                                "Transfer-Encoding: chunked");
    expect_problem(chunked, 413, "too-large");
    AUTO_RESPONSE fits = put(s, "/v1/blobs", bytes, 1u << 20, NULL);
    expect_status(fits, 201);
    AUTO_RESPONSE full = put(s, "/v1/blobs", bytes, 500000, NULL);
    expect_problem(full, 503, "disk-full");
    AUTO_RESPONSE streamed = put(s, "/v1/blobs", bytes, 500000, "Transfer-Encoding: chunked");
    expect_problem(streamed, 503, "disk-full");
    AWAIT(count_files(s) == 1, 10);
    AUTO_RESPONSE limits = http_get(s, "/v1/limits");
    cr_assert_eq(cJSON_GetObjectItem(json_find(limits, ""), "blobs.max_size")->valuedouble,
                 1048576.0);
}

SERVER_TEST(blobs, requests_that_are_none)
{
    AUTO_RESPONSE json = http(s, "POST", "/v1/blobs", "{}", NULL);
    expect_problem(json, 415, "unsupported-media-type");
    AUTO_RESPONSE keep = put(s, "/v1/blobs?keep=soon", "x", 1, NULL);
    expect_problem(keep, 422, "invalid-request");
    AUTO_RESPONSE zero = put(s, "/v1/blobs?keep=0", "x", 1, NULL);
    expect_problem(zero, 422, "invalid-request");
    AUTO_RESPONSE who = put(s, "/v1/blobs", "x", 1, "Authorization: Bearer nobody");
    expect_problem(who, 401, "unauthorized");
    cr_assert_eq(count_files(s), 0);
}

SERVER_TEST(blobs, the_same_key_is_one_blob)
{
    AUTO_RESPONSE first = put(s, "/v1/blobs", "one", 3, "Idempotency-Key: k");
    AUTO_RESPONSE again = put(s, "/v1/blobs", "one", 3, "Idempotency-Key: k");
    AUTO_RESPONSE other = put(s, "/v1/blobs", "two", 3, "Idempotency-Key: k");
    expect_status(again, 201);
    expect_header(again, "Idempotency-Replayed", "true");
    cr_assert_str_eq(job_of(first).id, job_of(again).id);
    expect_problem(other, 422, "key-reused");
    AWAIT(count_files(s) == 1, 10);
}

SERVER_TEST(blobs, its_time_ends)
{
    AUTO_RESPONSE r = put(s, "/v1/blobs?keep=50ms", "short", 5, NULL);
    expect_status(r, 201);
    AUTO_RESPONSE kept = put_text(s, "long");
    AWAIT(count_files(s) == 1, 10);
    AUTO_RESPONSE gone = http_get(s, "/v1/blobs/%s", job_of(r).id);
    expect_problem(gone, 404, "not-found");
    AUTO_RESPONSE there = http_get(s, "/v1/blobs/%s", job_of(kept).id);
    expect_status(there, 200);
}

/* Sends the head and a first part of a body that would be longer. */
static struct conn *begin_upload(struct server *s, size_t n)
{
    AUTO_TEXT bytes = make_bytes(n, 7);
    struct conn *c = conn_open(s);
    cr_assert(conn_request(c, s, "POST /v1/blobs", "Content-Length: 100000000\r\n", NULL));
    cr_assert(conn_send(c, bytes, n));
    return c;
}

SERVER_TEST(blobs, an_upload_that_breaks_off_leaves_nothing)
{
    struct conn *c = begin_upload(s, 600000);
    AWAIT(count_files(s) == 1, 10);
    conn_close(c);
    AWAIT(count_files(s) == 0, 10);
    AUTO_RESPONSE list = http_get(s, "/v1/blobs");
    cr_assert_eq(cJSON_GetArraySize(json_find(list, "items")), 0);
}

PLAIN_TEST(blobs, after_kill_9_of_the_server_an_upload_leaves_nothing_and_the_others_are_there)
{
    struct server s;
    server_start(&s, NULL);
    AUTO_RESPONSE kept = put_text(&s, "kept");
    struct job_ref id = job_of(kept);
    AUTO_CONN c = begin_upload(&s, 600000);
    AWAIT(count_files(&s) == 2, 10);
    server_kill(&s);
    server_restart(&s, NULL);
    cr_assert_eq(count_files(&s), 1);
    AUTO_RESPONSE r = http_get(&s, "/v1/blobs/%s", id.id);
    cr_assert_str_eq(r->body, "kept");
    server_stop(&s);
}

/* Killed between the file and its row: nobody was told of it, so it is gone. Nobody's number is
 * used again. */
PLAIN_TEST(blobs, a_file_without_a_row_is_swept)
{
    struct server s;
    static const struct server_options options = {.env = {"GANGER_FP=blob-durable:kill:1"},
                                                  .unchecked = true};
    server_start(&s, &options);
    const char *headers[] = {BYTES, NULL};
    struct call call = {
        .method = "POST", .path = "/v1/blobs", .body = "x", .body_len = 1, .headers = headers};
    AUTO_RESPONSE r = http_try(&s, &call);
    cr_assert_null(r);
    cr_assert_eq(server_wait_exit(&s, 20), 128 + 9);
    cr_assert_eq(count_files(&s), 1);
    static const struct server_options healthy = {.workers = 2};
    server_restart(&s, &healthy);
    cr_assert_eq(count_files(&s), 0);
    server_stop(&s);
}

SERVER_TEST_WITH(blobs, a_disk_that_becomes_full_is_said_and_leaves_nothing,
                 .env = {"GANGER_FP=blob-write:error:2"})
{
    AUTO_TEXT bytes = make_bytes(600000, 3);
    AUTO_RESPONSE full = put(s, "/v1/blobs", bytes, 600000, NULL);
    expect_problem(full, 503, "disk-full");
    AWAIT(count_files(s) == 0, 10);
    AUTO_RESPONSE fits = put(s, "/v1/blobs", bytes, 600000, NULL);
    expect_status(fits, 201);
}

SERVER_TEST_WITH(blobs, a_disk_without_room_refuses_before_the_body,
                 .env = {"GANGER_FP=blob-room:error:1"})
{
    AUTO_CONN c = conn_open(s);
    cr_assert(conn_request(c, s, "POST /v1/blobs", "Content-Length: 100000000\r\n", NULL));
    cr_assert(conn_await_end(c, 10));
    cr_assert_eq(c->status, 503);
}

/* ------------------------------------------------------------------------------------------------
 * jobs that take them */

static struct job_ref put_blob(struct server *s, const char *bytes, size_t n, const char *query)
{
    AUTO_RESPONSE r = put(s, text_of("/v1/blobs%s", query).s, bytes, n, NULL);
    expect_status(r, 201);
    return job_of(r);
}

SERVER_TEST(blobs, a_job_has_its_input_as_a_file_and_as_a_variable)
{
    AUTO_TEXT bytes = make_bytes(400000, 5);
    struct job_ref blob = put_blob(s, bytes, 400000, "");
    AUTO_RESPONSE r = job_run(s,
                              "{'command':['bash','-c','sha256sum <data.bin; sha256sum "
                              "$GANGER_INPUT_data_bin; wc -c <&10; echo $GANGER_INPUT_data_bin'],"
                              "'inputs':{'data.bin':{'blob':'%s'}}}",
                              blob.id);
    expect_outcome(r, "succeeded", NULL);
    struct text sha = sha_of(bytes, 400000);
    expect_output(
        s, job_of(r), "stdout",
        text_of("%s  -\n%s  /proc/self/fd/10\n400000\n/proc/self/fd/10\n", sha.s, sha.s).s);
}

SERVER_TEST(blobs, all_jobs_share_one_memory_that_nobody_can_change)
{
    static const char script[] =
        "stat -Lc %%i $GANGER_INPUT_a; (echo x >$GANGER_INPUT_a) 2>/dev/null && echo written; "
        "(echo x >>a) 2>/dev/null && echo appended; truncate -s 1 -c a 2>/dev/null && echo cut; "
        "cat a";
    struct job_ref blob = put_blob(s, "same", 4, "");
    AUTO_TEXT first = NULL;
    for (int i = 0; i < 3; i++) {
        AUTO_RESPONSE r = job_run(s, "{'command':['sh','-c','%s'],'inputs':{'a':{'blob':'%s'}}}",
                                  text_of(script).s, blob.id);
        expect_outcome(r, "succeeded", NULL);
        AUTO_TEXT out = job_read(s, job_of(r), "stdout");
        cr_assert_not_null(strstr(out, "\nsame"), "%s", out);
        cr_assert_null(strstr(out, "written"));
        cr_assert_null(strstr(out, "appended"));
        cr_assert_null(strstr(out, "cut"));
        if (first == NULL)
            first = strdup(out);
        cr_assert_str_eq(out, first, "another memory");
    }
    AUTO_RESPONSE back = http_get(s, "/v1/blobs/%s", blob.id);
    cr_assert_str_eq(back->body, "same");
}

/* Their positions are their own: each reads all of it by the descriptor. */
SERVER_TEST_WITH(blobs, jobs_that_begin_at_once_share_it_too, .workers = 4)
{
    AUTO_TEXT bytes = make_bytes(3000000, 9);
    struct job_ref blob = put_blob(s, bytes, 3000000, "");
    AUTO_RESPONSE r = http(s, "POST", "/v1/batches",
                           text_of("{'command':['bash','-c','stat -Lc %%i data; sha256sum <&10'],"
                                   "'items':[1,2,3,4,5,6,7,8],'inputs':{'data':{'blob':'%s'}}}",
                                   blob.id)
                               .s,
                           NULL);
    expect_status(r, 202);
    AUTO_RESPONSE end = http(s, "GET", text_of("/v1/batches/%s?until=all", job_of(r).id).s, NULL,
                             "Prefer: wait=30", NULL);
    expect_text(end, "state", "succeeded");
    AUTO_RESPONSE results = http_get(s, "/v1/batches/%s/results?order=index", job_of(r).id);
    for (int i = 0; i < 8; i++) {
        const char *value = json_text(results, text_of("%d.value", i).s);
        cr_assert_str_eq(value, json_text(results, "0.value"));
        cr_assert_not_null(strstr(value, sha_of(bytes, 3000000).s));
    }
    AUTO_RESPONSE gone = http(s, "DELETE", text_of("/v1/blobs/%s", blob.id).s, NULL, NULL);
    expect_status(gone, 204);
}

SERVER_TEST(blobs, standard_input_is_a_blob)
{
    AUTO_TEXT bytes = make_bytes(2000000, 11);
    struct job_ref blob = put_blob(s, bytes, 2000000, "");
    for (int i = 0; i < 2; i++) {
        AUTO_RESPONSE r = job_run(s, "{'command':['sha256sum'],'stdin_from':{'blob':'%s'}}",
                                  blob.id);
        expect_output(s, job_of(r), "stdout", text_of("%s  -\n", sha_of(bytes, 2000000).s).s);
    }
}

SERVER_TEST(blobs, children_that_close_descriptors_find_the_file)
{
    struct job_ref blob = put_blob(s, "here", 4, "");
    AUTO_RESPONSE r = job_run(
        s, "{'command':['bash','-c','exec 10<&-; cat data'],'inputs':{'data':{'blob':'%s'}}}",
        blob.id);
    expect_output(s, job_of(r), "stdout", "here");
    AUTO_RESPONSE other = job_run(s,
                                  "{'command':['sh','-c','ls; cat $GANGER_INPUT_data'],"
                                  "'cwd':'%s','inputs':{'data':{'blob':'%s'}}}",
                                  s->scratch, blob.id);
    expect_output(s, job_of(other), "stdout", "here");
}

SERVER_TEST(blobs, what_is_no_input_is_refused)
{
    struct job_ref blob = put_blob(s, "x", 1, "");
    struct job_ref job = job_submit(s, "{'command':['true']}");
    const struct {
        const char *inputs, *pointer;
    } wrong[] = {
        {"[]", "/inputs"},
        {"{'a':1}", "/inputs/a"},
        {"{'a':{}}", "/inputs/a"},
        {"{'a':{'blob':'x'}}", "/inputs/a"},
        {"{'a b':{'blob':'$'}}", "/inputs/a b"},
        {"{'..':{'blob':'$'}}", "/inputs/.."},
        {"{'a':{'blob':'$','job':1}}", "/inputs/a"},
        {"{'a.b':{'blob':'$'},'a_b':{'blob':'$'}}", "/inputs/a_b"},
        {"{'a':{'blob':'01990b6e-0000-7000-8000-000000000000'}}", "/inputs/a"},
    };
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        char inputs[512] = "";
        for (const char *at = wrong[i].inputs; *at != '\0'; at++) {
            const size_t len = strlen(inputs);
            (void)snprintf(inputs + len, sizeof inputs - len, "%.*s", *at == '$' ? 36 : 1,
                           *at == '$' ? blob.id : at);
        }
        AUTO_RESPONSE r = http(s, "POST", "/v1/jobs",
                               text_of("{'command':['true'],'inputs':%s}", inputs).s, NULL);
        expect_invalid(r, wrong[i].pointer);
    }
    AUTO_RESPONSE a_job = http(
        s, "POST", "/v1/jobs",
        text_of("{'command':['true'],'inputs':{'a':{'blob':'%s'}}}", job.id).s, NULL);
    expect_invalid(a_job, "/inputs/a");
    AUTO_RESPONSE file = http(
        s, "POST", "/v1/jobs",
        text_of("{'command':['true'],'files':{'a':{'blob':'%s'}}}", blob.id).s, NULL);
    expect_invalid(file, "/files/a");
    AUTO_RESPONSE both = http(
        s, "POST", "/v1/jobs",
        text_of("{'command':['true'],'stdin':'x','stdin_from':{'blob':'%s'}}", blob.id).s, NULL);
    expect_invalid(both, "/stdin_from");
}

SERVER_TEST(blobs, seven_inputs_and_a_standard_input)
{
    struct job_ref blob = put_blob(s, "x", 1, "");
    char inputs[1024] = "";
    for (int i = 0; i < 8; i++) {
        AUTO_RESPONSE r = http(
            s, "POST", "/v1/jobs",
            text_of("{'command':['sh','-c','cat i* -'],'stdin_from':{'blob':'%s'},"
                    "'inputs':{%s}}",
                    blob.id, inputs)
                .s,
            "Prefer: wait=20", NULL);
        if (i == 7)
            expect_output(s, job_of(r), "stdout", "xxxxxxxx");
        const size_t at = strlen(inputs);
        (void)snprintf(inputs + at, sizeof inputs - at, "%s'i%d':{'blob':'%s'}", i == 0 ? "" : ",",
                       i, blob.id);
    }
    AUTO_RESPONSE many = http(s, "POST", "/v1/jobs",
                              text_of("{'command':['true'],'inputs':{%s}}", inputs).s, NULL);
    expect_invalid(many, "/inputs/i7");
}

SERVER_TEST(blobs, a_blob_in_use_stays)
{
    struct job_ref blob = put_blob(s, "kept", 4, "?keep=50ms");
    struct text path = text_of("/v1/blobs/%s", blob.id);
    struct job_ref job = job_submit(
        s, "{'command':['cat','data'],'delay':'1h','inputs':{'data':{'blob':'%s'}}}", blob.id);
    struct job_ref other = put_blob(s, "other", 5, "?keep=60ms");
    AWAIT(count_files(s) == 1, 10); /* its time is over, and so was the other's */
    AUTO_RESPONSE busy = http(s, "DELETE", path.s, NULL, NULL);
    expect_problem(busy, 409, "state-conflict");
    AUTO_RESPONSE gone = http_get(s, "/v1/blobs/%s", other.id);
    expect_problem(gone, 404, "not-found");
    server_kill(s);
    server_restart(s, NULL);
    AUTO_RESPONSE now = http(s, "PATCH", text_of("/v1/jobs/%s", job.id).s, "{'delay':0}", NULL);
    expect_status(now, 200);
    AUTO_RESPONSE end = job_await(s, job);
    expect_output(s, job, "stdout", "kept");
    AWAIT(count_files(s) == 0, 10);
    /* Once more, and what it takes is gone. */
    AUTO_RESPONSE again = http(s, "POST", text_of("/v1/jobs/%s/retry", job.id).s, NULL, NULL);
    expect_status(again, 202);
    AUTO_RESPONSE failed = job_await(s, job);
    expect_outcome(failed, "failed", "dependency");
}

SERVER_TEST(blobs, a_retried_job_needs_its_blob_again)
{
    struct job_ref blob = put_blob(s, "x", 1, "");
    struct text path = text_of("/v1/blobs/%s", blob.id);
    struct text gate = fifo_make(s, "gate");
    AUTO_RESPONSE first = job_run(
        s, "{'command':['sh','-c','test -e ran && cat %s; exit 1'],'inputs':{'a':{'blob':'%s'}}}",
        gate.s, blob.id);
    expect_outcome(first, "failed", "exit_code");
    AUTO_RESPONSE r = http(s, "POST", "/v1/batches",
                           text_of("{'command':['cat','%s'],'items':[1],"
                                   "'inputs':{'a':{'blob':'%s'}}}",
                                   gate.s, blob.id)
                               .s,
                           NULL);
    expect_status(r, 202);
    AUTO_RESPONSE busy = http(s, "DELETE", path.s, NULL, NULL);
    expect_problem(busy, 409, "state-conflict");
    fifo_release(gate.s);
    AUTO_RESPONSE end = http(s, "GET", text_of("/v1/batches/%s?until=all", job_of(r).id).s, NULL,
                             "Prefer: wait=30", NULL);
    expect_text(end, "phase", "closed");
    AUTO_RESPONSE gone = http(s, "DELETE", path.s, NULL, NULL);
    expect_status(gone, 204);
}

/* The worker that fills the memory dies before it is sealed: the job is lost, the next one fills
 * it. */
SERVER_TEST_WITH(blobs, a_worker_that_dies_while_it_fills_the_memory_costs_its_job_only,
                 .env = {"GANGER_FP=blob-filled:kill:1"}, .workers = 1)
{
    struct job_ref blob = put_blob(s, "whole", 5, "");
    AUTO_RESPONSE first = job_run(s, "{'command':['cat','a'],'inputs':{'a':{'blob':'%s'}}}",
                                  blob.id);
    expect_outcome(first, "failed", "lost");
    static const struct server_options healthy = {.workers = 1};
    server_kill(s);
    server_restart(s, &healthy);
    AUTO_RESPONSE next = job_run(s, "{'command':['cat','a'],'inputs':{'a':{'blob':'%s'}}}",
                                 blob.id);
    expect_output(s, job_of(next), "stdout", "whole");
}

SERVER_TEST_WITH(blobs, no_memory_for_it_is_no_fault_of_the_job,
                 .env = {"GANGER_FP=blob-memfd:error:1"})
{
    struct job_ref blob = put_blob(s, "x", 1, "");
    AUTO_RESPONSE r = job_run(s, "{'command':['cat','a'],'inputs':{'a':{'blob':'%s'}}}", blob.id);
    expect_outcome(r, "succeeded", NULL);
    expect_int(r, "attempt", 1);
}

SERVER_TEST_WITH(blobs, memory_goes_when_nobody_uses_it, .args = {"--blobs-memory", "0"})
{
    struct job_ref blob = put_blob(s, "x", 1, "");
    AUTO_RESPONSE r = job_run(s, "{'command':['cat','a'],'inputs':{'a':{'blob':'%s'}}}", blob.id);
    expect_outcome(r, "succeeded", NULL);
    AUTO_RESPONSE later = job_run(s, "{'command':['true']}"); /* numbers are of the last commit */
    AUTO_RESPONSE metrics = http_get(s, "/metrics");
    cr_assert_not_null(strstr(metrics->body, "\nganger_blob_memory_bytes 0\n"));
}

SERVER_TEST(blobs, a_damaged_file_is_found_where_it_is_read)
{
    struct job_ref blob = put_blob(s, "whole", 5, "");
    DIR *dir = opendir(text_of("%s/blobs", s->dir).s);
    for (const struct dirent *e; (e = readdir(dir)) != NULL;)
        if (e->d_name[0] != '.')
            cr_assert_eq(truncate(text_of("%s/blobs/%s", s->dir, e->d_name).s, 2), 0);
    (void)closedir(dir);
    AUTO_RESPONSE r = job_run(s, "{'command':['cat','a'],'inputs':{'a':{'blob':'%s'}}}", blob.id);
    expect_outcome(r, "failed", "dependency");
    AUTO_RESPONSE get = http_get(s, "/v1/blobs/%s", blob.id);
    expect_problem(get, 503, "storage-unavailable");
}

/* ------------------------------------------------------------------------------------------------
 * native functions */

#define MODULE "kind = native\nmodule = " GANGER_HELPER_DIR "/native_blob.so\n"
static const char registry[] = "[function copy]\n" MODULE "[function sum]\n" MODULE
                               "[function spoil]\n" MODULE;

CONFIGURED_TEST(blobs, a_native_function_reads_it_where_it_lies, registry)
{
    char bytes[100000];
    memset(bytes, 2, sizeof bytes);
    struct job_ref blob = put_blob(s, bytes, sizeof bytes, "");
    for (int i = 0; i < 3; i++) {
        AUTO_RESPONSE r = job_run(s, "{'function':'sum','inputs':{'data':{'blob':'%s'}}}", blob.id);
        expect_output(s, job_of(r), "result", "200000");
    }
    AUTO_RESPONSE none = job_run(s, "{'function':'copy'}");
    expect_outcome(none, "failed", "function_error");
    struct job_ref empty = put_blob(s, "", 0, "");
    AUTO_RESPONSE r = job_run(s, "{'function':'copy','inputs':{'data':{'blob':'%s'}}}", empty.id);
    expect_outcome(r, "succeeded", NULL);
    expect_output(s, job_of(r), "result", "");
}

CONFIGURED_TEST(blobs, a_function_that_writes_to_it_ends_by_a_signal, registry)
{
    struct job_ref blob = put_blob(s, "same", 4, "");
    AUTO_RESPONSE r = job_run(s, "{'function':'spoil','inputs':{'data':{'blob':'%s'}}}", blob.id);
    expect_outcome(r, "failed", "signal");
    expect_text(r, "signal", "SIGSEGV");
    AUTO_RESPONSE next = job_run(s, "{'function':'copy','inputs':{'data':{'blob':'%s'}}}", blob.id);
    expect_output(s, job_of(next), "result", "same");
}

/* A sixteenth of a gigabyte each way, by a function and by a command, and the server's memory grows
 * by a thirty-second of that at most; `./dev crash` does it with all of it. */
CONFIGURED_TEST(blobs, large_arguments_and_results_pass_by_the_server, registry)
{
    const size_t n = slow_factor() == 1 ? 64u << 20 : 4u << 20;
    AUTO_TEXT bytes = make_bytes(n, 13);
    struct text sha = sha_of(bytes, n);
    (void)put_blob(s, "warm", 4, "");
    const long before_kib = proc_rss_kib(s->pid);
    struct job_ref blob = put_blob(s, bytes, n, "");
    static const char *const tasks[] = {"'function':'copy','inputs':{'data':{'blob':'%s'}}",
                                        "'command':['cat'],'stdin_from':{'blob':'%s'}"};
    for (size_t i = 0; i < COUNT_OF(tasks); i++) {
        char *task = json_of("%s", tasks[i]);
        char *place = strstr(task, "%s");
        *place = '\0';
        AUTO_RESPONSE r = job_run(s, "{%s%s%s,'limits':{'output':'100MiB'}}", task, blob.id,
                                  place + 2);
        free(task);
        expect_outcome(r, "succeeded", NULL);
        AUTO_RESPONSE result = http_get(s, "/v1/jobs/%s/result", job_of(r).id);
        cr_assert_eq(result->len, n);
        cr_assert_str_eq(sha_of(result->body, n).s, sha.s);
    }
    const long grown_kib = proc_rss_kib(s->pid) - before_kib;
    if (slow_factor() == 1) /* sanitizers have memory of their own */
        cr_assert_lt(grown_kib, 2048, "grown by %ld KiB", grown_kib);
}
