/* SPDX-License-Identifier: MIT */
/* Unique keys: at most one job with a key lives at a time, whoever asks how often, and whatever
 * dies. */
#include "integration/harness_test.h"

#define UNIQUE(policy) "'unique':{'key':'k','on_conflict':'" policy "'}"
#define LATER(policy) "{'command':['true'],'delay':'1h'," UNIQUE(policy) "}"

static struct response *submit(struct server *s, const char *body)
{
    return http(s, "POST", "/v1/jobs", body, NULL);
}

static int64_t count_in(struct server *s, const char *state)
{
    AUTO_RESPONSE r = http_get(s, "/v1/stats");
    return json_int(r, text_of("jobs.%s", state).s);
}

SERVER_TEST(unique, return_gives_the_living_job)
{
    AUTO_RESPONSE first = submit(s, LATER("return"));
    AUTO_RESPONSE second = submit(s, "{'command':['false'],'unique':{'key':'k'}}");
    expect_status(first, 202);
    cr_assert_null(header_of(first, "Ganger-Existing"));
    expect_status(second, 200);
    expect_header(second, "Ganger-Existing", "true");
    cr_assert_str_eq(job_of(first).id, job_of(second).id);
    expect_header(second, "Location", header_of(first, "Location"));
    AUTO_RESPONSE other = submit(s, "{'command':['true'],'delay':'1h','unique':{'key':'K'}}");
    expect_status(other, 202);
    cr_assert_eq(count_in(s, "scheduled"), 2);
}

static int64_t parked(struct server *s)
{
    AUTO_RESPONSE r = http_get(s, "/v1/stats");
    return json_int(r, "parked");
}

SERVER_TEST(unique, return_can_wait_for_the_end)
{
    struct text hold = fifo_make(s, "hold");
    struct job_ref job = job_submit(s, "{'command':['cat','%s']," UNIQUE("return") "}", hold.s);
    AUTO_RESPONSE running = job_await_state(s, job, "running");
    AUTO_RESPONSE short_wait = http(s, "POST", "/v1/jobs", LATER("return"), "Prefer: wait=0.05",
                                    NULL);
    expect_status(short_wait, 200);
    cr_assert_not(json_bool(short_wait, "done"));
    AUTO_CONN c = conn_open(s);
    cr_assert(conn_request(c, s, "POST /v1/jobs", "Prefer: wait=30\r\n", LATER("return")));
    AWAIT(parked(s) == 1, 20); /* before that the key might be free again */
    fifo_release(hold.s);
    cr_assert(conn_await_end(c, 30));
    cr_assert_eq(c->status, 200);
    cr_assert_not_null(strstr(c->body, job.id));
    cr_assert_not_null(strstr(c->body, "\"done\":true"));
}

SERVER_TEST(unique, reject_names_the_living_job)
{
    AUTO_RESPONSE first = submit(s, LATER("reject"));
    AUTO_RESPONSE second = submit(s, LATER("reject"));
    expect_status(first, 202);
    expect_problem(second, 409, "duplicate");
    expect_text(second, "job", job_of(first).id);
    AUTO_RESPONSE over = job_cancel(s, job_of(first), NULL, 0);
    AUTO_RESPONSE third = submit(s, LATER("reject"));
    expect_status(third, 202);
}

SERVER_TEST_WITH(unique, replace_takes_the_place_of_a_waiting_job, .workers = 1)
{
    struct text hold = fifo_make(s, "hold");
    struct job_ref busy = job_submit(s, "{'command':['cat','%s']}", hold.s);
    AUTO_RESPONSE running = job_await_state(s, busy, "running");
    struct job_ref first = job_submit(s, "{'command':['touch','%s/first']," UNIQUE("replace") "}",
                                      s->scratch);
    struct job_ref second = job_submit(s, "{'command':['touch','%s/second']," UNIQUE("replace") "}",
                                       s->scratch);
    AUTO_RESPONSE gone = job_show(s, first);
    expect_text(gone, "state", "cancelled");
    cr_assert_not_null(strstr(json_text(gone, "error.detail"), "eplaced"));
    fifo_release(hold.s);
    AUTO_RESPONSE end = job_await(s, second);
    expect_outcome(end, "succeeded", NULL);
    AUTO_TEXT ran = file_read(text_of("%s/first", s->scratch).s, NULL);
    cr_assert_null(ran);
    AUTO_RESPONSE over = job_await(s, busy);
}

