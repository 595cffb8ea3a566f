/* SPDX-License-Identifier: MIT */
#include "api/openapi.h"

#include "api/routes.h"

/* schema.json, embedded by the build: an object of named JSON Schemas. */
extern const char api_schema_json[];
extern const size_t api_schema_json_len;

static void put(struct buf *out, const char *text)
{
    buf_puts(out, text);
}

static void put_parameter(struct buf *out, const char *name, size_t len, bool in_path)
{
    buf_printf(out,
               "{\"name\":\"%.*s\",\"in\":\"%s\",\"required\":%s,\"schema\":{\"type\":\"string\"}}",
               (int)len, name, in_path ? "path" : "query", in_path ? "true" : "false");
}

static void put_request_headers(struct buf *out, const struct route *route, const char *comma)
{
    for (int h = 0; h < HEADER_COUNT; h++) {
        if (request_header_name((enum header)h) == NULL || !route_takes(route, (enum header)h))
            continue;
        buf_printf(out, "%s{\"$ref\":\"#/components/parameters/%s\"}", comma,
                   request_header_name((enum header)h));
        comma = ",";
    }
}

/* Of an answer; status 0: of the problems. */
static void put_answer_headers(struct buf *out, const struct route *route, int status)
{
    const char *comma = "";
    put(out, ",\"headers\":{");
    for (int h = 0; h < ANSWER_HEADER_COUNT; h++) {
        const char *name = answer_header_name((enum answer_header)h);
        const enum carried carried = route_carries(route, status, (enum answer_header)h);
        if (carried == CARRIED_NEVER)
            continue;
        buf_printf(out, "%s\"%s\":{\"$ref\":\"#/components/headers/%s%s\"}", comma, name, name,
                   carried == CARRIED_ALWAYS ? "" : ".optional");
        comma = ",";
    }
    buf_putc(out, '}');
}

static void put_components(struct buf *out)
{
    const char *comma = "";
    put(out, "\"parameters\":{");
    for (int h = 0; h < HEADER_COUNT; h++) {
        const char *name = request_header_name((enum header)h);
        if (name == NULL)
            continue;
        buf_printf(out,
                   "%s\"%s\":{\"name\":\"%s\",\"in\":\"header\",\"description\":\"%s\","
                   "\"schema\":{\"type\":\"string\"}}",
                   comma, name, name, request_header_text((enum header)h));
        comma = ",";
    }
    comma = "},\"headers\":{";
    for (int h = 0; h < 2 * ANSWER_HEADER_COUNT; h++) {
        const enum answer_header header = (enum answer_header)(h / 2);
        buf_printf(out,
                   "%s\"%s%s\":{\"description\":\"%s\",\"required\":%s,"
                   "\"schema\":{\"type\":\"string\"}}",
                   comma, answer_header_name(header), h % 2 == 0 ? "" : ".optional",
                   answer_header_text(header), h % 2 == 0 ? "true" : "false");
        comma = ",";
    }
    put(out, "},");
}

static void put_parameters(struct buf *out, const struct route *route)
{
    const char *comma = "";
    put(out, ",\"parameters\":[");
    for (const char *p = strchr(route->path, '{'); p != NULL; p = strchr(p + 1, '{')) {
        put(out, comma);
        put_parameter(out, p + 1, (size_t)(strchr(p, '}') - p - 1), true);
        comma = ",";
    }
    for (size_t i = 0; i < MAX_PARAMS && route->params[i] != NULL; i++) {
        put(out, comma);
        put_parameter(out, route->params[i], strlen(route->params[i]), false);
        comma = ",";
    }
    put_request_headers(out, route, comma);
    buf_putc(out, ']');
}

static void put_content(struct buf *out, const char *type, const char *schema)
{
    buf_printf(out, "\"%s\":", type);
    if (schema != NULL)
        buf_printf(out, "{\"schema\":{\"$ref\":\"#/components/schemas/%s\"}}", schema);
    else
        put(out, "{}");
}

static void put_request(struct buf *out, const struct route *route)
{
    if (route->request == NULL && route->body != BODY_BYTES)
        return;
    put(out, ",\"requestBody\":{\"content\":{");
    if (route->body == BODY_BYTES) {
        put_content(out, "application/octet-stream", NULL);
        put(out, "}}");
        return;
    }
    put_content(out, "application/json", route->request);
    if ((route->body & BODY_NDJSON) != 0) {
        buf_putc(out, ',');
        put_content(out, "application/x-ndjson", route->request);
    }
    put(out, "}}");
}

