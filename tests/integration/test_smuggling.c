/* SPDX-License-Identifier: MIT */
/* Header hygiene and request smuggling by bare sockets. What is refused must also close the
 * connection, or the rest of the bytes would be read as a request.
 *
 * Some rows libmicrohttpd 0.9.75 normalises before anyone can look: a bare LF as line end, what
 * stands behind a NUL, and a header without a name, which it takes for the end of the head. Those
 * only have to be harmless: no second answer may come out of one. Behind a proxy that refuses them
 * nothing is left to hide. */
#include "integration/harness_test.h"

#define HOST "Host: localhost\r\n"
#define AUTH "@AUTH@"
#define TYPE "Content-Type: application/json\r\n"
#define JOB "{\"command\":[\"true\"],\"delay\":\"1h\"}"
#define JOB_LENGTH "Content-Length: 33\r\n"

enum verdict {
    REFUSED,  /* a 4xx or 501, or the connection simply ends */
    ACCEPTED, /* 200 or 202 */
    HARMLESS  /* either, but exactly one answer */
};

/* clang-format off */
static const struct {
    const char *what;
    const char *bytes;
    size_t len;        /* 0: strlen */
    enum verdict verdict;
} rows[] = {
    {"a plain request", "POST /v1/jobs HTTP/1.1\r\n" HOST AUTH TYPE JOB_LENGTH "\r\n" JOB, 0, ACCEPTED},
    {"chunked alone", "POST /v1/jobs HTTP/1.1\r\n" HOST AUTH TYPE "Transfer-Encoding: chunked\r\n\r\n21\r\n" JOB "\r\n0\r\n\r\n", 0, ACCEPTED},
    {"a chunk extension", "POST /v1/jobs HTTP/1.1\r\n" HOST AUTH TYPE "Transfer-Encoding: chunked\r\n\r\n21;x=y\r\n" JOB "\r\n0\r\n\r\n", 0, HARMLESS},
    {"two lengths, first smaller", "POST /v1/jobs HTTP/1.1\r\n" HOST AUTH TYPE "Content-Length: 3\r\n" JOB_LENGTH "\r\n" JOB, 0, REFUSED},
    {"two lengths, first larger", "POST /v1/jobs HTTP/1.1\r\n" HOST AUTH TYPE JOB_LENGTH "Content-Length: 3\r\n\r\n" JOB, 0, REFUSED},
    {"the same length twice", "POST /v1/jobs HTTP/1.1\r\n" HOST AUTH TYPE JOB_LENGTH JOB_LENGTH "\r\n" JOB, 0, REFUSED},
    {"length and chunked", "POST /v1/jobs HTTP/1.1\r\n" HOST AUTH TYPE JOB_LENGTH "Transfer-Encoding: chunked\r\n\r\n21\r\n" JOB "\r\n0\r\n\r\n", 0, REFUSED},
    {"chunked and length", "POST /v1/jobs HTTP/1.1\r\n" HOST AUTH TYPE "Transfer-Encoding: chunked\r\n" JOB_LENGTH "\r\n21\r\n" JOB "\r\n0\r\n\r\n", 0, REFUSED},
    {"gzip, chunked", "POST /v1/jobs HTTP/1.1\r\n" HOST AUTH TYPE "Transfer-Encoding: gzip, chunked\r\n\r\n21\r\n" JOB "\r\n0\r\n\r\n", 0, REFUSED},
    {"identity", "POST /v1/jobs HTTP/1.1\r\n" HOST AUTH TYPE "Transfer-Encoding: identity\r\n" JOB_LENGTH "\r\n" JOB, 0, REFUSED},
    {"xchunked", "POST /v1/jobs HTTP/1.1\r\n" HOST AUTH TYPE "Transfer-Encoding: xchunked\r\n" JOB_LENGTH "\r\n" JOB, 0, REFUSED},
    {"chunked twice", "POST /v1/jobs HTTP/1.1\r\n" HOST AUTH TYPE "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n21\r\n" JOB "\r\n0\r\n\r\n", 0, REFUSED},
    {"identity and chunked", "POST /v1/jobs HTTP/1.1\r\n" HOST AUTH TYPE "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n21\r\n" JOB "\r\n0\r\n\r\n", 0, REFUSED},
    {"a blank before the colon", "POST /v1/jobs HTTP/1.1\r\n" HOST AUTH TYPE "Transfer-Encoding : chunked\r\n" JOB_LENGTH "\r\n" JOB, 0, REFUSED},
    {"a blank before the colon of the length", "POST /v1/jobs HTTP/1.1\r\n" HOST AUTH TYPE "Content-Length : 33\r\n\r\n" JOB, 0, REFUSED},
    {"chunked with HTTP/1.0", "POST /v1/jobs HTTP/1.0\r\n" HOST AUTH TYPE "Transfer-Encoding: chunked\r\n\r\n21\r\n" JOB "\r\n0\r\n\r\n", 0, REFUSED},
    {"the largest length", "POST /v1/jobs HTTP/1.1\r\n" HOST AUTH TYPE "Content-Length: 18446744073709551615\r\n\r\n" JOB, 0, REFUSED},
    {"a length beyond 64 bits", "POST /v1/jobs HTTP/1.1\r\n" HOST AUTH TYPE "Content-Length: 99999999999999999999999\r\n\r\n" JOB, 0, REFUSED},
    {"length +33", "POST /v1/jobs HTTP/1.1\r\n" HOST AUTH TYPE "Content-Length: +33\r\n\r\n" JOB, 0, REFUSED},
    {"length -1", "POST /v1/jobs HTTP/1.1\r\n" HOST AUTH TYPE "Content-Length: -1\r\n\r\n" JOB, 0, REFUSED},
    {"length 0x21", "POST /v1/jobs HTTP/1.1\r\n" HOST AUTH TYPE "Content-Length: 0x21\r\n\r\n" JOB, 0, REFUSED},
    {"length 33, 33", "POST /v1/jobs HTTP/1.1\r\n" HOST AUTH TYPE "Content-Length: 33, 35\r\n\r\n" JOB, 0, REFUSED},
    {"an empty length", "POST /v1/jobs HTTP/1.1\r\n" HOST AUTH TYPE "Content-Length: \r\n\r\n" JOB, 0, REFUSED},
    {"a folded header", "POST /v1/jobs HTTP/1.1\r\n" HOST AUTH TYPE JOB_LENGTH "X-A: b\r\n evil: x\r\n\r\n" JOB, 0, REFUSED},
    {"a folded token", "GET /v1/pool HTTP/1.1\r\n" HOST AUTH " evil: x\r\n\r\n", 0, REFUSED},
    {"NUL in a value", "GET /v1/pool HTTP/1.1\r\n" HOST AUTH "X-A: b\0c\r\n\r\n", sizeof("GET /v1/pool HTTP/1.1\r\n" HOST AUTH "X-A: b\0c\r\n\r\n") - 1, HARMLESS},
    {"NUL in the path", "GET /v1/pool\0x HTTP/1.1\r\n" HOST AUTH "\r\n", sizeof("GET /v1/pool\0x HTTP/1.1\r\n" HOST AUTH "\r\n") - 1, HARMLESS},
    {"%00 in the path", "GET /v1/pool%00x HTTP/1.1\r\n" HOST AUTH "\r\n", 0, REFUSED},
    {"a bare CR in a value", "GET /v1/pool HTTP/1.1\r\n" HOST AUTH "X-A: b\rc\r\n\r\n", 0, REFUSED},
    {"a control byte in a value", "GET /v1/pool HTTP/1.1\r\n" HOST AUTH "X-A: b\001c\r\n\r\n", 0, REFUSED},
    {"DEL in a value", "GET /v1/pool HTTP/1.1\r\n" HOST AUTH "X-A: b\177c\r\n\r\n", 0, REFUSED},
    {"lines that end with LF", "GET /v1/pool HTTP/1.1\nHost: localhost\n" AUTH "\n", 0, HARMLESS},
    {"no Host", "GET /v1/pool HTTP/1.1\r\n" AUTH "\r\n", 0, REFUSED},
    {"two Hosts", "GET /v1/pool HTTP/1.1\r\n" HOST HOST AUTH "\r\n", 0, REFUSED},
    {"an empty Host", "GET /v1/pool HTTP/1.1\r\nHost: \r\n" AUTH "\r\n", 0, REFUSED},
    {"the absolute form", "GET http://localhost/v1/pool HTTP/1.1\r\n" HOST AUTH "\r\n", 0, REFUSED},
    {"a foreign absolute form", "GET http://evil/v1/pool HTTP/1.1\r\n" HOST AUTH "\r\n", 0, REFUSED},
    {"the authority form", "CONNECT localhost:1 HTTP/1.1\r\n" HOST AUTH "\r\n", 0, REFUSED},
    {"the asterisk form", "OPTIONS * HTTP/1.1\r\n" HOST AUTH "\r\n", 0, REFUSED},
    {"an empty header name", "GET /v1/pool HTTP/1.1\r\n" HOST AUTH ": x\r\n\r\n", 0, HARMLESS},
    {"a blank in a header name", "GET /v1/pool HTTP/1.1\r\n" HOST AUTH "X A: x\r\n\r\n", 0, REFUSED},
    {"a bracket in a header name", "GET /v1/pool HTTP/1.1\r\n" HOST AUTH "X(A): x\r\n\r\n", 0, REFUSED},
    {"two tokens", "GET /v1/pool HTTP/1.1\r\n" HOST AUTH AUTH "\r\n", 0, REFUSED},
    {"two content types", "POST /v1/jobs HTTP/1.1\r\n" HOST AUTH TYPE TYPE JOB_LENGTH "\r\n" JOB, 0, REFUSED},
    {"two keys", "POST /v1/jobs HTTP/1.1\r\n" HOST AUTH TYPE JOB_LENGTH "Idempotency-Key: a\r\nIdempotency-Key: b\r\n\r\n" JOB, 0, REFUSED},
    {"two origins", "GET /v1/pool HTTP/1.1\r\n" HOST AUTH "Origin: http://a\r\nOrigin: http://b\r\n\r\n", 0, REFUSED},
    {"two ranges", "GET /v1/pool HTTP/1.1\r\n" HOST AUTH "Range: bytes=0-1\r\nRange: bytes=2-3\r\n\r\n", 0, REFUSED},
    {"dots, encoded", "GET /v1/%2e%2e%2f..%2fetc HTTP/1.1\r\n" HOST AUTH "\r\n", 0, REFUSED},
    {"dots", "GET /v1/../v1/pool HTTP/1.1\r\n" HOST AUTH "\r\n", 0, REFUSED},
    {"an encoded slash", "GET /v1%2fpool HTTP/1.1\r\n" HOST AUTH "\r\n", 0, REFUSED},
    {"a double slash", "GET /v1//pool HTTP/1.1\r\n" HOST AUTH "\r\n", 0, REFUSED},
    {"a broken escape", "GET /v1/pool%zz HTTP/1.1\r\n" HOST AUTH "\r\n", 0, REFUSED},
    {"HTTP/2.0", "GET /v1/pool HTTP/2.0\r\n" HOST AUTH "\r\n", 0, REFUSED},
    {"HTTP/0.9", "GET /v1/pool\r\n\r\n", 0, REFUSED},
    {"no version", "GET /v1/pool\r\n" HOST AUTH "\r\n", 0, REFUSED},
    {"words of another protocol", "EHLO localhost\r\n", 0, REFUSED},
    {"a TLS hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 16, REFUSED},
};
/* clang-format on */

/* The row's bytes with the token in place of its mark. */
static char *row_bytes(const struct server *s, size_t row, size_t *ret_len)
{
    const char *from = rows[row].bytes;
    size_t left = rows[row].len == 0 ? strlen(from) : rows[row].len, len = 0;
    struct text auth = text_of("Authorization: Bearer %s\r\n", s->token);
    char *bytes = need_alloc(left + 1000);
    while (left > 0) {
        if (left >= strlen(AUTH) && memcmp(from, AUTH, strlen(AUTH)) == 0) {
            memcpy(bytes + len, auth.s, strlen(auth.s));
            len += strlen(auth.s);
            from += strlen(AUTH);
            left -= strlen(AUTH);
        } else {
            bytes[len++] = *from++;
            left--;
        }
    }
    *ret_len = len;
    return bytes;
}

/* Reads all answers until the connection ends or is silent for so long; the status of the first,
 * and how many there were. */
static long answers_read(struct conn *c, double silent_s, int *ret_count)
{
    long first = 0;
    *ret_count = 0;
    while (conn_await_head(c, *ret_count == 0 ? 5 : silent_s)) {
        first = *ret_count == 0 ? c->status : first;
        (*ret_count)++;
        if (!conn_await_end(c, 5))
            break;
        conn_next(c);
    }
    return first;
}

/* Says what is wrong with a row, or nothing. */
static struct text row_fault(struct conn *c, size_t i)
{
    int answers = 0;
    /* All were sent before the first was read. */
    long status = answers_read(c, i == 0 ? 0.3 : 0.01, &answers);
    bool ok = status == 200 || status == 202, no = status == 0 || (status >= 400 && status < 600);
    if (answers > 1)
        return text_of("%s: %d answers to one request\n", rows[i].what, answers);
    if ((rows[i].verdict == ACCEPTED && !ok) || (rows[i].verdict == REFUSED && !no))
        return text_of("%s: %ld\n", rows[i].what, status);
    return text_of("%s", "");
}

SERVER_TEST(gate, no_smuggling_primitive_gets_through)
{
    struct conn *c[COUNT_OF(rows)];
    AUTO_TEXT faults = need_alloc(1);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        size_t len = 0;
        AUTO_TEXT bytes = row_bytes(s, i, &len);
        c[i] = conn_open(s);
        (void)conn_send(c[i], bytes, len);
    }
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct text fault = row_fault(c[i], i);
        conn_close(c[i]);
        faults = need_realloc(faults, strlen(faults) + strlen(fault.s) + 1);
        memcpy(faults + strlen(faults), fault.s, strlen(fault.s) + 1);
    }
    cr_assert_str_eq(faults, "", "%s", faults);
    AUTO_RESPONSE alive = http_get(s, "/v1/pool");
    expect_status(alive, 200);
}

