/* SPDX-License-Identifier: MIT */
/* The standard input of a running command, fed from outside: every byte, once, in order, as fast as
 * it is read. */
#include "integration/cli_call.h"

#include <fcntl.h>
#include <unistd.h>

static struct response *feed(struct server *s, struct job_ref job, const char *query,
                             const void *bytes, size_t len)
{
    static const char *const headers[] = {"Content-Type: application/octet-stream", NULL};
    struct text path = text_of("/v1/jobs/%s/stdin%s", job.id, query);
    const struct call call = {
        .method = "PUT", .path = path.s, .body = bytes, .body_len = len, .headers = headers};
    return http_send(s, &call);
}

static void feed_ok(struct server *s, struct job_ref job, const char *query, const char *text)
{
    AUTO_RESPONSE r = feed(s, job, query, text, strlen(text));
    expect_status(r, 202);
    expect_int(r, "bytes", (int64_t)strlen(text));
}

static struct job_ref submit_open(struct server *s, const char *command)
{
    struct job_ref job = job_submit(s, "{'command':%s,'stdin':{'open':true}}", command);
    AUTO_RESPONSE running = job_await_state(s, job, "running");
    return job;
}

SERVER_TEST(feed, bytes_arrive_piece_by_piece_and_then_the_end)
{
    struct job_ref job = submit_open(s, "['cat']");
    AUTO_CONN out = conn_open(s);
    conn_request(out, s, text_of("GET /v1/jobs/%s/stdout?follow=1", job.id).s, "", NULL);
    feed_ok(s, job, "", "one ");
    cr_assert(conn_await_text(out, "one ", 20), "it is there before the end");
    feed_ok(s, job, "?offset=4", "two ");
    cr_assert(conn_await_text(out, "one two ", 20));
    AUTO_RESPONSE where = feed(s, job, "", NULL, 0);
    expect_status(where, 202);
    expect_int(where, "bytes", 0);
    expect_int(where, "total", 8);
    cr_assert(json_bool(where, "open"));
    AUTO_RESPONSE last = feed(s, job, "?eof=1", "three", 5);
    expect_status(last, 202);
    expect_int(last, "total", 13);
    cr_assert(!json_bool(last, "open"));
    AUTO_RESPONSE end = job_await(s, job);
    expect_outcome(end, "succeeded", NULL);
    expect_output(s, job, "stdout", "one two three");
}

SERVER_TEST(feed, an_end_alone)
{
    struct job_ref job = submit_open(s, "['sh','-c','wc -c']");
    AUTO_RESPONSE r = feed(s, job, "?eof=1", NULL, 0);
    expect_status(r, 202);
    AUTO_RESPONSE end = job_await(s, job);
    expect_outcome(end, "succeeded", NULL);
    expect_output(s, job, "stdout", "0\n");
}

/* Bytes that are no text, more than any buffer holds, to a job that is slow at first. */
SERVER_TEST(feed, megabytes_are_the_same_bytes)
{
    const size_t len = (size_t)6 << 20;
    struct text hold = fifo_make(s, "hold");
    unsigned char *bytes = need_alloc(len);
    uint32_t x = 1;
    for (size_t i = 0; i < len; i++) {
        x = x * 1664525u + 1013904223u;
        bytes[i] = (unsigned char)(x >> 24);
    }
    struct text file = file_with(s, "bytes", bytes, len);
    struct job_ref job = submit_open(
        s, text_of("['sh','-c','cat %s; exec cmp - %s']", hold.s, file.s).s);
    AUTO_CALL put = {0};
    cli_call_start_in(&put, s->dir, file.s, WORDS("feed", job.id));
    /* The rest of the service goes on while the pipe is full. */
    AUTO_RESPONSE other = job_run(s, "{'command':['true']}");
    expect_outcome(other, "succeeded", NULL);
    fifo_release(hold.s);
    cli_call_end(&put);
    expect_code(&put, 0);
    AUTO_RESPONSE end = job_await(s, job);
    expect_outcome(end, "succeeded", NULL);
    free(bytes);
}

