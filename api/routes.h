/* SPDX-License-Identifier: MIT */
/* The whole API, one table. Dispatch, 404, 405 with Allow, scopes, accepted bodies and parameters,
 * the OpenAPI document and docs/api.md are all read from it. Immutable. */
#ifndef GANGER_API_ROUTES_H
#define GANGER_API_ROUTES_H

#include "api/headers.h"

struct request;
typedef void (*handler_fn)(struct request *rq);

enum scope {
    SCOPE_NOBODY,
    SCOPE_READ,
    SCOPE_SUBMIT,
    SCOPE_EXEC,
    SCOPE_CANCEL,
    SCOPE_WORKER,
    SCOPE_ADMIN,
    SCOPE_COUNT
};
const char *scope_name(enum scope scope);

/* One success answer of a route; every route may also answer with a problem. */
struct route_answer {
    int status;         /* 0 ends the list */
    const char *type;   /* content type, NULL: no body */
    const char *schema; /* name in schema.json, or NULL when the content is not JSON */
    /* Bits of enum answer_header, beyond what follows from the row (route_carries). */
    uint32_t has, may_have;
};
#define MAX_ANSWERS 8
#define MAX_PARAMS 12

struct route {
    enum method method;
    const char *path; /* "{name}" stands for one segment */
    handler_fn handler;
    enum scope scope;
    unsigned body;                  /* BODY_ bits */
    const char *request;            /* schema of the body, or NULL */
    const char *params[MAX_PARAMS]; /* query parameters it knows */
    struct route_answer answers[MAX_ANSWERS];
    const char *summary;
    uint32_t takes; /* bits of enum header, beyond what follows from the row (route_takes) */
};
extern const struct route routes[];
extern const size_t n_routes;

#define MAX_ROUTE_ARGS 2
struct route_match {
    const struct route *route; /* NULL: no such path, or no such method on it */
    struct slice args[MAX_ROUTE_ARGS];
    uint32_t methods; /* bit mask of the methods that the path knows; 0: no such path */
};
/* HEAD finds GET's row. Segments that stand for {x} are [A-Za-z0-9_.-]{1,64}; percent-encoding is
 * not accepted in a path. */
void route_match(enum method method, struct slice path, struct route_match *ret);
/* "GET, HEAD, POST" */
void route_write_allow(uint32_t methods, struct buf *out);
/* docs/api.md's table of routes, from the table above. */
void route_write_markdown(struct buf *out);

#endif
