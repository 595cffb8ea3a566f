/* SPDX-License-Identifier: MIT */
/* Headers as a part of the API: which of a request a route takes, and which its answers carry. The
 * rows of routes.c say it, or it follows from them, and nothing else does: a handler sees no header
 * that its route does not take (request_header), and adds none that is not listed here. */
#ifndef GANGER_API_HEADERS_H
#define GANGER_API_HEADERS_H

#include "api/gate.h"

struct route;

/* clang-format off */
#define ANSWER_HEADERS(X) /* id, name, what it says */ \
    X(REQUEST_ID,  "X-Request-Id",        "The id of this exchange: the client's own, or a new one.")        \
    X(LOCATION,    "Location",            "Where that which was made is found.")                             \
    X(ETAG,        "ETag",                "The version of what is shown.")                                   \
    X(APPLIED,     "Preference-Applied",  "wait=N: how many seconds were meant.")                            \
    X(REPLAYED,    "Idempotency-Replayed", "true: the answer to an earlier request with this key.")          \
    X(EXISTING,    "Ganger-Existing",     "true: the job with this unique key, which was there already.")    \
    X(DONE,        "Ganger-Done",         "true: no result comes after these.")                              \
    X(LINK,        "Link",                "rel=\\\"next\\\": the next page.")                                \
    X(RETRY_AFTER, "Retry-After",         "Ask again after so many seconds.")                                \
    X(RANGES,      "Accept-Ranges",       "bytes: Range is understood.")                                     \
    X(RANGE,       "Content-Range",       "Which bytes these are, and of how many.")                         \
    X(DISPOSITION, "Content-Disposition", "attachment: bytes of a client are nothing to be shown as a page.") \
    X(POLICY,      "Content-Security-Policy", "Nothing in these bytes may run in a browser.")                \
    X(UNBUFFERED,  "X-Accel-Buffering",   "no: proxies shall pass each part on as it comes.")                \
    X(CHALLENGE,   "WWW-Authenticate",    "Bearer: with 401.")                                               \
    X(ALLOW,       "Allow",               "What the path knows: with 405, which is of no operation.")
/* clang-format on */

enum answer_header {
#define X(id, name, text) ANSWER_##id,
    ANSWER_HEADERS(X)
#undef X
        ANSWER_HEADER_COUNT
};
const char *answer_header_name(enum answer_header header);
const char *answer_header_text(enum answer_header header);

/* What a route may take has a name and a text; the others (Host, Content-Type, ...) are the
 * protocol's, and NULL. */
const char *request_header_name(enum header header);
const char *request_header_text(enum header header);
bool route_takes(const struct route *route, enum header header);

enum carried { CARRIED_NEVER, CARRIED_PERHAPS, CARRIED_ALWAYS };
/* Status 0: the route's problems. */
enum carried route_carries(const struct route *route, int status, enum answer_header header);

#endif
