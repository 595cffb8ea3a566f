/* SPDX-License-Identifier: MIT */
/* What lets elements begin and what stops them: max_parallel, max_failures, cancel, retry. */
#include "integration/harness_batch.h"

/* When an element ran, in µs of its answer. */
struct span {
    char started[32], finished[32];
};

static struct span span_of(struct response *list, int i)
{
    struct span span;
    (void)snprintf(span.started, sizeof span.started, "%s",
                   json_text(list, text_of("items.%d.times.started", i).s));
    (void)snprintf(span.finished, sizeof span.finished, "%s",
                   json_text(list, text_of("items.%d.times.finished", i).s));
    return span;
}

/* The most elements that ran at one moment: RFC 3339 in UTC sorts as text. */
static int most_at_once(struct server *s, struct job_ref batch, int n)
{
    struct span *spans = need_alloc((size_t)n * sizeof *spans);
    int most = 0;
    AUTO_RESPONSE list = http_get(s, "/v1/jobs?batch=%s&order=oldest&limit=1000", batch.id);
    for (int i = 0; i < n; i++)
        spans[i] = span_of(list, i);
    for (int i = 0; i < n; i++) {
        int at_once = 0;
        for (int k = 0; k < n; k++)
            at_once += strcmp(spans[k].started, spans[i].started) <= 0 &&
                       strcmp(spans[k].finished, spans[i].started) > 0;
        most = at_once > most ? at_once : most;
    }
    free(spans);
    return most;
}

SERVER_TEST_WITH(batches, no_more_than_max_parallel_are_queued_or_running, .workers = 4)
{
    struct job_ref batch = batch_submit(
        s, "{'command':['sleep','0.0{}'],'items':[1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8,9,1,2,3,4,5,6],"
           "'max_parallel':3}");
    uint64_t until = deadline_in(60);
    for (bool done = false; !done;) {
        AUTO_RESPONSE r = batch_show(s, batch);
        int64_t active = json_int(r, "counts.queued") + json_int(r, "counts.running");
        cr_assert_leq(active, 3);
        if (!json_bool(r, "done") && json_int(r, "counts.blocked") > 0)
            cr_assert_eq(active, 3, "as many as may begin, do");
        done = json_bool(r, "done");
        CHECK(!deadline_passed(until), "%s", r->body);
    }
    int most = most_at_once(s, batch, 24);
    cr_assert_leq(most, 3);
    cr_assert_geq(most, 2, "they do run beside each other");
}

SERVER_TEST(batches, elements_are_let_in_by_their_index)
{
    struct job_ref batch = batch_submit(
        s, "{'command':['true'],'items':[0,1,2,3,4,5,6,7,8,9],'max_parallel':1}");
    AUTO_RESPONSE end = batch_await(s, batch);
    expect_text(end, "state", "succeeded");
    AUTO_RESPONSE list = http_get(s, "/v1/jobs?batch=%s&order=oldest", batch.id);
    for (int i = 1; i < 10; i++)
        cr_assert_leq(strcmp(json_text(list, text_of("items.%d.times.finished", i - 1).s),
                             json_text(list, text_of("items.%d.times.started", i).s)),
                      0, "element %d began before the one before it had ended", i);
}

SERVER_TEST(batches, max_parallel_holds_over_kill_9_and_for_items_that_come_later)
{
    struct text gate = fifo_make(s, "gate");
    struct job_ref batch = batch_submit(
        s,
        "{'command':['sh','-c','cat %s'],'items':[1,2],'max_parallel':1,'open':true,"
        "'retry':{'max_attempts':9,'delay':0,'on':['lost']}}",
        gate.s);
    AWAIT(batch_count(s, batch, "running") == 1, 20);
    server_kill(s);
    server_restart(s, NULL);
    AUTO_RESPONSE more = batch_post(s, batch, "jobs", "{'items':[3]}");
    expect_int(more, "total", 3);
    AWAIT(batch_count(s, batch, "running") == 1, 20);
    AUTO_RESPONSE r = batch_show(s, batch);
    expect_int(r, "counts.blocked", 2);
    for (int i = 0; i < 3; i++) {
        fifo_release(gate.s);
        AWAIT(batch_count(s, batch, "succeeded") == i + 1, 20);
    }
    AUTO_RESPONSE closed = batch_post(s, batch, "close", NULL);
    expect_text(closed, "state", "succeeded");
}

