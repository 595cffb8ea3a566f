/* SPDX-License-Identifier: MIT */
/* Items by NDJSON, open batches, and uploads that break off. */
#include "integration/harness_batch.h"
#include "integration/harness_queue.h"

#include <sys/socket.h>
#include <unistd.h>

#define NDJSON "Content-Type: application/x-ndjson"
#define LATER "{'command':['true'],'delay':'1h'}\n"

static struct response *upload(struct server *s, const char *body)
{
    return http(s, "POST", "/v1/batches", body, NDJSON, NULL);
}

SERVER_TEST(batches, ndjson_is_the_batch_and_then_an_item_a_line)
{
    AUTO_RESPONSE r = upload(s, "{'command':['echo','{}']}\n'a b'\n\n  3 \r\n{'k':null}");
    expect_status(r, 202);
    expect_int(r, "total", 3);
    expect_text(r, "phase", "closed");
    struct job_ref batch = job_of(r);
    cr_assert_not_null(strstr(header_of(r, "Location"), batch.id));
    AUTO_RESPONSE end = batch_await(s, batch);
    expect_text(end, "state", "succeeded");
    expect_output(s, element_of(s, batch, 0), "stdout", "a b\n");
    expect_output(s, element_of(s, batch, 1), "stdout", "3\n");
    expect_output(s, element_of(s, batch, 2), "stdout", "{\"k\":null}\n");
}

SERVER_TEST(batches, a_line_that_is_wrong_refuses_the_whole_upload)
{
    static const struct {
        const char *body, *slug, *word;
        long status;
    } wrong[] = {
        {"\n \n", "invalid-request", "first line", 422},
        {"{'command':['true'],'items':[1]}\n1\n", "invalid-request", "other lines", 422},
        {LATER "1\n{\n", "invalid-json", "Line 3", 400},
        {"{'command':['true'],'star':true}\n[1]\n2\n", "invalid-request", "Line 3", 422},
    };
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        AUTO_RESPONSE r = upload(s, wrong[i].body);
        expect_problem(r, wrong[i].status, wrong[i].slug);
        cr_assert_not_null(strstr(r->body, wrong[i].word), "%s", r->body);
    }
    AUTO_RESPONSE jobs = http_get(s, "/v1/jobs");
    cr_assert_eq(cJSON_GetArraySize(json_find(jobs, "items")), 0, "nothing of it was stored");
}

/* As many items as fill several chunks, in one body. */
static struct text_builder many(int n, const char *tail)
{
    struct text_builder b = {0};
    text_add(&b, "{\"command\":[\"true\",\"{}\"],\"delay\":\"1h\"}\n");
    for (int i = 0; i < n; i++)
        text_add(&b, "%d\n", i);
    text_add(&b, "%s", tail);
    return b;
}

static struct response *send_many(struct server *s, const struct text_builder *b, const char *key)
{
    const char *headers[] = {NDJSON, key, NULL};
    struct call call = {.method = "POST",
                        .path = "/v1/batches",
                        .body = b->text,
                        .body_len = b->len,
                        .headers = headers};
    return http_send(s, &call);
}

SERVER_TEST(batches, a_long_upload_is_one_batch_in_the_order_of_its_lines)
{
    struct text_builder b = many(20000, "");
    AUTO_RESPONSE r = send_many(s, &b, NULL);
    text_free(&b);
    expect_status(r, 202);
    expect_int(r, "total", 20000);
    expect_int(r, "counts.scheduled", 20000);
    for (int64_t i = 0; i < 20000; i += 3333)
        (void)element_of(s, job_of(r), i); /* wants that index */
}

SERVER_TEST(batches, an_upload_with_a_key_is_done_once_however_long_it_is)
{
    struct text_builder b = many(10000, ""), other = many(10000, "1\n");
    AUTO_RESPONSE first = send_many(s, &b, "Idempotency-Key: k");
    AUTO_RESPONSE again = send_many(s, &b, "Idempotency-Key: k");
    AUTO_RESPONSE wrong = send_many(s, &other, "Idempotency-Key: k");
    text_free(&b);
    text_free(&other);
    expect_status(first, 202);
    expect_status(again, 202);
    expect_header(again, "Idempotency-Replayed", "true");
    cr_assert_str_eq(job_of(first).id, job_of(again).id);
    expect_problem(wrong, 422, "key-reused");
    AUTO_RESPONSE stats = http_get(s, "/v1/stats");
    expect_int(stats, "jobs.scheduled", 10000);
}

