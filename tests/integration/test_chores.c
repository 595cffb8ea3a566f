/* SPDX-License-Identifier: MIT */
/* Verbs on many jobs go on to their end once they are accepted: over a closed connection, and over
 * kill -9. */
#include "integration/harness_batch.h"

#include <unistd.h>

#define RUNS_TRUE "\"command\":[\"true\"],"
#define N 6000 /* elements: several turns of each verb */

/* So many elements that wait in a paused queue. */
static struct job_ref waiting_batch_of(struct server *s, int n, const char *extra)
{
    struct text_builder b = {0};
    AUTO_RESPONSE queue = http(s, "PUT", "/v1/queues/p", "{'paused':true}", NULL);
    text_add(&b, "{%s\"queue\":\"p\",\"items\":[0", extra);
    for (int i = 1; i < n; i++)
        text_add(&b, ",%d", i % 10);
    text_add(&b, "]}");
    struct call call = {.method = "POST", .path = "/v1/batches", .body = b.text, .body_len = b.len};
    AUTO_RESPONSE r = http_send(s, &call);
    text_free(&b);
    expect_status(r, 202);
    return job_of(r);
}

static struct job_ref waiting_batch(struct server *s, const char *extra)
{
    return waiting_batch_of(s, N, extra);
}

static struct job_ref cancelled_batch_as(struct server *s, int n, const char *extra)
{
    struct job_ref batch = waiting_batch_of(s, n, extra);
    AUTO_RESPONSE cancelled = batch_post(s, batch, "cancel", NULL);
    AUTO_RESPONSE over = batch_await(s, batch);
    expect_int(over, "counts.cancelled", n);
    return batch;
}

static struct job_ref cancelled_batch(struct server *s)
{
    return cancelled_batch_as(s, N, RUNS_TRUE);
}

/* Sends it and is gone. */
static void ask_and_leave(struct server *s, const char *target, const char *body)
{
    struct conn *c = conn_open(s);
    cr_assert(conn_request(c, s, target, "", body));
    conn_close(c);
}

/* Every other one, then all: more ranges than are read at a time. */
static struct text_builder many_ranges(void)
{
    struct text_builder b = {0};
    text_add(&b, "{'indexes':'0");
    for (int i = 2; i < 800; i += 2)
        text_add(&b, ",%d", i);
    text_add(&b, ",0-%d'}", N - 1);
    return b;
}

SERVER_TEST(chores, a_cancel_by_index_goes_on_when_its_client_has_left)
{
    struct job_ref batch = waiting_batch(s, RUNS_TRUE);
    struct text_builder body = many_ranges();
    ask_and_leave(s, text_of("POST /v1/batches/%s/cancel", batch.id).s, body.text);
    text_free(&body);
    AWAIT(batch_count(s, batch, "cancelled") == N, 60);
}

SERVER_TEST(chores, a_retry_goes_on_when_its_client_has_left)
{
    struct job_ref batch = cancelled_batch(s);
    ask_and_leave(s, text_of("POST /v1/batches/%s/retry", batch.id).s, "{'indexes':'0-5999'}");
    AWAIT(batch_count(s, batch, "queued") == N, 60);
}

SERVER_TEST(chores, a_purge_goes_on_when_its_client_has_left)
{
    struct job_ref queued = waiting_batch(s, RUNS_TRUE);
    struct job_ref scheduled = waiting_batch(s, RUNS_TRUE "\"delay\":\"1h\",");
    ask_and_leave(s, "POST /v1/queues/p/purge", NULL);
    AWAIT(batch_count(s, queued, "cancelled") == N, 60);
    AWAIT(batch_count(s, scheduled, "cancelled") == N, 60);
}

SERVER_TEST(chores, who_stays_hears_the_whole_number)
{
    struct job_ref batch = cancelled_batch(s);
    AUTO_RESPONSE again = batch_post(s, batch, "retry", "{'indexes':'0-5999'}");
    expect_status(again, 202);
    expect_int(again, "retried", N);
    struct text_builder body = many_ranges();
    AUTO_RESPONSE stopped = batch_post(s, batch, "cancel", body.text);
    text_free(&body);
    expect_status(stopped, 200);
    expect_int(stopped, "cancelled", N);
    (void)waiting_batch(s, RUNS_TRUE "\"delay\":\"1h\",");
    AUTO_RESPONSE purged = http(s, "POST", "/v1/queues/p/purge", NULL, NULL);
    expect_int(purged, "purged", N);
}

/* Each has its turn: a short one is not held up by a long one. */
SERVER_TEST(chores, several_go_on_beside_each_other)
{
    struct job_ref a = cancelled_batch(s), b = cancelled_batch(s);
    ask_and_leave(s, text_of("POST /v1/batches/%s/retry", a.id).s, "{'indexes':'0-5999'}");
    ask_and_leave(s, text_of("POST /v1/batches/%s/retry", b.id).s, "{'indexes':'0-5999'}");
    AWAIT(batch_count(s, a, "queued") == N && batch_count(s, b, "queued") == N, 60);
}