/* All content types of one status lie under it; `i` is its first row. */
static void put_answer(struct buf *out, const struct route *route, size_t i)
{
    int status = route->answers[i].status;
    const char *comma = "";
    buf_printf(out, "\"%d\":{\"description\":\"%s\"", status,
               status < 300 ? "Success" : "See the text of the API");
    put_answer_headers(out, route, status);
    if (route->answers[i].type == NULL) {
        buf_putc(out, '}');
        return;
    }
    put(out, ",\"content\":{");
    for (size_t k = i; k < MAX_ANSWERS && route->answers[k].status != 0; k++) {
        if (route->answers[k].status != status)
            continue;
        put(out, comma);
        put_content(out, route->answers[k].type, route->answers[k].schema);
        comma = ",";
    }
    put(out, "}}");
}

static bool is_first_of_status(const struct route *route, size_t i)
{
    for (size_t k = 0; k < i; k++) {
        if (route->answers[k].status == route->answers[i].status)
            return false;
    }
    return true;
}

static void put_responses(struct buf *out, const struct route *route)
{
    put(out, ",\"responses\":{");
    for (size_t i = 0; i < MAX_ANSWERS && route->answers[i].status != 0; i++) {
        if (!is_first_of_status(route, i))
            continue;
        put_answer(out, route, i);
        buf_putc(out, ',');
    }
    put(out, "\"default\":{\"description\":\"A problem, RFC 9457\"");
    put_answer_headers(out, route, 0);
    put(out, ",\"content\":{");
    put_content(out, "application/problem+json", "Problem");
    put(out, "}}}");
}

static void put_operation(struct buf *out, const struct route *route)
{
    const char *method = gate_method_name(route->method);
    buf_putc(out, '"');
    for (const char *c = method; *c != '\0'; c++)
        buf_putc(out, (char)(*c | 0x20));
    buf_printf(out, "\":{\"summary\":\"%s\",\"security\":", route->summary);
    if (route->scope == SCOPE_NOBODY)
        put(out, "[]");
    else
        buf_printf(out, "[{\"token\":[]}],\"x-scope\":\"%s\"", scope_name(route->scope));
    put_parameters(out, route);
    put_request(out, route);
    put_responses(out, route);
    buf_putc(out, '}');
}

static bool is_first_of_path(size_t i)
{
    for (size_t k = 0; k < i; k++) {
        if (strcmp(routes[k].path, routes[i].path) == 0)
            return false;
    }
    return true;
}

static void put_path(struct buf *out, size_t first)
{
    buf_printf(out, "\"%s\":{", routes[first].path);
    for (size_t i = first; i < n_routes; i++) {
        if (strcmp(routes[i].path, routes[first].path) != 0)
            continue;
        if (i != first)
            buf_putc(out, ',');
        put_operation(out, &routes[i]);
    }
    buf_putc(out, '}');
}

void openapi_write(struct buf *out)
{
    put(out,
        "{\"openapi\":\"3.1.0\",\"info\":{\"title\":\"ganger\",\"version\":\"" GANGER_VERSION "\","
        "\"description\":\"Durable job service on forked "
        "processes.\",\"license\":{\"name\":\"MIT\",\"identifier\":\"MIT\"}},\"paths\":{");
    for (size_t i = 0; i < n_routes; i++) {
        if (!is_first_of_path(i))
            continue;
        if (i > 0)
            buf_putc(out, ',');
        put_path(out, i);
    }
    put(out, "},\"webhooks\":{\"end\":{\"post\":{\"summary\":\"The end of a job or batch, to the "
             "URL of its callback. Signed as Standard Webhooks 1.0.0 has it.\",\"requestBody\":{"
             "\"content\":{");
    put_content(out, "application/json", "CallbackMessage");
    put(out, "}},\"responses\":{\"2XX\":{\"description\":\"Heard.\"},\"410\":{\"description\":\"No "
             "more of these; every other answer has it sent "
             "again.\"}}}}},\"components\":{");
    put_components(out);
    put(out, "\"securitySchemes\":{\"token\":{\"type\":\"http\","
             "\"scheme\":"
             "\"bearer\"}},\"schemas\":");
    buf_append(out, api_schema_json, api_schema_json_len);
    put(out, "}}\n");
}
