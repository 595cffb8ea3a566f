/* SPDX-License-Identifier: MIT */
/* Limits of queues. Each is measured from what the jobs say about themselves: when they began and
 * ended. */
#include "integration/harness_queue.h"
#include "integration/harness_test.h"

/* ------------------------------------------------------------------------------------------------
 * concurrency */

SERVER_TEST_WITH(queue_limits, concurrency_is_never_exceeded, .workers = 8)
{
    enum { LIMITED = 120, OTHERS = 120, LIMIT = 3 };
    static struct span spans[LIMITED];
    put_queue(s, "c", "{'concurrency':3}");
    /* Others in between keep all workers busy, so that jobs of both are offered to them. */
    for (int i = 0; i < 4; i++) {
        response_free(
            submit_lines(s, LIMITED / 8, "{'command':['sh','-c','sleep 0.01'],'queue':'c'}"));
        response_free(submit_lines(s, OTHERS / 4, "{'command':['true'],'queue':'o'}"));
        response_free(submit_lines(s, LIMITED / 8, "{'command':['true'],'queue':'c'}"));
    }
    await_succeeded(s, "c", LIMITED);
    await_succeeded(s, "o", OTHERS);
    size_t n = spans_of(s, "c", spans, LIMITED);
    cr_assert_eq(n, LIMITED);
    int most = most_at_once(spans, n);
    cr_assert_leq(most, LIMIT, "%d at once", most);
    cr_assert_eq(most, LIMIT, "the limit is never reached: %d at once", most);
}

/* More urgent jobs take the place of offers, which their workers may take in the same moment. */
SERVER_TEST_WITH(queue_limits, concurrency_holds_when_jobs_overtake, .workers = 4)
{
    enum { ROUNDS = 30, EACH = 5 };
    static struct span spans[ROUNDS * EACH];
    put_queue(s, "c", "{'concurrency':1}");
    for (int i = 0; i < ROUNDS; i++)
        response_free(submit_lines(s, EACH, "{'command':['true'],'queue':'c','priority':%d}", i));
    await_succeeded(s, "c", ROUNDS * EACH);
    size_t n = spans_of(s, "c", spans, COUNT_OF(spans));
    cr_assert_eq(n, COUNT_OF(spans));
    cr_assert_eq(most_at_once(spans, n), 1);
}

SERVER_TEST_WITH(queue_limits, concurrency_may_change_while_jobs_run, .workers = 4)
{
    struct text gate = text_of("%s/gate", s->scratch);
    put_queue(s, "c", "{'concurrency':1}");
    submit_held(s, 6, "c", gate.s);
    AWAIT(count_in(s, "c", "running") == 1, 20);
    response_free(http(s, "PATCH", "/v1/queues/c", "{'concurrency':3}", NULL));
    AWAIT(count_in(s, "c", "running") == 3, 20);
    response_free(job_run(s, "{'command':['true']}")); /* a worker is free, and takes none of them
                                                        */
    cr_assert_eq(count_in(s, "c", "running"), 3);
    response_free(http(s, "PATCH", "/v1/queues/c", "{'concurrency':2}", NULL));
    cr_assert_eq(count_in(s, "c", "running"), 3, "what runs goes on");
    response_free(http(s, "PATCH", "/v1/queues/c", "{'concurrency':null}", NULL));
    AWAIT(count_in(s, "c", "running") == 4, 20);
    file_make(gate.s);
    await_succeeded(s, "c", 6);
}

/* ------------------------------------------------------------------------------------------------
 * rate */

/* Any n + 1 beginnings take at least the span. */
static void expect_rate(const struct span *spans, size_t n, size_t rate_n, double span)
{
    for (size_t i = rate_n; i < n; i++) {
        double took = spans[i].start - spans[i - rate_n].start;
        CHECK(took >= span, "%zu beginnings within %.6f s", rate_n + 1, took);
    }
}

SERVER_TEST_WITH(queue_limits, a_rate_is_never_exceeded, .workers = 4)
{
    enum { JOBS = 32, RATE = 8 };
    static struct span spans[JOBS];
    put_queue(s, "r", "{'rate':'8/400ms'}");
    for (int i = 0; i < 4; i++) { /* some at once, some while the others wait */
        response_free(submit_lines(s, JOBS / 4, "{'command':['true'],'queue':'r'}"));
        response_free(submit_lines(s, 20, "{'command':['true'],'queue':'o'}"));
    }
    await_succeeded(s, "r", JOBS);
    size_t n = spans_of(s, "r", spans, JOBS);
    cr_assert_eq(n, JOBS);
    expect_rate(spans, n, RATE, 0.4);
    /* It is used: all jobs of a span may begin at once, and the next span follows at once. */
    double took = spans[n - 1].start - spans[0].start;
    cr_assert_lt(took, (0.4 * 3 + 1.5) * slow_factor(), "%f s", took);
}

