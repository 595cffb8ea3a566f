/* SPDX-License-Identifier: MIT */
/* A job's own token: what it is for, what it is not for, and that it dies with its attempt. */
#include "integration/cli_call.h"
#include "integration/harness_own.h"
#include "integration/harness_schema.h"

#include <dirent.h>
#include <signal.h>
#include <unistd.h>

static void expect_end(struct server *s, const struct holder *h)
{
    AUTO_RESPONSE r = own_ask(s, h, "GET", "/v1/jobs/self", NULL);
    expect_problem(r, 401, "unauthorized");
}

OWN_TEST(a_job_finds_itself, "token")
{
    struct holder h = own_hold(s, "me");
    AUTO_RESPONSE self = own_ask(s, &h, "GET", "/v1/jobs/self", NULL);
    expect_status(self, 200);
    expect_text(self, "id", h.job.id);
    expect_text(self, "name", "me");
    expect_text(self, "state", "running");
    cr_assert(json_is_null(self, "parent"));
    AUTO_RESPONSE by_id = own_ask(s, &h, "GET", text_of("/v1/jobs/%s", h.job.id).s, NULL);
    expect_status(by_id, 200);
    AUTO_RESPONSE processes = own_ask(s, &h, "GET", "/v1/jobs/self/processes", NULL);
    expect_status(processes, 200);
    AUTO_RESPONSE out = own_ask(s, &h, "GET", "/v1/jobs/self/stdout", NULL);
    expect_status(out, 200);
    AUTO_RESPONSE of_none = http_get(s, "/v1/jobs/self");
    expect_problem(of_none, 404, "not-found");
    fifo_release(h.fifo.s);
    AUTO_RESPONSE over = job_await(s, h.job);
    expect_outcome(over, "succeeded", NULL);
    expect_end(s, &h);
}

/* Whoever asks first thing, before the row says that the job runs. */
OWN_TEST(a_job_that_asks_at_once_is_running, "token")
{
    AUTO_RESPONSE lines = http(s, "POST", "/v1/jobs", "{'command':['true']}", NULL);
    expect_status(lines, 202);
    for (int i = 0; i < 12; i++) {
        struct text out = text_of("%s/out.%d", s->scratch, i);
        (void)job_submit(s, "{'command':['sh','-c','%s show self --json >%s.new; mv %s.new %s']}",
                         ganger_binary(), out.s, out.s, out.s);
    }
    for (int i = 0; i < 12; i++) {
        struct text out = text_of("%s/out.%d", s->scratch, i);
        await_file(out.s, 60);
        CHECK(file_has(out.s, "\"state\":\"running\""), "%s", out.s);
    }
}

/* Neighbours that one worker runs in one turn are different jobs with different tokens. */
OWN_TEST(each_element_of_a_chunk_is_itself, "token")
{
    AUTO_RESPONSE r = http(
        s, "POST", "/v1/batches",
        text_of("{'command':['sh','-c','%s show self --json >%s/{index}.new; mv %s/{index}.new "
                "%s/{index}'],'items':[0,1,2,3],'chunksize':4}",
                ganger_binary(), s->scratch, s->scratch, s->scratch)
            .s,
        NULL);
    expect_status(r, 202);
    for (int i = 0; i < 4; i++) {
        struct text out = text_of("%s/%d", s->scratch, i);
        await_file(out.s, 60);
        CHECK(file_has(out.s, text_of("\"index\":%d,", i).s), "%s", out.s);
        CHECK(file_has(out.s, "\"state\":\"running\""), "%s", out.s);
    }
}