/* More than the workers of a busy machine have in hand before the second failure is seen. */
#define LIMITED 200

SERVER_TEST(batches, max_failures_stops_the_rest_and_lets_running_ones_end)
{
    struct text gate = fifo_make(s, "gate");
    AUTO_TEXT items = need_alloc(8 * LIMITED);
    size_t len = 0;
    for (int i = 1; i < LIMITED; i++)
        len += (size_t)snprintf(items + len, 8, ",%d", i);
    struct job_ref batch = batch_submit(
        s,
        "{'command':['sh','-c','[ {} = wait ] && cat %s; [ {} = wait ]'],"
        "'items':['wait'%s],'max_failures':2}",
        gate.s, items);
    /* One that a worker had taken before goes on to its end too. */
    AWAIT(batch_count(s, batch, "cancelled") > 0 && batch_count(s, batch, "running") == 1, 20);
    AUTO_RESPONSE halted = batch_show(s, batch);
    expect_text(halted, "phase", "halted");
    cr_assert_not(json_bool(halted, "done"), "one runs still");
    expect_int(halted, "counts.running", 1);
    expect_int(halted, "counts.queued", 0);
    int64_t failed = json_int(halted, "counts.failed");
    cr_assert_geq(failed, 2);
    fifo_release(gate.s);
    AUTO_RESPONSE end = batch_await(s, batch);
    expect_text(end, "state", "failed");
    expect_int(end, "counts.succeeded", 1);
    expect_int(end, "counts.failed", failed);
    expect_int(end, "counts.cancelled", LIMITED - 1 - failed);
    AUTO_RESPONSE last = job_show(s, element_of(s, batch, LIMITED - 1));
    expect_text(last, "state", "cancelled");
    expect_text(last, "error.detail", "The batch was halted: max_failures is 2");
}

SERVER_TEST(batches, in_a_halted_batch_nothing_is_tried_again)
{
    struct job_ref batch = batch_submit(
        s, "{'command':['false'],'items':[1,2,3,4],'max_parallel':1,'max_failures':1,"
           "'retry':{'max_attempts':2,'delay':0}}");
    AUTO_RESPONSE end = batch_await(s, batch);
    expect_text(end, "state", "failed");
    expect_int(end, "counts.failed", 1);
    expect_int(end, "counts.cancelled", 3);
    AUTO_RESPONSE first = job_show(s, element_of(s, batch, 0));
    expect_int(first, "attempt", 2);
}

SERVER_TEST(batches, cancel_ends_the_rest_running_ones_included)
{
    struct job_ref batch = batch_submit(
        s, "{'command':['sh','-c','[ {} = 0 ] || sleep 60'],'items':[0,1,2,3,4,5]}");
    AWAIT(batch_count(s, batch, "succeeded") == 1 && batch_count(s, batch, "running") > 0, 20);
    AUTO_RESPONSE r = http(s, "POST", text_of("/v1/batches/%s/cancel", batch.id).s,
                           "{'reason':'enough'}", "Prefer: wait=20", NULL);
    expect_status(r, 200);
    expect_int(r, "cancelled", 5);
    expect_text(r, "batch.state", "cancelled");
    expect_int(r, "batch.counts.cancelled", 5);
    expect_int(r, "batch.counts.succeeded", 1);
    AUTO_RESPONSE last = job_show(s, element_of(s, batch, 5));
    expect_text(last, "error.detail", "enough");
    AUTO_RESPONSE again = batch_post(s, batch, "cancel", NULL);
    expect_status(again, 200);
    expect_int(again, "cancelled", 0);
}