/* Tokens come back at any moment, also while the engine looks at the queue: nobody else would wake
 * it. */
SERVER_TEST_WITH(queue_limits, a_rate_does_not_fall_asleep, .workers = 4)
{
    enum { JOBS = 120 };
    put_queue(s, "r", "{'rate':'1/2ms'}");
    for (int i = 0; i < 10; i++) {
        response_free(submit_lines(s, JOBS / 10, "{'command':['true'],'queue':'r'}"));
        response_free(submit_lines(s, 5, "{'command':['true'],'queue':'o'}"));
    }
    await_succeeded(s, "r", JOBS);
}

SERVER_TEST_WITH(queue_limits, a_rate_outlives_kill_9, .workers = 2)
{
    enum { JOBS = 12, RATE = 4 };
    static struct span spans[JOBS];
    put_queue(s, "r", "{'rate':'4/700ms'}");
    response_free(
        submit_lines(s, JOBS, "{'command':['true'],'queue':'r','retry':{'max_attempts':5}}"));
    AWAIT(count_in(s, "r", "succeeded") >= RATE, 20);
    server_kill(s);
    server_restart(s, NULL);
    await_succeeded(s, "r", JOBS);
    size_t n = spans_of(s, "r", spans, JOBS);
    cr_assert_eq(n, JOBS);
    expect_rate(spans, n, RATE, 0.7);
}

/* Jobs that run for long have used their tokens; those come back while they run. */
SERVER_TEST_WITH(queue_limits, a_rate_counts_beginnings_not_ends, .workers = 4)
{
    struct text gate = text_of("%s/gate", s->scratch);
    put_queue(s, "r", "{'rate':'1/200ms'}");
    submit_held(s, 4, "r", gate.s);
    AWAIT(count_in(s, "r", "running") == 4, 20);
    file_make(gate.s);
    await_succeeded(s, "r", 4);
    static struct span spans[4];
    expect_rate(spans, spans_of(s, "r", spans, 4), 1, 0.2);
}

/* ------------------------------------------------------------------------------------------------
 * weight */

/* How many of the first n beginnings are of this queue. */
static int share(const struct span *spans, size_t n, char queue)
{
    int count = 0;
    for (size_t i = 0; i < n; i++)
        count += spans[i].queue == queue;
    return count;
}

SERVER_TEST_WITH(queue_limits, weights_share_the_starts, .workers = 1)
{
    enum { EACH = 120 };
    static struct span spans[2 * EACH + 30];
    struct text hold = fifo_make(s, "hold");
    put_queue(s, "a", "{'weight':3}"); /* b has none, which counts as 1 */
    struct job_ref gate = job_submit(s, "{'command':['cat','%s'],'queue':'hold'}", hold.s);
    response_free(job_await_state(s, gate, "running"));
    response_free(submit_lines(s, EACH, "{'command':['true'],'queue':'b'}"));
    response_free(submit_lines(s, EACH, "{'command':['true'],'queue':'a'}"));
    response_free(submit_lines(s, 20, "{'command':['true'],'queue':'b','priority':1}"));
    fifo_release(hold.s);
    await_succeeded(s, "a", EACH);
    await_succeeded(s, "b", EACH + 20);
    size_t n = spans_of(s, NULL, spans, COUNT_OF(spans));
    cr_assert_eq(n, 2 * EACH + 21);
    cr_assert_eq(share(spans, 1, 'h'), 1);
    cr_assert_eq(share(spans + 1, 20, 'b'), 20, "priority comes before weight");
    for (size_t k = 20; k <= 140; k += 20) {
        int a = share(spans + 21, k, 'a');
        cr_assert(abs(a - (int)(k * 3 / 4)) <= 3, "%d of the first %zu", a, k);
    }
    cr_assert_eq(share(spans + 21 + 160, 80, 'b'), 80, "what is left goes on alone");
}

/* The lines of an answer that hold this text. */
static size_t lines_with(const struct response *r, const char *needle)
{
    size_t n = 0;
    for (const char *at = r->body; (at = strstr(at, needle)) != NULL; at += strlen(needle))
        n++;
    return n;
}

/* ------------------------------------------------------------------------------------------------
 * max_length */

