/* SPDX-License-Identifier: MIT */
/* POST /v1/as-completed: results of jobs as they complete, and how a client goes on after a break.
 */
#include "integration/harness_pool.h"

static struct conn *as_completed(struct server *s, const char *members, const char *headers)
{
    AUTO_TEXT body = json_of("{%s}", members);
    struct conn *c = conn_open(s);
    conn_request(c, s, "POST /v1/as-completed", headers, body);
    CHECK(conn_await_head(c, 20), "no head");
    CHECK(c->status == 200, "%ld", c->status);
    return c;
}

/* The n-th line that holds something. */
static cJSON *line_of(const struct conn *c, int n)
{
    const char *at = c->body;
    while (*at == '\n')
        at++;
    for (; n > 0; n--) {
        at = strchr(at, '\n');
        CHECK(at != NULL, "there are fewer lines: %s", c->body);
        while (*at == '\n')
            at++;
    }
    cJSON *line = cJSON_Parse(at);
    CHECK(line != NULL, "no JSON: %s", at);
    return line;
}

static void expect_line(const struct conn *c, int n, int index, const char *state)
{
    cJSON *line = line_of(c, n);
    CHECK(cJSON_GetNumberValue(json_at(line, "index")) == index &&
              strcmp(cJSON_GetStringValue(json_at(line, "state")), state) == 0,
          "line %d is not %d, %s: %s", n, index, state, c->body);
    cJSON_Delete(line);
}

SERVER_TEST(as_completed, begins_with_those_that_have_ended)
{
    struct text hold[2] = {fifo_make(s, "0"), fifo_make(s, "1")};
    struct job_ref jobs[4];
    jobs[0] = job_submit(s, "{'command':['cat','%s']}", hold[0].s);
    jobs[1] = job_submit(s, "{'command':['sh','-c','cat %s; exit 7']}", hold[1].s);
    jobs[3] = job_submit(s, "{'command':['true'],'delay':'1h'}");
    AUTO_RESPONSE late = job_cancel(s, jobs[3], "{'reason':'no need'}", 5);
    AUTO_RESPONSE first = job_await_state(s, jobs[0], "running");
    AUTO_CONN c = as_completed(s, text_of("'jobs':[%s,'%s']", job_ids(jobs, 2).s, jobs[3].id).s,
                               "");
    cr_assert(conn_await_text(c, "\"index\":2", 20), "what has ended comes at once");
    fifo_release(hold[1].s);
    cr_assert(conn_await_text(c, "\"index\":1", 20), "each comes when it ends");
    cr_assert_not(conn_await_text(c, "\"index\":0", 0.2));
    fifo_release(hold[0].s);
    cr_assert(conn_await_end(c, 20));
    expect_line(c, 0, 2, "cancelled");
    expect_line(c, 1, 1, "failed");
    expect_line(c, 2, 0, "succeeded");
    cJSON *failed = line_of(c, 1), *end = line_of(c, 3);
    cr_assert_eq((int)cJSON_GetNumberValue(json_at(failed, "exit_code")), 7);
    cr_assert_str_eq(cJSON_GetStringValue(json_at(failed, "error.type")), "exit_code");
    cr_assert(cJSON_IsTrue(json_at(end, "end")));
    cr_assert_eq((int)cJSON_GetNumberValue(json_at(end, "unfinished")), 0);
    cr_assert_eq((int)cJSON_GetNumberValue(json_at(end, "of")), 3);
    cJSON_Delete(failed);
    cJSON_Delete(end);
}

