/* SPDX-License-Identifier: MIT */
/* Results of a batch: map, imap, imap_unordered and as_completed over HTTP. */
#include "integration/harness_items.h"

#define SSE "Accept: text/event-stream\r\n"
#define LINES "Accept: application/x-ndjson\r\n"

static struct text results_of(struct job_ref batch, const char *query)
{
    return text_of("/v1/batches/%s/results%s", batch.id, query);
}

/* Three elements that each wait for a pipe. */
static struct job_ref held_batch(struct server *s, struct text hold[3])
{
    for (int i = 0; i < 3; i++)
        hold[i] = fifo_make(s, text_of("hold-%d", i).s);
    return batch_submit(s,
                        "{'command':['sh','-c','cat {}; echo {index}'],'items':['%s','%s','%s']}",
                        hold[0].s, hold[1].s, hold[2].s);
}

static void expect_order(const struct seen *seen, const int64_t *want, size_t n)
{
    for (size_t i = 0; i < n; i++)
        CHECK(i < seen->n && seen->index[i] == want[i], "item %zu is not %lld", i,
              (long long)want[i]);
}

/* No sign of life comes to the aid of a stream that waits for nothing. */
#define NO_BEATS "--http-heartbeat", "1m"

SERVER_TEST_WITH(results, come_as_they_complete_or_held_back_to_their_order, .workers = 3,
                 .args = {NO_BEATS})
{
    static const int64_t completed[] = {2, 0, 1}, ordered[] = {0, 1, 2};
    struct text hold[3];
    struct job_ref batch = held_batch(s, hold);
    AUTO_CONN unordered = items_open(s, results_of(batch, "").s, SSE);
    AUTO_CONN in_order = items_open(s, results_of(batch, "?order=index").s, LINES);
    for (size_t i = 0; i < 3; i++) {
        fifo_release(hold[completed[i]].s);
        cr_assert(items_await(unordered, i + 1, 20), "item %zu does not come", i);
        size_t whole = i == 0 ? 0 : i == 1 ? 1 : 3;
        cr_assert(items_await(in_order, whole, 20));
        cr_assert_not(whole < 3 && items_await(in_order, whole + 1, 0.1), "it is not held back");
    }
    cr_assert(conn_await_end(unordered, 20) && conn_await_end(in_order, 20));
    struct seen a = {0}, b = {0};
    cr_assert_eq(items_take(&a, unordered, 0, 10), 3);
    cr_assert_eq(items_take(&b, in_order, 0, 10), 3);
    expect_order(&a, completed, 3);
    expect_order(&b, ordered, 3);
    cr_assert(a.has_end && b.has_end);
    cr_assert(strstr(unordered->body, "id: 1\nevent: result\ndata: {\"seq\":1,\"index\":2,") !=
              NULL);
    cr_assert(strstr(unordered->body,
                     "event: end\ndata: {\"end\":true,\"done\":true,"
                     "\"state\":\"succeeded\",\"items\":3,\"after\":3}\n\n") != NULL,
              "%s", unordered->body);
    cr_assert(strstr(in_order->body, "\"value\":\"2\\n\"}\n{\"end\":true,") != NULL, "%s",
              in_order->body);
}

static const char *without_beats(const char *lines)
{
    return lines + strspn(lines, "\n");
}

/* A stream that has seen all ends but the newest is handed that one when it is small; all others
 * are read. */
SERVER_TEST(results, what_a_follower_gets_is_what_is_stored)
{
    static const char *const commands[] = {
        "true",   "echo text",     "printf \\\\\\\\377", "seq 400",
        "exit 3", "echo lost >&2", "printf 512",
    };
    struct job_ref batch = batch_submit(s, "{'command':['sh','-c','{}'],'items':[],'open':true}");
    AUTO_CONN live = items_open(s, results_of(batch, "").s, LINES);
    for (size_t i = 0; i < COUNT_OF(commands); i++) {
        struct text body = text_of("{\"items\":[\"%s\"]}", commands[i]);
        AUTO_RESPONSE added = batch_post(s, batch, "jobs", body.s);
        expect_status(added, 202);
        cr_assert(items_await(live, i + 1, 20), "%s: no line", commands[i]);
    }
    AUTO_RESPONSE closed = batch_post(s, batch, "close", NULL);
    expect_status(closed, 200);
    cr_assert(conn_await_end(live, 20));
    AUTO_CONN stored = items_open(s, results_of(batch, "").s, LINES);
    cr_assert(conn_await_end(stored, 20));
    cr_assert_str_eq(without_beats(live->body), without_beats(stored->body));
    cr_assert(strstr(live->body, "\"value\":\"text\\n\"") != NULL, "%s", live->body);
}

