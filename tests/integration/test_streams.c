/* SPDX-License-Identifier: MIT */
/* Output while it is made, ranges of it, and events. */
#include "integration/harness_test.h"

static struct conn *stream_open(const struct server *s, const char *path, const char *headers)
{
    struct conn *c = conn_open(s);
    conn_request(c, s, text_of("GET %s", path).s, headers, NULL);
    CHECK(conn_await_head(c, 20), "no head for %s", path);
    CHECK(c->status == 200, "%s: %ld", path, c->status);
    return c;
}

#define SSE "Accept: text/event-stream\r\n"

SERVER_TEST(streams, followed_output_arrives_before_the_job_ends)
{
    struct text hold = fifo_make(s, "hold");
    struct job_ref job = job_submit(s, "{'command':['sh','-c','echo one; cat %s; echo two']}",
                                    hold.s);
    AUTO_CONN c = stream_open(s, text_of("/v1/jobs/%s/stdout?follow=1", job.id).s, "");
    cr_assert(conn_await_text(c, "one\n", 20), "nothing arrives while the job runs");
    AUTO_RESPONSE running = job_show(s, job);
    expect_text(running, "state", "running");
    fifo_release(hold.s);
    cr_assert(conn_await_end(c, 20), "the stream does not end with the job");
    cr_assert_str_eq(c->body, "one\ntwo\n");
}

SERVER_TEST(streams, every_line_is_followed_while_it_is_made)
{
    struct text hold[3] = {fifo_make(s, "0"), fifo_make(s, "1"), fifo_make(s, "2")};
    struct job_ref job = job_submit(
        s, "{'command':['sh','-c','for i in 0 1 2; do echo line $i >&2; cat %s/$i; done']}",
        s->scratch);
    AUTO_CONN c = stream_open(s, text_of("/v1/jobs/%s/stderr?follow=1", job.id).s, "");
    for (int i = 0; i < 3; i++) {
        cr_assert(conn_await_text(c, text_of("line %d\n", i).s, 20), "line %d does not arrive", i);
        fifo_release(hold[i].s);
    }
    cr_assert(conn_await_end(c, 20));
    cr_assert_str_eq(c->body, "line 0\nline 1\nline 2\n");
}

SERVER_TEST(streams, following_a_job_that_waits_begins_when_it_starts)
{
    struct job_ref job = job_submit(s, "{'command':['echo','late'],'delay':'500ms'}");
    AUTO_CONN c = stream_open(s, text_of("/v1/jobs/%s/stdout?follow=1", job.id).s, "");
    cr_assert(conn_await_end(c, 20));
    cr_assert_str_eq(c->body, "late\n");
}

SERVER_TEST(streams, following_a_finished_job_is_its_output)
{
    AUTO_RESPONSE done = job_run(s, "{'command':['echo','done']}");
    AUTO_CONN c = stream_open(s, text_of("/v1/jobs/%s/stdout?follow=1", job_of(done).id).s, "");
    cr_assert(conn_await_end(c, 20));
    cr_assert_str_eq(c->body, "done\n");
}

SERVER_TEST(streams, two_followers_see_the_same_large_output)
{
    struct text hold = fifo_make(s, "hold");
    struct job_ref job = job_submit(
        s, "{'command':['sh','-c','seq 1 200000; cat %s; seq 1 200000']}", hold.s);
    struct text path = text_of("/v1/jobs/%s/stdout?follow=1", job.id);
    AUTO_CONN a = stream_open(s, path.s, "");
    AUTO_CONN b = stream_open(s, path.s, "");
    cr_assert(conn_await_text(a, "\n200000\n", 30));
    fifo_release(hold.s);
    cr_assert(conn_await_end(a, 30));
    cr_assert(conn_await_end(b, 30));
    AUTO_TEXT whole = job_read(s, job, "stdout");
    cr_assert_eq(a->len, 2 * 1288895);
    cr_assert_str_eq(a->body, whole);
    cr_assert_str_eq(b->body, whole);
}

/* A reader that stalls costs the server nothing and loses nothing. */
SERVER_TEST(streams, a_stalled_reader_gets_everything_later)
{
    struct job_ref job = job_submit(
        s, "{'command':['sh','-c','head -c 8000000 /dev/zero; echo end']}");
    AUTO_CONN c = conn_open(s);
    conn_request(c, s, text_of("GET /v1/jobs/%s/stdout?follow=1", job.id).s, "", NULL);
    AUTO_RESPONSE end = job_await(s, job);
    expect_outcome(end, "succeeded", NULL);
    cr_assert(conn_await_end(c, 60), "%zu bytes, then nothing", c->len);
    cr_assert_eq(c->len, 8000004);
}