SERVER_TEST(as_completed, tells_how_many_are_unfinished_in_time)
{
    struct job_ref jobs[4];
    for (int i = 0; i < 2; i++) {
        AUTO_RESPONSE r = job_run(s, "{'command':['echo','%d']}", i);
        jobs[i] = job_of(r);
    }
    for (int i = 2; i < 4; i++)
        jobs[i] = job_submit(s, "{'command':['true'],'delay':'1h'}");
    struct text members = text_of("'jobs':[%s],'timeout':0.3", job_ids(jobs, 4).s);
    AUTO_CONN lines = as_completed(s, members.s, "");
    cr_assert(conn_await_end(lines, 20));
    expect_line(lines, 0, 0, "succeeded");
    expect_line(lines, 1, 1, "succeeded");
    cr_assert(strstr(lines->body, "{\"timeout\":true,\"unfinished\":2,\"of\":4}\n") != NULL, "%s",
              lines->body);
    AUTO_CONN sse = as_completed(s, members.s, "Accept: text/event-stream\r\n");
    cr_assert(conn_await_end(sse, 20));
    cr_assert(strstr(sse->body, "\nevent: result\ndata: {\"seq\":1,") != NULL, "%s", sse->body);
    cr_assert(strstr(sse->body,
                     "event: timeout\ndata: {\"timeout\":true,\"unfinished\":2,\"of\":4}") != NULL);
}

/* The id of the n-th event that has one. */
static struct text id_of_event(const struct conn *c, int n)
{
    const char *at = c->body;
    for (; n >= 0 && at != NULL; n--)
        at = strstr(at + 1, "\nid: ");
    CHECK(at != NULL, "there are fewer events: %s", c->body);
    at += strlen("\nid: ");
    return text_of("%.*s", (int)strcspn(at, "\n"), at);
}

static struct text last_event(const struct conn *c, int n)
{
    return text_of("Accept: text/event-stream\r\nLast-Event-ID: %s\r\n", id_of_event(c, n).s);
}

/* Exactly these places have come, in this order. */
static void expect_places(const struct conn *c, const char *places)
{
    char seen[16] = "";
    size_t n = 0;
    for (const char *at = c->body; (at = strstr(at, "\"index\":")) != NULL && n < 15; n++) {
        at += strlen("\"index\":");
        seen[n] = *at;
    }
    CHECK(strcmp(seen, places) == 0, "%s came, not %s: %s", seen, places, c->body);
}

/* Whoever is cut off anywhere gets each of the others once, and nothing that has come; also when
 * the service was killed meanwhile, others have ended, and one was forgotten. */
SERVER_TEST(as_completed, goes_on_behind_any_event)
{
    static const char *const rest[] = {"124", "24", "4"};
    struct job_ref jobs[5];
    for (int i = 0; i < 5; i++)
        jobs[i] = job_submit(s, "{'command':['true'],'delay':'1h'}");
    for (int i = 0; i < 3; i++) {
        AUTO_RESPONSE ends = job_cancel(s, jobs[(int[]){0, 1, 2}[i]], NULL, 5);
        expect_status(ends, 200);
    }
    struct text members = text_of("'jobs':[%s],'timeout':0", job_ids(jobs, 4).s);
    AUTO_CONN first = as_completed(s, members.s, "Accept: text/event-stream\r\n");
    cr_assert(conn_await_end(first, 20));
    expect_places(first, "012");
    struct text all = text_of("'jobs':[%s],'timeout':0", job_ids(jobs, 5).s);
    AUTO_CONN again = as_completed(s, all.s, "Accept: text/event-stream\r\n");
    cr_assert(conn_await_end(again, 20));
    AUTO_RESPONSE also = job_cancel(s, jobs[4], NULL, 5);
    server_kill(s);
    server_restart(s, NULL);
    for (int n = 0; n < 3; n++) {
        AUTO_CONN c = as_completed(s, all.s, last_event(again, n).s);
        cr_assert(conn_await_end(c, 20));
        expect_places(c, rest[n]);
        cr_assert(strstr(c->body, "{\"timeout\":true,\"unfinished\":1,\"of\":5}") != NULL, "%s",
                  c->body);
    }
    AUTO_RESPONSE forgotten = http(s, "DELETE", text_of("/v1/jobs/%s", jobs[4].id).s, NULL, NULL);
    expect_status(forgotten, 204);
    AUTO_CONN gone = as_completed(s, all.s, last_event(again, 1).s);
    cr_assert(conn_await_end(gone, 20));
    expect_places(gone, "42");
    /* What has come need not be there any more. */
    AUTO_RESPONSE received = http(s, "DELETE", text_of("/v1/jobs/%s", jobs[0].id).s, NULL, NULL);
    expect_status(received, 204);
    AUTO_CONN later = as_completed(s, all.s, last_event(gone, 1).s);
    cr_assert(conn_await_end(later, 20));
    expect_places(later, "");
}