SERVER_TEST(batches, cancel_by_index_leaves_the_others_alone)
{
    struct job_ref batch = batch_submit(
        s, "{'command':['true'],'delay':'1h','items':[0,1,2,3,4,5,6,7,8,9]}");
    AUTO_RESPONSE r = batch_post(s, batch, "cancel", "{'indexes':'1-3,9','reason':'these'}");
    expect_status(r, 200);
    expect_int(r, "cancelled", 4);
    expect_int(r, "batch.counts.scheduled", 6);
    expect_text(r, "batch.phase", "closed");
    AUTO_RESPONSE second = batch_post(s, batch, "cancel", "{'indexes':'3-4'}");
    expect_int(second, "cancelled", 1);
    AUTO_RESPONSE one = job_show(s, element_of(s, batch, 9));
    expect_text(one, "state", "cancelled");
    expect_text(one, "error.detail", "these");
    AUTO_RESPONSE other = job_show(s, element_of(s, batch, 5));
    expect_text(other, "state", "scheduled");
    static const char *const wrong[] = {"", "a", "1-", "-1", "3-1", "1,,2", "1,", "0-10"};
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        AUTO_RESPONSE no = batch_post(s, batch, "cancel", text_of("{'indexes':'%s'}", wrong[i]).s);
        expect_invalid(no, "/indexes");
    }
    AUTO_RESPONSE member = batch_post(s, batch, "retry", "{'reason':'x'}");
    expect_invalid(member, "/reason");
}

SERVER_TEST(batches, cancelling_one_that_runs_lets_the_next_one_in)
{
    struct job_ref batch = batch_submit(
        s, "{'command':['sh','-c','[ {} = 2 ] || sleep 60'],'items':[0,1,2],'max_parallel':1}");
    AWAIT(batch_count(s, batch, "running") == 1, 20);
    AUTO_RESPONSE r = batch_post(s, batch, "cancel", "{'indexes':'0-1'}");
    expect_status(r, 202);
    expect_int(r, "cancelled", 2);
    AUTO_RESPONSE end = batch_await(s, batch);
    expect_int(end, "counts.cancelled", 2);
    expect_int(end, "counts.succeeded", 1);
}

SERVER_TEST(batches, retry_runs_those_that_failed_once_more)
{
    struct text flag = text_of("%s/flag", s->scratch);
    struct job_ref batch = batch_submit(
        s, "{'command':['sh','-c','[ {} = 1 ] || [ -e %s ]'],'items':[0,1,2,3],'max_parallel':1}",
        flag.s);
    AUTO_RESPONSE first = batch_await(s, batch);
    expect_int(first, "counts.failed", 3);
    expect_int(first, "failed_first", 0);
    file_make(flag.s);
    AUTO_RESPONSE r = batch_post(s, batch, "retry", NULL);
    expect_status(r, 202);
    expect_int(r, "retried", 3);
    AUTO_RESPONSE end = batch_await(s, batch);
    expect_text(end, "state", "succeeded");
    expect_int(end, "counts.succeeded", 4);
    cr_assert(json_is_null(end, "failed_first"));
    AUTO_RESPONSE job = job_show(s, element_of(s, batch, 3));
    expect_int(job, "attempt", 2);
    AUTO_RESPONSE untouched = job_show(s, element_of(s, batch, 1));
    expect_int(untouched, "attempt", 1);
    AUTO_RESPONSE none = batch_post(s, batch, "retry", NULL);
    expect_int(none, "retried", 0);
}

SERVER_TEST(batches, retry_by_index_takes_any_that_has_ended_and_wakes_a_halted_batch)
{
    struct job_ref batch = batch_submit(
        s, "{'command':['echo','{}'],'delay':'1h','items':['a','b','c']}");
    AUTO_RESPONSE cancelled = batch_post(s, batch, "cancel", NULL);
    expect_status(cancelled, 200);
    expect_text(cancelled, "batch.phase", "halted");
    AUTO_RESPONSE r = batch_post(s, batch, "retry", "{'indexes':'0,2'}");
    expect_status(r, 202);
    expect_int(r, "retried", 2);
    expect_text(r, "batch.phase", "closed");
    AUTO_RESPONSE end = batch_await(s, batch);
    expect_int(end, "counts.succeeded", 2);
    expect_int(end, "counts.cancelled", 1);
    expect_text(end, "state", "cancelled");
    expect_output(s, element_of(s, batch, 2), "stdout", "c\n");
}

