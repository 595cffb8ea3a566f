/* SPDX-License-Identifier: MIT */
/* The headers that /openapi.json names as parameters are those that the routes take, and the others
 * are not taken. (That answers carry the headers which the document names is checked of each answer
 * of every test: harness_schema.c.) */
#include "integration/harness_batch.h"
#include "integration/harness_blob.h"
#include "integration/harness_schema.h"

/* What {id} or {name} stands for. */
enum thing { NONE, ENDED, LATER, BATCH, OPEN, BLOB, QUEUE, POOL, WORKER, SLUG, N_THINGS };

/* A request of each operation. Those that change what others need come last. */
static const struct example {
    const char *method, *path;
    enum thing thing;
    const char *body;
} examples[] = {
    {"POST", "/v1/jobs", NONE, "{'command':['true'],'delay':'1h'}"},
    {"GET", "/v1/jobs/{id}", ENDED, NULL},
    {"GET", "/v1/jobs/{id}/result", ENDED, NULL},
    {"GET", "/v1/jobs", NONE, NULL},
    {"POST", "/v1/jobs/{id}/cancel", LATER, "{}"},
    {"PATCH", "/v1/jobs/{id}", LATER, "{'priority':3}"},
    {"GET", "/v1/jobs/{id}/explain", LATER, NULL},
    {"GET", "/v1/jobs/{id}/processes", ENDED, NULL},
    {"POST", "/v1/jobs/{id}/signal", ENDED, "{'signal':'USR1'}"},
    {"POST", "/v1/jobs/{id}/suspend", ENDED, "{}"},
    {"POST", "/v1/jobs/{id}/resume", ENDED, "{}"},
    {"PUT", "/v1/jobs/{id}/stdin", ENDED, "x"},
    {"POST", "/v1/jobs/cancel", NONE, "{'ids':[]}"},
    {"POST", "/v1/jobs/retry", NONE, "{'ids':[]}"},
    {"POST", "/v1/jobs/delete", NONE, "{'ids':[]}"},
    {"GET", "/v1/jobs/{id}/stdout", ENDED, NULL},
    {"GET", "/v1/jobs/{id}/stderr", ENDED, NULL},
    {"GET", "/v1/jobs/{id}/results", ENDED, NULL},
    {"GET", "/v1/jobs/{id}/events", ENDED, NULL},
    {"POST", "/v1/batches", NONE, "{'command':['true'],'items':[],'open':true}"},
    {"POST", "/v1/batches/{id}/jobs", OPEN, "{'items':['x']}"},
    {"POST", "/v1/pipelines", NONE, "{'stages':[{'command':['true']},{'command':['true']}]}"},
    {"GET", "/v1/batches", NONE, NULL},
    {"GET", "/v1/batches/{id}", BATCH, NULL},
    {"GET", "/v1/batches/{id}/results", BATCH, NULL},
    {"POST", "/v1/wait", NONE, "{'jobs':[]}"},
    {"POST", "/v1/as-completed", NONE, "{'jobs':['%s']}"},
    {"GET", "/v1/pool", NONE, NULL},
    {"PATCH", "/v1/pool", NONE, "{}"},
    {"GET", "/v1/pools", NONE, NULL},
    {"POST", "/v1/pools", NONE, "{'name':'made','size':1}"},
    {"GET", "/v1/pools/{name}", POOL, NULL},
    {"PATCH", "/v1/pools/{name}", POOL, "{}"},
    {"GET", "/v1/workers", NONE, NULL},
    {"GET", "/v1/workers/{name}", WORKER, NULL},
    {"GET", "/v1/queues", NONE, NULL},
    {"GET", "/v1/queues/{name}", QUEUE, NULL},
    {"PUT", "/v1/queues/{name}", QUEUE, "{'concurrency':2}"},
    {"PATCH", "/v1/queues/{name}", QUEUE, "{'concurrency':3}"},
    {"POST", "/v1/queues/{name}/pause", QUEUE, "{}"},
    {"POST", "/v1/queues/{name}/resume", QUEUE, "{}"},
    {"POST", "/v1/queues/{name}/purge", QUEUE, "{}"},
    {"GET", "/v1/functions", NONE, NULL},
    {"POST", "/v1/blobs", NONE, "bytes"},
    {"GET", "/v1/blobs", NONE, NULL},
    {"GET", "/v1/blobs/{id}", BLOB, NULL},
    {"GET", "/v1/stats", NONE, NULL},
    {"GET", "/v1/limits", NONE, NULL},
    {"GET", "/v1/version", NONE, NULL},
    {"GET", "/problems/{slug}", SLUG, NULL},
    {"GET", "/livez", NONE, NULL},
    {"GET", "/readyz", NONE, NULL},
    {"GET", "/metrics", NONE, NULL},
    {"GET", "/openapi.json", NONE, NULL},

    {"POST", "/v1/jobs/{id}/retry", ENDED, "{}"},
    {"POST", "/v1/batches/{id}/retry", BATCH, "{}"},
    {"POST", "/v1/batches/{id}/close", OPEN, "{}"},
    {"POST", "/v1/batches/{id}/cancel", OPEN, "{}"},
    {"POST", "/v1/pool/close", NONE, "{}"},
    {"GET", "/v1/pool/join", NONE, NULL},
    {"POST", "/v1/pool/reopen", NONE, "{}"},
    {"POST", "/v1/pools/{name}/close", POOL, "{}"},
    {"GET", "/v1/pools/{name}/join", POOL, NULL},
    {"POST", "/v1/pools/{name}/reopen", POOL, "{}"},
    {"POST", "/v1/pools/{name}/terminate", POOL, "{}"},
    {"POST", "/v1/workers/{name}/terminate", WORKER, "{}"},
    {"DELETE", "/v1/pools/{name}", POOL, NULL},
    {"DELETE", "/v1/queues/{name}", QUEUE, NULL},
    {"DELETE", "/v1/blobs/{id}", BLOB, NULL},
    {"DELETE", "/v1/jobs/{id}", LATER, NULL},
    {"POST", "/v1/pool/terminate", NONE, "{}"},
};