OWN_TEST(a_job_submits_children, "token")
{
    struct holder h = own_hold(s, "parent");
    AUTO_RESPONSE other = job_run(s, "{'function':'echo','args':['other']}");
    AUTO_RESPONSE child = http(s, "POST", "/v1/jobs", "{'function':'echo','args':['one']}",
                               h.header, "Prefer: wait=20", NULL);
    expect_status(child, 200);
    expect_text(child, "parent", h.job.id);
    AUTO_RESPONSE lines = http(s, "POST", "/v1/jobs",
                               "{'function':'echo','args':['two']}\n{'command':['true']}\n{'"
                               "function':'echo','args':['three']}\n",
                               h.header, "Content-Type: application/x-ndjson", NULL);
    expect_status(lines, 200);
    cr_assert_not_null(strstr(lines->body, text_of("\"parent\":\"%s\"", h.job.id).s));
    cr_assert_not_null(strstr(lines->body, "/problems/forbidden"), "%s", lines->body);
    struct job_ref ref = job_of(child);
    AUTO_RESPONSE value = own_ask(s, &h, "GET", text_of("/v1/jobs/%s/result", ref.id).s, NULL);
    expect_status(value, 200);
    cr_assert_str_eq(value->body, "one");
    AUTO_RESPONSE mine = own_ask(s, &h, "GET", "/v1/jobs?order=oldest", NULL);
    expect_status(mine, 200);
    cr_assert_eq(cJSON_GetArraySize(json_find(mine, "items")), 3);
    expect_text(mine, "items.0.id", ref.id);
    AUTO_RESPONSE page = own_ask(s, &h, "GET", "/v1/jobs?parent=self&limit=2", NULL);
    cr_assert_eq(cJSON_GetArraySize(json_find(page, "items")), 2);
    AUTO_RESPONSE rest = own_ask(
        s, &h, "GET", text_of("/v1/jobs?limit=2&cursor=%s", json_text(page, "next_cursor")).s,
        NULL);
    cr_assert_eq(cJSON_GetArraySize(json_find(rest, "items")), 1);
    expect_text(rest, "items.0.id", ref.id);
    AUTO_RESPONSE all = http_get(s, "/v1/jobs?parent=%s&state=succeeded&order=oldest", h.job.id);
    expect_text(all, "items.0.parent", h.job.id);
    AUTO_CALL listed, childless;
    cli_call_run(&listed, s, WORDS("ls", "-q", "--parent", h.job.id));
    CHECK(listed.out_len == 3 * 37 && strstr(listed.out, ref.id) != NULL, "%s", listed.out);
    cli_call_run(&childless, s, WORDS("ls", "-q", "--parent", ref.id));
    expect_out(&childless, "");
    AUTO_RESPONSE shown = job_show(s, ref);
    expect_text(shown, "parent", h.job.id);
    AUTO_RESPONSE none = http_get(s, "/v1/jobs?parent=%s", ref.id);
    cr_assert_eq(cJSON_GetArraySize(json_find(none, "items")), 0);
    /* The child does not end with its parent, and says whose it was when that one is forgotten. */
    AUTO_RESPONSE over = job_cancel(s, h.job, "{'grace':0}", 20);
    AUTO_RESPONSE gone = http(s, "DELETE", text_of("/v1/jobs/%s", h.job.id).s, NULL, NULL);
    expect_status(gone, 204);
    AUTO_RESPONSE orphan = job_show(s, ref);
    expect_text(orphan, "parent", h.job.id);
    AUTO_RESPONSE dropped = http(s, "DELETE", text_of("/v1/jobs/%s", ref.id).s, NULL, NULL);
    expect_status(dropped, 204);
    AUTO_RESPONSE fewer = http_get(s, "/v1/jobs?parent=%s", h.job.id);
    cr_assert_eq(cJSON_GetArraySize(json_find(fewer, "items")), 2);
}

OWN_TEST(a_child_goes_on_when_its_parent_ends, "token")
{
    struct holder h = own_hold(s, "parent");
    struct text fifo = fifo_make(s, "child");
    AUTO_RESPONSE r = http(s, "POST", "/v1/jobs",
                           text_of("{'function':'hold','args':['%s']}", fifo.s).s, h.header, NULL);
    expect_status(r, 202);
    AUTO_RESPONSE running = job_await_state(s, job_of(r), "running");
    AUTO_RESPONSE over = job_cancel(s, h.job, "{'grace':0}", 20);
    expect_text(over, "job.state", "cancelled");
    AUTO_RESPONSE still = job_show(s, job_of(r));
    expect_text(still, "state", "running");
    fifo_release(fifo.s);
    AUTO_RESPONSE end = job_await(s, job_of(r));
    expect_outcome(end, "succeeded", NULL);
}

static bool is_for_jobs(const char *method, const char *path)
{
    static const char *const reads[] = {"/v1/jobs",
                                        "/v1/jobs/{id}",
                                        "/v1/jobs/{id}/result",
                                        "/v1/jobs/{id}/stdout",
                                        "/v1/jobs/{id}/stderr",
                                        "/v1/jobs/{id}/events",
                                        "/v1/jobs/{id}/explain",
                                        "/v1/jobs/{id}/processes",
                                        "/v1/batches/{id}",
                                        "/v1/batches/{id}/results",
                                        "/livez",
                                        "/readyz"};
    static const char *const posts[] = {
        "/v1/jobs", "/v1/batches",      "/v1/batches/{id}/jobs", "/v1/batches/{id}/close",
        "/v1/wait", "/v1/as-completed", "/v1/pipelines"};
    for (size_t i = 0; strcmp(method, "get") == 0 && i < COUNT_OF(reads); i++)
        if (strcmp(path, reads[i]) == 0)
            return true;
    for (size_t i = 0; strcmp(method, "post") == 0 && i < COUNT_OF(posts); i++)
        if (strcmp(path, posts[i]) == 0)
            return true;
    return false;
}

