/* SPDX-License-Identifier: MIT */
#include "api/openapi.h"

#include <criterion/criterion.h>

#include "api/routes.h"
#include "service/base/job.h"
#include "service/base/json.h"

static struct slice document(struct buf *out)
{
    struct err err = {0};
    buf_init(out, 1u << 20);
    openapi_write(out);
    cr_assert(buf_ok(out));
    cr_assert(json_validate(buf_slice(out), JSON_LIMITS_DEFAULT, &err), "%s", err.detail);
    return json_trim(buf_slice(out));
}

static struct slice member(struct slice object, const char *name)
{
    struct slice value = {0};
    cr_assert(json_find(object, name, &value), "%s is missing in %.*s", name,
              (int)MIN(object.len, 200u), object.ptr);
    return value;
}

static struct slice operation(struct slice doc, const struct route *route)
{
    char method[8] = "";
    const char *name = gate_method_name(route->method);
    for (size_t i = 0; name[i] != '\0'; i++)
        method[i] = (char)(name[i] | 0x20);
    return member(member(member(doc, "paths"), route->path), method);
}

Test(openapi, holds_every_route_with_its_answers)
{
    AUTO_BUF struct buf out = {0};
    struct slice doc = document(&out);
    cr_assert(json_string_eq(member(doc, "openapi"), "3.1.0"));
    for (size_t i = 0; i < n_routes; i++) {
        struct slice responses = member(operation(doc, &routes[i]), "responses");
        (void)member(member(member(responses, "default"), "content"), "application/problem+json");
        for (size_t k = 0; k < MAX_ANSWERS && routes[i].answers[k].status != 0; k++) {
            char status[8];
            (void)snprintf(status, sizeof status, "%d", routes[i].answers[k].status);
            struct slice answer = member(responses, status);
            if (routes[i].answers[k].type != NULL)
                (void)member(member(answer, "content"), routes[i].answers[k].type);
        }
    }
}

Test(openapi, every_reference_leads_somewhere)
{
    static const char prefix[] = "\"#/components/schemas/";
    AUTO_BUF struct buf out = {0};
    struct slice doc = document(&out);
    struct slice schemas = member(member(doc, "components"), "schemas");
    const char *at = doc.ptr, *end = doc.ptr + doc.len;
    size_t n = 0;
    while ((at = memmem(at, (size_t)(end - at), prefix, sizeof(prefix) - 1)) != NULL) {
        char name[64] = "";
        at += sizeof(prefix) - 1;
        size_t len = (size_t)((const char *)memchr(at, '"', (size_t)(end - at)) - at);
        cr_assert_lt(len, sizeof name);
        memcpy(name, at, len);
        (void)member(schemas, name);
        n++;
    }
    cr_assert_gt(n, 30);
}

Test(openapi, names_no_header_that_no_answer_has)
{
    for (int h = 0; h < ANSWER_HEADER_COUNT; h++) {
        bool is_carried = h == ANSWER_ALLOW; /* of a method that is no operation */
        for (size_t i = 0; i < n_routes; i++) {
            is_carried = is_carried ||
                         route_carries(&routes[i], 0, (enum answer_header)h) != CARRIED_NEVER;
            for (size_t k = 0; k < MAX_ANSWERS && routes[i].answers[k].status != 0; k++)
                is_carried = is_carried || route_carries(&routes[i], routes[i].answers[k].status,
                                                         (enum answer_header)h) != CARRIED_NEVER;
        }
        cr_assert(is_carried, "%s", answer_header_name((enum answer_header)h));
    }
}

/* The states and reasons of the schema are those of the code. */
Test(openapi, names_every_state_and_reason)
{
    AUTO_BUF struct buf out = {0};
    struct slice schemas = member(member(document(&out), "components"), "schemas"), element;
    struct json_iter it;
    int n = 0;
    json_iter_init(&it, member(member(schemas, "State"), "enum"));
    for (; json_next_element(&it, &element); n++)
        cr_assert(json_string_eq(element, job_state_name((enum job_state)n)), "%.*s",
                  (int)element.len, element.ptr);
    cr_assert_eq(n, JOB_STATE_COUNT);
    n = 0;
    json_iter_init(&it, member(member(schemas, "Reason"), "enum"));
    for (; json_next_element(&it, &element); n++)
        cr_assert(json_string_eq(element, job_reason_name((enum job_reason)n)), "%.*s",
                  (int)element.len, element.ptr);
    cr_assert_eq(n, REASON_COUNT);
}