SERVER_TEST(batches, a_wrong_line_behind_stored_chunks_cancels_the_batch)
{
    struct text_builder b = many(10000, "{\n");
    AUTO_RESPONSE r = send_many(s, &b, NULL);
    text_free(&b);
    expect_problem(r, 400, "invalid-json");
    cr_assert_not_null(strstr(r->body, "Line 10002"), "%s", r->body);
    AUTO_RESPONSE list = http_get(s, "/v1/jobs?limit=1");
    AUTO_RESPONSE batch = http(s, "GET",
                               text_of("/v1/batches/%s", json_text(list, "items.0.batch")).s, NULL,
                               "Prefer: wait=20", NULL);
    expect_text(batch, "phase", "halted");
    expect_text(batch, "state", "cancelled");
    cr_assert_eq(json_int(batch, "counts.cancelled"), json_int(batch, "total"));
}

/* A connection that has sent the head of an upload and the beginning of its body. */
static struct conn *begin_upload(struct server *s, int n_items)
{
    struct conn *c = conn_open(s);
    struct text_builder b = many(n_items, "");
    struct text head = text_of("POST /v1/batches HTTP/1.1\r\nHost: localhost\r\n"
                               "Authorization: Bearer %s\r\n" NDJSON
                               "\r\nTransfer-Encoding: chunked\r\n\r\n%zx\r\n",
                               s->token, b.len);
    CHECK(conn_send(c, head.s, strlen(head.s)) && conn_send(c, b.text, b.len) &&
              conn_send(c, "\r\n", 2),
          "the server does not take the body");
    text_free(&b);
    return c;
}

static struct job_ref only_batch(struct server *s)
{
    struct job_ref batch = {0};
    AUTO_RESPONSE list = http_get(s, "/v1/jobs?limit=1");
    if (json_find(list, "items.0") != NULL)
        (void)snprintf(batch.id, sizeof batch.id, "%s", json_text(list, "items.0.batch"));
    return batch;
}

SERVER_TEST(batches, an_upload_whose_client_leaves_cancels_its_batch)
{
    struct conn *c = begin_upload(s, 9000);
    AWAIT(only_batch(s).id[0] != '\0', 20);
    struct job_ref batch = only_batch(s);
    AUTO_RESPONSE before = batch_show(s, batch);
    expect_text(before, "phase", "uploading");
    conn_close(c);
    AUTO_RESPONSE end = batch_await(s, batch);
    expect_text(end, "state", "cancelled");
    expect_text(end, "phase", "halted");
    cr_assert_eq(json_int(end, "counts.cancelled"), json_int(end, "total"));
}

SERVER_TEST_WITH(batches, an_upload_that_broke_off_while_the_store_refused_is_cancelled_later,
                 .env = {"GANGER_FP=batch-break:error:1"})
{
    struct conn *c = begin_upload(s, 9000);
    AWAIT(only_batch(s).id[0] != '\0', 20);
    struct job_ref batch = only_batch(s);
    conn_close(c);
    AUTO_RESPONSE end = batch_await(s, batch);
    expect_text(end, "state", "cancelled");
    cr_assert(server_log_has(s, "transaction not stored"), "the fault was not met");
}

SERVER_TEST(batches, an_upload_broken_off_by_kill_9_is_cancelled_at_the_next_start)
{
    struct conn *c = begin_upload(s, 9000);
    AWAIT(only_batch(s).id[0] != '\0', 20);
    struct job_ref batch = only_batch(s);
    server_kill(s);
    conn_close(c);
    server_restart(s, NULL);
    AUTO_RESPONSE end = batch_await(s, batch);
    expect_text(end, "state", "cancelled");
    cr_assert_eq(json_int(end, "counts.cancelled"), json_int(end, "total"));
}

