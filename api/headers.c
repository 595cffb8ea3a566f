/* SPDX-License-Identifier: MIT */
#include "api/headers.h"

#include "api/routes.h"

static const struct {
    const char *name, *text;
} answers_say[ANSWER_HEADER_COUNT] = {
#define X(id, name, text) [ANSWER_##id] = {name, text},
    ANSWER_HEADERS(X)
#undef X
};

static const struct {
    const char *name, *text;
} requests_say[HEADER_COUNT] = {
    [HEADER_IDEMPOTENCY_KEY] = {"Idempotency-Key",
                                "1 to 255 characters: the same request sent again with it is "
                                "answered and not carried out again."},
    [HEADER_PREFER] = {"Prefer", "wait=N: the answer may take N seconds. The parameter wait is "
                                 "the same."},
    [HEADER_IF_MATCH] = {"If-Match", "An ETag: if it is another one now, 412."},
    [HEADER_IF_NONE_MATCH] = {"If-None-Match", "An ETag, or * for anything: if it is that."},
    [HEADER_RANGE] = {"Range", "bytes=FIRST-LAST: only these."},
    [HEADER_IF_RANGE] = {"If-Range", "An ETag: of other bytes than these, all are wanted."},
    [HEADER_LAST_EVENT_ID] = {"Last-Event-ID", "The id of the event that came last: go on behind "
                                               "it."},
    [HEADER_REQUEST_ID] = {"X-Request-Id", "A token of up to 63 characters, to find this exchange "
                                           "by."},
    [HEADER_TRACEPARENT] = {"traceparent", "The W3C trace context that the job is given."},
};

const char *answer_header_name(enum answer_header header)
{
    PRE((unsigned)header < ANSWER_HEADER_COUNT);
    return answers_say[header].name;
}

const char *answer_header_text(enum answer_header header)
{
    PRE((unsigned)header < ANSWER_HEADER_COUNT);
    return answers_say[header].text;
}

const char *request_header_name(enum header header)
{
    PRE((unsigned)header < HEADER_COUNT);
    return requests_say[header].name;
}

const char *request_header_text(enum header header)
{
    PRE((unsigned)header < HEADER_COUNT);
    return requests_say[header].text;
}

static bool has_param(const struct route *route, const char *name)
{
    for (size_t i = 0; i < MAX_PARAMS && route->params[i] != NULL; i++) {
        if (strcmp(route->params[i], name) == 0)
            return true;
    }
    return false;
}

bool route_takes(const struct route *route, enum header header)
{
    if (header == HEADER_REQUEST_ID)
        return true;
    if (header == HEADER_PREFER)
        return has_param(route, "wait");
    return (route->takes >> (header == HEADER_IF_RANGE ? HEADER_RANGE : header) & 1u) != 0;
}

/* Over the content types of one status: always, when each has it; perhaps, when one may have it. */
static enum carried by_rows(const struct route *route, int status, enum answer_header header)
{
    bool all = true, any = false;
    for (size_t i = 0; i < MAX_ANSWERS && route->answers[i].status != 0; i++) {
        const struct route_answer *answer = &route->answers[i];
        if (answer->status != status)
            continue;
        all = all && (answer->has >> header & 1u) != 0;
        any = any || ((answer->has | answer->may_have) >> header & 1u) != 0;
    }
    return !any ? CARRIED_NEVER : all ? CARRIED_ALWAYS : CARRIED_PERHAPS;
}

static enum carried perhaps_if(bool condition)
{
    return condition ? CARRIED_PERHAPS : CARRIED_NEVER;
}

/* What goes ahead of a problem belongs to what the request asked for. */
static enum carried by_problem(const struct route *route, enum answer_header header)
{
    const bool has_ranges = route_takes(route, HEADER_RANGE);
    if (header == ANSWER_RETRY_AFTER)
        return CARRIED_PERHAPS;
    if (header == ANSWER_CHALLENGE)
        return perhaps_if(route->scope != SCOPE_NOBODY);
    if (header == ANSWER_RANGES || header == ANSWER_RANGE)
        return perhaps_if(has_ranges);
    return perhaps_if(header == ANSWER_ETAG && has_ranges &&
                      route_takes(route, HEADER_IF_NONE_MATCH));
}

enum carried route_carries(const struct route *route, int status, enum answer_header header)
{
    if (header == ANSWER_REQUEST_ID)
        return CARRIED_ALWAYS;
    if (header == ANSWER_APPLIED)
        return perhaps_if(route_takes(route, HEADER_PREFER));
    if (header == ANSWER_REPLAYED)
        return perhaps_if(route_takes(route, HEADER_IDEMPOTENCY_KEY));
    if (status == 0)
        return by_problem(route, header);
    if (header == ANSWER_LINK)
        return perhaps_if(has_param(route, "cursor"));
    return by_rows(route, status, header);
}
