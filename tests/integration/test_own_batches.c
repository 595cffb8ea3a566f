/* SPDX-License-Identifier: MIT */
/* Batches that a running job submits with its own token. */
#include "integration/harness_own.h"

static struct response *lines_of(struct server *s, const struct holder *h, const char *path,
                                 const char *lines)
{
    return http(s, "POST", path, lines, h->header, "Content-Type: application/x-ndjson", NULL);
}

/* A map within a job: in one request, in lines, as a graph; its elements are the job's children. */
OWN_TEST(a_job_submits_batches, "token")
{
    static const char graph[] = "{'jobs':[{'ref':'a','function':'echo','args':['a']},"
                                "{'function':'echo','args':['b'],'depends_on':['a']}]}";
    struct holder h = own_hold(s, "parent"), other = own_hold(s, "other");
    AUTO_RESPONSE items = own_ask(s, &h, "POST", "/v1/batches",
                                  "{'function':'echo','items':['x','y'],'open':true}");
    AUTO_RESPONSE lines = lines_of(s, &h, "/v1/batches", "{'function':'echo'}\n'z'\n");
    AUTO_RESPONSE family = own_ask(s, &h, "POST", "/v1/batches", graph);
    struct response *const made[] = {items, lines, family};
    static const int sizes[] = {3, 1, 2};
    struct text batch = text_of("/v1/batches/%s", job_of(items).id);
    AUTO_RESPONSE more = own_ask(s, &h, "POST", text_of("%s/jobs", batch.s).s, "{'items':['w']}");
    expect_status(more, 202);
    AUTO_RESPONSE closed = own_ask(s, &h, "POST", text_of("%s/close", batch.s).s, NULL);
    expect_status(closed, 200);
    for (size_t i = 0; i < COUNT_OF(made); i++) {
        expect_status(made[i], 202);
        expect_text(made[i], "parent", h.job.id);
        struct job_ref ref = job_of(made[i]);
        AUTO_RESPONSE over = http(s, "GET", text_of("/v1/batches/%s", ref.id).s, NULL, h.header,
                                  "Prefer: wait=20", NULL);
        expect_text(over, "state", "succeeded");
        AUTO_RESPONSE list = own_ask(s, &h, "GET", text_of("/v1/jobs?batch=%s", ref.id).s, NULL);
        cr_assert_eq(cJSON_GetArraySize(json_find(list, "items")), sizes[i]);
        expect_text(list, "items.0.parent", h.job.id);
        AUTO_RESPONSE element = own_ask(
            s, &h, "GET", text_of("/v1/jobs/%s/result", json_text(list, "items.0.id")).s, NULL);
        expect_status(element, 200);
        AUTO_RESPONSE results = own_ask(s, &h, "GET", text_of("/v1/batches/%s/results", ref.id).s,
                                        NULL);
        expect_status(results, 200);
        expect_int(results, text_of("%d.index", sizes[i] - 1).s, sizes[i] - 1);
        /* To another job none of this is there. */
        static const char *const paths[] = {"", "/results"};
        for (size_t k = 0; k < COUNT_OF(paths); k++) {
            AUTO_RESPONSE r = own_ask(s, &other, "GET",
                                      text_of("/v1/batches/%s%s", ref.id, paths[k]).s, NULL);
            expect_problem(r, 404, "not-found");
        }
        AUTO_RESPONSE unseen = own_ask(
            s, &other, "GET", text_of("/v1/jobs/%s", json_text(list, "items.0.id")).s, NULL);
        expect_problem(unseen, 404, "not-found");
        AUTO_RESPONSE empty = own_ask(s, &other, "GET", text_of("/v1/jobs?batch=%s", ref.id).s,
                                      NULL);
        cr_assert_eq(cJSON_GetArraySize(json_find(empty, "items")), 0);
    }
    struct text both = text_of("{'jobs':['%s','%s']}", job_of(items).id, job_of(family).id);
    static const char *const waits[] = {"/v1/wait", "/v1/as-completed"};
    for (size_t i = 0; i < COUNT_OF(waits); i++) {
        AUTO_RESPONSE mine = own_ask(s, &h, "POST", waits[i], both.s);
        expect_status(mine, 200);
        AUTO_RESPONSE foreign = own_ask(s, &other, "POST", waits[i], both.s);
        expect_problem(foreign, 404, "not-found");
    }
    fifo_release(h.fifo.s);
    fifo_release(other.fifo.s);
}

