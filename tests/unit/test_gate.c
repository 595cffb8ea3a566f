/* SPDX-License-Identifier: MIT */
#include "api/gate.h"

#include <criterion/criterion.h>

#define MAX_TEST_HEADERS 8

struct header_text {
    struct slice name, value;
};
/* Lengths are counted here, so that a value may hold a NUL. */
#define H(name, value)               \
    {                                \
        {name, sizeof(name) - 1},    \
        {                            \
            value, sizeof(value) - 1 \
        }                            \
    }
#define HOST H("Host", "localhost")

static bool passes(struct head *head, const char *version, const char *target,
                   const struct header_text *headers, struct err *err)
{
    gate_begin(head, METHOD_POST, version, slice_of(target));
    for (size_t i = 0; i < MAX_TEST_HEADERS && headers[i].name.ptr != NULL; i++)
        gate_add_header(head, headers[i].name, headers[i].value);
    return gate_check_syntax(head, err);
}

/* Every row is a way to smuggle a request past a proxy, or to hide something from one of two
 * readers. */
static const struct {
    const char *what, *version, *target;
    struct header_text headers[MAX_TEST_HEADERS];
    enum err_code code;
} ambiguous[] = {
    {"two lengths",
     "HTTP/1.1",
     "/",
     {HOST, H("Content-Length", "5"), H("Content-Length", "3")},
     ERR_BAD_REQUEST},
    {"two equal lengths",
     "HTTP/1.1",
     "/",
     {HOST, H("Content-Length", "5"), H("content-length", "5")},
     ERR_BAD_REQUEST},
    {"length and coding",
     "HTTP/1.1",
     "/",
     {HOST, H("Content-Length", "3"), H("Transfer-Encoding", "chunked")},
     ERR_BAD_REQUEST},
    {"unknown coding",
     "HTTP/1.1",
     "/",
     {HOST, H("Transfer-Encoding", "xchunked")},
     ERR_BAD_REQUEST},
    {"two codings",
     "HTTP/1.1",
     "/",
     {HOST, H("Transfer-Encoding", "gzip, chunked")},
     ERR_BAD_REQUEST},
    {"identity", "HTTP/1.1", "/", {HOST, H("Transfer-Encoding", "identity")}, ERR_BAD_REQUEST},
    {"coding in 1.0", "HTTP/1.0", "/", {HOST, H("Transfer-Encoding", "chunked")}, ERR_BAD_REQUEST},
    {"space before colon",
     "HTTP/1.1",
     "/",
     {HOST, H("Transfer-Encoding ", "chunked")},
     ERR_BAD_REQUEST},
    {"folded line",
     "HTTP/1.1",
     "/",
     {HOST, H("Authorizationevil: x", "Bearer abc")},
     ERR_BAD_REQUEST},
    {"empty name", "HTTP/1.1", "/", {HOST, H("", "x")}, ERR_BAD_REQUEST},
    {"plus", "HTTP/1.1", "/", {HOST, H("Content-Length", "+5")}, ERR_BAD_REQUEST},
    {"minus", "HTTP/1.1", "/", {HOST, H("Content-Length", "-1")}, ERR_BAD_REQUEST},
    {"hex", "HTTP/1.1", "/", {HOST, H("Content-Length", "0x5")}, ERR_BAD_REQUEST},
    {"list", "HTTP/1.1", "/", {HOST, H("Content-Length", "5, 5")}, ERR_BAD_REQUEST},
    {"empty length", "HTTP/1.1", "/", {HOST, H("Content-Length", "")}, ERR_BAD_REQUEST},
    {"overflow",
     "HTTP/1.1",
     "/",
     {HOST, H("Content-Length", "18446744073709551615")},
     ERR_TOO_LARGE},
    {"NUL in value", "HTTP/1.1", "/", {HOST, H("X-A", "a\0b")}, ERR_BAD_REQUEST},
    {"CR in value", "HTTP/1.1", "/", {HOST, H("X-A", "a\rb")}, ERR_BAD_REQUEST},
    {"LF in value", "HTTP/1.1", "/", {HOST, H("X-A", "a\nb")}, ERR_BAD_REQUEST},
    {"DEL in value", "HTTP/1.1", "/", {HOST, H("X-A", "a\x7f")}, ERR_BAD_REQUEST},
    {"two hosts", "HTTP/1.1", "/", {HOST, H("Host", "evil")}, ERR_BAD_REQUEST},
    {"two tokens",
     "HTTP/1.1",
     "/",
     {HOST, H("Authorization", "a"), H("Authorization", "b")},
     ERR_BAD_REQUEST},
    {"two types",
     "HTTP/1.1",
     "/",
     {HOST, H("Content-Type", "a/b"), H("Content-Type", "c/d")},
     ERR_BAD_REQUEST},
    {"two keys",
     "HTTP/1.1",
     "/",
     {HOST, H("Idempotency-Key", "a"), H("Idempotency-Key", "b")},
     ERR_BAD_REQUEST},
    {"absolute target", "HTTP/1.1", "http://evil/a", {HOST}, ERR_BAD_REQUEST},
    {"empty target", "HTTP/1.1", "", {HOST}, ERR_BAD_REQUEST},
    {"star", "HTTP/1.1", "*", {HOST}, ERR_BAD_REQUEST},
    {"control in target", "HTTP/1.1", "/a\tb", {HOST}, ERR_BAD_REQUEST},
    {"raw UTF-8 in target", "HTTP/1.1", "/\xc3\xa4", {HOST}, ERR_BAD_REQUEST},
    {"fragment", "HTTP/1.1", "/a#b", {HOST}, ERR_BAD_REQUEST},
    {"version", "HTTP/2.0", "/", {HOST}, ERR_BAD_REQUEST},
    {"no version", "", "/", {HOST}, ERR_BAD_REQUEST},
};

