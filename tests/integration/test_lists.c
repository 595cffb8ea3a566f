/* SPDX-License-Identifier: MIT */
/* Lists: filters, cursors, Link; and many submissions in one request. */
#include "integration/harness_pool.h"
#include "integration/harness_queue.h"

/* The ids of a list, newest first as they come; returns how many. */
static size_t list_ids(struct response *r, struct job_ref *ret, size_t max)
{
    expect_status(r, 200);
    size_t n = 0;
    const cJSON *each = NULL;
    cJSON_ArrayForEach(each, json_find(r, "items"))
    {
        CHECK(n < max, "more items than expected");
        (void)snprintf(ret[n++].id, sizeof(ret->id), "%s", json_at(each, "id")->valuestring);
    }
    return n;
}

static size_t list_count(struct server *s, const char *query)
{
    struct job_ref ids[64];
    AUTO_RESPONSE r = http_get(s, "/v1/jobs?%s", query);
    return list_ids(r, ids, COUNT_OF(ids));
}

SERVER_TEST(futures, lists_filter_by_every_field)
{
    AUTO_RESPONSE a = job_run(
        s, "{'command':['true'],'name':'a','queue':'q1','labels':{'tenant':'x','n':'1'}}");
    AUTO_RESPONSE b = job_run(
        s, "{'command':['false'],'name':'b','queue':'q1','labels':{'tenant':'y'}}");
    struct job_ref c = job_submit(s, "{'command':['true'],'name':'c','queue':'q2','delay':'1h'}");
    cr_assert_eq(list_count(s, ""), 3);
    cr_assert_eq(list_count(s, "state=succeeded"), 1);
    cr_assert_eq(list_count(s, "state=failed"), 1);
    cr_assert_eq(list_count(s, "state=scheduled"), 1);
    cr_assert_eq(list_count(s, "state=running"), 0);
    cr_assert_eq(list_count(s, "queue=q1"), 2);
    cr_assert_eq(list_count(s, "queue=nowhere"), 0);
    cr_assert_eq(list_count(s, "name=c"), 1);
    cr_assert_eq(list_count(s, "label=tenant:x"), 1);
    cr_assert_eq(list_count(s, "label=tenant:z"), 0);
    cr_assert_eq(list_count(s, "queue=q1&state=failed"), 1);
    cr_assert_eq(list_count(s, "created_after=2999-01-01T00:00:00Z"), 0);
    cr_assert_eq(list_count(s, "created_after=2001-01-01T00:00:00Z"), 3);
    AUTO_RESPONSE after = http_get(s, "/v1/jobs?created_after=%s", json_text(a, "times.created"));
    struct job_ref ids[8];
    cr_assert_eq(list_ids(after, ids, COUNT_OF(ids)), 2);
    AUTO_RESPONSE wrong = http_get(s, "/v1/jobs?state=sleeping");
    expect_problem(wrong, 422, "invalid-request");
    (void)c;
}

SERVER_TEST(futures, lists_refuse_parameters_that_they_do_not_know)
{
    static const char *const queries[] = {"stat=failed", "limit=0",    "limit=-1",
                                          "limit=x",     "cursor=%21", "order=random"};
    for (size_t i = 0; i < COUNT_OF(queries); i++) {
        AUTO_RESPONSE r = http_get(s, "/v1/jobs?%s", queries[i]);
        CHECK(r->status == 422 || r->status == 400, "?%s: %ld", queries[i], r->status);
    }
}

SERVER_TEST(futures, a_parameter_that_is_given_twice_is_refused_by_name)
{
    AUTO_RESPONSE r = http_get(s, "/v1/jobs?label=a:b&limit=3&label=c:d");
    expect_problem(r, 422, "invalid-request");
    cr_assert_not_null(strstr(json_text(r, "detail"), "\"label\""));
    AUTO_RESPONSE once = http_get(s, "/v1/jobs?label=a:b&limit=3");
    expect_status(once, 200);
}