/* The path with something in the place of {id}, {name} and the like. */
static struct text path_of(const char *route)
{
    struct text path = text_of("%s", route);
    char *open = strchr(path.s, '{');
    if (open == NULL)
        return path;
    const char *close = strchr(open, '}');
    *open = '\0';
    return text_of("%sself%s", path.s, close + 1);
}

/* Every route that the service says it has, so also one that is added later. */
OWN_TEST(nothing_else_is_allowed, "token")
{
    struct holder h = own_hold(s, "me");
    const cJSON *route, *method;
    size_t n = 0;
    cJSON_ArrayForEach(route, json_at(schema_document(s), "paths"))
    {
        cJSON_ArrayForEach(method, route)
        {
            char verb[8] = "";
            if (is_for_jobs(method->string, route->string))
                continue;
            for (size_t i = 0; i + 1 < sizeof verb && method->string[i] != '\0'; i++)
                verb[i] = (char)(method->string[i] & ~0x20);
            AUTO_RESPONSE r = own_ask(s, &h, verb, path_of(route->string).s, NULL);
            CHECK(r->status == 403, "%s %s: %ld", verb, route->string, r->status);
            n++;
        }
    }
    cr_assert_gt(n, 30);
    fifo_release(h.fifo.s);
}

OWN_TEST(others_are_not_there, "token")
{
    struct holder h = own_hold(s, "me"), other = own_hold(s, "other");
    AUTO_RESPONSE foreign = job_run(s, "{'command':['echo','secret']}");
    struct job_ref secret = job_of(foreign);
    static const char *const of_jobs[] = {"",        "/result",  "/stdout",   "/stderr",
                                          "/events", "/explain", "/processes"};
    for (size_t i = 0; i < COUNT_OF(of_jobs); i++) {
        AUTO_RESPONSE a = own_ask(s, &h, "GET", text_of("/v1/jobs/%s%s", secret.id, of_jobs[i]).s,
                                  NULL);
        expect_problem(a, 404, "not-found");
        AUTO_RESPONSE b = own_ask(s, &h, "GET",
                                  text_of("/v1/jobs/%s%s", other.job.id, of_jobs[i]).s, NULL);
        expect_problem(b, 404, "not-found");
    }
    AUTO_RESPONSE list = own_ask(s, &h, "GET", text_of("/v1/jobs?parent=%s", other.job.id).s, NULL);
    expect_problem(list, 422, "invalid-request");
    AUTO_RESPONSE empty = own_ask(s, &h, "GET", "/v1/jobs", NULL);
    cr_assert_eq(cJSON_GetArraySize(json_find(empty, "items")), 0);
    AUTO_RESPONSE child = own_ask(s, &h, "POST", "/v1/jobs", "{'function':'echo','args':['x']}");
    AUTO_RESPONSE not_mine = own_ask(s, &other, "GET", text_of("/v1/jobs/%s", job_of(child).id).s,
                                     NULL);
    expect_problem(not_mine, 404, "not-found");
    fifo_release(h.fifo.s);
    fifo_release(other.fifo.s);
}