Test(gate, refuses_ambiguous_framing_and_characters)
{
    for (size_t i = 0; i < ARRAY_LEN(ambiguous); i++) {
        struct head head;
        struct err err = {0};
        cr_assert_not(
            passes(&head, ambiguous[i].version, ambiguous[i].target, ambiguous[i].headers, &err),
            "%s", ambiguous[i].what);
        cr_assert_eq(err.code, ambiguous[i].code, "%s", ambiguous[i].what);
    }
}

Test(gate, accepts_what_clients_send)
{
    static const struct header_text headers[MAX_TEST_HEADERS] = {
        HOST,
        H("Content-Length", "12"),
        H("CONTENT-TYPE", " application/json \t"),
        H("Accept", "*/*"),
        H("accept", "text/plain"),
        H("X-Empty", ""),
        H("X-Tab", "a\tb"),
    };
    struct head head;
    struct err err = {0};
    cr_assert(passes(&head, "HTTP/1.1", "/v1/jobs?wait=5&x", headers, &err), "%s", err.detail);
    cr_assert(slice_is(head.path, "/v1/jobs"));
    cr_assert(slice_is(head.query, "wait=5&x"));
    cr_assert(slice_is(head.header[HEADER_CONTENT_TYPE], "application/json"));
    cr_assert(slice_is(head.header[HEADER_ACCEPT], "*/*"));
    cr_assert(head.has_body);
    cr_assert_eq(head.content_length, 12);
    cr_assert_not(head.is_chunked);
}

Test(gate, counts_headers)
{
    struct head head;
    struct err err = {0};
    gate_begin(&head, METHOD_GET, "HTTP/1.1", SLICE_LIT("/"));
    for (int i = 0; i < MAX_HEADERS; i++)
        gate_add_header(&head, SLICE_LIT("X-A"), SLICE_LIT("1"));
    cr_assert(gate_check_syntax(&head, &err));
    gate_add_header(&head, SLICE_LIT("X-A"), SLICE_LIT("1"));
    cr_assert_not(gate_check_syntax(&head, &err));
}

static enum err_code host_verdict(const char *host, bool on_unix)
{
    char name[] = "ganger.example";
    struct text_list names = {.items = {name}, .n = 1};
    struct head head = {.on_unix = on_unix};
    struct err err = {0};
    head.header[HEADER_HOST] = slice_of(host);
    return gate_check_host(&head, &names, &err) ? ERR_NONE : err.code;
}