static size_t walk(struct server *s, const char *query, struct job_ref *ret, size_t max)
{
    size_t n = 0, pages = 0;
    char cursor[200] = "";
    for (;;) {
        AUTO_RESPONSE r = cursor[0] == '\0' ? http_get(s, "/v1/jobs?%s", query)
                                            : http_get(s, "/v1/jobs?%s&cursor=%s", query, cursor);
        n += list_ids(r, ret + n, max - n);
        CHECK(++pages < 100, "the pages do not end");
        if (json_is_null(r, "next_cursor")) {
            cr_assert_null(header_of(r, "Link"), "a Link after the last page");
            return n;
        }
        const char *link = header_of(r, "Link");
        (void)snprintf(cursor, sizeof(cursor), "%s", json_text(r, "next_cursor"));
        CHECK(link != NULL && strstr(link, "rel=\"next\"") != NULL && strstr(link, cursor) != NULL,
              "Link is %s", link);
    }
}

SERVER_TEST(futures, lists_are_read_page_by_page)
{
    enum { JOBS = 25 };
    struct job_ref made[JOBS], seen[JOBS + 1];
    for (size_t i = 0; i < JOBS; i++)
        made[i] = job_submit(s, "{'command':['true'],'delay':'1h'}");
    cr_assert_eq(walk(s, "limit=7", seen, COUNT_OF(seen)), JOBS);
    for (size_t i = 0; i < JOBS; i++)
        cr_assert_str_eq(seen[i].id, made[JOBS - 1 - i].id, "newest first");
    cr_assert_eq(walk(s, "limit=7&order=oldest", seen, COUNT_OF(seen)), JOBS);
    for (size_t i = 0; i < JOBS; i++)
        cr_assert_str_eq(seen[i].id, made[i].id, "oldest first");
    cr_assert_eq(walk(s, "limit=5&state=scheduled", seen, COUNT_OF(seen)), JOBS);
    cr_assert_eq(walk(s, "limit=100000", seen, COUNT_OF(seen)), JOBS,
                 "a limit above the largest is lowered");
}

/* Of a list whose items have this name for themselves: page by page, each Link followed as it is.
 */
static size_t follow_links(struct server *s, const char *list, const char *name)
{
    struct text path = text_of("%s?limit=1", list), last = text_of("%s", "");
    for (size_t n = 0; n < 100; n++) {
        AUTO_RESPONSE r = http_get(s, "%s", path.s);
        expect_status(r, 200);
        const cJSON *items = json_find(r, "items");
        if (cJSON_GetArraySize(items) == 0)
            return n;
        cr_assert_eq(cJSON_GetArraySize(items), 1, "%s", r->body);
        struct text mine = text_of("%s", json_at(cJSON_GetArrayItem(items, 0), name)->valuestring);
        cr_assert_str_neq(mine.s, last.s, "%s comes twice", mine.s);
        last = mine;
        const char *link = header_of(r, "Link");
        cr_assert_eq(link == NULL, json_is_null(r, "next_cursor"), "%s", r->body);
        if (link == NULL)
            return n + 1;
        cr_assert(strncmp(link, "<", 1) == 0 && strstr(link, ">; rel=\"next\"") != NULL, "%s",
                  link);
        path = text_of("%.*s", (int)strcspn(link + 1, ">"), link + 1);
    }
    return 100;
}

SERVER_TEST(futures, every_list_goes_on_behind_its_link)
{
    (void)job_submit(s, "{'command':['true'],'delay':'1h'}");
    (void)job_submit(s, "{'command':['true'],'delay':'1h'}");
    for (int i = 0; i < 3; i++) {
        AUTO_RESPONSE batch = http(s, "POST", "/v1/batches",
                                   "{'command':['true'],'items':[],'delay':'1h'}", NULL);
        expect_status(batch, 202);
        AUTO_RESPONSE blob = http(s, "POST", "/v1/blobs", "x",
                                  "Content-Type: application/octet-stream", NULL);
        expect_status(blob, 201);
    }
    pool_make(s, "{'name':'side','size':1}");
    put_queue(s, "a", "{}");
    cr_assert_eq(follow_links(s, "/v1/jobs", "id"), 2);
    cr_assert_eq(follow_links(s, "/v1/batches", "id"), 3);
    cr_assert_eq(follow_links(s, "/v1/blobs", "id"), 3);
    cr_assert_eq(follow_links(s, "/v1/queues", "name"), 3); /* a, default, side */
    cr_assert_eq(follow_links(s, "/v1/pools", "name"), 2);
    cr_assert_eq(follow_links(s, "/v1/workers", "name"), 2);
    cr_assert_eq(follow_links(s, "/v1/functions", "name"), 0);
    AUTO_RESPONSE wrong = http_get(s, "/v1/workers?cursor=x");
    expect_problem(wrong, 422, "invalid-request");
}