SERVER_TEST(batches, a_long_batch_is_cancelled_whole_also_over_kill_9)
{
    enum { N = 30000 };
    struct text_builder b = {0};
    text_add(&b, "{\"command\":[\"true\"],\"delay\":\"1h\",\"items\":[0");
    for (int i = 1; i < N; i++)
        text_add(&b, ",%d", i % 10);
    text_add(&b, "]}");
    struct call call = {.method = "POST", .path = "/v1/batches", .body = b.text, .body_len = b.len};
    AUTO_RESPONSE r = http_send(s, &call);
    text_free(&b);
    struct job_ref batch = job_of(r);
    AUTO_RESPONSE asked = batch_post(s, batch, "cancel", NULL);
    expect_int(asked, "cancelled", N);
    server_kill(s);
    server_restart(s, NULL);
    AUTO_RESPONSE end = batch_await(s, batch);
    expect_text(end, "state", "cancelled");
    expect_int(end, "counts.cancelled", N);
    AUTO_RESPONSE left = http_get(s, "/v1/jobs?batch=%s&state=scheduled&order=oldest", batch.id);
    cr_assert_eq(cJSON_GetArraySize(json_find(left, "items")), 0);
}

/* Elements of one chunk: each begins after the one before it has ended. */
static void expect_one_after_another(struct server *s, struct job_ref batch, int from, int to)
{
    AUTO_RESPONSE list = http_get(s, "/v1/jobs?batch=%s&order=oldest&limit=1000", batch.id);
    for (int i = from + 1; i < to; i++) {
        struct span before = span_of(list, i - 1), span = span_of(list, i);
        cr_assert_leq(strcmp(before.finished, span.started), 0, "%d began at %s, %d ended at %s", i,
                      span.started, i - 1, before.finished);
    }
}

SERVER_TEST_WITH(batches, elements_of_a_chunk_run_one_after_another, .workers = 4)
{
    struct job_ref batch = batch_submit(s, "{'command':['sh','-c','sleep 0.01','{}'],'chunksize':5,"
                                           "'items':[0,1,2,3,4,5,6,7,8,9,10,11]}");
    AUTO_RESPONSE before = batch_show(s, batch);
    expect_int(before, "chunksize", 5);
    AUTO_RESPONSE end = batch_await(s, batch);
    expect_text(end, "state", "succeeded");
    expect_one_after_another(s, batch, 0, 5);
    expect_one_after_another(s, batch, 5, 10);
    expect_one_after_another(s, batch, 10, 12);
    int most = most_at_once(s, batch, 12);
    cr_assert_leq(most, 3, "three chunks");
    cr_assert_geq(most, 2, "chunks run beside each other");
}

SERVER_TEST_WITH(batches, chunks_hold_for_uploads_retries_cancels_and_over_kill_9, .workers = 4)
{
    struct job_ref batch = batch_submit(
        s, "{'command':['sh','-c','sleep 0.02; [ $GANGER_ATTEMPT -gt 1 ]'],'chunksize':4,"
           "'items':[0,1],'open':true,'retry':{'max_attempts':1,'on':['lost']}}");
    AUTO_RESPONSE more = batch_post(s, batch, "jobs", "{'items':[2,3,4,5]}");
    expect_int(more, "total", 6);
    AUTO_RESPONSE cut = batch_post(s, batch, "cancel", "{'indexes':'3'}");
    expect_status(cut, 200);
    server_kill(s);
    server_restart(s, NULL);
    AUTO_RESPONSE closed = batch_post(s, batch, "close", NULL);
    AUTO_RESPONSE end = batch_await(s, batch);
    expect_int(end, "counts.cancelled", 1);
    AUTO_RESPONSE again = batch_post(s, batch, "retry", "{'indexes':'0-5'}");
    expect_int(again, "retried", 6);
    cr_assert_leq(json_int(again, "batch.counts.queued") + json_int(again, "batch.counts.running"),
                  2, "one of each chunk");
    AUTO_RESPONSE last = batch_await(s, batch);
    expect_int(last, "counts.succeeded", json_int(last, "total") - json_int(last, "counts.failed"));
    expect_one_after_another(s, batch, 0, 4);
    expect_one_after_another(s, batch, 4, 6);
    AUTO_RESPONSE both = http(s, "POST", "/v1/batches",
                              "{'command':['true'],'items':[1],'chunksize':2,'max_parallel':1}",
                              NULL);
    expect_invalid(both, "/max_parallel");
}