SERVER_TEST(streams, output_so_far_is_readable_while_the_job_runs)
{
    struct text hold = fifo_make(s, "hold");
    struct job_ref job = job_submit(s, "{'command':['sh','-c','printf 0123456789abcdef; cat %s']}",
                                    hold.s);
    struct text path = text_of("/v1/jobs/%s/stdout", job.id);
    AUTO_CONN c = stream_open(s, text_of("%s?follow=1", path.s).s, "");
    cr_assert(conn_await_text(c, "f", 20));
    AUTO_RESPONSE so_far = http_get(s, "%s", path.s);
    expect_status(so_far, 200);
    cr_assert_str_eq(so_far->body, "0123456789abcdef");
    AUTO_RESPONSE part = http(s, "GET", path.s, NULL, "Range: bytes=0-9", NULL);
    expect_status(part, 206);
    expect_header(part, "Content-Range", "bytes 0-9/*");
    cr_assert_str_eq(part->body, "0123456789");
    fifo_release(hold.s);
    cr_assert(conn_await_end(c, 20));
}

SERVER_TEST(streams, ranges_of_finished_output)
{
    static const struct {
        const char *range;
        long status;
        const char *content_range, *body;
    } rows[] = {
        {"bytes=0-3", 206, "bytes 0-3/10", "0123"},
        {"bytes=4-", 206, "bytes 4-9/10", "456789"},
        {"bytes=-3", 206, "bytes 7-9/10", "789"},
        {"bytes=8-100", 206, "bytes 8-9/10", "89"},
        {"bytes=9-9", 206, "bytes 9-9/10", "9"},
        {"bytes=-100", 206, "bytes 0-9/10", "0123456789"},
        {"bytes=10-", 416, "bytes */10", NULL},
        {"bytes=-0", 416, "bytes */10", NULL},
        {"lines=1-2", 200, NULL, "0123456789"},
        {"bytes=5-2", 200, NULL, "0123456789"},
        {"bytes=0-1,3-4", 200, NULL, "0123456789"},
        {"bytes=a-b", 200, NULL, "0123456789"},
    };
    AUTO_RESPONSE done = job_run(s, "{'command':['printf','0123456789']}");
    static const char *const streams[] = {"stdout", "result"};
    for (size_t i = 0; i < COUNT_OF(rows) * COUNT_OF(streams); i++) {
        size_t k = i % COUNT_OF(rows);
        struct text path = text_of("/v1/jobs/%s/%s", job_of(done).id, streams[i / COUNT_OF(rows)]);
        AUTO_RESPONSE r = http(s, "GET", path.s, NULL, text_of("Range: %s", rows[k].range).s, NULL);
        CHECK(r->status == rows[k].status, "%s: %ld instead of %ld", rows[k].range, r->status,
              rows[k].status);
        if (rows[k].content_range != NULL)
            expect_header(r, "Content-Range", rows[k].content_range);
        if (rows[k].body != NULL)
            cr_assert_str_eq(r->body, rows[k].body, "%s", rows[k].range);
        else
            expect_problem(r, 416, "range-not-satisfiable");
    }
}

SERVER_TEST(streams, ranges_of_large_output_come_from_the_right_place)
{
    AUTO_RESPONSE done = job_run(s, "{'command':['seq','-w','1','200000']}");
    struct text path = text_of("/v1/jobs/%s/stdout", job_of(done).id);
    AUTO_RESPONSE r = http(s, "GET", path.s, NULL, "Range: bytes=700000-700013", NULL);
    expect_status(r, 206);
    cr_assert_str_eq(r->body, "100001\n100002\n");
    AUTO_RESPONSE head = http(s, "HEAD", path.s, NULL, NULL);
    expect_status(head, 200);
    expect_header(head, "Content-Length", "1400000");
}

SERVER_TEST(streams, events_of_a_job_tell_its_states_and_end)
{
    struct text hold = fifo_make(s, "hold");
    struct job_ref job = job_submit(s, "{'command':['cat','%s'],'delay':'300ms'}", hold.s);
    AUTO_CONN c = stream_open(s, text_of("/v1/jobs/%s/events", job.id).s, SSE);
    cr_assert(strncmp(conn_header(c, "Content-Type").s, "text/event-stream", 17) == 0);
    cr_assert_str_eq(conn_header(c, "X-Accel-Buffering").s, "no");
    cr_assert(strstr(conn_header(c, "Cache-Control").s, "no-store") != NULL);
    cr_assert(conn_await_text(c, "\"running\"", 20), "no event says that it runs: %s", c->body);
    fifo_release(hold.s);
    cr_assert(conn_await_end(c, 20), "the stream does not end: %s", c->body);
    cr_assert(strstr(c->body, "\"succeeded\"") != NULL, "%s", c->body);
    cr_assert(strstr(c->body, "event: end\n") != NULL, "%s", c->body);
    cr_assert(strstr(c->body, "\nid: ") != NULL || strncmp(c->body, "id: ", 4) == 0, "%s", c->body);
}