/* One NDJSON request; the caller frees. Each line of the answer is in its place. */
static struct response *bulk_send(struct server *s, const char *lines, size_t len,
                                  const char *header)
{
    const char *headers[] = {"Content-Type: application/x-ndjson", header, NULL};
    struct call call = {
        .method = "POST", .path = "/v1/jobs", .body = lines, .body_len = len, .headers = headers};
    return http_send(s, &call);
}

static cJSON *bulk_line(const struct response *r, size_t wanted)
{
    const char *line = r->body;
    for (size_t i = 0; i < wanted && line != NULL; i++) {
        line = strchr(line, '\n');
        line = line == NULL ? NULL : line + 1;
    }
    CHECK(line != NULL && *line != '\0', "the answer has no line %zu: %.600s", wanted, r->body);
    cJSON *value = cJSON_ParseWithLength(line, strcspn(line, "\n"));
    CHECK(value != NULL, "line %zu of the answer is not JSON: %.300s", wanted, line);
    return value;
}

static size_t count_lines(const struct response *r)
{
    size_t n = 0;
    for (size_t i = 0; i < r->len; i++)
        n += r->body[i] == '\n' ? 1 : 0;
    return n;
}

SERVER_TEST(jobs, bulk_a_bad_line_undoes_no_other)
{
    static const char lines[] = "{\"command\":[\"echo\",\"0\"]}\n"
                                "{\"command\":[\"echo\",\n"
                                "{\"command\":[\"echo\",\"2\"]}\r\n"
                                "{\"comand\":[\"echo\",\"3\"]}\n"
                                "{\"command\":[]}\n"
                                "\xff\n"
                                "{\"command\":[\"echo\",\"6\"]}";
    static const struct {
        int status; /* of a refusal; 0: accepted */
        const char *slug;
    } want[] = {{0, ""},
                {400, "/problems/invalid-json"},
                {0, ""},
                {422, "/problems/invalid-request"},
                {422, "/problems/invalid-request"},
                {400, "/problems/invalid-json"},
                {0, ""}};
    AUTO_RESPONSE r = bulk_send(s, lines, sizeof(lines) - 1, NULL);
    expect_status(r, 200);
    expect_header(r, "Content-Type", "application/x-ndjson");
    cr_assert_eq(count_lines(r), COUNT_OF(want), "%s", r->body);
    for (size_t i = 0; i < COUNT_OF(want); i++) {
        cJSON *line = bulk_line(r, i);
        if (want[i].status == 0) {
            struct job_ref job;
            CHECK(cJSON_IsString(json_at(line, "id")), "line %zu: %s", i, r->body);
            (void)snprintf(job.id, sizeof(job.id), "%s", json_at(line, "id")->valuestring);
            AUTO_RESPONSE end = job_await(s, job);
            expect_output(s, job, "stdout", text_of("%zu\n", i).s);
        } else {
            CHECK(cJSON_IsString(json_at(line, "type")), "line %zu: %s", i, r->body);
            cr_assert_str_eq(json_at(line, "type")->valuestring, want[i].slug, "line %zu: %s", i,
                             r->body);
            cr_assert_eq(json_at(line, "status")->valueint, want[i].status);
            cr_assert_eq((size_t)json_at(line, "line")->valueint, i, "%s", r->body);
        }
        cJSON_Delete(line);
    }
}

SERVER_TEST(jobs, bulk_of_nothing_is_an_empty_answer)
{
    AUTO_RESPONSE r = bulk_send(s, "\n\n", 2, NULL);
    expect_status(r, 200);
    cr_assert_eq(count_lines(r), 0, "empty lines are not submissions: %s", r->body);
}