/* The new one begins when the old one's tree is gone, not earlier. */
SERVER_TEST(unique, replace_stops_a_running_job_and_waits_for_its_end)
{
    struct text ready = text_of("%s/ready", s->scratch);
    struct job_ref first = job_submit(
        s,
        "{'command':['sh','-c','trap \\\"sleep 0.3; echo old >>%s/log; exit\\\" TERM; touch %s; "
        "while :; do sleep 0.05; done']," UNIQUE("replace") "}",
        s->scratch, ready.s);
    await_file(ready.s, 20);
    struct job_ref second = job_submit(
        s, "{'command':['sh','-c','echo new >>%s/log']," UNIQUE("replace") "}", s->scratch);
    AUTO_RESPONSE stopping = job_show(s, first);
    expect_text(stopping, "state", "stopping");
    AUTO_RESPONSE blocked = job_show(s, second);
    expect_text(blocked, "state", "blocked");
    struct job_ref third = job_submit(
        s, "{'command':['sh','-c','echo newest >>%s/log']," UNIQUE("replace") "}", s->scratch);
    AUTO_RESPONSE replaced = job_show(s, second);
    expect_text(replaced, "state", "cancelled");
    AUTO_RESPONSE end = job_await(s, third);
    expect_outcome(end, "succeeded", NULL);
    AUTO_RESPONSE old = job_await(s, first);
    expect_outcome(old, "cancelled", NULL);
    AUTO_TEXT log = file_read(text_of("%s/log", s->scratch).s, NULL);
    cr_assert_str_eq(log, "old\nnewest\n");
}

SERVER_TEST(unique, a_refused_replacement_leaves_the_old_job_alone)
{
    struct text hold = fifo_make(s, "hold");
    struct job_ref first = job_submit(s, "{'command':['cat','%s']," UNIQUE("replace") "}", hold.s);
    AUTO_RESPONSE running = job_await_state(s, first, "running");
    struct job_ref parent = job_submit(s, "{'command':['true'],'delay':'1h'}");
    AUTO_RESPONSE with_parent = submit(
        s, text_of("{'command':['true'],'depends_on':['%s']," UNIQUE("replace") "}", parent.id).s);
    expect_problem(with_parent, 409, "duplicate");
    expect_text(with_parent, "job", first.id);
    AUTO_RESPONSE unknown = submit(
        s, "{'command':['true'],'on_parent_failure':'run','depends_on':['01990000-0000-7001-8000-"
           "000000000000']," UNIQUE("replace") "}");
    expect_problem(unknown, 422, "invalid-request");
    AUTO_RESPONSE still = job_show(s, first);
    expect_text(still, "state", "running");
    AUTO_RESPONSE same = submit(s, LATER("return"));
    cr_assert_str_eq(job_of(same).id, first.id, "it holds its key as before");
    fifo_release(hold.s);
    AUTO_RESPONSE end = job_await(s, first);
    expect_outcome(end, "succeeded", NULL);
}

/* ---- many at once ---- */

#define CLIENTS 64

static int submit_at_once(struct server *s, const char *body, long status, struct job_ref *ret)
{
    struct conn *c[CLIENTS];
    int n = 0;
    for (int i = 0; i < CLIENTS; i++)
        c[i] = conn_open(s);
    for (int i = 0; i < CLIENTS; i++)
        cr_assert(conn_request(c[i], s, "POST /v1/jobs", "", body));
    for (int i = 0; i < CLIENTS; i++) {
        cr_assert(conn_await_end(c[i], 30));
        if (c[i]->status == status) {
            n++;
            cJSON *json = cJSON_Parse(c[i]->body);
            (void)snprintf(ret->id, sizeof ret->id, "%s", json_at(json, "id")->valuestring);
            cJSON_Delete(json);
        }
        conn_close(c[i]);
    }
    return n;
}