/* The n-th `id:` of a stream, "" when there are fewer. */
static struct text event_id(const char *body, int n)
{
    for (const char *line = body; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, "id: ", 4) == 0 && n-- == 0)
            return text_of("%.*s", (int)strcspn(line + 4, "\r\n"), line + 4);
    }
    return text_of("%s", "");
}

static int count_events(const char *body)
{
    int n = 0;
    while (event_id(body, n).s[0] != '\0')
        n++;
    return n;
}

/* Cut behind each event and resumed: no event twice, none missing. */
SERVER_TEST(streams, events_resume_behind_the_last_one_seen)
{
    AUTO_RESPONSE done = job_run(s, "{'command':['true']}");
    struct text path = text_of("/v1/jobs/%s/events", job_of(done).id);
    AUTO_CONN whole = stream_open(s, path.s, SSE);
    cr_assert(conn_await_end(whole, 20));
    int n = count_events(whole->body);
    cr_assert_gt(n, 0, "no event has an id: %s", whole->body);
    for (int i = 0; i + 1 < n; i++) {
        AUTO_CONN rest = stream_open(
            s, path.s, text_of(SSE "Last-Event-ID: %s\r\n", event_id(whole->body, i).s).s);
        cr_assert(conn_await_end(rest, 20));
        cr_assert_eq(count_events(rest->body), n - i - 1, "behind event %d of:\n%s\ncame:\n%s", i,
                     whole->body, rest->body);
        cr_assert_str_eq(event_id(rest->body, 0).s, event_id(whole->body, i + 1).s);
    }
}

SERVER_TEST(streams, output_as_events_carries_attempt_and_offset)
{
    struct text hold = fifo_make(s, "hold");
    struct job_ref job = job_submit(s, "{'command':['sh','-c','echo first; cat %s; echo second']}",
                                    hold.s);
    struct text path = text_of("/v1/jobs/%s/stdout?follow=1", job.id);
    AUTO_CONN c = stream_open(s, path.s, SSE);
    cr_assert(conn_await_text(c, "first", 20), "%s", c->body);
    cr_assert(conn_await_text(c, "\n\n", 20));
    cr_assert(strstr(c->body, "id: 1.") != NULL, "%s", c->body);
    fifo_release(hold.s);
    cr_assert(conn_await_end(c, 20));
    cr_assert(strstr(c->body, "second") != NULL, "%s", c->body);
    AUTO_CONN rest = stream_open(s, path.s, SSE "Last-Event-ID: 1.6\r\n");
    cr_assert(conn_await_end(rest, 20));
    cr_assert(strstr(rest->body, "second") != NULL, "%s", rest->body);
    cr_assert(strstr(rest->body, "first") == NULL, "%s", rest->body);
}

SERVER_TEST_WITH(streams, silent_streams_have_a_heartbeat, .args = {"--http-heartbeat", "300ms"})
{
    struct job_ref job = job_submit(s, "{'command':['true'],'delay':'1h'}");
    AUTO_CONN c = stream_open(s, text_of("/v1/jobs/%s/events", job.id).s, SSE);
    size_t before = c->len;
    cr_assert(conn_await_bytes(c, before + 1, 10), "nothing comes");
    cr_assert(conn_await_text(c, "\n:", 10) || c->body[0] == ':', "no comment: %s", c->body);
    AUTO_RESPONSE end = job_cancel(s, job, NULL, 10);
    expect_status(end, 200);
    cr_assert(conn_await_end(c, 10));
}

/* complaint: cancelled futures are not announced. */
SERVER_TEST(streams, a_cancel_reaches_all_who_wait)
{
    struct job_ref job = job_submit(s, "{'command':['sleep','600']}");
    AUTO_RESPONSE running = job_await_state(s, job, "running");
    AUTO_CONN events = stream_open(s, text_of("/v1/jobs/%s/events", job.id).s, SSE);
    AUTO_CONN output = stream_open(s, text_of("/v1/jobs/%s/stdout?follow=1", job.id).s, "");
    AUTO_CONN waiter = conn_open(s);
    conn_request(waiter, s, text_of("GET /v1/jobs/%s/result", job.id).s, "Prefer: wait=50\r\n",
                 NULL);
    AUTO_RESPONSE cancelled = job_cancel(s, job, NULL, 0);
    cr_assert(conn_await_end(events, 20));
    cr_assert(strstr(events->body, "\"cancelled\"") != NULL, "%s", events->body);
    cr_assert(conn_await_end(output, 20));
    cr_assert(conn_await_end(waiter, 20));
    cr_assert_eq(waiter->status, 410);
}