OWN_TEST(a_child_is_a_function_and_depends_on_its_family_alone, "token")
{
    struct holder h = own_hold(s, "me");
    AUTO_RESPONSE foreign = job_run(s, "{'command':['echo','secret']}");
    static const char *const no_exec[] = {
        "{'command':['true']}",
        "{'function':'echo','args':['x'],'env':{'A':'b'}}",
        "{'function':'echo','args':['x'],'stdin':'x'}",
        "{'function':'echo','args':['x'],'unique':{'key':'k','on_conflict':'replace'}}",
    };
    for (size_t i = 0; i < COUNT_OF(no_exec); i++) {
        AUTO_RESPONSE r = own_ask(s, &h, "POST", "/v1/jobs", no_exec[i]);
        expect_problem(r, 403, "forbidden");
    }
    AUTO_RESPONSE blob = http(s, "POST", "/v1/blobs", "x", "Content-Type: application/octet-stream",
                              NULL);
    expect_status(blob, 201);
    AUTO_RESPONSE takes = own_ask(
        s, &h, "POST", "/v1/jobs",
        text_of("{'function':'echo','args':['x'],'inputs':{'x':{'blob':'%s'}}}",
                json_text(blob, "id"))
            .s);
    expect_problem(takes, 403, "forbidden");
    static const char after[] = "{'function':'echo','args':['x'],'depends_on':['%s']}";
    AUTO_RESPONSE reach = own_ask(s, &h, "POST", "/v1/jobs", text_of(after, job_of(foreign).id).s);
    expect_problem(reach, 422, "invalid-request");
    AUTO_RESPONSE child = own_ask(s, &h, "POST", "/v1/jobs", "{'function':'echo','args':['x']}");
    AUTO_RESPONSE next = http(s, "POST", "/v1/jobs", text_of(after, job_of(child).id).s, h.header,
                              "Prefer: wait=20", NULL);
    expect_status(next, 200);
    AUTO_RESPONSE last = own_ask(s, &h, "POST", "/v1/jobs", text_of(after, h.job.id).s);
    expect_status(last, 202);
    expect_text(last, "state", "blocked");
    fifo_release(h.fifo.s);
    AUTO_RESPONSE end = job_await(s, job_of(last));
    expect_outcome(end, "succeeded", NULL);
}

OWN_TEST(tokens_that_are_none, "token")
{
    struct holder h = own_hold(s, "me"), wrong = h;
    wrong.header[strlen(wrong.header) - 1] ^= 1;
    expect_end(s, &wrong);
    (void)snprintf(wrong.header, sizeof wrong.header, "Authorization: Bearer %.100s", h.token);
    expect_end(s, &wrong);
    (void)snprintf(wrong.header, sizeof wrong.header, "Authorization: Basic %s", h.token);
    expect_end(s, &wrong);
    (void)snprintf(wrong.header, sizeof wrong.header, "Authorization: Bearer %064d", 0);
    expect_end(s, &wrong);
    fifo_release(h.fifo.s);
}

/* Each attempt has a token of its own, and the one before has none any more. */
OWN_TEST(a_token_dies_with_its_attempt, "token")
{
    struct text path = text_of("%s/token", s->scratch), hold_2 = fifo_make(s, "2");
    struct holder first = {.fifo = fifo_make(s, "1")}, second = {0};
    struct job_ref job = job_submit(
        s,
        "{'command':['sh','-c','printf %%s $GANGER_TOKEN >%s.new; mv %s.new %s.$GANGER_ATTEMPT; "
        "cat %s/$GANGER_ATTEMPT; test $GANGER_ATTEMPT = 2'],'retry':{'max_attempts':2,'delay':0}}",
        path.s, path.s, path.s, s->scratch);
    own_token_take(&first, text_of("%s.1", path.s).s);
    AUTO_RESPONSE child = http(s, "POST", "/v1/jobs", "{'function':'echo','args':['x']}",
                               first.header, "Idempotency-Key: step-1", NULL);
    expect_status(child, 202);
    fifo_release(first.fifo.s);
    own_token_take(&second, text_of("%s.2", path.s).s);
    cr_assert_str_neq(first.token, second.token);
    expect_end(s, &first);
    AUTO_RESPONSE self = own_ask(s, &second, "GET", "/v1/jobs/self", NULL);
    expect_text(self, "id", job.id);
    expect_int(self, "attempt", 2);
    /* The same client, for its keys. */
    AUTO_RESPONSE again = http(s, "POST", "/v1/jobs", "{'function':'echo','args':['x']}",
                               second.header, "Idempotency-Key: step-1", NULL);
    expect_status(again, 202);
    expect_text(again, "id", job_of(child).id);
    expect_header(again, "Idempotency-Replayed", "true");
    fifo_release(hold_2.s);
    AUTO_RESPONSE over = job_await(s, job);
    expect_outcome(over, "succeeded", NULL);
    expect_end(s, &second);
}

OWN_TEST(a_token_dies_however_its_attempt_ends, "token")
{
    struct holder cancelled = own_hold(s, "cancelled"), lost = own_hold(s, "lost");
    AUTO_RESPONSE shown = job_show(s, lost.job);
    AUTO_RESPONSE over = job_cancel(s, cancelled.job, "{'grace':0}", 20);
    expect_end(s, &cancelled);
    cr_assert_eq(kill((pid_t)json_int(shown, "worker.pid"), SIGKILL), 0);
    AUTO_RESPONSE end = job_await(s, lost.job);
    expect_outcome(end, "failed", "lost");
    expect_end(s, &lost);
    struct holder last = own_hold(s, "last");
    server_kill(s);
    server_restart(s, &(struct server_options){.workers = 2});
    expect_end(s, &last);
}