/* Each one comes while the stream is busy with one before it, or about to wait again. */
SERVER_TEST_WITH(results, none_is_missed_between_two_waits, .args = {NO_BEATS})
{
    for (int round = 0; round < 10; round++) {
        struct job_ref batch = batch_submit(s, "{'command':['true'],'items':[],'open':true}");
        AUTO_CONN live = items_open(s, results_of(batch, "").s, LINES);
        for (size_t i = 0; i < 20; i++) {
            AUTO_RESPONSE added = batch_post(s, batch, "jobs", "{'items':[1,2,3]}");
            expect_status(added, 202);
        }
        cr_assert(items_await(live, 60, 20));
        AUTO_RESPONSE closed = batch_post(s, batch, "close", NULL);
        expect_status(closed, 200);
        cr_assert(conn_await_end(live, 20));
    }
}

/* imap: next(timeout) is one item behind the last one, within a time. */
SERVER_TEST_WITH(results, next_with_a_timeout, .workers = 3)
{
    struct text hold[3];
    struct job_ref batch = held_batch(s, hold);
    AUTO_CONN none = items_open(s, results_of(batch, "?order=index&after=0&limit=1&wait=0.3").s,
                                LINES);
    cr_assert(conn_await_end(none, 20));
    cr_assert(strstr(none->body, "{\"timeout\":true,\"unfinished\":3,\"of\":3}\n"
                                 "{\"end\":true,\"done\":false,\"state\":\"running\",\"items\":0,"
                                 "\"after\":0}\n") != NULL,
              "%s", none->body);
    fifo_release(hold[0].s);
    AUTO_CONN first = items_open(s, results_of(batch, "?order=index&after=0&limit=1&wait=20").s,
                                 LINES);
    cr_assert(conn_await_end(first, 20));
    struct seen seen = {0};
    cr_assert_eq(items_take(&seen, first, 0, 10), 1);
    cr_assert_eq(seen.last, 1);
    cr_assert(seen.has_end, "a limit ends the stream");
    fifo_release(hold[2].s);
    AUTO_CONN second = items_open(s, results_of(batch, "?order=index&after=1&limit=1&wait=0.3").s,
                                  SSE);
    cr_assert(conn_await_end(second, 20));
    cr_assert(strstr(second->body, "event: timeout\ndata: ") != NULL, "2 has ended, 1 has not");
    fifo_release(hold[1].s);
}

SERVER_TEST_WITH(results, an_array_when_no_stream_is_asked_for, .workers = 3)
{
    struct text hold[3];
    struct job_ref batch = held_batch(s, hold);
    AUTO_RESPONSE nothing = http_get(s, "%s", results_of(batch, "").s);
    expect_status(nothing, 200);
    expect_header(nothing, "Ganger-Done", "false");
    cr_assert_str_eq(nothing->body, "[]\n");
    fifo_release(hold[1].s);
    AUTO_RESPONSE one = http_get(s, "%s", results_of(batch, "?order=completed&limit=1&wait=20").s);
    expect_header(one, "Ganger-Done", "false");
    expect_int(one, "0.index", 1);
    expect_text(one, "0.value", "1\n");
    AUTO_RESPONSE prefix = http_get(s, "%s", results_of(batch, "").s);
    cr_assert_str_eq(prefix->body, "[]\n", "by index, 0 is missing");
    AUTO_CONN waits = conn_open(s);
    conn_request(waits, s, text_of("GET %s", results_of(batch, "?wait=50").s).s, "", NULL);
    AUTO_CONN two = conn_open(s);
    conn_request(two, s, text_of("GET %s", results_of(batch, "?limit=2").s).s,
                 "Prefer: wait=50\r\n", NULL);
    fifo_release(hold[0].s);
    cr_assert(conn_await_end(two, 20), "its two are there");
    cr_assert_str_eq(conn_header(two, "Ganger-Done").s, "false");
    cr_assert(strncmp(two->body, "[{\"seq\":1,\"index\":0,", 20) == 0, "%s", two->body);
    cr_assert_not(conn_await_bytes(waits, 1, 0.1), "the batch is not over");
    fifo_release(hold[2].s);
    cr_assert(conn_await_end(waits, 20));
    cr_assert_str_eq(conn_header(waits, "Ganger-Done").s, "true");
    AUTO_RESPONSE all = http_get(s, "%s", results_of(batch, "?order=completed").s);
    expect_header(all, "Ganger-Done", "true");
    expect_int(all, "0.index", 1);
    expect_int(all, "2.index", 2);
    AUTO_RESPONSE rest = http_get(s, "%s", results_of(batch, "?after=2").s);
    expect_int(rest, "0.index", 2);
    expect_int(rest, "0.seq", 3);
    cr_assert_eq(cJSON_GetArraySize(json_find(rest, "")), 1);
    AUTO_RESPONSE past = http_get(s, "%s", results_of(batch, "?after=3").s);
    cr_assert_str_eq(past->body, "[]\n");
    expect_header(past, "Ganger-Done", "true");
}