SERVER_TEST(as_completed, the_id_of_an_event_is_of_its_own_list)
{
    AUTO_RESPONSE ended = job_run(s, "{'command':['true']}");
    struct job_ref two[] = {job_of(ended), job_submit(s, "{'command':['true'],'delay':'1h'}")};
    struct job_ref other[] = {two[1], two[0]};
    struct text members = text_of("'jobs':[%s],'timeout':0", job_ids(two, 2).s);
    AUTO_CONN c = as_completed(s, members.s, "Accept: text/event-stream\r\n");
    cr_assert(conn_await_end(c, 20));
    expect_places(c, "0");
    /* A library repeats it by itself: the stream begins anew, as a batch's does. */
    AUTO_CONN anew = as_completed(s, text_of("'jobs':[%s],'timeout':0", job_ids(other, 2).s).s,
                                  last_event(c, 0).s);
    cr_assert(conn_await_end(anew, 20));
    expect_places(anew, "1");
    AUTO_TEXT body = json_of("{%s}", members.s);
    static const char *const unknown[] = {"7", "AAAAAAAA", "%20", ""};
    for (size_t i = 0; i < COUNT_OF(unknown); i++) {
        AUTO_RESPONSE r = http(s, "POST", text_of("/v1/as-completed?after=%s", unknown[i]).s, body,
                               NULL);
        expect_problem(r, 422, "invalid-request");
    }
    AUTO_RESPONSE rest = http(
        s, "POST", text_of("/v1/as-completed?after=%s", id_of_event(c, 0).s).s, body, NULL);
    expect_status(rest, 200);
    cr_assert(strstr(rest->body, "\"index\"") == NULL, "%s", rest->body);
}

SERVER_TEST(as_completed, carries_values_as_they_were_written)
{
    static const struct {
        const char *job, *value;
    } rows[] = {
        {"{'command':['printf','a\\\\nb']}", "\"value\":\"a\\nb\"}"},
        {"{'command':['true']}", "\"value\":\"\"}"},
        {"{'command':['printf','\\\\377\\\\000']}", "\"value\":{\"$bytes\":\"/wA=\"}}"},
        {"{'command':['printf','{ \\\"n\\\":\\\\n12345678901234567890 }'],'result':'json'}",
         "\"value\":{ \"n\": 12345678901234567890 }}"},
        {"{'command':['echo','nonsense'],'result':'json'}",
         "\"value\":null,\"error\":{\"type\":\"result\""},
        {"{'command':['echo','something'],'result':'none'}", "\"value\":null}"},
        {"{'command':['sh','-c','head -c 100000 /dev/zero | tr \\\\\\\\0 a']}", "\"value\":\"aaaa"},
        {"{'command':['sh','-c','head -c 1100000 /dev/zero | tr \\\\\\\\0 a']}",
         "\"value\":null,\"result\":\"/v1/jobs/"},
        {"{'command':['sh','-c','kill -SEGV $$']}",
         "\"reason\":\"signal\",\"exit_code\":-11,\"error\":{"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        AUTO_RESPONSE end = job_run(s, "%s", rows[i].job);
        AUTO_CONN c = as_completed(s, text_of("'jobs':['%s']", job_of(end).id).s, "");
        cr_assert(conn_await_end(c, 20));
        cr_assert(strstr(c->body, rows[i].value) != NULL, "%s: %.300s", rows[i].job, c->body);
    }
}
