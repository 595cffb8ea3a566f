/* SPDX-License-Identifier: MIT */
/* Graphs: jobs that depend on each other, submitted in one request. */
#include "integration/harness_batch.h"

static struct response *graph_post(struct server *s, const char *body)
{
    return http(s, "POST", "/v1/batches", body, NULL);
}

static struct response *graph_await(struct server *s, struct response *made)
{
    struct response *r = NULL;
    uint64_t until = deadline_in(120);
    do {
        response_free(r);
        r = http(s, "GET", text_of("/v1/batches/%s", json_text(made, "id")).s, NULL,
                 "Prefer: wait=50", NULL);
        CHECK(!deadline_passed(until), "the graph does not end");
    } while (!json_bool(r, "done"));
    return r;
}

static struct job_ref job_at(struct response *made, int i)
{
    struct job_ref job;
    (void)snprintf(job.id, sizeof(job.id), "%s", json_text(made, text_of("jobs.%d.id", i).s));
    return job;
}

/* d needs b and c, which need a; written down in the wrong order. */
SERVER_TEST(graphs, a_diamond_passes_results_along)
{
    AUTO_RESPONSE made = graph_post(
        s, "{'name':'diamond','labels':{'k':'v'},'jobs':["
           "{'ref':'d','command':['sh','-c','cat - c.txt; echo {result:a}'],"
           "'stdin_from':{'job':'b'},'files':{'c.txt':{'job':'c'}}},"
           "{'ref':'b','command':['sh','-c','echo b$(cat)'],'stdin_from':{'job':'a'}},"
           "{'ref':'c','command':['echo','c{result:a}'],'depends_on':['a']},"
           "{'ref':'a','command':['echo','1']},"
           "{'command':['echo','alone'],'name':'own'}]}");
    expect_status(made, 202);
    expect_text(made, "kind", "graph");
    expect_int(made, "total", 5);
    expect_int(made, "counts.blocked", 3);
    expect_header(made, "Location", text_of("/v1/batches/%s", json_text(made, "id")).s);
    expect_text(made, "jobs.0.ref", "d");
    expect_int(made, "jobs.3.index", 3);
    cr_assert(json_is_null(made, "jobs.4.ref"));
    AUTO_RESPONSE end = graph_await(s, made);
    expect_text(end, "state", "succeeded");
    expect_output(s, job_at(made, 0), "stdout", "b1\nc1\n1\n");
    AUTO_RESPONSE d = job_show(s, job_at(made, 0));
    expect_text(d, "name", "d");
    expect_text(d, "batch", json_text(made, "id"));
    expect_int(d, "index", 0);
    expect_text(d, "labels.k", "v");
    AUTO_RESPONSE own = job_show(s, job_at(made, 4));
    expect_text(own, "name", "own");
}

SERVER_TEST(graphs, members_of_the_batch_are_defaults_of_its_jobs)
{
    struct job_ref first = job_submit(s, "{'command':['echo','first']}");
    AUTO_RESPONSE made = graph_post(
        s, text_of("{'command':['cat'],'stdin':'common','env':{'A':'1'},'queue':'q',"
                   "'depends_on':['%s'],'jobs':[{'ref':'x'},{'stdin_base64':'b3du'},"
                   "{'command':['sh','-c','echo $A; cat'],'depends_on':['x'],"
                   "'stdin_from':{'job':'x'}}]}",
                   first.id)
               .s);
    expect_status(made, 202);
    AUTO_RESPONSE end = graph_await(s, made);
    expect_text(end, "state", "succeeded");
    expect_output(s, job_at(made, 0), "stdout", "common");
    expect_output(s, job_at(made, 1), "stdout", "own");
    expect_output(s, job_at(made, 2), "stdout", "1\ncommon");
    AUTO_RESPONSE x = job_show(s, job_at(made, 0));
    expect_text(x, "queue", "q");
}

SERVER_TEST(graphs, a_cycle_is_refused_by_its_names)
{
    AUTO_RESPONSE r = graph_post(
        s, "{'command':['true'],'jobs':[{'ref':'z','depends_on':['a']},"
           "{'ref':'a','depends_on':['b','o']},{'ref':'o'},{'ref':'b','depends_on':['c']},"
           "{'ref':'c','stdin_from':{'job':'a'}}]}");
    expect_problem(r, 422, "dependency-cycle");
    expect_text(r, "detail", "These jobs wait for each other: a → b → c → a");
    cr_assert_eq(cJSON_GetArraySize(json_find(r, "cycle")), 3);
    expect_text(r, "cycle.0", "a");
    expect_text(r, "cycle.2", "c");
    AUTO_RESPONSE self = graph_post(s, "{'jobs':[{'ref':'a','command':['echo','{result:a}']}]}");
    expect_problem(self, 422, "dependency-cycle");
    expect_text(self, "detail", "These jobs wait for each other: a → a");
    AUTO_RESPONSE list = http_get(s, "/v1/jobs");
    cr_assert_eq(cJSON_GetArraySize(json_find(list, "items")), 0);
}