SERVER_TEST(results, what_is_wrong_is_named)
{
    struct job_ref batch = batch_submit(s, "{'command':['true'],'items':[]}");
    static const char *const queries[] = {"?order=random", "?after=-1", "?after=x", "?limit=0",
                                          "?limit=x",      "?wait=x",   "?cursor=1"};
    for (size_t i = 0; i < COUNT_OF(queries); i++) {
        AUTO_RESPONSE r = http_get(s, "%s", results_of(batch, queries[i]).s);
        expect_problem(r, 422, "invalid-request");
    }
    AUTO_RESPONSE unknown = http_get(s, "/v1/batches/01890000-0000-7000-8000-000000000000/results");
    expect_problem(unknown, 404, "not-found");
    struct job_ref job = job_submit(s, "{'command':['true']}");
    AUTO_RESPONSE no_batch = http_get(s, "%s", results_of(job, "").s);
    expect_problem(no_batch, 404, "not-found");
    AUTO_CONN empty = items_open(s, results_of(batch, "").s, SSE);
    cr_assert(conn_await_end(empty, 20), "an empty batch is over");
}

/* A client that is cut off after each single event, over and over, and one that comes back with
 * what it has: nothing is missing and nothing comes twice. */
SERVER_TEST(results, resume_at_every_boundary)
{
    enum { ITEMS = 40 };
    static const char *const orders[] = {"?order=completed", "?order=index"};
    struct text_builder items = {0};
    for (int i = 0; i < ITEMS; i++)
        text_add(&items, "%s%d", i == 0 ? "" : ",", i);
    struct job_ref batch = batch_submit(s, "{'command':['sh','-c','sleep 0.0{}'],'items':[%s]}",
                                        items.text);
    text_free(&items);
    for (size_t o = 0; o < COUNT_OF(orders); o++) {
        struct seen *seen = need_alloc(sizeof *seen);
        *seen = (struct seen){0};
        for (int connection = 0; !seen->has_end; connection++) {
            cr_assert_leq(connection, ITEMS + 1);
            struct text last = text_of("Last-Event-ID: %lld\r\n", (long long)seen->last);
            AUTO_CONN c = items_open(s, results_of(batch, orders[o]).s,
                                     text_of(SSE "%s", last.s).s);
            if (items_await(c, 1, 20))
                items_take(seen, c, 0, 1);
            else
                items_take(seen, c, 0, 0);
        }
        items_expect_each_once(seen, ITEMS);
        free(seen);
    }
}

SERVER_TEST(results, a_restart_in_the_middle_loses_and_doubles_nothing)
{
    enum { ITEMS = 120 };
    struct text_builder items = {0};
    for (int i = 0; i < ITEMS; i++)
        text_add(&items, "%s%d", i == 0 ? "" : ",", i);
    struct job_ref batch = batch_submit(
        s, "{'command':['sh','-c','sleep 0.01'],'retry':{'max_attempts':5,'delay':0},'items':[%s]}",
        items.text);
    text_free(&items);
    struct seen *seen = need_alloc(sizeof *seen);
    *seen = (struct seen){0};
    for (int round = 0; !seen->has_end; round++) {
        cr_assert_leq(round, 3);
        AUTO_CONN c = items_open(
            s, results_of(batch, text_of("?after=%lld", (long long)seen->last).s).s, LINES);
        (void)items_await(c, 20, 40);
        if (round < 3)
            server_kill(s); /* with the stream open */
        else
            cr_assert(conn_await_end(c, 20));
        items_take(seen, c, 0, ITEMS);
        if (round < 3)
            server_restart(s, NULL);
    }
    items_expect_each_once(seen, ITEMS);
    free(seen);
}