struct things {
    char names[N_THINGS][64];
};

static void name_thing(struct things *t, enum thing thing, const char *name)
{
    (void)snprintf(t->names[thing], sizeof(t->names[thing]), "%s", name);
}

static struct things make_things(struct server *s)
{
    struct things t = {0};
    struct job_ref ended = job_submit(s, "{'command':['sh','-c','echo out; echo err >&2']}");
    struct job_ref batch = batch_submit(s, "{'command':['echo'],'items':['a','b']}");
    AUTO_RESPONSE over = job_await(s, ended);
    AUTO_RESPONSE batch_over = batch_await(s, batch);
    AUTO_RESPONSE queue = http(s, "PUT", "/v1/queues/q", "{'concurrency':1}", NULL);
    AUTO_RESPONSE pool = http(s, "POST", "/v1/pools", "{'name':'p','size':1}", NULL);
    expect_status(queue, 201);
    expect_status(pool, 201);
    name_thing(&t, ENDED, ended.id);
    name_thing(&t, LATER, job_submit(s, "{'command':['true'],'delay':'1h'}").id);
    name_thing(&t, BATCH, batch.id);
    name_thing(&t, OPEN, batch_submit(s, "{'command':['echo'],'items':[],'open':true}").id);
    name_thing(&t, BLOB, blob_put(s, "bytes", 5, "").id);
    name_thing(&t, QUEUE, "q");
    name_thing(&t, POOL, "p");
    name_thing(&t, WORKER, "worker-0");
    name_thing(&t, SLUG, "not-found");
    return t;
}

static struct response *ask(struct server *s, const struct things *t, const struct example *e,
                            const char *header, const char *accept)
{
    char path[200];
    const char *brace = strchr(e->path, '{');
    const char *type = strcmp(e->path, "/v1/blobs") == 0 || strstr(e->path, "/stdin") != NULL
                           ? BLOB_TYPE
                           : "Content-Type: application/json";
    const char *headers[] = {e->body == NULL ? "Content-Type:" : type, header, accept, NULL};
    if (brace == NULL)
        (void)snprintf(path, sizeof(path), "%s", e->path);
    else
        (void)snprintf(path, sizeof(path), "%.*s%s%s", (int)(brace - e->path), e->path,
                       t->names[e->thing], strchr(brace, '}') + 1);
    AUTO_TEXT form = e->body == NULL ? NULL : json_of("%s", e->body);
    struct text body = {0};
    const char *place = form == NULL ? NULL : strstr(form, "%s");
    if (place != NULL)
        body = text_of("%.*s%s%s", (int)(place - form), form, t->names[ENDED], place + 2);
    else if (form != NULL)
        body = text_of("%s", form);
    return http_send(s, &(struct call){.method = e->method,
                                       .path = path,
                                       .body = form == NULL ? NULL : body.s,
                                       .body_len = strlen(body.s),
                                       .headers = headers});
}

/* The last id of a stream of events; false: there is none. */
static bool last_id(const struct response *r, char *ret, size_t size)
{
    const char *found = NULL;
    for (const char *at = strstr(r->body, "\nid: "); at != NULL; at = strstr(at + 1, "\nid: "))
        found = at + 5;
    if (found != NULL)
        (void)snprintf(ret, size, "%.*s", (int)strcspn(found, "\n"), found);
    return found != NULL;
}

/* Each says whether the route has taken the header. */

static bool takes_wait(struct server *s, const struct things *t, const struct example *e)
{
    AUTO_RESPONSE r = ask(s, t, e, "Prefer: wait=0.01", "Accept: */*");
    return header_of(r, "Preference-Applied") != NULL;
}

static bool takes_key(struct server *s, const struct things *t, const struct example *e)
{
    if (strcmp(e->method, "POST") != 0)
        return false;
    AUTO_RESPONSE first = ask(s, t, e, "Idempotency-Key: k", "Accept: */*");
    AUTO_RESPONSE second = ask(s, t, e, "Idempotency-Key: k", "Accept: */*");
    return header_of(second, "Idempotency-Replayed") != NULL;
}

static bool takes_match(struct server *s, const struct things *t, const struct example *e)
{
    AUTO_RESPONSE r = ask(s, t, e, "If-Match: \"0\"", "Accept: */*");
    return r->status == 412;
}

