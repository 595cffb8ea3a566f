/* SPDX-License-Identifier: MIT */
/* GET /v1/events: every change of every job, one sequence. */
#include "integration/harness_batch.h"

#include <signal.h>

#define SSE "Accept: text/event-stream\r\n"

/* Opens the stream; when this returns, the next change will be in it. */
static struct conn *listen_to(struct server *s, const char *query, const char *headers)
{
    struct conn *c = conn_open(s);
    conn_request(c, s, text_of("GET /v1/events%s", query).s, headers, NULL);
    CHECK(conn_await_head(c, 20) && c->status == 200, "no stream: %ld", c->status);
    CHECK(strstr(headers, "ndjson") != NULL || conn_await_text(c, "\nid: ", 20), "no first id");
    return c;
}

/* One event's JSON from the stream; the n-th that is of this type ("" = any). */
static cJSON *event_at(const struct conn *c, const char *type, size_t n)
{
    const char *at = c->body;
    for (; (at = strstr(at, "{\"seq\":")) != NULL; at++) {
        cJSON *event = cJSON_Parse(at);
        CHECK(event != NULL, "no JSON: %s", at);
        if ((type[0] == '\0' || strcmp(cJSON_GetStringValue(json_at(event, "type")), type) == 0) &&
            n-- == 0)
            return event;
        cJSON_Delete(event);
    }
    return NULL;
}

static const char *member(const cJSON *event, const char *name)
{
    const cJSON *value = json_at(event, name);
    return cJSON_IsNull(value) ? "null" : cJSON_GetStringValue(value);
}

static size_t count_events(const struct conn *c)
{
    size_t n = 0;
    for (const char *at = c->body; (at = strstr(at, "{\"seq\":")) != NULL; at++)
        n++;
    return n;
}

static int64_t seq_of(const cJSON *event)
{
    return (int64_t)cJSON_GetNumberValue(json_at(event, "seq"));
}

SERVER_TEST(events, tell_each_change_once_and_in_order)
{
    static const struct {
        const char *from, *state;
    } rows[] = {{"null", "queued"},
                {"queued", "running"},
                {"running", "succeeded"},
                {"succeeded", "deleted"}};
    AUTO_CONN c = listen_to(s, "", SSE);
    AUTO_CONN lines = listen_to(s, "", "Accept: application/x-ndjson\r\n");
    AUTO_RESPONSE end = job_run(s, "{'command':['true'],'queue':'media'}");
    AUTO_RESPONSE gone = http(s, "DELETE", text_of("/v1/jobs/%s", job_of(end).id).s, NULL, NULL);
    expect_status(gone, 204);
    cr_assert(conn_await_text(c, "\"deleted\"", 20));
    cr_assert(conn_await_text(lines, "\"deleted\"", 20));
    int64_t last = 0;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        cJSON *event = event_at(c, "", i);
        cr_assert_not_null(event);
        cr_assert_str_eq(member(event, "type"), "job");
        cr_assert_str_eq(member(event, "id"), job_of(end).id);
        cr_assert_str_eq(member(event, "from"), rows[i].from);
        cr_assert_str_eq(member(event, "state"), rows[i].state);
        cr_assert_str_eq(member(event, "queue"), "media");
        cr_assert_str_eq(member(event, "batch"), "null");
        cr_assert(seq_of(event) > last, "strictly increasing");
        cr_assert(strstr(c->body, text_of("id: %lld\nevent: job\ndata: {\"seq\":%lld,",
                                          (long long)seq_of(event), (long long)seq_of(event))
                                      .s) != NULL);
        last = seq_of(event);
        cJSON_Delete(event);
    }
    cr_assert_eq(count_events(c), COUNT_OF(rows));
    cr_assert_eq(count_events(lines), COUNT_OF(rows));
}

SERVER_TEST(events, of_a_batch_name_it_and_tell_its_end)
{
    AUTO_CONN c = listen_to(s, "", SSE);
    struct job_ref batch = batch_submit(s, "{'command':['true'],'items':[1,2,3]}");
    cr_assert(conn_await_text(c, "event: batch\n", 20));
    cJSON *end = event_at(c, "batch", 0), *first = event_at(c, "job", 0);
    cr_assert_str_eq(member(end, "id"), batch.id);
    cr_assert_str_eq(member(end, "state"), "succeeded");
    cr_assert_str_eq(member(first, "batch"), batch.id);
    cJSON_Delete(end);
    cJSON_Delete(first);
}