/* An element that is retried ends once more: whoever has seen its first end sees the second one,
 * whoever comes later sees only what counts. */
SERVER_TEST(results, a_retried_element_ends_once_more)
{
    struct text flag = text_of("%s/flag", s->scratch);
    struct job_ref batch = batch_submit(
        s, "{'command':['sh','-c','test {} = b || test -e %s'],'items':['a','b']}", flag.s);
    AUTO_RESPONSE over = batch_await(s, batch);
    expect_text(over, "state", "failed");
    AUTO_RESPONSE before = http_get(s, "%s", results_of(batch, "?order=completed").s);
    int64_t last = json_int(before, "1.seq");
    file_make(flag.s);
    struct job_ref element = element_of(s, batch, 0);
    AUTO_RESPONSE retried = http(s, "POST", text_of("/v1/jobs/%s/retry", element.id).s, NULL, NULL);
    expect_status(retried, 202);
    AUTO_RESPONSE again = batch_await(s, batch);
    expect_text(again, "state", "succeeded");
    AUTO_RESPONSE later = http_get(
        s, "%s", results_of(batch, text_of("?order=completed&after=%lld", (long long)last).s).s);
    cr_assert_eq(cJSON_GetArraySize(json_find(later, "")), 1);
    expect_int(later, "0.index", 0);
    expect_text(later, "0.state", "succeeded");
    AUTO_RESPONSE fresh = http_get(s, "%s", results_of(batch, "?order=completed").s);
    cr_assert_eq(cJSON_GetArraySize(json_find(fresh, "")), 2, "%s", fresh->body);
    expect_text(fresh, "0.state", "succeeded");
    expect_text(fresh, "1.state", "succeeded");
}

/* A reader that stalls costs the server nothing and loses nothing. */
SERVER_TEST_WITH(results, a_stalled_reader_gets_everything_later, .args = {"--store-cache", "1MiB"})
{
    enum { ITEMS = 200 };
    struct text_builder items = {0};
    for (int i = 0; i < ITEMS; i++)
        text_add(&items, "%s%d", i == 0 ? "" : ",", i);
    const long before_kib = proc_rss_kib(s->pid);
    struct job_ref batch = batch_submit(
        s, "{'command':['sh','-c','printf %%060000d {}'],'items':[%s]}", items.text);
    text_free(&items);
    AUTO_CONN c = conn_open(s);
    conn_request(c, s, text_of("GET %s", results_of(batch, "").s).s, SSE, NULL);
    AUTO_RESPONSE over = batch_await(s, batch);
    expect_text(over, "state", "succeeded");
    AUTO_RESPONSE alive = http_get(s, "/v1/stats");
    expect_status(alive, 200);
    const long grown_kib = proc_rss_kib(s->pid) - before_kib;
    if (slow_factor() == 1) /* sanitizers have memory of their own */
        cr_assert_lt(grown_kib, 10 * 1024, "12 MB wait for the reader, on disk; %ld KiB",
                     grown_kib);
    cr_assert(conn_await_end(c, 60), "%zu bytes, then nothing", c->len);
    struct seen *seen = need_alloc(sizeof *seen);
    *seen = (struct seen){0};
    items_take(seen, c, 0, ITEMS);
    items_expect_each_once(seen, ITEMS);
    free(seen);
}

