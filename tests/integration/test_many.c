/* SPDX-License-Identifier: MIT */
/* One verb on many jobs: by ids, by a filter, only counted. */
#include "integration/harness_batch.h"
#include "integration/harness_queue.h"

static struct response *many(struct server *s, const char *verb, const char *body)
{
    return http(s, "POST", text_of("/v1/jobs/%s", verb).s, body, NULL);
}

static void expect_counts(struct response *r, int64_t matched, int64_t changed)
{
    expect_status(r, 200);
    CHECK(json_int(r, "matched") == matched && json_int(r, "changed") == changed,
          "want %lld matched, %lld changed: %s", (long long)matched, (long long)changed, r->body);
}

static int64_t count_of(struct server *s, const char *state)
{
    AUTO_RESPONSE r = http_get(s, "/v1/stats");
    return json_int(r, text_of("jobs.%s", state).s);
}

#define LATER "'command':['true'],'delay':'1h'"

SERVER_TEST(many, an_empty_filter_needs_all)
{
    struct job_ref job = job_submit(s, "{" LATER "}");
    static const char *const verbs[] = {"cancel", "retry", "delete"};
    for (size_t i = 0; i < COUNT_OF(verbs); i++) {
        AUTO_RESPONSE none = many(s, verbs[i], "{}");
        expect_problem(none, 422, "invalid-request");
        AUTO_RESPONSE no = many(s, verbs[i], "{'all':false}");
        expect_problem(no, 422, "invalid-request");
        AUTO_RESPONSE nothing = many(s, verbs[i], NULL);
        expect_problem(nothing, 400, "invalid-json");
    }
    AUTO_RESPONSE still = job_show(s, job);
    expect_text(still, "state", "scheduled");
    AUTO_RESPONSE r = many(s, "cancel", "{'all':true,'reason':'clean up'}");
    expect_counts(r, 1, 1);
    AUTO_RESPONSE shown = job_show(s, job);
    expect_text(shown, "state", "cancelled");
    expect_text(shown, "error.detail", "clean up");
}

SERVER_TEST(many, each_filter_selects)
{
    static const struct {
        const char *members, *filter;
    } cases[] = {
        {"'queue':'q1'", "'queue':'q1'"},
        {"'name':'n1'", "'name':'n1'"},
        {"'labels':{'l':'a:b'}", "'label':'l:a:b'"},
        {"'queue':'q2','name':'n2'", "'queue':'q2','name':'n2','state':['scheduled','queued']"},
    };
    struct job_ref other = job_submit(s, "{" LATER ",'queue':'q2'}");
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct job_ref job = job_submit(s, "{" LATER ",%s}", cases[i].members);
        AUTO_RESPONSE dry = many(s, "cancel", text_of("{%s,'dry_run':true}", cases[i].filter).s);
        expect_counts(dry, 1, 0);
        cr_assert(json_bool(dry, "dry_run"));
        AUTO_RESPONSE before = job_show(s, job);
        expect_text(before, "state", "scheduled");
        AUTO_RESPONSE r = many(s, "cancel", text_of("{%s}", cases[i].filter).s);
        expect_counts(r, 1, 1);
        AUTO_RESPONSE after = job_show(s, job);
        expect_text(after, "state", "cancelled");
        AUTO_RESPONSE again = many(s, "cancel", text_of("{%s}", cases[i].filter).s);
        expect_counts(again, 0, 0);
    }
    AUTO_RESPONSE shown = job_show(s, other);
    expect_text(shown, "state", "scheduled");
    AUTO_RESPONSE future = many(s, "cancel", "{'created_after':'2999-01-01T00:00:00Z'}");
    expect_counts(future, 0, 0);
    AUTO_RESPONSE unknown = many(s, "cancel", "{'queue':'never-seen'}");
    expect_counts(unknown, 0, 0);
    AUTO_RESPONSE no_state = many(s, "cancel", "{'state':'succeeded'}");
    expect_counts(no_state, 0, 0);
}

SERVER_TEST(many, a_batch_selects_its_elements)
{
    struct job_ref batch = batch_submit(s, "{'command':['true'],'delay':'1h','items':[1,2,3]}");
    struct job_ref other = job_submit(s, "{" LATER "}");
    AUTO_RESPONSE r = many(s, "cancel", text_of("{'batch':'%s'}", batch.id).s);
    expect_counts(r, 3, 3);
    cr_assert_eq(batch_count(s, batch, "cancelled"), 3);
    AUTO_RESPONSE shown = job_show(s, other);
    expect_text(shown, "state", "scheduled");
}