SERVER_TEST(jobs, bulk_of_many_jobs_all_have_the_right_output)
{
    enum { JOBS = 600 }; /* more than a chunk of 512 lines */
    char *lines = need_alloc(JOBS * 64);
    size_t len = 0;
    for (int i = 0; i < JOBS; i++)
        len += (size_t)snprintf(lines + len, 64, "{\"command\":[\"echo\",\"output %d\"]}\n", i);
    AUTO_RESPONSE r = bulk_send(s, lines, len, NULL);
    free(lines);
    expect_status(r, 200);
    cr_assert_eq(count_lines(r), JOBS);
    struct job_ref *jobs = need_alloc(JOBS * sizeof(*jobs));
    const char *line = r->body;
    for (size_t i = 0; i < JOBS; i++) {
        cJSON *value = cJSON_ParseWithLength(line, strcspn(line, "\n"));
        CHECK(value != NULL && cJSON_IsString(json_at(value, "id")), "line %zu: %.200s", i, line);
        (void)snprintf(jobs[i].id, sizeof(jobs[i].id), "%s", json_at(value, "id")->valuestring);
        cJSON_Delete(value);
        line = strchr(line, '\n') + 1;
    }
    for (size_t i = 0; i < JOBS; i++) {
        AUTO_RESPONSE end = job_await(s, jobs[i]);
        expect_outcome(end, "succeeded", NULL);
        expect_output(s, jobs[i], "stdout", text_of("output %zu\n", i).s);
    }
    free(jobs);
}

/* A line may be as long as a body; more lines than that in all. */
SERVER_TEST_WITH(jobs, bulk_lines_are_bounded_one_by_one, .args = {"--http-max-body", "4KiB"})
{
    enum { LONG = 6000, GOOD = 200 };
    char *lines = need_alloc(LONG + 100 + GOOD * 60);
    memset(lines, ' ', LONG);
    lines[LONG - 1] = '\n';
    memcpy(lines, "{\"command\":[\"true\"]}", 20);
    size_t len = LONG;
    for (int i = 0; i < GOOD; i++)
        len += (size_t)snprintf(lines + len, 60, "{\"command\":[\"true\"],\"delay\":\"1h\"}\n");
    AUTO_RESPONSE r = bulk_send(s, lines, len, NULL);
    free(lines);
    expect_status(r, 200);
    cr_assert_eq(count_lines(r), GOOD + 1, "%.500s", r->body);
    cJSON *refused = bulk_line(r, 0);
    cr_assert_str_eq(json_at(refused, "type")->valuestring, "/problems/too-large");
    cJSON_Delete(refused);
    cJSON *last = bulk_line(r, GOOD);
    cr_assert(cJSON_IsString(json_at(last, "id")));
    cJSON_Delete(last);
}

SERVER_TEST(futures, queues_are_listed_by_name_with_their_numbers)
{
    struct job_ref later = job_submit(s, "{'command':['true'],'queue':'b','delay':'1h'}");
    AUTO_RESPONSE done = job_run(s, "{'command':['true'],'queue':'a'}");
    expect_outcome(done, "succeeded", NULL);
    AUTO_RESPONSE all = http_get(s, "/v1/queues");
    expect_status(all, 200);
    expect_text(all, "items.0.name", "a");
    expect_text(all, "items.1.name", "b");
    expect_int(all, "items.0.jobs.succeeded", 1);
    expect_int(all, "items.1.jobs.scheduled", 1);
    expect_int(all, "items.1.depth", 0);
    cr_assert(json_is_null(all, "next_cursor"));
    AUTO_RESPONSE first = http_get(s, "/v1/queues?limit=1");
    expect_text(first, "next_cursor", "a");
    cr_assert_str_eq(header_of(first, "Link"), "</v1/queues?limit=1&cursor=a>; rel=\"next\"");
    AUTO_RESPONSE second = http_get(s, "/v1/queues?limit=1&cursor=a");
    expect_text(second, "items.0.name", "b");
    cr_assert(json_is_null(second, "next_cursor"));
    AUTO_RESPONSE one = http_get(s, "/v1/queues/b");
    expect_int(one, "jobs.scheduled", 1);
    AUTO_RESPONSE none = http_get(s, "/v1/queues/nobody");
    expect_problem(none, 404, "not-found");
    AUTO_RESPONSE bad = http_get(s, "/v1/queues?limit=0");
    expect_status(bad, 422);
    (void)later;
}
