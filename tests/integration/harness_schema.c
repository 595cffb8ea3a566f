/* SPDX-License-Identifier: MIT */
#include "integration/harness_schema.h"

#include <stdarg.h>
#include <strings.h>

struct schema {
    cJSON *document;
};

void schema_free(struct schema *schema)
{
    if (schema == NULL)
        return;
    cJSON_Delete(schema->document);
    free(schema);
}

const cJSON *schema_document(struct server *s)
{
    if (s->schema != NULL)
        return s->schema->document;
    struct call call = {.method = "GET", .path = "/openapi.json"};
    AUTO_RESPONSE r = http_try(s, &call);
    CHECK(r != NULL && r->status == 200, "no /openapi.json: %s", r == NULL ? "no answer" : r->body);
    cJSON *document = cJSON_ParseWithLength(r->body, r->len);
    CHECK(document != NULL, "/openapi.json is not JSON near: %.80s", cJSON_GetErrorPtr());
    s->schema = need_alloc(sizeof(*s->schema));
    s->schema->document = document;
    return document;
}

/* A JSON pointer of the kind "#/components/schemas/Job". */
static const cJSON *ref_resolve(const cJSON *document, const cJSON *node)
{
    for (int depth = 0; depth < 16; depth++) {
        const cJSON *ref = cJSON_GetObjectItemCaseSensitive(node, "$ref");
        if (!cJSON_IsString(ref))
            return node;
        CHECK(strncmp(ref->valuestring, "#/", 2) == 0, "a $ref that leaves the document: %s",
              ref->valuestring);
        AUTO_TEXT path = strdup(ref->valuestring + 2);
        const cJSON *at = document;
        char *rest = path;
        for (char *part = strsep(&rest, "/"); part != NULL && at != NULL; part = strsep(&rest, "/"))
            at = cJSON_GetObjectItemCaseSensitive(at, part);
        CHECK(at != NULL, "a $ref to nothing: %s", ref->valuestring);
        node = at;
    }
    CHECK(false, "a circle of $ref");
    return NULL;
}

static bool segment_is_parameter(const char *segment, size_t len)
{
    return len >= 2 && segment[0] == '{' && segment[len - 1] == '}';
}

/* How well a template fits: -1 not at all, else the number of literal segments. */
static int template_fit(const char *template, const char *path)
{
    int literal = 0;
    while (*template == '/' && *path == '/') {
        size_t t = strcspn(++template, "/"), p = strcspn(++path, "/");
        if (segment_is_parameter(template, t) ? p == 0
                                              : (t != p || strncmp(template, path, t) != 0))
            return -1;
        literal += !segment_is_parameter(template, t);
        template += t;
        path += p;
    }
    return *template == '\0' && *path == '\0' ? literal : -1;
}

static const cJSON *document_route(const cJSON *document, const char *target)
{
    AUTO_TEXT path = strndup(target, strcspn(target, "?"));
    const cJSON *best = NULL, *each = NULL;
    int best_fit = -1;
    cJSON_ArrayForEach(each, cJSON_GetObjectItemCaseSensitive(document, "paths"))
    {
        int fit = template_fit(each->string, path);
        if (fit > best_fit) {
            best_fit = fit;
            best = each;
        }
    }
    return best;
}

static const cJSON *route_operation(const cJSON *route, const char *method)
{
    char name[16] = {0};
    for (size_t i = 0; i + 1 < sizeof(name) && method[i] != '\0'; i++)
        name[i] = (char)(method[i] >= 'A' && method[i] <= 'Z' ? method[i] + 32 : method[i]);
    const cJSON *operation = cJSON_GetObjectItemCaseSensitive(route, name);
    if (operation == NULL && strcmp(name, "head") == 0)
        operation = cJSON_GetObjectItemCaseSensitive(route, "get");
    return operation;
}

static const cJSON *operation_answer(const cJSON *document, const cJSON *operation, long status)
{
    const cJSON *answers = cJSON_GetObjectItemCaseSensitive(operation, "responses");
    const cJSON *answer = cJSON_GetObjectItemCaseSensitive(answers, text_of("%ld", status).s);
    if (answer == NULL)
        answer = cJSON_GetObjectItemCaseSensitive(answers, text_of("%ldXX", status / 100).s);
    if (answer == NULL)
        answer = cJSON_GetObjectItemCaseSensitive(answers, "default");
    return answer == NULL ? NULL : ref_resolve(document, answer);
}

static const cJSON *answer_media(const cJSON *answer, const char *type)
{
    size_t len = strcspn(type, "; ");
    const cJSON *each = NULL;
    cJSON_ArrayForEach(each, cJSON_GetObjectItemCaseSensitive(answer, "content"))
    {
        if (strcspn(each->string, "; ") == len && strncasecmp(each->string, type, len) == 0)
            return each;
    }
    return NULL;
}