/* One request of any length, and a job that reads nothing until the pipe has been full. */
SERVER_TEST(feed, a_client_feels_how_fast_the_job_reads)
{
    const size_t len = (size_t)32 << 20;
    struct text hold = fifo_make(s, "hold");
    struct job_ref job = submit_open(s, text_of("['sh','-c','cat %s; exec wc -c']", hold.s).s);
    AUTO_CONN c = conn_open(s);
    char head[400];
    (void)snprintf(
        head, sizeof head,
        "PUT /v1/jobs/%s/stdin?eof=1 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "
        "%s\r\nContent-Length: %zu\r\n\r\n",
        job.id, s->token, len);
    cr_assert(conn_send(c, head, strlen(head)));
    const int flags = fcntl(c->fd, F_GETFL);
    cr_assert_eq(fcntl(c->fd, F_SETFL, flags | O_NONBLOCK), 0);
    char *zeros = need_alloc(len);
    size_t sent = 0, before = len;
    /* Until nothing moves any more: sockets and the pipe are full. */
    for (int still = 0; still < 20;) {
        const ssize_t n = write(c->fd, zeros + sent, len - sent);
        sent += n > 0 ? (size_t)n : 0;
        still = n > 0 ? 0 : still + 1;
        pause_ms(5);
    }
    before = sent;
    cr_assert_lt(before, len, "the job reads nothing, so not everything can have been taken");
    AUTO_RESPONSE health = http_get(s, "/v1/stats");
    expect_status(health, 200);
    /* From then on nobody looks whether there is room: the pipe says so itself. */
    const uint64_t until = deadline_in(20);
    for (double wakeups = -1, now; (now = metric_of(s, "ganger_waiter_wakeups_total")) != wakeups;
         wakeups = now) {
        CHECK(!deadline_passed(until), "it is looked for again and again");
        pause_ms(150);
    }
    cr_assert_eq(fcntl(c->fd, F_SETFL, flags), 0);
    fifo_release(hold.s);
    cr_assert(conn_send(c, zeros + sent, len - sent));
    cr_assert(conn_await_head(c, 20));
    cr_assert_eq(c->status, 202, "%ld", c->status);
    AUTO_RESPONSE end = job_await(s, job);
    expect_outcome(end, "succeeded", NULL);
    expect_output(s, job, "stdout", text_of("%zu\n", len).s);
    free(zeros);
}

SERVER_TEST(feed, only_a_running_job_whose_input_is_open)
{
    struct job_ref closed = job_submit(s, "{'command':['sleep','1000']}");
    AUTO_RESPONSE running = job_await_state(s, closed, "running");
    AUTO_RESPONSE a = feed(s, closed, "", "x", 1);
    expect_problem(a, 409, "state-conflict");
    cr_assert_not_null(strstr(a->body, "not open"), "%s", a->body);
    struct job_ref early = job_submit(s, "{'command':['cat'],'stdin':{'open':true},'delay':'1h'}");
    AUTO_RESPONSE b = feed(s, early, "", "x", 1);
    expect_problem(b, 409, "state-conflict");
    struct job_ref open = submit_open(s, "['cat']");
    feed_ok(s, open, "?eof=1", "x");
    AUTO_RESPONSE end = job_await(s, open);
    AUTO_RESPONSE c = feed(s, open, "", "x", 1);
    expect_problem(c, 409, "state-conflict");
    AUTO_RESPONSE d = http(s, "PUT", "/v1/jobs/01990b6e-0000-7000-8000-000000000000/stdin", NULL,
                           NULL);
    expect_problem(d, 404, "not-found");
    struct job_ref slow = submit_open(s, "['sleep','1000']");
    feed_ok(s, slow, "?eof=1", "x");
    AUTO_RESPONSE e = feed(s, slow, "", "x", 1);
    expect_problem(e, 409, "state-conflict");
    cr_assert_not_null(strstr(e->body, "has ended"), "%s", e->body);
    AUTO_RESPONSE one = job_cancel(s, closed, "{'grace':0}", 20);
    AUTO_RESPONSE two = job_cancel(s, slow, "{'grace':0}", 20);
}

SERVER_TEST(feed, a_repeated_piece_is_refused_by_its_offset)
{
    struct job_ref job = submit_open(s, "['cat']");
    feed_ok(s, job, "?offset=0", "abc");
    AUTO_RESPONSE again = feed(s, job, "?offset=0", "abc", 3);
    expect_problem(again, 409, "state-conflict");
    cr_assert_not_null(strstr(again->body, "3 bytes have been fed"), "%s", again->body);
    AUTO_RESPONSE bad = feed(s, job, "?offset=x", "abc", 3);
    expect_problem(bad, 422, "invalid-request");
    feed_ok(s, job, "?offset=3&eof=1", "def");
    AUTO_RESPONSE end = job_await(s, job);
    expect_output(s, job, "stdout", "abcdef");
}