Test(gate, answers_only_for_its_own_hosts)
{
    static const char *const good[] = {
        "localhost",  "LocalHost:7411", "127.0.0.1",           "127.0.0.1:80",  "[::1]",
        "[::1]:7411", "10.0.0.7:1",     "ganger.example:7411", "GANGER.example"};
    static const char *const bad[] = {
        "evil.example", "localhost.evil",  "127.0.0.1.evil", "", ":80", "localhost:123456", "[::1",
        "::1]",         "ganger.example.", "localhost:x"};
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        cr_assert_eq(host_verdict(good[i], false), ERR_NONE, "%s", good[i]);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        cr_assert_neq(host_verdict(bad[i], false), ERR_NONE, "%s", bad[i]);
    cr_assert_eq(host_verdict("evil.example", false), ERR_UNKNOWN_HOST);
    cr_assert_eq(host_verdict(NULL, false), ERR_BAD_REQUEST);
    cr_assert_eq(host_verdict(NULL, true), ERR_NONE, "any host on the unix socket");
}

Test(gate, refuses_other_web_sites)
{
    char allowed[] = "https://ui.example";
    struct text_list origins = {.items = {allowed}, .n = 1};
    struct head head = {0};
    struct err err = {0};
    cr_assert(gate_check_origin(&head, &origins, &err));
    head.header[HEADER_ORIGIN] = SLICE_LIT("https://evil.example");
    cr_assert_not(gate_check_origin(&head, &origins, &err));
    cr_assert_eq(err.code, ERR_FOREIGN_ORIGIN);
    head.header[HEADER_ORIGIN] = SLICE_LIT("null");
    cr_assert_not(gate_check_origin(&head, &origins, &err));
    head.header[HEADER_ORIGIN] = SLICE_LIT("https://ui.example");
    head.header[HEADER_SEC_FETCH_SITE] = SLICE_LIT("cross-site");
    cr_assert(gate_check_origin(&head, &origins, &err), "a listed origin is cross-site by nature");
    head.header[HEADER_ORIGIN] = (struct slice){0};
    cr_assert_not(gate_check_origin(&head, &origins, &err));
    head.header[HEADER_SEC_FETCH_SITE] = SLICE_LIT("same-site");
    cr_assert_not(gate_check_origin(&head, &origins, &err));
    head.header[HEADER_SEC_FETCH_SITE] = SLICE_LIT("same-origin");
    cr_assert(gate_check_origin(&head, &origins, &err));
}

static enum err_code body_verdict(const char *type, uint64_t len, unsigned accepted)
{
    struct head head = {.has_body = true, .content_length = len};
    struct err err = {0};
    head.header[HEADER_CONTENT_TYPE] = slice_of(type);
    return gate_check_body(&head, accepted, 1000, &err) ? ERR_NONE : err.code;
}

Test(gate, accepts_bodies_by_type_and_size)
{
    const unsigned both = BODY_JSON | BODY_NDJSON;
    cr_assert_eq(body_verdict("application/json", 1000, BODY_JSON), ERR_NONE);
    cr_assert_eq(body_verdict("Application/JSON; charset=utf-8", 5, BODY_JSON), ERR_NONE);
    cr_assert_eq(body_verdict("application/json", 1001, BODY_JSON), ERR_TOO_LARGE);
    cr_assert_eq(body_verdict("application/x-ndjson", 1001, both), ERR_NONE,
                 "only its lines are bounded");
    cr_assert_eq(body_verdict("application/x-ndjson", 5, BODY_JSON), ERR_UNSUPPORTED_MEDIA);
    cr_assert_eq(body_verdict("text/plain", 5, both), ERR_UNSUPPORTED_MEDIA);
    cr_assert_eq(body_verdict("application/x-www-form-urlencoded", 5, both), ERR_UNSUPPORTED_MEDIA);
    cr_assert_eq(body_verdict("application/jsonx", 5, both), ERR_UNSUPPORTED_MEDIA);
    cr_assert_eq(body_verdict(NULL, 5, both), ERR_UNSUPPORTED_MEDIA);
    cr_assert_eq(body_verdict("application/json", 5, BODY_NONE), ERR_UNSUPPORTED_MEDIA);
    struct head none = {0};
    struct err err = {0};
    cr_assert(gate_check_body(&none, BODY_NONE, 1000, &err), "no body needs no type");
}