/* Its stages are the job's children, like the elements of its batches. */
OWN_TEST(a_job_submits_pipelines, "token")
{
    struct holder h = own_hold(s, "parent"), other = own_hold(s, "other");
    AUTO_RESPONSE r = http(s, "POST", "/v1/pipelines",
                           "{'stages':[{'function':'echo','args':['a']},"
                           "{'function':'hold','args':['/dev/stdin']}]}",
                           h.header, "Prefer: wait=20", NULL);
    expect_status(r, 200);
    expect_text(r, "state", "succeeded");
    expect_text(r, "parent", h.job.id);
    struct job_ref pipeline = job_of(r);
    AUTO_RESPONSE list = own_ask(s, &h, "GET", text_of("/v1/jobs?batch=%s", pipeline.id).s, NULL);
    cr_assert_eq(cJSON_GetArraySize(json_find(list, "items")), 2);
    expect_text(list, "items.0.parent", h.job.id);
    expect_text(list, "items.1.parent", h.job.id);
    AUTO_RESPONSE results = own_ask(s, &h, "GET", text_of("/v1/batches/%s/results", pipeline.id).s,
                                    NULL);
    expect_text(results, "1.value", "a");
    AUTO_RESPONSE unseen = own_ask(s, &other, "GET", text_of("/v1/batches/%s", pipeline.id).s,
                                   NULL);
    expect_problem(unseen, 404, "not-found");
    fifo_release(h.fifo.s);
    fifo_release(other.fifo.s);
}

struct refused {
    const char *body, *rest; /* between them the id of another's job */
    int status;
    const char *slug, *pointer;
};

static void expect_refused(struct server *s, const struct holder *h, const char *path,
                           struct job_ref foreign, const struct refused *row)
{
    AUTO_RESPONSE r = own_ask(s, h, "POST", path,
                              text_of("%s%s%s", row->body, foreign.id, row->rest).s);
    expect_problem(r, row->status, row->slug);
    if (row->pointer != NULL)
        expect_text(r, "errors.0.pointer", row->pointer);
}

/* Nor is a pipeline a way around it. */
OWN_TEST(a_pipeline_of_a_job_is_as_its_jobs, "token")
{
    struct holder h = own_hold(s, "me");
    AUTO_RESPONSE foreign = job_run(s, "{'command':['echo','secret']}");
    static const struct refused rows[] = {
        {"{'stages':[{'command':['echo','", "']}]}", 403, "forbidden", NULL},
        {"{'stages':[{'function':'echo','args':['x']}],'depends_on':['", "']}", 422,
         "invalid-request", "/depends_on/0"},
        {"{'stages':[{'function':'echo','args':['x'],'stdin_from':{'job':'", "'}}]}", 403,
         "forbidden", "/stages/0/stdin_from"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        expect_refused(s, &h, "/v1/pipelines", job_of(foreign), &rows[i]);
    fifo_release(h.fifo.s);
}

/* A batch is no way around what a job may not submit. */
OWN_TEST(a_batch_of_a_job_is_as_its_jobs, "token")
{
    struct holder h = own_hold(s, "me");
    AUTO_RESPONSE foreign = job_run(s, "{'command':['echo','secret']}");
    static const struct refused rows[] = {
        {"{'command':['echo','", "'],'items':[1]}", 403, "forbidden", NULL},
        {"{'jobs':[{'command':['echo','", "']}]}", 403, "forbidden", NULL},
        {"{'function':'echo','items':['x'],'depends_on':['", "']}", 422, "invalid-request",
         "/depends_on/0"},
        {"{'jobs':[{'function':'echo','args':['a']},{'function':'echo','args':['a'],"
         "'depends_on':['",
         "']}]}", 422, "invalid-request", "/jobs/1/depends_on/0"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        expect_refused(s, &h, "/v1/batches", job_of(foreign), &rows[i]);
    AUTO_RESPONSE lines = lines_of(s, &h, "/v1/batches", "{'command':['echo']}\n'z'\n");
    expect_problem(lines, 403, "forbidden");
    AUTO_RESPONSE theirs = http(s, "POST", "/v1/batches",
                                "{'command':['true'],'items':[1],'open':true}", NULL);
    AUTO_RESPONSE added = own_ask(
        s, &h, "POST", text_of("/v1/batches/%s/jobs", job_of(theirs).id).s, "{'items':[1]}");
    expect_problem(added, 404, "not-found");
    fifo_release(h.fifo.s);
}