SERVER_TEST(unique, of_64_submissions_at_once_one_is_accepted)
{
    struct job_ref job, existing;
    cr_assert_eq(submit_at_once(s, LATER("reject"), 202, &job), 1);
    cr_assert_eq(submit_at_once(s, LATER("return"), 200, &existing), CLIENTS);
    cr_assert_str_eq(job.id, existing.id);
    cr_assert_eq(count_in(s, "scheduled"), 1);
}

SERVER_TEST(unique, of_64_replacements_at_once_one_lives)
{
    struct job_ref last;
    cr_assert_eq(submit_at_once(s, LATER("replace"), 202, &last), CLIENTS);
    cr_assert_eq(count_in(s, "scheduled"), 1);
    cr_assert_eq(count_in(s, "cancelled"), CLIENTS - 1);
}

/* ---- many lines ---- */

SERVER_TEST(unique, lines_of_one_body_are_treated_alike)
{
    AUTO_TEXT body = json_of("{'command':['true'],'delay':'1h','unique':{'key':'a'}}\n"
                             "{'command':['true'],'delay':'1h','unique':{'key':'a'}}\n"
                             "{'command':['true'],'delay':'1h','unique':{'key':'b'}}\n"
                             "{'command':['true'],'delay':'1h','unique':{'key':'a',"
                             "'on_conflict':'reject'}}\n"
                             "{'command':['true'],'delay':'1h','unique':{'key':'b',"
                             "'on_conflict':'reject'}}\n");
    static const char *const headers[] = {"Content-Type: application/x-ndjson", NULL};
    AUTO_RESPONSE r = http_send(s, &(struct call){.method = "POST",
                                                  .path = "/v1/jobs",
                                                  .body = body,
                                                  .body_len = strlen(body),
                                                  .headers = headers});
    expect_status(r, 200);
    cJSON *line[5];
    const char *at = r->body;
    for (size_t i = 0; i < COUNT_OF(line); i++) {
        line[i] = cJSON_ParseWithOpts(at, &at, false);
        CHECK(line[i] != NULL, "line %zu of %s", i, r->body);
    }
    const char *a = json_at(line[0], "id")->valuestring, *b = json_at(line[2], "id")->valuestring;
    cr_assert_null(json_at(line[0], "existing"));
    cr_assert(cJSON_IsTrue(json_at(line[1], "existing")));
    cr_assert_str_eq(json_at(line[1], "id")->valuestring, a);
    cr_assert_str_eq(json_at(line[3], "job")->valuestring, a);
    cr_assert_str_eq(json_at(line[4], "job")->valuestring, b);
    cr_assert_eq(json_at(line[3], "status")->valueint, 409);
    cr_assert_eq(json_at(line[4], "line")->valueint, 4);
    for (size_t i = 0; i < COUNT_OF(line); i++)
        cJSON_Delete(line[i]);
    cr_assert_eq(count_in(s, "scheduled"), 2);
}

SERVER_TEST(unique, an_idempotency_key_repeats_the_answer)
{
    AUTO_RESPONSE first = http(s, "POST", "/v1/jobs", LATER("reject"), "Idempotency-Key: i", NULL);
    AUTO_RESPONSE again = http(s, "POST", "/v1/jobs", LATER("reject"), "Idempotency-Key: i", NULL);
    expect_status(again, 202);
    expect_header(again, "Idempotency-Replayed", "true");
    cr_assert_str_eq(job_of(first).id, job_of(again).id);
}

/* ---- over a crash, and over attempts ---- */

SERVER_TEST(unique, a_key_outlives_kill_9_and_is_never_stuck)
{
    struct text hold = fifo_make(s, "hold");
    AUTO_RESPONSE waiting = submit(s, LATER("return"));
    struct text ready = text_of("%s/ready", s->scratch);
    struct job_ref running = job_submit(
        s, "{'command':['sh','-c','echo > %s; cat %s'],'unique':{'key':'runs'}}", ready.s, hold.s);
    await_file(ready.s, 20); /* `running` alone may be a claim, which a new server takes back */
    server_kill(s);
    server_restart(s, NULL);
    AUTO_RESPONSE same = submit(s, LATER("return"));
    expect_status(same, 200);
    cr_assert_str_eq(job_of(same).id, job_of(waiting).id);
    AUTO_RESPONSE lost = job_await(s, running);
    expect_outcome(lost, "failed", "lost");
    AUTO_RESPONSE next = submit(s, "{'command':['true'],'unique':{'key':'runs',"
                                   "'on_conflict':'reject'}}");
    expect_status(next, 202);
}

