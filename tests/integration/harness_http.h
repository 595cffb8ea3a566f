/* SPDX-License-Identifier: MIT */
/* Requests by libcurl. Every answer is compared with the server's own /openapi.json: an answer that
 * is not described there fails the test (harness_schema.h). */
#ifndef GANGER_TESTS_HARNESS_HTTP_H
#define GANGER_TESTS_HARNESS_HTTP_H

#include "integration/harness.h"

#include <cjson/cJSON.h>

struct header {
    char *name;
    char *value;
};

struct response {
    long status;
    char *body; /* terminated */
    size_t len;
    struct header headers[64];
    size_t n_headers;
    char method[8];
    char path[512];
    cJSON *json; /* made at the first look */
};

struct call {
    const char *method;
    const char *path; /* with the query */
    const char *body; /* NULL: none. Its type is application/json unless a header says otherwise */
    size_t body_len;
    const char *const *headers; /* "Name: value", NULL at the end; "Name:" removes one that would be
                                   sent by itself */
    bool over_socket;           /* by the unix socket instead of TCP */
};

/* One exchange. Fails the test when there is no answer. The token is sent unless a header
 * Authorization is given. The caller frees the answer: AUTO_RESPONSE. */
struct response *http_send(struct server *s, const struct call *call);
/* The same, but NULL when there is no answer (crash tests). */
struct response *http_try(struct server *s, const struct call *call);
/* http(s, "POST", "/v1/jobs", "{…}", "Prefer: wait=5", NULL): the headers end with NULL. A ' in the
 * body stands for ". */
struct response *http(struct server *s, const char *method, const char *path, const char *body, ...)
    __attribute__((sentinel));
struct response *http_get(struct server *s, const char *fmt, ...) PRINTF_ARGS(2, 3);
void response_free(struct response *r);
void http_forget(struct server *s); /* closes the connections */

static inline void auto_response(struct response **r)
{
    response_free(*r);
}
#define AUTO_RESPONSE __attribute__((cleanup(auto_response), unused)) struct response *

/* A metric of /metrics by its whole name, with its labels. */
double metric_of(struct server *s, const char *name);

/* The value of a header, or NULL. */
const char *header_of(const struct response *r, const char *name);

/* A place in the JSON body: "times.created", "items.0.id". NULL when it is not there. "" is the
 * whole. */
const cJSON *json_at(const cJSON *root, const char *path);
const cJSON *json_find(struct response *r, const char *path);
/* Each fails the test when the place does not hold such a value. */
const char *json_text(struct response *r, const char *path);
int64_t json_int(struct response *r, const char *path);
double json_number(struct response *r, const char *path);
bool json_bool(struct response *r, const char *path);
bool json_is_null(struct response *r, const char *path); /* there, and null */

/* Expectations that say what was received instead. */
void expect_status(const struct response *r, long status);
void expect_text(struct response *r, const char *path, const char *value);
void expect_int(struct response *r, const char *path, int64_t value);
void expect_header(const struct response *r, const char *name, const char *value);
/* An RFC 9457 answer of this status and slug, with all its members. */
void expect_problem(struct response *r, long status, const char *slug);
/* A 422 whose `errors` name this JSON pointer. */
void expect_invalid(struct response *r, const char *pointer);

#endif