static bool dir_has(const char *dir, const char *needle)
{
    DIR *d = opendir(dir);
    bool found = false;
    for (const struct dirent *e; d != NULL && !found && (e = readdir(d)) != NULL;) {
        if (e->d_name[0] == '.')
            continue;
        struct text path = text_of("%s/%s", dir, e->d_name);
        size_t len = 0;
        AUTO_TEXT bytes = e->d_type == DT_REG ? file_read(path.s, &len) : NULL;
        found = (bytes != NULL && memmem(bytes, len, needle, strlen(needle)) != NULL) ||
                (e->d_type == DT_DIR && strstr(path.s, "scratch") == NULL &&
                 dir_has(path.s, needle));
    }
    if (d != NULL)
        (void)closedir(d);
    return found;
}

OWN_TEST(a_token_is_told_to_its_job_alone, "token")
{
    struct holder h = own_hold(s, "me");
    struct text marker = text_of("%s", "a-marker-that-is-stored");
    AUTO_RESPONSE child = own_ask(s, &h, "POST", "/v1/jobs",
                                  text_of("{'function':'echo','args':['%s']}", marker.s).s);
    expect_status(child, 202);
    AUTO_RESPONSE end = job_await(s, job_of(child));
    struct response *r[] = {job_show(s, h.job), http_get(s, "/v1/jobs"),
                            http_get(s, "/v1/jobs/%s/processes", h.job.id),
                            http_get(s, "/v1/jobs/%s/explain", h.job.id), http_get(s, "/metrics")};
    for (size_t i = 0; i < COUNT_OF(r); i++) {
        CHECK(strstr(r[i]->body, h.token) == NULL, "%s", r[i]->path);
        response_free(r[i]);
        r[i] = NULL;
    }
    cr_assert(!server_log_has(s, h.token));
    cr_assert(dir_has(s->dir, marker.s), "the search sees what is there");
    cr_assert(!dir_has(s->dir, h.token));
    fifo_release(h.fifo.s);
}

/* Nobody needs a token, but a job that brings its own is that job. */
OWN_TEST(without_authentication_a_job_is_still_known, "none")
{
    struct holder h = own_hold(s, "me");
    AUTO_RESPONSE self = own_ask(s, &h, "GET", "/v1/jobs/self", NULL);
    expect_text(self, "id", h.job.id);
    AUTO_RESPONSE child = own_ask(s, &h, "POST", "/v1/jobs", "{'function':'echo','args':['x']}");
    expect_text(child, "parent", h.job.id);
    AUTO_RESPONSE plain = http(s, "POST", "/v1/jobs", "{'command':['true']}", NULL);
    cr_assert(json_is_null(plain, "parent"));
    fifo_release(h.fifo.s);
}

/* A call inside a worker has no processes of its own to signal; what it shows is the worker. */
OWN_TEST(a_native_call_is_out_of_reach, "token")
{
    struct job_ref job = job_submit(s, "{'function':'misbehave','args':['cancel']}");
    AUTO_RESPONSE running = job_await_state(s, job, "running");
    static const struct {
        const char *verb, *body;
    } verbs[] = {{"signal", "{'signal':'USR1'}"}, {"suspend", NULL}, {"resume", NULL}};
    for (size_t i = 0; i < COUNT_OF(verbs); i++) {
        AUTO_RESPONSE r = http(s, "POST", text_of("/v1/jobs/%s/%s", job.id, verbs[i].verb).s,
                               verbs[i].body, NULL);
        expect_problem(r, 409, "state-conflict");
        cr_assert_not_null(strstr(r->body, "no command"), "%s", r->body);
    }
    struct response *shown = http_get(s, "/v1/jobs/%s/processes", job.id);
    for (uint64_t until = deadline_in(20); json_find(shown, "processes.0") == NULL;) {
        CHECK(!deadline_passed(until), "%s", shown->body);
        response_free(shown);
        shown = http_get(s, "/v1/jobs/%s/processes", job.id);
    }
    cr_assert_eq(json_int(shown, "processes.0.pid"), json_int(shown, "worker.pid"));
    response_free(shown);
    AUTO_RESPONSE over = job_cancel(s, job, NULL, 20);
    expect_text(over, "job.state", "cancelled");
}