/* Whoever is deleted as soon as it has ended may be gone before its end is worked off. */
SERVER_TEST_WITH(batches, an_element_deleted_at_its_end_lets_the_next_of_its_chunk_in, .workers = 1)
{
    enum { ITEMS = 40 };
    struct job_ref batch = batch_submit(
        s, "{'command':['true'],'chunksize':50,'open':true,'delay':'1s','items':[0]}");
    struct text_builder items = {0};
    text_add(&items, "{\"items\":[1");
    for (int i = 2; i < ITEMS; i++)
        text_add(&items, ",%d", i);
    text_add(&items, "]}");
    AUTO_RESPONSE more = batch_post(s, batch, "jobs", items.text);
    expect_status(more, 202);
    text_free(&items);
    AUTO_RESPONSE closed = batch_post(s, batch, "close", NULL);
    expect_status(closed, 200);
    for (int i = 0; i < ITEMS; i++) {
        struct job_ref job = element_of(s, batch, i);
        for (;;) {
            AUTO_RESPONSE r = http(s, "DELETE", text_of("/v1/jobs/%s", job.id).s, NULL, NULL);
            if (r->status == 204)
                break;
            expect_problem(r, 409, "state-conflict");
        }
    }
    AUTO_RESPONSE end = batch_await(s, batch);
    expect_int(end, "counts.succeeded", ITEMS);
    cr_assert_not(server_log_has(s, "transaction not stored"));
}

/* Nothing of it was left that could let the others in. */
SERVER_TEST(batches, a_cancelled_batch_that_is_retried_keeps_to_its_limit_and_ends)
{
    struct job_ref batch = batch_submit(
        s, "{'command':['true'],'max_parallel':1,'delay':'1h','items':[0,1,2,3,4,5]}");
    AUTO_RESPONSE cancelled = batch_post(s, batch, "cancel", NULL);
    AUTO_RESPONSE over = batch_await(s, batch);
    expect_int(over, "counts.cancelled", 6);
    AUTO_RESPONSE again = batch_post(s, batch, "retry", "{'indexes':'0-3'}");
    expect_int(again, "retried", 4);
    AUTO_RESPONSE end = batch_await(s, batch);
    expect_int(end, "counts.succeeded", 4);
    AUTO_RESPONSE halted = batch_post(s, batch, "cancel", NULL);
    AUTO_RESPONSE one = http(s, "POST", text_of("/v1/jobs/%s/retry", element_of(s, batch, 5).id).s,
                             NULL, NULL);
    expect_status(one, 202);
    AUTO_RESPONSE last = batch_await(s, batch);
    expect_int(last, "counts.succeeded", 5);
}

/* Cancelled, it waits for its parents no more: retried, it runs without them. */
SERVER_TEST(batches, a_batch_cancelled_while_it_waits_can_be_retried)
{
    static const char *const limits[] = {"'chunksize':3", "'max_parallel':2"};
    struct job_ref parent = job_submit(s, "{'command':['true'],'delay':'1h'}");
    for (size_t i = 0; i < COUNT_OF(limits); i++) {
        struct job_ref batch = batch_submit(
            s, "{'command':['true'],'depends_on':['%s'],%s,'items':[0,1,2,3,4,5]}", parent.id,
            limits[i]);
        AUTO_RESPONSE cancelled = batch_post(s, batch, "cancel", NULL);
        AUTO_RESPONSE over = batch_await(s, batch);
        expect_text(over, "state", "cancelled");
        AUTO_RESPONSE again = batch_post(s, batch, "retry", "{'indexes':'0-5'}");
        expect_int(again, "retried", 6);
        AUTO_RESPONSE end = batch_await(s, batch);
        expect_int(end, "counts.succeeded", 6);
    }
}

/* Its chunks begin with what is left of them. */
SERVER_TEST(batches, a_chunk_whose_first_was_cancelled_while_the_batch_waited_runs)
{
    struct text hold = fifo_make(s, "hold");
    struct job_ref parent = job_submit(s, "{'command':['cat','%s']}", hold.s);
    struct job_ref batch = batch_submit(
        s, "{'command':['true'],'depends_on':['%s'],'chunksize':3,'items':[0,1,2,3,4,5,6]}",
        parent.id);
    AUTO_RESPONSE cancelled = batch_post(s, batch, "cancel", "{'indexes':'0,3-4,6'}");
    expect_int(cancelled, "cancelled", 4);
    fifo_release(hold.s);
    AUTO_RESPONSE end = batch_await(s, batch);
    expect_int(end, "counts.succeeded", 3);
    expect_int(end, "counts.cancelled", 4);
}