SERVER_TEST(batches, an_open_batch_takes_items_until_it_is_closed)
{
    struct job_ref batch = batch_submit(s, "{'command':['echo','{}'],'items':['a'],'open':true}");
    AUTO_RESPONSE json = batch_post(s, batch, "jobs", "{'items':['b','c']}");
    expect_status(json, 202);
    expect_int(json, "total", 3);
    AUTO_RESPONSE lines = http(s, "POST", text_of("/v1/batches/%s/jobs", batch.id).s, "'d'\n'e'\n",
                               NDJSON, NULL);
    expect_status(lines, 202);
    expect_int(lines, "total", 5);
    AWAIT(batch_count(s, batch, "succeeded") == 5, 20);
    AUTO_RESPONSE open = batch_show(s, batch);
    expect_text(open, "phase", "open");
    expect_text(open, "state", "running");
    cr_assert_not(json_bool(open, "done"), "an open batch is not over");
    server_kill(s);
    server_restart(s, NULL);
    AUTO_RESPONSE more = batch_post(s, batch, "jobs", "{'items':['f']}");
    expect_int(more, "total", 6);
    AUTO_RESPONSE unknown = batch_post(s, batch, "close", "{'x':1}");
    expect_invalid(unknown, "/x");
    AUTO_RESPONSE closed = batch_post(s, batch, "close", "{}");
    expect_status(closed, 200);
    expect_text(closed, "phase", "closed");
    AUTO_RESPONSE twice = batch_post(s, batch, "close", NULL);
    expect_status(twice, 200);
    AUTO_RESPONSE late = batch_post(s, batch, "jobs", "{'items':['g']}");
    expect_problem(late, 409, "state-conflict");
    AUTO_RESPONSE end = batch_await(s, batch);
    expect_text(end, "state", "succeeded");
    expect_output(s, element_of(s, batch, 4), "stdout", "e\n");
    expect_output(s, element_of(s, batch, 5), "stdout", "f\n");
}

static struct response *add_keyed(struct server *s, struct job_ref batch, const char *body,
                                  size_t len, const char *type)
{
    const char *headers[] = {type, "Idempotency-Key: more", NULL};
    struct text path = text_of("/v1/batches/%s/jobs", batch.id);
    struct call call = {
        .method = "POST", .path = path.s, .body = body, .body_len = len, .headers = headers};
    return http_send(s, &call);
}

/* Adds them, again, after the batch is closed, and others by the same key. */
static void expect_added_once(struct server *s, const char *first, const char *longer,
                              const char *type)
{
    struct job_ref batch = batch_submit(s, "{'command':['true'],'delay':'1h','open':true}");
    AUTO_RESPONSE added = add_keyed(s, batch, first, strlen(first), type);
    expect_status(added, 202);
    expect_int(added, "total", 2);
    cr_assert_null(header_of(added, "Idempotency-Replayed"));
    AUTO_RESPONSE other = add_keyed(s, batch, longer, strlen(longer), type);
    expect_problem(other, 422, "key-reused");
    response_free(batch_post(s, batch, "close", NULL));
    AUTO_RESPONSE again = add_keyed(s, batch, first, strlen(first), type);
    expect_status(again, 202);
    expect_header(again, "Idempotency-Replayed", "true");
    expect_int(again, "total", 2);
}

SERVER_TEST(batches, items_that_are_added_with_a_key_are_added_once)
{
    static const char json[] = "Content-Type: application/json";
    expect_added_once(s, "{\"items\":[\"b\",\"c\"]}", "{\"items\":[\"b\",\"c\",\"d\"]}", json);
    expect_added_once(s, "{\"items\":[1,2]}", "{\"items\":[1]}", json);
    expect_added_once(s, "{\"items\":[1,2]}", "{\"items\":[1,3]}", json);
    expect_added_once(s, "\"b\"\n\"c\"\n", "\"b\"\n\"c\"\n\"d\"\n", NDJSON);
    expect_added_once(s, "\"b\"\n\"c\"\n", "\"b\"\n", NDJSON);
}

/* The first n numbers, as lines or as the array of a JSON body. */
static struct text_builder numbers(int n, bool as_json)
{
    struct text_builder b = {0};
    text_add(&b, "%s", as_json ? "{\"items\":[0" : "0\n");
    for (int i = 1; i < n; i++)
        text_add(&b, as_json ? ",%d" : "%d\n", i);
    text_add(&b, "%s", as_json ? "]}" : "");
    return b;
}