/* Five may wait: that others can is the proof that the streams of clients that left are gone. */
SERVER_TEST_WITH(results, streams_of_clients_that_left_are_freed_within_a_second,
                 .args = {"--http-max-parked", "5"})
{
    struct job_ref batch = batch_submit(s, "{'command':['true'],'items':[1],'delay':'1h'}");
    struct job_ref job = job_submit(s, "{'command':['true'],'delay':'1h'}");
    for (int round = 0; round < 3; round++) {
        struct conn *c[5];
        for (size_t i = 0; i < COUNT_OF(c); i++)
            c[i] = items_open(s, i == 0 ? "/v1/events" : results_of(batch, "").s,
                              i % 2 == 0 ? SSE : LINES);
        AUTO_RESPONSE full = http(s, "GET", text_of("/v1/jobs/%s", job.id).s, NULL,
                                  "Prefer: wait=1", NULL);
        expect_problem(full, 429, "too-many-waiters");
        for (size_t i = 0; i < COUNT_OF(c); i++)
            conn_close(c[i]);
        uint64_t start = now_ns();
        long status = 429;
        while (status == 429) {
            cr_assert(seconds_since(start) < 1 * slow_factor(), "nobody can wait after a second");
            AUTO_RESPONSE r = http(s, "GET", text_of("/v1/jobs/%s", job.id).s, NULL,
                                   "Prefer: wait=0.01", NULL);
            status = r->status;
        }
    }
}

SERVER_TEST_WITH(results, signs_of_life_keep_a_stream_open, .args = {"--http-heartbeat", "100ms"})
{
    struct job_ref batch = batch_submit(s, "{'command':['true'],'items':[1],'delay':'1h'}");
    AUTO_CONN sse = items_open(s, results_of(batch, "").s, SSE);
    AUTO_CONN lines = items_open(s, results_of(batch, "").s, LINES);
    AUTO_CONN events = items_open(s, "/v1/events", SSE);
    cr_assert(conn_await_text(sse, ": alive\n\n: alive\n\n", 20));
    cr_assert(conn_await_text(lines, "\n\n\n", 20));
    cr_assert(conn_await_text(events, ": alive\n\n: alive\n\n", 20));
}

SERVER_TEST_WITH(results, a_batch_can_be_waited_for_in_part, .workers = 3)
{
    static const char *const wishes[] = {"first", "first_error", "count:2", "all"};
    struct text hold[3];
    for (int i = 0; i < 3; i++)
        hold[i] = fifo_make(s, text_of("hold-%d", i).s);
    struct job_ref batch = batch_submit(
        s, "{'command':['sh','-c','cat {}; test {index} = 0'],'items':['%s','%s','%s']}", hold[0].s,
        hold[1].s, hold[2].s);
    struct conn *c[4];
    for (size_t i = 0; i < COUNT_OF(c); i++) {
        c[i] = conn_open(s);
        conn_request(c[i], s, text_of("GET /v1/batches/%s?until=%s", batch.id, wishes[i]).s,
                     "Prefer: wait=50\r\n", NULL);
    }
    AUTO_CONN each = conn_open(s);
    conn_request(each, s, "POST /v1/wait", "Prefer: wait=50\r\n",
                 text_of("{'jobs':['%s']}", batch.id).s);
    static const size_t answered[] = {1, 3, 4}; /* after each release */
    for (size_t released = 0; released < 3; released++) {
        fifo_release(hold[released].s);
        for (size_t i = 0; i < COUNT_OF(c); i++) {
            if (i < answered[released])
                cr_assert(conn_await_end(c[i], 20), "%s is not answered", wishes[i]);
            else
                cr_assert_not(conn_await_bytes(c[i], 1, 0.1), "%s comes early", wishes[i]);
        }
    }
    for (size_t i = 0; i < COUNT_OF(c); i++) {
        cr_assert_eq(c[i]->status, 200);
        conn_close(c[i]);
    }
    cr_assert(conn_await_end(each, 20), "the end of a batch is the end of a member");
    cr_assert(strncmp(each->body, text_of("{\"done\":[\"%s\"]", batch.id).s, 48) == 0, "%s",
              each->body);
    AUTO_RESPONSE member = http(s, "POST", "/v1/as-completed",
                                text_of("{'jobs':['%s']}", batch.id).s, NULL);
    cr_assert(
        strstr(member->body, text_of("\"state\":\"failed\",\"value\":null,\"result\":\"/v1/batches/"
                                     "%s/results\"}",
                                     batch.id)
                                 .s) != NULL,
        "%s", member->body);
    static const char *const wrong[] = {"none", "count:0", "count:", "count:x"};
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        AUTO_RESPONSE r = http_get(s, "/v1/batches/%s?until=%s", batch.id, wrong[i]);
        expect_problem(r, 422, "invalid-request");
    }
}