SERVER_TEST_WITH(queue_limits, max_length_is_exact_for_many_clients, .workers = 2,
                 .args = {"--http-threads", "4"})
{
    enum { CLIENTS = 32, ROUNDS = 4, ROOM = 50 };
    struct conn *c[CLIENTS];
    int taken = 0;
    put_queue(s, "m", "{'max_length':50,'paused':true}");
    for (size_t i = 0; i < CLIENTS; i++)
        c[i] = conn_open(s);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < CLIENTS; i++)
            cr_assert(conn_request(c[i], s, "POST /v1/jobs", "",
                                   i % 2 == 0 ? "{'command':['true'],'queue':'m'}"
                                              : "{'command':['true'],'queue':'m','delay':'1h'}"));
        for (int i = 0; i < CLIENTS; i++) {
            cr_assert(conn_await_end(c[i], 60));
            taken += c[i]->status == 202;
            cr_assert(c[i]->status == 202 || c[i]->status == 429, "%ld", c[i]->status);
            if (c[i]->status == 429) {
                cr_assert_str_neq(conn_header(c[i], "Retry-After").s, "");
                cr_assert_not_null(strstr(c[i]->body, "/problems/queue-limit"), "%s", c[i]->body);
            }
            conn_next(c[i]);
        }
    }
    for (size_t i = 0; i < CLIENTS; i++)
        conn_close(c[i]);
    cr_assert_eq(taken, ROOM, "%d were taken", taken);
    cr_assert_eq(count_in(s, "m", "queued") + count_in(s, "m", "scheduled"), ROOM);
    AUTO_RESPONSE elsewhere = job_run(s, "{'command':['true']}");
    expect_outcome(elsewhere, "succeeded", NULL);
    /* A place that becomes free is given away. */
    AUTO_RESPONSE list = http_get(s, "/v1/jobs?queue=m&limit=1");
    struct job_ref one = {{0}};
    (void)snprintf(one.id, sizeof(one.id), "%s", json_text(list, "items.0.id"));
    response_free(job_cancel(s, one, NULL, 5));
    (void)job_submit(s, "{'command':['true'],'queue':'m'}");
    AUTO_RESPONSE full = http(s, "POST", "/v1/jobs", "{'command':['true'],'queue':'m'}", NULL);
    expect_problem(full, 429, "queue-limit");
}

SERVER_TEST(queue_limits, max_length_refuses_single_lines)
{
    put_queue(s, "m", "{'max_length':8,'paused':true}");
    AUTO_RESPONSE some = submit_lines(s, 6, "{'command':['true'],'queue':'m'}");
    cr_assert_eq(lines_with(some, "\"state\":\"queued\""), 6);
    AUTO_RESPONSE rest = submit_lines(s, 6, "{'command':['true'],'queue':'m'}");
    cr_assert_eq(lines_with(rest, "\"state\":\"queued\""), 2);
    cr_assert_eq(lines_with(rest, "/problems/queue-limit"), 4);
    cr_assert_not_null(strstr(rest->body, "\"line\":2"), "the first one that is too much");
    cr_assert_null(strstr(rest->body, "\"line\":1"));
    cr_assert_eq(count_in(s, "m", "queued"), 8);
}

SERVER_TEST(queue_limits, max_length_refuses_a_batch_that_has_no_room)
{
    put_queue(s, "m", "{'max_length':5,'paused':true}");
    AUTO_RESPONSE fits = http(s, "POST", "/v1/batches",
                              "{'command':['true'],'items':[1,2,3],'queue':'m','max_parallel':1}",
                              NULL);
    expect_status(fits, 202);
    AUTO_RESPONSE too_many = http(s, "POST", "/v1/batches",
                                  "{'command':['true'],'items':[1,2,3],'queue':'m'}", NULL);
    expect_problem(too_many, 429, "queue-limit");
    cr_assert_eq(count_in(s, "m", "queued"), 1);
    cr_assert_eq(count_in(s, "m", "blocked"), 2, "nothing of the other batch was stored");
}

SERVER_TEST(queue_limits, a_replay_knows_which_lines_were_refused)
{
    put_queue(s, "m", "{'max_length':2,'paused':true}");
    AUTO_TEXT lines = json_of(
        "{'command':['true'],'queue':'m'}\n{'command':['true'],'queue':'m'}\n"
        "{'command':['true'],'queue':'m'}\n{'command':['true'],'queue':'o'}\n");
    static const char *const headers[] = {"Content-Type: application/x-ndjson",
                                          "Idempotency-Key: k", NULL};
    struct call call = {.method = "POST",
                        .path = "/v1/jobs",
                        .body = lines,
                        .body_len = strlen(lines),
                        .headers = headers};
    AUTO_RESPONSE first = http_send(s, &call);
    expect_status(first, 200);
    cr_assert_eq(lines_with(first, "\"state\":\"queued\""), 2, "%s", first->body);
    cr_assert_eq(lines_with(first, "/problems/queue-limit"), 2, "%s", first->body);
    AUTO_RESPONSE second = http_send(s, &call);
    expect_status(second, 200);
    expect_header(second, "Idempotency-Replayed", "true");
    cr_assert_eq(lines_with(second, "\"state\":\"queued\""), 2, "%s", second->body);
    cr_assert_eq(lines_with(second, "\"line\":"), 2, "%s", second->body);
    cr_assert_eq(memcmp(first->body, second->body, 40), 0, "the same job comes first");
}