/* The stream of a job that is tried again goes on to the end of the job, and ends with the output
 * of its last attempt. */
SERVER_TEST(streams, following_goes_on_through_retries)
{
    struct job_ref job = job_submit(
        s, "{'command':['sh','-c','echo attempt $GANGER_ATTEMPT; test $GANGER_ATTEMPT = 3'],"
           "'retry':{'max_attempts':3,'delay':'200ms','jitter':false}}");
    AUTO_CONN output = stream_open(s, text_of("/v1/jobs/%s/stdout?follow=1", job.id).s, SSE);
    AUTO_CONN events = stream_open(s, text_of("/v1/jobs/%s/events", job.id).s, SSE);
    cr_assert(conn_await_end(output, 30), "%s", output->body);
    cr_assert(conn_await_end(events, 30), "%s", events->body);
    AUTO_RESPONSE end = job_show(s, job);
    expect_outcome(end, "succeeded", NULL);
    cr_assert(strstr(output->body, "attempt 3") != NULL, "%s", output->body);
    cr_assert(strstr(output->body, "id: 3.") != NULL, "%s", output->body);
    cr_assert(strstr(events->body, "\"succeeded\"") != NULL, "%s", events->body);
    expect_output(s, job, "stdout", "attempt 3\n");
}

SERVER_TEST(streams, forgetting_a_job_disturbs_no_reader)
{
    AUTO_RESPONSE done = job_run(s, "{'command':['seq','1','1000000']}");
    struct text path = text_of("/v1/jobs/%s", job_of(done).id);
    AUTO_CONN c = conn_open(s);
    conn_request(c, s, text_of("GET %s/stdout", path.s).s, "", NULL);
    cr_assert(conn_await_bytes(c, 1, 20));
    AUTO_RESPONSE gone = http(s, "DELETE", path.s, NULL, NULL);
    expect_status(gone, 204);
    cr_assert(conn_await_end(c, 20), "the answer was cut after %zu bytes", c->len);
    cr_assert_eq(c->len, 6888896);
    AUTO_RESPONSE after = http_get(s, "%s/stdout", path.s);
    expect_problem(after, 404, "not-found");
}

SERVER_TEST(streams, clients_that_leave_free_their_descriptors)
{
    struct job_ref job = job_submit(s, "{'command':['true'],'delay':'1h'}");
    struct text path = text_of("/v1/jobs/%s/events", job.id);
    { /* what the first one opens for good (a reader, for instance) is not a leak */
        AUTO_CONN first = stream_open(s, path.s, SSE);
    }
    AUTO_RESPONSE alive = http_get(s, "/v1/pool");
    expect_status(alive, 200);
    size_t before = proc_count_fds(s->pid);
    for (int i = 0; i < 100; i++) {
        AUTO_CONN c = stream_open(s, path.s, SSE);
    }
    AWAIT(proc_count_fds(s->pid) <= before + 3, 10);
}

static bool nobody_waits(struct server *s)
{
    AUTO_RESPONSE r = http_get(s, "/v1/stats");
    return json_int(r, "parked") == 0;
}

static bool somebody_waits(struct server *s)
{
    AUTO_RESPONSE r = http_get(s, "/v1/stats");
    return json_int(r, "parked") == 1;
}

/* Their waits end with them, not at the deadline of a minute: the room is for others. */
SERVER_TEST(streams, who_leaves_a_submission_or_a_cancellation_waits_no_more)
{
    struct job_ref stubborn = job_submit(
        s, "{'command':['sh','-c','trap \\\"\\\" TERM; echo up; while :; do sleep 1; done'],"
           "'stop':{'signal':'TERM','grace':'20s'}}");
    AUTO_CONN up = stream_open(s, text_of("/v1/jobs/%s/stdout?follow=1", stubborn.id).s, "");
    cr_assert(conn_await_text(up, "up", 20));
    struct text paths[] = {text_of("POST /v1/jobs"),
                           text_of("POST /v1/jobs/%s/cancel", stubborn.id)};
    static const char *const bodies[] = {"{\"command\":[\"true\"],\"delay\":\"1h\"}", "{}"};
    conn_close(up);
    up = NULL;
    AWAIT(nobody_waits(s), 5);
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        AUTO_CONN c = conn_open(s);
        conn_request(c, s, paths[i].s, "Prefer: wait=50\r\n", bodies[i]);
        AWAIT(somebody_waits(s), 5);
        conn_close(c);
        c = NULL;
        AWAIT(nobody_waits(s), 1);
    }
}