static const struct {
    const char *body, *pointer;
} refused[] = {
    {"{'jobs':[]}", "/jobs"},
    {"{'jobs':{}}", "/jobs"},
    {"{'jobs':[1]}", "/jobs/0"},
    {"{'jobs':[{'ref':'a'}]}", "/jobs/0/command"},
    {"{'jobs':[{'command':['true']},{'command':['true'],'depends_on':['b']}]}",
     "/jobs/1/depends_on/0"},
    {"{'jobs':[{'command':['true'],'depends_on':['01990000-0000-7001-8000-000100000000']}]}",
     "/jobs/0/depends_on/0"},
    {"{'jobs':[{'command':['echo','{result:b}']}]}", "/jobs/0/command/1"},
    {"{'jobs':[{'command':['true'],'stdin_from':{'job':'b'}}]}", "/jobs/0/stdin_from/job"},
    {"{'jobs':[{'command':['true'],'ref':'a'},{'command':['true'],'ref':'a'}]}", "/jobs/1/ref"},
    {"{'jobs':[{'command':['true'],'ref':'a b'}]}", "/jobs/0/ref"},
    {"{'jobs':[{'command':['true'],'ref':''}]}", "/jobs/0/ref"},
    {"{'jobs':[{'command':['true'],'ref':'01990000-0000-7001-8000-000100000000'}]}", "/jobs/0/ref"},
    {"{'jobs':[{'command':['true'],'ref':7}]}", "/jobs/0/ref"},
    {"{'jobs':[{'command':['true'],'unique':{'key':'x'}}]}", "/jobs/0/unique"},
    {"{'jobs':[{'command':['true'],'comand':1}]}", "/jobs/0/comand"},
    {"{'jobs':[{'command':['true']}],'items':[1]}", "/items"},
    {"{'jobs':[{'command':['true']}],'max_parallel':1}", "/max_parallel"},
    {"{'jobs':[{'command':['true']}],'priority':1000}", "/priority"},
    {"{'jobs':[{'command':['true']}],'max_failures':0}", "/max_failures"},
};

SERVER_TEST(graphs, what_is_wrong_is_named_by_its_place_and_nothing_is_stored)
{
    for (size_t i = 0; i < COUNT_OF(refused); i++) {
        AUTO_RESPONSE r = graph_post(s, refused[i].body);
        expect_invalid(r, refused[i].pointer);
    }
    AUTO_RESPONSE list = http_get(s, "/v1/jobs");
    cr_assert_eq(cJSON_GetArraySize(json_find(list, "items")), 0);
    AUTO_RESPONSE after = job_run(s, "{'command':['true']}");
    expect_outcome(after, "succeeded", NULL);
}

SERVER_TEST(graphs, a_failure_cancels_what_depends_on_it_and_no_more)
{
    AUTO_RESPONSE made = graph_post(
        s, "{'jobs':[{'ref':'bad','command':['false']},"
           "{'ref':'child','command':['true'],'depends_on':['bad']},"
           "{'ref':'grandchild','command':['true'],'depends_on':['child'],"
           "'on_parent_failure':'fail'},"
           "{'ref':'cleanup','command':['true'],'depends_on':['grandchild'],"
           "'on_parent_failure':'run'},{'ref':'other','command':['true']}]}");
    AUTO_RESPONSE end = graph_await(s, made);
    expect_text(end, "state", "failed");
    static const char *const states[] = {"failed", "cancelled", "failed", "succeeded", "succeeded"};
    for (int i = 0; i < 5; i++) {
        AUTO_RESPONSE r = job_show(s, job_at(made, i));
        expect_text(r, "state", states[i]);
    }
}