static bool has_written(struct server *s, struct job_ref job, const char *text)
{
    AUTO_TEXT out = job_read(s, job, "stdout");
    return strcmp(out, text) == 0;
}

/* One at a time; one that breaks off gives its place back, and what it has sent has been sent. */
SERVER_TEST(feed, by_one_request_at_a_time)
{
    struct job_ref job = submit_open(s, "['cat']");
    struct conn *c = conn_open(s);
    char head[400];
    (void)snprintf(head, sizeof head,
                   "PUT /v1/jobs/%s/stdin HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer "
                   "%s\r\nContent-Length: 100\r\n\r\nhalf",
                   job.id, s->token);
    cr_assert(conn_send(c, head, strlen(head)));
    AWAIT(has_written(s, job, "half"), 20);
    AUTO_RESPONSE second = feed(s, job, "", "x", 1);
    expect_problem(second, 409, "state-conflict");
    cr_assert_not_null(strstr(second->body, "Another request"), "%s", second->body);
    conn_close(c);
    struct response *r = feed(s, job, "?eof=1", " whole", 6);
    for (uint64_t until = deadline_in(20); r->status != 202;) {
        CHECK(!deadline_passed(until), "%s", r->body);
        response_free(r);
        r = feed(s, job, "?eof=1", " whole", 6);
    }
    expect_int(r, "total", 10);
    response_free(r);
    AUTO_RESPONSE end = job_await(s, job);
    expect_output(s, job, "stdout", "half whole");
}

SERVER_TEST(feed, a_job_that_reads_no_more_ends_the_request)
{
    const size_t len = (size_t)4 << 20;
    char *bytes = need_alloc(len);
    struct job_ref job = submit_open(s, "['sh','-c','exec <&-; sleep 1000']");
    AUTO_RESPONSE r = feed(s, job, "", bytes, len);
    expect_problem(r, 409, "state-conflict");
    cr_assert_not_null(strstr(r->body, "does not read"), "%s", r->body);
    /* And one that ends under it. */
    struct job_ref ends = submit_open(s, "['sleep','0.2']");
    AUTO_RESPONSE late = feed(s, ends, "", bytes, len);
    expect_problem(late, 409, "state-conflict");
    AUTO_RESPONSE over = job_cancel(s, job, "{'grace':0}", 20);
    free(bytes);
}

SERVER_TEST(feed, what_cannot_be_fed_is_refused_at_submission)
{
    static const struct {
        const char *body, *pointer;
    } bad[] = {
        {"{'command':['cat'],'stdin':{'open':false}}", "/stdin/open"},
        {"{'command':['cat'],'stdin':{}}", "/stdin"},
        {"{'command':['cat'],'stdin':{'open':true,'x':1}}", "/stdin/x"},
        {"{'command':['cat'],'stdin':{'open':true},'stdin_base64':'eA=='}", "/stdin_base64"},
        {"{'command':['cat'],'stdin':{'open':true},'retry':{'max_attempts':2}}", "/stdin"},
    };
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        AUTO_RESPONSE r = http(s, "POST", "/v1/jobs", bad[i].body, NULL);
        expect_invalid(r, bad[i].pointer);
    }
}

/* Retried by hand, an attempt begins with nothing. */
SERVER_TEST(feed, each_attempt_has_an_input_of_its_own)
{
    struct job_ref job = submit_open(s, "['cat']");
    feed_ok(s, job, "?eof=1", "first");
    AUTO_RESPONSE first = job_await(s, job);
    AUTO_RESPONSE again = http(s, "POST", text_of("/v1/jobs/%s/retry", job.id).s, NULL, NULL);
    expect_status(again, 202);
    AUTO_RESPONSE running = job_await_state(s, job, "running");
    feed_ok(s, job, "?offset=0&eof=1", "second");
    AUTO_RESPONSE second = job_await(s, job);
    expect_output(s, job, "stdout", "second");
}

/* On a busy worker, where plain jobs are offered: a pipe needs a worker that is idle. */
SERVER_TEST_WITH(feed, jobs_behind_others_get_their_pipes, .workers = 1)
{
    struct text hold = fifo_make(s, "hold");
    struct job_ref first = job_submit(s, "{'command':['cat','%s']}", hold.s);
    struct job_ref fed[3];
    for (int i = 0; i < 3; i++)
        fed[i] = job_submit(s, "{'command':['cat'],'stdin':{'open':true}}");
    struct job_ref last = job_submit(s, "{'command':['true']}");
    fifo_release(hold.s);
    for (int i = 0; i < 3; i++) {
        AUTO_RESPONSE running = job_await_state(s, fed[i], "running");
        feed_ok(s, fed[i], "?eof=1", "x");
        AUTO_RESPONSE end = job_await(s, fed[i]);
        expect_output(s, fed[i], "stdout", "x");
    }
    AUTO_RESPONSE one = job_await(s, first);
    AUTO_RESPONSE end = job_await(s, last);
    expect_outcome(end, "succeeded", NULL);
}

