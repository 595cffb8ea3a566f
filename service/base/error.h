/* SPDX-License-Identifier: MIT */
/* Every way in which ganger can fail, in one table, and the value that carries a failure outward.
 * An error lives on the caller's stack, so failing cannot fail. It is created where the cause is
 * known, wrapped only at module boundaries, and logged or sent once, at the edge that gives up. */
#ifndef GANGER_BASE_ERROR_H
#define GANGER_BASE_ERROR_H

#include "service/base/util.h"

/* clang-format off */
/*    code                status slug                 title */
#define ERRORS(X)                                                                                  \
    X(BAD_REQUEST,        400, "bad-request",         "The request is malformed")                  \
    X(INVALID_JSON,       400, "invalid-json",        "The body is not JSON")                      \
    X(UNAUTHORIZED,       401, "unauthorized",        "A valid token is needed")                   \
    X(FORBIDDEN,          403, "forbidden",           "The token does not allow this")             \
    X(FOREIGN_ORIGIN,     403, "foreign-origin",      "Requests from other web sites are refused") \
    X(NOT_FOUND,          404, "not-found",           "There is no such resource")                 \
    X(METHOD_NOT_ALLOWED, 405, "method-not-allowed",  "This resource does not know the method")    \
    X(NOT_ACCEPTABLE,     406, "not-acceptable",      "No accepted type can be produced")          \
    X(STATE_CONFLICT,     409, "state-conflict",      "The job's state forbids this")              \
    X(JOB_FAILED,         409, "job-failed",          "The job failed and has no result")          \
    X(DUPLICATE,          409, "duplicate",           "A job with this unique key has not ended")  \
    X(KEY_IN_FLIGHT,      409, "key-in-flight",       "A request with this key is under way")      \
    X(POOL_CLOSED,        409, "pool-closed",         "The pool takes no more jobs")               \
    X(POOL_BROKEN,        409, "pool-broken",         "The pool's workers cannot start")           \
    X(POOL_OPEN,          409, "pool-open",           "The pool still takes jobs")                 \
    X(NAME_TAKEN,         409, "name-taken",          "This name is in use")                       \
    X(JOB_CANCELLED,      410, "job-cancelled",       "The job was cancelled and has no result")   \
    X(RESULT_EXPIRED,     410, "result-expired",      "The result was kept as asked and is gone")  \
    X(VERSION_MISMATCH,   412, "version-mismatch",    "The resource has changed since")            \
    X(TOO_LARGE,          413, "too-large",           "The request is too large")                  \
    X(UNSUPPORTED_MEDIA,  415, "unsupported-media-type", "This content type is not accepted here") \
    X(RANGE,              416, "range-not-satisfiable", "The range lies outside the content")      \
    X(UNKNOWN_HOST,       421, "unknown-host",        "This server does not answer for that host") \
    X(INVALID,            422, "invalid-request",     "The request cannot be accepted")            \
    X(DEPENDENCY_CYCLE,   422, "dependency-cycle",    "The jobs wait for each other")              \
    X(KEY_REUSED,         422, "key-reused",          "The key was used with another body")        \
    X(PIPELINE_TOO_LONG,  422, "pipeline-too-long",   "The pipeline has more stages than workers") \
    X(QUEUE_LIMIT,        429, "queue-limit",         "This queue is full")                        \
    X(TOO_MANY_WAITERS,   429, "too-many-waiters",    "Too many requests are waiting")             \
    X(HEADERS_TOO_LARGE,  431, "headers-too-large",   "The request's header is too large")         \
    X(INTERNAL,           500, "internal",            "A bug in ganger")                           \
    X(OVERLOADED,         503, "overloaded",          "The service is at its limit")               \
    X(DRAINING,           503, "draining",            "The service is stopping")                   \
    X(DISK_FULL,          503, "disk-full",           "The disk is full; nothing was stored")      \
    X(STORAGE,            503, "storage-unavailable", "Not stored; try again")                     \
    X(OUTCOME_UNKNOWN,    503, "outcome-unknown",     "Perhaps stored; repeat with the same key")
/* clang-format on */

enum err_code {
    ERR_NONE = 0,
#define X(code, status, slug, title) ERR_##code,
    ERRORS(X)
#undef X
        ERR_COUNT_
};

struct err {
    enum err_code code;
    int sys_errno;     /* logged, never sent */
    char pointer[128]; /* JSON Pointer (RFC 6901) of the offending member, or "";
                          "?name" of a parameter of the query */
    char detail[240];  /* for the client: what was wrong and what to do */
};

/* All return false, so that a failing function can say `return err_set(err, …)`. `err` may be NULL.
 */
bool err_set(struct err *err, enum err_code code, const char *fmt, ...) PRINTF_LIKE(3, 4);
bool err_sys(struct err *err, enum err_code code, const char *fmt, ...) PRINTF_LIKE(3, 4); /* keeps
                                                                                              errno,
                                                                                              adds
                                                                                              its
                                                                                              text
                                                                                            */
bool err_at(struct err *err, enum err_code code, const char *pointer, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
bool err_wrap(struct err *err, const char *fmt, ...) PRINTF_LIKE(2, 3); /* "submit: <detail>" */

int err_status(enum err_code code);       /* HTTP status */
const char *err_slug(enum err_code code); /* last segment of the problem type */
const char *err_title(enum err_code code);
const char *err_advice(enum err_code code); /* one or two sentences: what it means, what to do; for
                                               /problems/{slug} */
enum err_code err_by_slug(struct slice slug); /* ERR_NONE when unknown */

#endif