SERVER_TEST(graphs, a_parent_outside_that_has_failed_ends_them_at_birth)
{
    AUTO_RESPONSE bad = job_run(s, "{'command':['false']}");
    AUTO_RESPONSE made = graph_post(
        s, text_of("{'command':['true'],'jobs':[{'ref':'b','depends_on':['a']},"
                   "{'ref':'a','depends_on':['%s']}]}",
                   job_of(bad).id)
               .s);
    expect_status(made, 202);
    AUTO_RESPONSE end = graph_await(s, made);
    expect_text(end, "state", "cancelled");
    expect_int(end, "counts.cancelled", 2);
}

SERVER_TEST(graphs, the_same_key_gives_the_same_graph)
{
    static const char body[] = "{'jobs':[{'ref':'a','command':['true']},"
                               "{'command':['true'],'depends_on':['a']}]}";
    AUTO_RESPONSE first = http(s, "POST", "/v1/batches", body, "Idempotency-Key: g", NULL);
    AUTO_RESPONSE second = http(s, "POST", "/v1/batches", body, "Idempotency-Key: g", NULL);
    expect_status(second, 202);
    expect_header(second, "Idempotency-Replayed", "true");
    for (int i = 0; i < 2; i++)
        expect_text(second, text_of("jobs.%d.id", i).s, job_at(first, i).id);
    expect_text(second, "id", json_text(first, "id"));
}

enum { LARGE = 10000 };

/* A chain in which each waits for the one before it; `first` is the command of the first. */
static char *chain_of(const char *first)
{
    size_t size = (size_t)LARGE * 40 + 200;
    char *body = need_alloc(size);
    size_t len = (size_t)snprintf(body, size,
                                  "{\"command\":[\"true\"],\"jobs\":[{\"ref\":\"0\",%s}", first);
    for (int i = 1; i < LARGE; i++)
        len += (size_t)snprintf(body + len, size - len, ",{\"ref\":\"%d\",\"depends_on\":[\"%d\"]}",
                                i, i - 1);
    (void)snprintf(body + len, size - len, "]}");
    return body;
}

/* The end of one brings the end of the next, ten thousand times. */
SERVER_TEST(graphs, a_failure_runs_down_a_chain_of_ten_thousand)
{
    AUTO_TEXT body = chain_of("\"command\":[\"false\"],\"delay\":\"1s\"");
    uint64_t start = now_ns();
    AUTO_RESPONSE made = graph_post(s, body);
    expect_status(made, 202);
    /* It takes a tenth of a second; to walk through all jobs for each of them took twenty times
     * that. */
    cr_assert_lt(seconds_since(start), 2 * slow_factor());
    expect_int(made, "counts.blocked", LARGE - 1);
    AUTO_RESPONSE end = graph_await(s, made);
    expect_text(end, "state", "failed");
    expect_int(end, "counts.cancelled", LARGE - 1);
}

SERVER_TEST(graphs, a_graph_outlives_kill_9)
{
    AUTO_RESPONSE made = graph_post(s,
                                    "{'jobs':[{'ref':'a','command':['echo','a'],'delay':'700ms'},"
                                    "{'command':['cat'],'stdin_from':{'job':'a'}}]}");
    server_kill(s);
    server_restart(s, NULL);
    AUTO_RESPONSE end = graph_await(s, made);
    expect_text(end, "state", "succeeded");
    expect_output(s, job_at(made, 1), "stdout", "a\n");
}

/* Each job waits for all before it. */
SERVER_TEST(graphs, dependencies_of_one_request_are_limited)
{
    enum { JOBS = 400, MOST = 32768 };
    struct text_builder b = {0};
    int edges = 0, first_beyond = 0;
    text_add(&b, "{\"command\":[\"true\"],\"jobs\":[{\"ref\":\"j0\"}");
    for (int i = 1; i < JOBS; i++) {
        text_add(&b, ",{\"ref\":\"j%d\",\"depends_on\":[\"j0\"", i);
        for (int k = 1; k < i; k++)
            text_add(&b, ",\"j%d\"", k);
        text_add(&b, "]}");
        edges += i;
        if (edges > MOST && first_beyond == 0)
            first_beyond = i;
    }
    text_add(&b, "]}");
    AUTO_RESPONSE r = http(s, "POST", "/v1/batches", b.text, NULL);
    expect_invalid(r, text_of("/jobs/%d/depends_on", first_beyond).s);
    cr_assert_not_null(strstr(r->body, "graph.max_edges"));
    AUTO_RESPONSE limits = http_get(s, "/v1/limits");
    cr_assert_not_null(strstr(limits->body, "\"graph.max_edges\":32768"));
    text_free(&b);
}