/* Long ranges of numbers are one statement for each state; who is in a batch or runs is not in it.
 */
SERVER_TEST(many, neighbours_of_all_kinds_are_cancelled)
{
    enum { N = 6 };
    struct job_ref child[N];
    put_queue(s, "q", "{'paused':true}");
    struct text hold = fifo_make(s, "hold");
    for (int i = 0; i < N; i++)
        (void)job_submit(s, "{'command':['true'],'queue':'q'}");
    struct job_ref runs = job_submit(s, "{'command':['cat','%s']}", hold.s);
    AUTO_RESPONSE begun = job_await_state(s, runs, "running");
    for (int i = 0; i < N; i++) {
        struct job_ref parent = job_submit(s, "{" LATER "}");
        child[i] = job_submit(s, "{'command':['true'],'depends_on':['%s']}", parent.id);
    }
    struct job_ref batch = batch_submit(s, "{'command':['true'],'delay':'1h','items':[1,2,3]}");
    AUTO_RESPONSE r = many(s, "cancel", "{'all':true,'reason':'enough'}");
    expect_counts(r, 3 * N + 4, 3 * N + 4);
    cr_assert_eq(batch_count(s, batch, "cancelled"), 3);
    AUTO_RESPONSE stopped = job_await(s, runs);
    expect_outcome(stopped, "cancelled", NULL);
    expect_text(stopped, "error.detail", "enough");
    for (int i = 0; i < N; i++) {
        AUTO_RESPONSE end = job_show(s, child[i]);
        expect_outcome(end, "cancelled", NULL);
        expect_text(end, "error.detail", "enough");
    }
    cr_assert_eq(count_of(s, "cancelled"), 3 * N + 4);
}

SERVER_TEST(many, ids_that_are_gone_or_unfit_are_passed_over)
{
    AUTO_RESPONSE done = job_run(s, "{'command':['true']}");
    struct job_ref later = job_submit(s, "{" LATER "}");
    struct text ids = text_of("{'ids':['%s','%s','01990000-0000-7001-8000-000000000000']}",
                              job_of(done).id, later.id);
    AUTO_RESPONSE cancel = many(s, "cancel", ids.s);
    expect_counts(cancel, 1, 1);
    AUTO_RESPONSE retry = many(s, "retry", ids.s);
    expect_counts(retry, 2, 2);
    AUTO_RESPONSE end = job_await(s, job_of(done));
    expect_int(end, "attempt", 2);
    AUTO_RESPONSE end_too = job_await(s, later);
    expect_outcome(end_too, "succeeded", NULL);
    AUTO_RESPONSE delete = many(s, "delete", ids.s);
    expect_counts(delete, 2, 2);
    AUTO_RESPONSE gone = http_get(s, "/v1/jobs/%s", later.id);
    expect_problem(gone, 404, "not-found");
    AUTO_RESPONSE again = many(s, "delete", ids.s);
    expect_counts(again, 0, 0);
    AUTO_RESPONSE none = many(s, "delete", "{'ids':[]}");
    expect_counts(none, 0, 0);
}

