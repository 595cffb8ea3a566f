/* SPDX-License-Identifier: MIT */
/* What may pass before a body is read. libmicrohttpd 0.9.75 accepts most request-smuggling forms by
 * itself, so the header block is judged here. Pure functions on slices: no HTTP library, no state.
 */
#ifndef GANGER_API_GATE_H
#define GANGER_API_GATE_H

#include "service/base/config.h"
#include "service/base/text.h"

/* clang-format off */
#define HEADERS(X) /* id, lower-case name, may it be repeated? */ \
    X(HOST,              "host",              false)              \
    X(CONTENT_LENGTH,    "content-length",    false)              \
    X(TRANSFER_ENCODING, "transfer-encoding", false)              \
    X(AUTHORIZATION,     "authorization",     false)              \
    X(CONTENT_TYPE,      "content-type",      false)              \
    X(IDEMPOTENCY_KEY,   "idempotency-key",   false)              \
    X(ORIGIN,            "origin",            false)              \
    X(RANGE,             "range",             false)              \
    X(SEC_FETCH_SITE,    "sec-fetch-site",    false)              \
    X(ACCEPT,            "accept",            true)               \
    X(PREFER,            "prefer",            true)               \
    X(IF_MATCH,          "if-match",          false)              \
    X(IF_NONE_MATCH,     "if-none-match",     false)              \
    X(IF_RANGE,          "if-range",          false)              \
    X(LAST_EVENT_ID,     "last-event-id",     false)              \
    X(REQUEST_ID,        "x-request-id",      true)               \
    X(TRACEPARENT,       "traceparent",       true)
/* clang-format on */

enum header {
#define X(id, name, repeats) HEADER_##id,
    HEADERS(X)
#undef X
        HEADER_COUNT
};

enum method {
    METHOD_GET,
    METHOD_HEAD,
    METHOD_POST,
    METHOD_PUT,
    METHOD_PATCH,
    METHOD_DELETE,
    METHOD_OTHER
};

/* Body types that a route accepts. */
#define BODY_NONE 0u
#define BODY_JSON 1u
#define BODY_NDJSON 2u
#define BODY_BYTES 4u /* application/octet-stream, or no type at all; of any length */

#define MAX_HEADERS 64

/* A request before its body. Slices are borrowed from whoever filled it. */
struct head {
    enum method method;
    struct slice target;               /* as on the wire, with the query */
    struct slice path, query;          /* query without "?"; absent when there is none */
    struct slice header[HEADER_COUNT]; /* without white space around; absent: ptr == NULL */
    uint32_t n_headers;
    bool on_unix; /* came over the unix socket */
    bool is_http_1_0;
    bool has_body, is_chunked;
    uint64_t content_length; /* 0 when chunked or absent */
    unsigned body_type;      /* one of them when there is a body, set by gate_check_body */
    struct err fault;        /* first offence of a header, reported by gate_check_syntax */
};

enum method gate_method(const char *name);
const char *gate_method_name(enum method method);

/* `version` is "HTTP/1.1" or "HTTP/1.0"; anything else is an offence. The head starts empty. */
void gate_begin(struct head *head, enum method method, const char *version, struct slice target);
/* Every header in order. */
void gate_add_header(struct head *head, struct slice name, struct slice value);

/* Framing and characters. BAD_REQUEST, or TOO_LARGE for a length that no limit allows. The
 * connection must be closed after a failure: its framing cannot be trusted. */
MUST_CHECK bool gate_check_syntax(struct head *head, struct err *err);
/* Exactly one Host, and one that this server answers for. */
MUST_CHECK bool gate_check_host(const struct head *head, const struct text_list *names,
                                struct err *err);
/* No request that another web site has made a browser send. */
MUST_CHECK bool gate_check_origin(const struct head *head, const struct text_list *origins,
                                  struct err *err);
/* A body only of a type in `accepted`; JSON within max_body, others of any length. */
MUST_CHECK bool gate_check_body(struct head *head, unsigned accepted, uint64_t max_body,
                                struct err *err);

#endif