/* Whatever of the submissions was stored when the server died: one job lives afterwards. */
SERVER_TEST(unique, kill_9_among_64_submissions_leaves_one_job)
{
    for (int round = 0; round < 3; round++) {
        struct conn *c[CLIENTS];
        for (int i = 0; i < CLIENTS; i++)
            c[i] = conn_open(s);
        for (int i = 0; i < CLIENTS; i++)
            cr_assert(conn_request(c[i], s, "POST /v1/jobs", "", LATER("replace")));
        cr_assert(conn_await_end(c[round * 20], 30));
        server_kill(s);
        for (int i = 0; i < CLIENTS; i++)
            conn_close(c[i]);
        server_restart(s, NULL);
        cr_assert_eq(count_in(s, "scheduled"), 1);
        AUTO_RESPONSE r = submit(s, LATER("return"));
        expect_status(r, 200);
    }
}

SERVER_TEST(unique, kill_9_between_a_stop_and_its_end_frees_the_successor)
{
    struct text ready = text_of("%s/ready", s->scratch);
    struct job_ref first = job_submit(
        s,
        "{'command':['sh','-c','trap : TERM; touch %s; while :; do "
        "sleep 1; done'],'stop':{'grace':'60s'}," UNIQUE("return") "}",
        ready.s);
    await_file(ready.s, 20);
    struct job_ref second = job_submit(s, "{'command':['true']," UNIQUE("replace") "}");
    AUTO_RESPONSE blocked = job_show(s, second);
    expect_text(blocked, "state", "blocked");
    server_kill(s);
    server_restart(s, NULL);
    AUTO_RESPONSE old = job_await(s, first);
    expect_outcome(old, "cancelled", NULL);
    AUTO_RESPONSE end = job_await(s, second);
    expect_outcome(end, "succeeded", NULL);
}

SERVER_TEST(unique, a_retry_keeps_the_key)
{
    struct job_ref job = job_submit(
        s, "{'command':['false'],'retry':{'max_attempts':2,'delay':'1h','jitter':false}," UNIQUE(
               "reject") "}");
    AUTO_RESPONSE waits = job_await_state(s, job, "scheduled");
    AWAIT(count_in(s, "running") == 0, 10);
    AUTO_RESPONSE no = submit(s, LATER("reject"));
    expect_problem(no, 409, "duplicate");
    AUTO_RESPONSE over = job_cancel(s, job, NULL, 10);
    AUTO_RESPONSE other = submit(s, LATER("reject"));
    expect_status(other, 202);
    AUTO_RESPONSE taken = http(s, "POST", text_of("/v1/jobs/%s/retry", job.id).s, NULL, NULL);
    expect_problem(taken, 409, "duplicate");
    AUTO_RESPONSE gone = job_cancel(s, job_of(other), NULL, 0);
    AUTO_RESPONSE again = http(s, "POST", text_of("/v1/jobs/%s/retry", job.id).s, NULL, NULL);
    expect_status(again, 202);
}

SERVER_TEST(unique, a_key_says_what_is_wrong_with_it)
{
    static const struct {
        const char *body, *pointer;
    } cases[] = {
        {"{'command':['true'],'unique':'k'}", "/unique"},
        {"{'command':['true'],'unique':{}}", "/unique/key"},
        {"{'command':['true'],'unique':{'key':''}}", "/unique/key"},
        {"{'command':['true'],'unique':{'key':7}}", "/unique/key"},
        {"{'command':['true'],'unique':{'key':'k','scope':'all'}}", "/unique/scope"},
        {"{'command':['true'],'unique':{'key':'k','on_conflict':'wait'}}", "/unique/on_conflict"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        AUTO_RESPONSE r = submit(s, cases[i].body);
        expect_invalid(r, cases[i].pointer);
    }
}