SERVER_TEST(many, what_is_asked_for_wrongly_is_named)
{
    static const struct {
        const char *verb, *body, *pointer;
    } cases[] = {
        {"cancel", "{'ids':['x']}", "/ids/0"},
        {"cancel", "{'ids':'x'}", "/ids"},
        {"cancel", "{'ids':[],'queue':'q'}", "/ids"},
        {"cancel", "{'ids':[],'all':true}", "/ids"},
        {"cancel", "{'state':'done'}", "/state"},
        {"cancel", "{'state':['queued','done']}", "/state/1"},
        {"cancel", "{'state':[]}", "/state"},
        {"cancel", "{'label':'novalue'}", "/label"},
        {"cancel", "{'batch':'x'}", "/batch"},
        {"cancel", "{'created_after':'yesterday'}", "/created_after"},
        {"cancel", "{'all':1}", "/all"},
        {"cancel", "{'all':true,'signal':'NOPE'}", "/signal"},
        {"cancel", "{'all':true,'grace':'2h'}", "/grace"},
        {"delete", "{'all':true,'reason':'x'}", "/reason"},
        {"retry", "{'all':true,'priority':1}", "/priority"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        AUTO_RESPONSE r = many(s, cases[i].verb, cases[i].body);
        expect_invalid(r, cases[i].pointer);
    }
    AUTO_RESPONSE get = http_get(s, "/v1/jobs/cancel");
    expect_problem(get, 405, "method-not-allowed");
    expect_header(get, "Allow", "POST");
}

SERVER_TEST(many, running_jobs_are_stopped)
{
    struct text hold = fifo_make(s, "hold");
    struct job_ref first = job_submit(s, "{'command':['cat','%s']}", hold.s);
    struct job_ref second = job_submit(s, "{'command':['cat','%s']}", hold.s);
    AUTO_RESPONSE a = job_await_state(s, first, "running");
    AUTO_RESPONSE b = job_await_state(s, second, "running");
    AUTO_RESPONSE r = many(s, "cancel", "{'state':'running','signal':'INT','reason':'all of you'}");
    expect_counts(r, 2, 2);
    AUTO_RESPONSE end = job_await(s, first);
    expect_outcome(end, "cancelled", NULL);
    expect_text(end, "signal", "SIGINT");
    AUTO_RESPONSE end_too = job_await(s, second);
    expect_outcome(end_too, "cancelled", NULL);
}

/* Without a state a retry by filter means what has failed; it meets no job twice. */
SERVER_TEST(many, a_retry_by_filter_takes_what_has_failed)
{
    AUTO_RESPONSE good = job_run(s, "{'command':['true']}");
    AUTO_RESPONSE bad = job_run(s, "{'command':['false']}");
    AUTO_RESPONSE r = many(s, "retry", "{'all':true}");
    expect_counts(r, 1, 1);
    AUTO_RESPONSE end = job_await(s, job_of(bad));
    expect_int(end, "attempt", 2);
    AUTO_RESPONSE left = job_show(s, job_of(good));
    expect_int(left, "attempt", 1);
    AUTO_RESPONSE all = many(s, "retry", "{'state':['succeeded','failed','queued']}");
    expect_counts(all, 2, 2);
    AUTO_RESPONSE again = job_await(s, job_of(good));
    expect_int(again, "attempt", 2);
}

/* More than a chunk, more than a page of rows, and files of the spool. */
SERVER_TEST(many, thousands_are_treated_in_chunks)
{
    AUTO_RESPONSE lines = submit_lines(s, 2300, "{" LATER "}");
    AUTO_RESPONSE dry = many(s, "cancel", "{'all':true,'dry_run':true}");
    expect_counts(dry, 2300, 0);
    AUTO_RESPONSE r = many(s, "cancel", "{'all':true}");
    expect_counts(r, 2300, 2300);
    cr_assert_eq(count_of(s, "cancelled"), 2300);
    AUTO_RESPONSE delete = many(s, "delete", "{'all':true}");
    expect_counts(delete, 2300, 2300);
    cr_assert_eq(count_of(s, "cancelled"), 0);
}

SERVER_TEST(many, a_few_are_found_among_many_rows)
{
    AUTO_RESPONSE lines = submit_lines(s, 21000, "{" LATER "}");
    struct job_ref job = job_submit(s, "{" LATER ",'name':'needle'}");
    AUTO_RESPONSE r = many(s, "cancel", "{'name':'needle'}");
    expect_counts(r, 1, 1);
    AUTO_RESPONSE shown = job_show(s, job);
    expect_text(shown, "state", "cancelled");
    cr_assert_eq(count_of(s, "scheduled"), 21000);
}

/* The client is gone before its answer: what it asked for ends, and the server goes on. */
SERVER_TEST(many, a_client_that_leaves_ends_the_work)
{
    AUTO_RESPONSE lines = submit_lines(s, 21000, "{" LATER "}");
    AUTO_TEXT body = json_of("{'all':true}");
    struct conn *c = conn_open(s);
    cr_assert(conn_request(c, s, "POST /v1/jobs/cancel", "", body));
    AWAIT(count_of(s, "cancelled") > 0, 20);
    conn_close(c);
    int64_t before, now = -1;
    do { /* the same number twice, with a commit in between */
        before = now;
        AUTO_RESPONSE other = job_run(s, "{'command':['true']}");
        now = count_of(s, "cancelled");
    } while (now != before);
    cr_assert_lt(now, 21000);
    cr_assert_eq(count_of(s, "scheduled"), 21000 - now);
}