static bool is_retried(struct server *s, struct job_ref batch)
{
    AUTO_RESPONSE again = batch_post(s, batch, "retry", "{'indexes':'7'}");
    return again->status == 202 && json_int(again, "retried") == 1;
}

/* The batch is cancelled while it is retried: what is left of the retry is refused. */
SERVER_TEST(chores, what_is_refused_in_the_middle_ends_it)
{
    struct job_ref batch = cancelled_batch(s);
    ask_and_leave(s, text_of("POST /v1/batches/%s/retry", batch.id).s, "{'indexes':'0-5999'}");
    AWAIT(batch_count(s, batch, "queued") > 0, 60);
    AUTO_RESPONSE cancelled = batch_post(s, batch, "cancel", NULL);
    AWAIT(batch_count(s, batch, "cancelled") == N, 60);
    AWAIT(is_retried(s, batch), 60); /* not before the cancel, too, knows that it is over */
}

#define ONE_TURN 4000 /* elements that are cancelled by one turn, and retried by several */

/* The cancel is over in one turn, before the next step of the retry: that must not bring the batch
 * back. */
SERVER_TEST(chores, a_cancel_of_the_whole_ends_its_retry)
{
    struct job_ref batch = cancelled_batch_as(s, ONE_TURN, RUNS_TRUE);
    AUTO_CONN c = conn_open(s);
    cr_assert(conn_request(c, s, text_of("POST /v1/batches/%s/retry", batch.id).s, "",
                           "{'indexes':'0-3999'}"));
    AWAIT(batch_count(s, batch, "queued") > 0, 60);
    AUTO_RESPONSE cancelled = batch_post(s, batch, "cancel", NULL);
    cr_assert(conn_await_end(c, 60));
    AWAIT(batch_count(s, batch, "cancelled") == ONE_TURN, 60);
    AUTO_RESPONSE over = batch_await(s, batch);
    expect_text(over, "state", "cancelled");
}

/* So does the batch's own limit, when what was tried again first fails: the rest stays as it was.
 */
SERVER_TEST(chores, max_failures_ends_a_retry)
{
    struct job_ref batch = cancelled_batch_as(s, ONE_TURN,
                                              "\"command\":[\"false\"],\"max_failures\":1,");
    AUTO_RESPONSE resumed = http(s, "PUT", "/v1/queues/p", "{'paused':false}", NULL);
    AUTO_RESPONSE refused = batch_post(s, batch, "retry", "{'indexes':'0-3999'}");
    expect_status(refused, 409);
    AUTO_RESPONSE over = batch_await(s, batch);
    expect_text(over, "state", "failed");
    int64_t failed = json_int(over, "counts.failed"); /* with those that workers had taken */
    cr_assert(failed >= 1 && failed < 100, "%lld", (long long)failed);
    expect_int(over, "counts.cancelled", ONE_TURN - failed);
}

static const struct server_options plain = {.workers = 2};

/* The server dies in the middle, before the third step of the rest. */
#define DYING_TEST(name) \
    SERVER_TEST_WITH(chores, name, .env = {"GANGER_FP=chore-step:kill:3"}, .workers = 2)

static void start_again(struct server *s)
{
    cr_assert_eq(server_wait_exit(s, 60), 128 + 9);
    server_restart(s, &plain);
}

DYING_TEST(a_cancel_by_index_goes_on_after_kill_9)
{
    struct job_ref batch = waiting_batch(s, RUNS_TRUE);
    struct text_builder body = many_ranges();
    ask_and_leave(s, text_of("POST /v1/batches/%s/cancel", batch.id).s, body.text);
    text_free(&body);
    start_again(s);
    AWAIT(batch_count(s, batch, "cancelled") == N, 60);
}

DYING_TEST(a_retry_goes_on_after_kill_9)
{
    struct job_ref batch = cancelled_batch(s);
    ask_and_leave(s, text_of("POST /v1/batches/%s/retry", batch.id).s, "{'indexes':'0-5999'}");
    start_again(s);
    AWAIT(batch_count(s, batch, "queued") == N, 60);
}

DYING_TEST(a_purge_goes_on_after_kill_9)
{
    struct job_ref queued = waiting_batch(s, RUNS_TRUE);
    struct job_ref scheduled = waiting_batch(s, RUNS_TRUE "\"delay\":\"1h\",");
    ask_and_leave(s, "POST /v1/queues/p/purge", NULL);
    start_again(s);
    AWAIT(batch_count(s, queued, "cancelled") == N, 60);
    AWAIT(batch_count(s, scheduled, "cancelled") == N, 60);
}

/* What the store does not take for a moment is done later. */
SERVER_TEST_WITH(chores, a_refusing_store_does_not_end_it, .env = {"GANGER_FP=chore-step:error:3"},
                 .workers = 2)
{
    struct job_ref batch = cancelled_batch(s);
    ask_and_leave(s, text_of("POST /v1/batches/%s/retry", batch.id).s, "{'indexes':'0-5999'}");
    AWAIT(batch_count(s, batch, "queued") == N, 60);
}