SERVER_TEST(feed, the_first_stage_of_a_pipeline)
{
    AUTO_RESPONSE r = http(s, "POST", "/v1/pipelines",
                           "{'stages':[{'command':['cat'],'stdin':{'open':true}},"
                           "{'command':['tr','a-z','A-Z']}]}",
                           NULL);
    expect_status(r, 202);
    struct job_ref first = {0};
    (void)snprintf(first.id, sizeof first.id, "%s", json_text(r, "jobs.0.id"));
    struct job_ref last = {0};
    (void)snprintf(last.id, sizeof last.id, "%s", json_text(r, "jobs.1.id"));
    AUTO_RESPONSE running = job_await_state(s, first, "running");
    feed_ok(s, first, "?eof=1", "abc");
    AUTO_RESPONSE end = job_await(s, last);
    expect_output(s, last, "stdout", "ABC");
}

SERVER_TEST(feed, by_the_command_line)
{
    struct job_ref job = cli_submit(s, WORDS("submit", "--stdin-open", "--", "sort"));
    AUTO_RESPONSE running = job_await_state(s, job, "running");
    struct text b = file_with(s, "b", "b\n", 2), a = file_with(s, "a", "a\n", 2);
    AUTO_CALL first = {0}, second = {0}, late = {0};
    cli_call_start_in(&first, s->dir, b.s, WORDS("feed", "--keep-open", job.id));
    cli_call_end(&first);
    expect_code(&first, 0);
    cli_call_start_in(&second, s->dir, a.s, WORDS("feed", job.id));
    cli_call_end(&second);
    expect_code(&second, 0);
    AUTO_RESPONSE end = job_await(s, job);
    expect_output(s, job, "stdout", "a\nb\n");
    cli_call_start_in(&late, s->dir, a.s, WORDS("feed", job.id));
    cli_call_end(&late);
    expect_code(&late, 1);
    expect_err_has(&late, "only a running one can be fed");
}

static void expect_conflict(struct response *r, const char *state, int allowed)
{
    expect_problem(r, 409, "state-conflict");
    expect_text(r, "state", state);
    cr_assert_eq(cJSON_GetArraySize(json_find(r, "allowed")), allowed);
}

/* As every other verb that a job's state forbids. */
SERVER_TEST(feed, a_refusal_names_the_state_and_what_it_allows)
{
    struct job_ref ended = job_submit(s, "{'command':['true']}");
    struct job_ref later = job_submit(s, "{'command':['true'],'delay':'1h'}");
    AUTO_RESPONSE end = job_await(s, ended);
    AUTO_RESPONSE empty = feed(s, ended, "", NULL, 0);
    expect_conflict(empty, "succeeded", 2);
    AUTO_RESPONSE bytes = feed(s, ended, "", "x", 1);
    expect_conflict(bytes, "succeeded", 2);
    AUTO_RESPONSE early = feed(s, later, "", "x", 1);
    expect_conflict(early, "scheduled", 4);
    struct text hold = fifo_make(s, "hold");
    struct job_ref closed = job_submit(s, "{'command':['cat','%s']}", hold.s);
    AUTO_RESPONSE running = job_await_state(s, closed, "running");
    AUTO_RESPONSE not_open = feed(s, closed, "", "x", 1);
    expect_conflict(not_open, "running", 5);
    /* While the body is still coming. */
    AUTO_CONN c = conn_open(s);
    cr_assert(conn_request(c, s, text_of("PUT /v1/jobs/%s/stdin", ended.id).s,
                           "Content-Type: application/octet-stream\r\n"
                           "Transfer-Encoding: chunked\r\n",
                           NULL));
    cr_assert(conn_send(c, "1\r\nx\r\n", 6));
    cr_assert(conn_await_end(c, 20));
    cr_assert_eq(c->status, 409);
    cr_assert_not_null(strstr(c->body, "\"state\":\"succeeded\",\"allowed\":["), "%s", c->body);
    fifo_release(hold.s);
}