SERVER_TEST(events, can_be_filtered)
{
    struct job_ref batch = batch_submit(
        s, "{'command':['true'],'items':[1,2],'delay':'1h','labels':{'kind':'element'}}");
    struct text of_batch = text_of("?batch=%s", batch.id);
    const struct {
        const char *query;
        size_t n; /* events of what happens below */
    } rows[] = {{"?queue=media", 3},
                {"?queue=nobody", 0},
                {"?state=succeeded", 2},
                {"?state=running,succeeded", 4},
                {"?label=tenant:a", 3},
                {"?label=tenant:b", 0},
                {"?label=kind:element", 2},
                {of_batch.s, 2},
                {"?queue=media&state=queued&label=tenant:a", 1}};
    struct conn *c[COUNT_OF(rows)];
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        c[i] = listen_to(s, rows[i].query, SSE);
    AUTO_CONN all = listen_to(s, "", SSE);
    AUTO_RESPONSE a = job_run(s, "{'command':['true'],'queue':'media','labels':{'tenant':'a'}}");
    AUTO_RESPONSE b = job_run(s, "{'command':['true']}");
    for (int64_t i = 0; i < 2; i++) {
        AUTO_RESPONSE r = job_cancel(s, element_of(s, batch, i), NULL, 5);
        expect_status(r, 200);
    }
    cr_assert(conn_await_text(all, "event: batch\n", 20));
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        /* The end of the batch is not a job's, but it is the batch's and has its labels. */
        size_t extra = rows[i].query == of_batch.s ||
                       strcmp(rows[i].query, "?label=kind:element") == 0;
        uint64_t until = deadline_in(20);
        while (count_events(c[i]) < rows[i].n + extra && !deadline_passed(until))
            (void)conn_await_bytes(c[i], c[i]->len + 1, 0.1);
        cr_assert_not(conn_await_bytes(c[i], c[i]->len + 1, 0.05));
        cr_assert_eq(count_events(c[i]), rows[i].n + extra, "%s: %s", rows[i].query, c[i]->body);
        conn_close(c[i]);
    }
    static const char *const wrong[] = {"?state=nowhere", "?batch=x", "?label=x", "?after=x",
                                        "?name=x"};
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        AUTO_RESPONSE r = http_get(s, "/v1/events%s", wrong[i]);
        expect_problem(r, 422, "invalid-request");
    }
}

SERVER_TEST(events, resume_at_every_boundary)
{
    enum { EVENTS = 30 };
    AUTO_CONN whole = listen_to(s, "", SSE);
    const char *id = strstr(whole->body, "\nid: ") + 5;
    long long last = strtoll(id, NULL, 10);
    for (int i = 0; i < EVENTS / 3; i++) {
        AUTO_RESPONSE r = job_run(s, "{'command':['true']}");
    }
    while (count_events(whole) < EVENTS)
        cr_assert(conn_await_bytes(whole, whole->len + 1, 20));
    for (size_t i = 0; i < EVENTS; i++) {
        AUTO_CONN c = listen_to(s, "", text_of(SSE "Last-Event-ID: %lld\r\n", last).s);
        cr_assert(conn_await_text(c, "event: job\n", 20));
        cr_assert(conn_await_text(c, "\"}\n\n", 20));
        cJSON *want = event_at(whole, "", i), *have = event_at(c, "", 0);
        cr_assert(cJSON_Compare(want, have, true), "event %zu", i);
        last = seq_of(have);
        cJSON_Delete(want);
        cJSON_Delete(have);
    }
}

SERVER_TEST(events, a_restart_is_a_gap_and_numbers_go_on)
{
    long long last = 0;
    for (int round = 0; round < 3; round++) {
        AUTO_CONN c = listen_to(s, "",
                                round == 0 ? SSE : text_of(SSE "Last-Event-ID: %lld\r\n", last).s);
        AUTO_RESPONSE r = job_run(s, "{'command':['true']}");
        cr_assert(conn_await_text(c, "\"succeeded\"", 20));
        cr_assert(conn_await_text(c, "\"}\n\n", 20));
        cJSON *first = event_at(c, "", 0), *job = event_at(c, "job", 0);
        cr_assert_str_eq(member(first, "type"), round == 0 ? "job" : "gap", "%s", c->body);
        cr_assert(seq_of(job) > last, "%lld after %lld", (long long)seq_of(job), last);
        last = seq_of(job) + 2;
        cJSON_Delete(first);
        cJSON_Delete(job);
        if (round == 1)
            server_kill(s);
        else
            (void)kill(s->pid, SIGTERM), (void)server_wait_exit(s, 20);
        server_restart(s, NULL);
    }
    AUTO_CONN future = listen_to(s, "?after=9000000000000000", SSE);
    cr_assert(conn_await_text(future, "event: gap\n", 20), "it was never given");
}
