/* SPDX-License-Identifier: MIT */
/* Looking into answers, with failures that say what was received. */
#include "integration/harness_http.h"

#include <strings.h>

static const cJSON *json_step(const cJSON *at, const char *name, size_t len)
{
    char key[256];
    CHECK(len < sizeof(key), "a member's name is too long");
    memcpy(key, name, len);
    key[len] = '\0';
    if (cJSON_IsArray(at))
        return cJSON_GetArrayItem(at, (int)strtol(key, NULL, 10));
    return cJSON_GetObjectItemCaseSensitive(at, key);
}

const cJSON *json_at(const cJSON *root, const char *path)
{
    const cJSON *at = root;
    while (at != NULL && *path != '\0') {
        size_t len = strcspn(path, ".");
        at = json_step(at, path, len);
        path += len + (path[len] == '.');
    }
    return at;
}

const cJSON *json_find(struct response *r, const char *path)
{
    if (r->json == NULL)
        r->json = cJSON_ParseWithLength(r->body, r->len);
    CHECK(r->json != NULL, "%s %s: %ld with a body that is not JSON: %.600s", r->method, r->path,
          r->status, r->body);
    return json_at(r->json, path);
}

static const cJSON *json_need(struct response *r, const char *path)
{
    const cJSON *at = json_find(r, path);
    CHECK(at != NULL, "%s %s: no member %s in %.1500s", r->method, r->path, path, r->body);
    return at;
}

const char *json_text(struct response *r, const char *path)
{
    const cJSON *at = json_need(r, path);
    CHECK(cJSON_IsString(at), "%s %s: %s is not a string in %.1500s", r->method, r->path, path,
          r->body);
    return at->valuestring;
}

double json_number(struct response *r, const char *path)
{
    const cJSON *at = json_need(r, path);
    CHECK(cJSON_IsNumber(at), "%s %s: %s is not a number in %.1500s", r->method, r->path, path,
          r->body);
    return at->valuedouble;
}

int64_t json_int(struct response *r, const char *path)
{
    return (int64_t)json_number(r, path);
}

bool json_bool(struct response *r, const char *path)
{
    const cJSON *at = json_need(r, path);
    CHECK(cJSON_IsBool(at), "%s %s: %s is not a boolean in %.1500s", r->method, r->path, path,
          r->body);
    return cJSON_IsTrue(at);
}

bool json_is_null(struct response *r, const char *path)
{
    return cJSON_IsNull(json_need(r, path));
}

void expect_status(const struct response *r, long status)
{
    CHECK(r->status == status, "%s %s: %ld instead of %ld: %.1500s", r->method, r->path, r->status,
          status, r->body);
}

void expect_text(struct response *r, const char *path, const char *value)
{
    const cJSON *at = json_need(r, path);
    CHECK(cJSON_IsString(at) && strcmp(at->valuestring, value) == 0,
          "%s %s: %s is not \"%s\" in %.1500s", r->method, r->path, path, value, r->body);
}

void expect_int(struct response *r, const char *path, int64_t value)
{
    int64_t got = json_int(r, path);
    CHECK(got == value, "%s %s: %s is %lld instead of %lld in %.1500s", r->method, r->path, path,
          (long long)got, (long long)value, r->body);
}

void expect_header(const struct response *r, const char *name, const char *value)
{
    const char *got = header_of(r, name);
    CHECK(got != NULL && strcasecmp(got, value) == 0, "%s %s: %ld with %s: %s instead of %s",
          r->method, r->path, r->status, name, got == NULL ? "(absent)" : got, value);
}

void expect_problem(struct response *r, long status, const char *slug)
{
    expect_status(r, status);
    expect_header(r, "Content-Type", "application/problem+json");
    if (strcmp(r->method, "HEAD") == 0)
        return;
    expect_text(r, "type", text_of("/problems/%s", slug).s);
    expect_int(r, "status", status);
    CHECK(json_text(r, "title")[0] != '\0', "empty title in %s", r->body);
    CHECK(json_find(r, "detail") != NULL, "no detail in %s", r->body);
    CHECK(json_find(r, "instance") != NULL, "no instance in %s", r->body);
    const char *id = header_of(r, "X-Request-Id");
    CHECK(id != NULL, "%s %s: no X-Request-Id", r->method, r->path);
    expect_text(r, "request_id", id);
}

void expect_invalid(struct response *r, const char *pointer)
{
    expect_problem(r, 422, "invalid-request");
    const cJSON *errors = json_find(r, "errors");
    CHECK(cJSON_IsArray(errors), "no errors in %s", r->body);
    const cJSON *each = NULL;
    cJSON_ArrayForEach(each, errors)
    {
        const cJSON *at = cJSON_GetObjectItemCaseSensitive(each, "pointer");
        if (cJSON_IsString(at) && strcmp(at->valuestring, pointer) == 0)
            return;
    }
    CHECK(false, "no error names %s in %s", pointer, r->body);
}
