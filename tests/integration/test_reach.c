/* SPDX-License-Identifier: MIT */
/* A running job within reach: its progress. */
#include "integration/harness_test.h"

static struct conn *events_open(const struct server *s, struct job_ref job)
{
    struct conn *c = conn_open(s);
    conn_request(c, s, text_of("GET /v1/jobs/%s/events", job.id).s, "Accept: text/event-stream\r\n",
                 NULL);
    CHECK(conn_await_head(c, 20), "no head");
    CHECK(c->status == 200, "%ld", c->status);
    return c;
}

SERVER_TEST(reach, progress_is_in_the_job_while_it_runs)
{
    struct text hold = fifo_make(s, "hold");
    struct job_ref job = job_submit(
        s, "{'command':['sh','-c','echo \\'progress 0.6 tile 6/10\\' >&3; echo x; cat %s']}",
        hold.s);
    AUTO_RESPONSE first = job_show(s, job);
    for (uint64_t until = deadline_in(20); json_is_null(first, "progress");) {
        CHECK(!deadline_passed(until), "no progress");
        response_free(first);
        first = job_show(s, job);
    }
    cr_assert_float_eq(json_number(first, "progress.fraction"), 0.6, 1e-9);
    expect_text(first, "progress.message", "tile 6/10");
    cr_assert_not_null(json_text(first, "progress.at"));
    AUTO_RESPONSE list = http_get(s, "/v1/jobs");
    expect_text(list, "items.0.progress.message", "tile 6/10");
    fifo_release(hold.s);
    AUTO_RESPONSE end = job_await(s, job);
    expect_outcome(end, "succeeded", NULL);
    cr_assert(json_is_null(end, "progress"), "it is of running jobs");
}

SERVER_TEST(reach, progress_is_an_event_for_who_listens)
{
    struct text hold[2] = {fifo_make(s, "0"), fifo_make(s, "1")};
    struct job_ref job = job_submit(
        s,
        "{'command':['sh','-c','for i in 0 1; do cat %s/$i; echo progress 0.$i n$i >&3; done;"
        " sleep 1000']}",
        s->scratch);
    AUTO_CONN c = events_open(s, job);
    cr_assert(conn_await_text(c, "\"running\"", 20));
    fifo_release(hold[0].s);
    cr_assert(conn_await_text(c, "event: progress\ndata: {\"fraction\":0,\"message\":\"n0\"", 20),
              "%s", c->body);
    fifo_release(hold[1].s);
    cr_assert(conn_await_text(c, "{\"fraction\":0.1,\"message\":\"n1\"", 20), "%s", c->body);
    AUTO_RESPONSE over = job_cancel(s, job, "{'signal':'KILL'}", 20);
    cr_assert(conn_await_end(c, 20));
    cr_assert_not_null(strstr(c->body, "event: end"));
}

SERVER_TEST(reach, who_comes_late_sees_the_newest_progress_first)
{
    struct job_ref job = job_submit(
        s, "{'command':['sh','-c','echo progress 0.25 early >&3; sleep 1000']}");
    AUTO_CONN first = events_open(s, job);
    cr_assert(conn_await_text(first, "early", 20));
    AUTO_CONN second = events_open(s, job);
    cr_assert(conn_await_text(second, "event: progress\ndata: {\"fraction\":0.25,", 20), "%s",
              second->body);
    AUTO_RESPONSE over = job_cancel(s, job, "{'signal':'KILL'}", 20);
}

static size_t count(const char *text, const char *needle)
{
    size_t n = 0;
    for (const char *at = text; (at = strstr(at, needle)) != NULL; at += strlen(needle))
        n++;
    return n;
}

/* A job that says where it is ten thousand times in a second is shown a few times in one. */
SERVER_TEST(reach, a_flood_of_progress_is_thinned)
{
    struct job_ref job = job_submit(
        s, "{'command':['perl','-e','open P, q(>&=3); $| = 1; select P; $| = 1; use Time::HiRes "
           "q(time); my $end = time + 0.7;"
           " while (time < $end) { print qq(progress 0.5 flood\\n) for 1 .. 100 }"
           " print qq(progress 0.75 last\\n); sleep 1000']}");
    const uint64_t begun = now_ns();
    AUTO_CONN c = events_open(s, job);
    cr_assert(conn_await_text(c, "\"last\"", 60), "the last one must arrive");
    const size_t most = (size_t)(seconds_since(begun) * 5) + 2;
    cr_assert_leq(count(c->body, "event: progress"), most, "%zu",
                  count(c->body, "event: progress"));
    AUTO_RESPONSE over = job_cancel(s, job, "{'signal':'KILL'}", 20);
}