/* Each refused request is followed by a second one on the same connection: it must not be answered
 * when the framing of the first was in doubt. */
SERVER_TEST(gate, doubtful_framing_ends_the_connection)
{
    static const char *const doubtful[] = {"two lengths, first smaller",
                                           "length and chunked",
                                           "chunked and length",
                                           "gzip, chunked",
                                           "identity",
                                           "chunked with HTTP/1.0"};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        bool chosen = false;
        for (size_t k = 0; k < COUNT_OF(doubtful); k++)
            chosen = chosen || strcmp(rows[i].what, doubtful[k]) == 0;
        if (!chosen)
            continue;
        size_t len = 0;
        AUTO_TEXT bytes = row_bytes(s, i, &len);
        AUTO_CONN c = conn_open(s);
        (void)conn_send(c, bytes, len);
        struct text next = text_of(
            "GET /v1/pool HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n",
            s->token);
        (void)conn_send(c, next.s, strlen(next.s));
        int answers = 0;
        long status = answers_read(c, 0.3, &answers);
        CHECK(status >= 400 && answers == 1, "%s: %d answers, the first %ld", rows[i].what, answers,
              status);
        CHECK(conn_await_close(c, 5), "%s: the connection stays open", rows[i].what);
    }
}

SERVER_TEST(gate, pipelined_requests_are_answered_in_order)
{
    AUTO_CONN c = conn_open(s);
    for (int i = 0; i < 10; i++)
        conn_request(c, s, i % 2 == 0 ? "GET /v1/pool" : "GET /v1/nothing", "", NULL);
    for (int i = 0; i < 10; i++) {
        cr_assert(conn_await_end(c, 10), "answer %d is missing", i);
        cr_assert_eq(c->status, i % 2 == 0 ? 200 : 404);
        conn_next(c);
    }
}