SERVER_TEST(batches, items_that_are_added_with_a_key_go_on_where_kill_9_ended_them)
{
    struct job_ref batch = batch_submit(s, "{'command':['true','{}'],'delay':'1h','open':true}");
    struct text_builder all = numbers(10000, false), part = numbers(9000, false);
    struct text head = text_of("POST /v1/batches/%s/jobs HTTP/1.1\r\nHost: localhost\r\n"
                               "Authorization: Bearer %s\r\n" NDJSON "\r\nIdempotency-Key: more\r\n"
                               "Transfer-Encoding: chunked\r\n\r\n%zx\r\n",
                               batch.id, s->token, part.len);
    struct conn *c = conn_open(s);
    CHECK(conn_send(c, head.s, strlen(head.s)) && conn_send(c, part.text, part.len) &&
              conn_send(c, "\r\n", 2),
          "the server does not take the body");
    AWAIT(batch_count(s, batch, "scheduled") == 8192, 20);
    server_kill(s);
    conn_close(c);
    server_restart(s, NULL);
    AUTO_RESPONSE rest = add_keyed(s, batch, all.text, all.len, NDJSON);
    expect_status(rest, 202);
    expect_int(rest, "total", 10000);
    AUTO_RESPONSE again = add_keyed(s, batch, all.text, all.len, NDJSON);
    expect_header(again, "Idempotency-Replayed", "true");
    expect_int(again, "total", 10000);
    AUTO_RESPONSE shorter = add_keyed(s, batch, part.text, part.len, NDJSON);
    expect_problem(shorter, 422, "key-reused");
    for (int64_t i = 4095; i < 10000; i += 4096)
        (void)element_of(s, batch, i); /* wants that index */
    text_free(&all);
    text_free(&part);
}

SERVER_TEST(batches, many_items_in_one_json_body_are_added_once)
{
    struct job_ref batch = batch_submit(s, "{'command':['true','{}'],'delay':'1h','open':true}");
    struct text_builder all = numbers(9000, true), fewer = numbers(5000, true);
    for (int i = 0; i < 2; i++) {
        AUTO_RESPONSE r = add_keyed(s, batch, all.text, all.len, "Content-Type: application/json");
        expect_status(r, 202);
        expect_int(r, "total", 9000);
        cr_assert_eq(header_of(r, "Idempotency-Replayed") != NULL, i == 1);
    }
    AUTO_RESPONSE other = add_keyed(s, batch, fewer.text, fewer.len,
                                    "Content-Type: application/json");
    expect_problem(other, 422, "key-reused");
    text_free(&all);
    text_free(&fewer);
}

SERVER_TEST(batches, items_that_are_added_are_checked_as_the_first_ones)
{
    struct job_ref batch = batch_submit(s, "{'command':['echo','{2}'],'star':true,'open':true}");
    AUTO_RESPONSE json = batch_post(s, batch, "jobs", "{'items':[[1,2],[1]]}");
    expect_invalid(json, "/items/1");
    AUTO_RESPONSE member = batch_post(s, batch, "jobs", "{'items':[],'x':1}");
    expect_invalid(member, "/x");
    AUTO_RESPONSE lines = http(s, "POST", text_of("/v1/batches/%s/jobs", batch.id).s,
                               "[1,2]\n[1]\n", NDJSON, NULL);
    expect_problem(lines, 422, "invalid-request");
    AUTO_RESPONSE show = batch_show(s, batch);
    expect_int(show, "total", 0);
    AUTO_RESPONSE none = http(s, "POST", "/v1/batches/0/jobs", "{'items':[]}", NULL);
    expect_problem(none, 404, "not-found");
}

SERVER_TEST(batches, a_refused_item_leaves_nothing_of_its_request)
{
    put_queue(s, "small", "{'max_length':5}");
    AUTO_RESPONSE r = http(
        s, "POST", "/v1/batches",
        "{'command':['true'],'delay':'1h','queue':'small','items':[1,2,3,4,5,6]}", NULL);
    expect_problem(r, 429, "queue-limit");
    AUTO_RESPONSE fits = http(s, "POST", "/v1/batches",
                              "{'command':['true'],'delay':'1h','queue':'small','items':[1,2,3]}",
                              NULL);
    expect_status(fits, 202);
    AUTO_RESPONSE stats = http_get(s, "/v1/stats");
    expect_int(stats, "jobs.scheduled", 3);
}