static void check_one(const cJSON *document, const cJSON *rule, const struct response *r,
                      const char *body, size_t len)
{
    char why[512];
    cJSON *value = cJSON_ParseWithLength(body, len);
    CHECK(value != NULL, "%s %s: %ld with a body that is not JSON: %.*s", r->method, r->path,
          r->status, (int)len, body);
    bool matches = schema_matches(document, rule, value, why, sizeof(why));
    cJSON_Delete(value);
    CHECK(matches, "%s %s: the body of the %ld does not match /openapi.json: %s in %.*s", r->method,
          r->path, r->status, why, (int)(len > 1500 ? 1500 : len), body);
}

static void check_lines(const cJSON *document, const cJSON *rule, const struct response *r)
{
    for (const char *line = r->body; *line != '\0';) {
        size_t len = strcspn(line, "\n");
        if (len > 0)
            check_one(document, rule, r, line, len);
        line += len + (line[len] == '\n');
    }
}

static void check_body(const cJSON *document, const cJSON *media, const struct response *r,
                       const char *type)
{
    const cJSON *rule = cJSON_GetObjectItemCaseSensitive(media, "schema");
    if (rule == NULL)
        return;
    if (strncasecmp(type, "application/x-ndjson", 20) == 0)
        check_lines(document, rule, r);
    else if (strncasecmp(type, "application/json", 16) == 0 ||
             strncasecmp(type, "application/problem+json", 24) == 0)
        check_one(document, rule, r, r->body, r->len);
}

/* What belongs to no route of the document can only be refused, by a problem that is complete. */
static void check_refusal(const struct response *r, const char *what)
{
    const char *type = header_of(r, "Content-Type");
    CHECK(r->status >= 400 && r->status < 500, "%s %s: %ld, but /openapi.json does not describe %s",
          r->method, r->path, r->status, what);
    CHECK(type != NULL && strcasecmp(type, "application/problem+json") == 0,
          "%s %s: %ld with the type %s", r->method, r->path, r->status,
          type == NULL ? "(none)" : type);
    if (strcmp(r->method, "HEAD") == 0)
        return;
    cJSON *body = cJSON_ParseWithLength(r->body, r->len);
    bool complete = cJSON_IsString(json_at(body, "type")) &&
                    cJSON_IsString(json_at(body, "title")) &&
                    cJSON_IsNumber(json_at(body, "status")) &&
                    cJSON_IsString(json_at(body, "request_id"));
    cJSON_Delete(body);
    CHECK(complete, "%s %s: an incomplete problem: %s", r->method, r->path, r->body);
}

/* Those of the protocol, and those that say nothing about one answer. */
static bool header_needs_no_words(const char *name)
{
    static const char *const names[] = {"Date",
                                        "Connection",
                                        "Content-Type",
                                        "Content-Length",
                                        "Transfer-Encoding",
                                        "Cache-Control",
                                        "X-Content-Type-Options"};
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        if (strcasecmp(name, names[i]) == 0)
            return true;
    }
    return false;
}

/* Every header is described, and those that are said to be always there are there. */
static void check_headers(const cJSON *document, const cJSON *answer, const struct response *r)
{
    const cJSON *described = cJSON_GetObjectItemCaseSensitive(answer, "headers"), *each = NULL;
    for (size_t i = 0; i < r->n_headers; i++) {
        const char *name = r->headers[i].name;
        CHECK(header_needs_no_words(name) || cJSON_GetObjectItem(described, name) != NULL,
              "%s %s: /openapi.json does not describe the header %s of the %ld", r->method, r->path,
              name, r->status);
    }
    cJSON_ArrayForEach(each, described)
    {
        const cJSON *header = ref_resolve(document, each);
        if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(header, "required")))
            CHECK(header_of(r, each->string) != NULL, "%s %s: the %ld has no header %s", r->method,
                  r->path, r->status, each->string);
    }
}

void schema_check_answer(struct server *s, const struct response *r)
{
    const cJSON *document = schema_document(s);
    const cJSON *route = document_route(document, r->path);
    if (route == NULL) {
        check_refusal(r, "this path");
        return;
    }
    const cJSON *operation = route_operation(route, r->method);
    if (operation == NULL) {
        check_refusal(r, "this method");
        return;
    }
    const cJSON *answer = operation_answer(document, operation, r->status);
    CHECK(answer != NULL, "%s %s: /openapi.json does not describe the status %ld of %s: %.600s",
          r->method, r->path, r->status, route->string, r->body);
    const char *type = header_of(r, "Content-Type");
    check_headers(document, answer, r);
    if (r->len == 0)
        return;
    CHECK(type != NULL, "%s %s: %ld with a body but without Content-Type", r->method, r->path,
          r->status);
    const cJSON *media = answer_media(answer, type);
    CHECK(media != NULL, "%s %s: /openapi.json does not describe the type %s of the %ld of %s",
          r->method, r->path, type, r->status, route->string);
    check_body(document, media, r, type);
}