static bool takes_no_match(struct server *s, const struct things *t, const struct example *e)
{
    AUTO_RESPONSE r = ask(s, t, e, "If-None-Match: *", "Accept: */*");
    return r->status == 412 || r->status == 304;
}

static bool takes_range(struct server *s, const struct things *t, const struct example *e)
{
    AUTO_RESPONSE r = ask(s, t, e, "Range: bytes=0-0", "Accept: */*");
    return r->status == 206 || r->status == 416;
}

static bool takes_condition_of_range(struct server *s, const struct things *t,
                                     const struct example *e)
{
    struct example part = *e;
    AUTO_RESPONSE r = ask(s, t, &part, "If-Range: \"0\"", "Range: bytes=0-0");
    return takes_range(s, t, e) && r->status == 200;
}

static bool takes_last_event(struct server *s, const struct things *t, const struct example *e)
{
    char id[200];
    AUTO_RESPONSE all = ask(s, t, e, "X-Request-Id: all", "Accept: text/event-stream, */*;q=0.1");
    if (all->status != 200 || !last_id(all, id, sizeof(id)))
        return false;
    AUTO_RESPONSE rest = ask(s, t, e, text_of("Last-Event-ID: %s", id).s,
                             "Accept: text/event-stream, */*;q=0.1");
    return rest->len < all->len;
}

static bool takes_id(struct server *s, const struct things *t, const struct example *e)
{
    AUTO_RESPONSE r = ask(s, t, e, "X-Request-Id: mine", "Accept: */*");
    return strcmp(header_of(r, "X-Request-Id"), "mine") == 0;
}

static const struct {
    const char *name;
    bool (*is_taken)(struct server *s, const struct things *t, const struct example *e);
} headers[] = {
    {"Idempotency-Key", takes_key}, /* first: the others would make what it makes */
    {"If-Match", takes_match},
    {"If-None-Match", takes_no_match},
    {"Range", takes_range},
    {"If-Range", takes_condition_of_range},
    {"Last-Event-ID", takes_last_event},
    {"Prefer", takes_wait},
    {"X-Request-Id", takes_id},
};

static bool is_described(const cJSON *operation, const char *header)
{
    const cJSON *each = NULL;
    AUTO_TEXT ref = json_of("#/components/parameters/%s", header);
    cJSON_ArrayForEach(each, cJSON_GetObjectItemCaseSensitive(operation, "parameters"))
    {
        const cJSON *to = cJSON_GetObjectItemCaseSensitive(each, "$ref");
        if (cJSON_IsString(to) && strcmp(to->valuestring, ref) == 0)
            return true;
    }
    return false;
}

static const cJSON *operation_of(const cJSON *document, const struct example *e)
{
    char method[8] = "";
    for (size_t i = 0; e->method[i] != '\0'; i++)
        method[i] = (char)(e->method[i] | 0x20);
    const cJSON *path = cJSON_GetObjectItemCaseSensitive(json_at(document, "paths"), e->path);
    const cJSON *operation = cJSON_GetObjectItemCaseSensitive(path, method);
    CHECK(operation != NULL, "%s %s is not in the document", e->method, e->path);
    return operation;
}

SERVER_TEST(headers, are_taken_where_the_document_says_and_nowhere_else)
{
    const struct things things = make_things(s);
    const cJSON *document = schema_document(s);
    for (size_t i = 0; i < COUNT_OF(examples); i++) {
        const cJSON *operation = operation_of(document, &examples[i]);
        for (size_t k = 0; k < COUNT_OF(headers); k++) {
            const bool is_taken = headers[k].is_taken(s, &things, &examples[i]);
            cr_expect_eq(is_taken, is_described(operation, headers[k].name), "%s %s: %s is %staken",
                         examples[i].method, examples[i].path, headers[k].name,
                         is_taken ? "" : "not ");
        }
    }
}

SERVER_TEST(headers, have_an_example_for_each_operation)
{
    const cJSON *path = NULL, *operation = NULL;
    size_t n = 0;
    cJSON_ArrayForEach(path, json_at(schema_document(s), "paths"))
    {
        cJSON_ArrayForEach(operation, path)
        {
            n++;
        }
    }
    /* The stream of all events has no end, and is followed by the suite `events`. */
    cr_assert_eq(n, COUNT_OF(examples) + 1);
}

/* traceparent has no answer of its own: the job has it. */
SERVER_TEST(headers, a_trace_is_taken_where_jobs_are_made)
{
    const cJSON *document = schema_document(s);
    for (size_t i = 0; i < COUNT_OF(examples); i++) {
        const struct example *e = &examples[i];
        const bool makes_jobs = strcmp(e->method, "POST") == 0 &&
                                (strcmp(e->path, "/v1/jobs") == 0 ||
                                 strcmp(e->path, "/v1/batches") == 0 ||
                                 strcmp(e->path, "/v1/pipelines") == 0);
        cr_expect_eq(is_described(operation_of(document, e), "traceparent"), makes_jobs, "%s %s",
                     e->method, e->path);
    }
}
