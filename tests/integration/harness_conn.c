/* SPDX-License-Identifier: MIT */
#include "integration/harness_conn.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

struct conn *conn_open(const struct server *s)
{
    struct conn *c = need_alloc(sizeof(*c));
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(c->fd >= 0, "socket: %s", strerror(errno));
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)s->port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(connect(c->fd, (struct sockaddr *)&to, sizeof(to)) == 0, "connect to port %d: %s",
          s->port, strerror(errno));
    conn_next(c);
    return c;
}

void conn_close(struct conn *c)
{
    if (c == NULL)
        return;
    (void)close(c->fd);
    free(c->raw);
    free(c->head);
    free(c->body);
    free(c);
}

void conn_next(struct conn *c)
{
    free(c->head);
    free(c->body);
    c->head = need_alloc(1);
    c->body = need_alloc(1);
    c->len = 0;
    c->has_head = c->chunked = c->ended = false;
    c->status = 0;
    c->body_left = -1;
}

bool conn_send(struct conn *c, const void *bytes, size_t len)
{
    const char *p = bytes;
    while (len > 0) {
        ssize_t n = send(c->fd, p, len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        p += n;
        len -= (size_t)n;
    }
    return true;
}

bool conn_request(struct conn *c, const struct server *s, const char *target, const char *headers,
                  const char *body)
{
    char *text = NULL;
    AUTO_TEXT json = body == NULL ? NULL : json_of("%s", body);
    AUTO_TEXT entity = NULL;
    int n = json == NULL
                ? asprintf(&entity, "\r\n")
                : asprintf(&entity,
                           "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                           strlen(json), json);
    CHECK(n > 0, "out of memory");
    n = asprintf(&text, "%s HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer %s\r\n%s%s",
                 target, s->token, headers, entity);
    CHECK(n > 0, "out of memory");
    bool sent = conn_send(c, text, (size_t)n);
    free(text);
    return sent;
}

struct text conn_header(const struct conn *c, const char *name)
{
    size_t len = strlen(name);
    for (const char *line = c->head; *line != '\0';) {
        size_t end = strcspn(line, "\r\n");
        if (end > len && line[len] == ':' && strncasecmp(line, name, len) == 0) {
            const char *value = line + len + 1;
            value += strspn(value, " ");
            return text_of("%.*s", (int)(line + end - value), value);
        }
        line += end;
        line += strspn(line, "\r\n");
    }
    return text_of("%s", "");
}

static void raw_drop(struct conn *c, size_t n)
{
    memmove(c->raw, c->raw + n, c->raw_len - n);
    c->raw_len -= n;
}

static void body_add(struct conn *c, const char *bytes, size_t n)
{
    c->body = need_realloc(c->body, c->len + n + 1);
    memcpy(c->body + c->len, bytes, n);
    c->len += n;
    c->body[c->len] = '\0';
}

static void head_take(struct conn *c)
{
    char *end = memmem(c->raw, c->raw_len, "\r\n\r\n", 4);
    if (end == NULL)
        return;
    size_t len = (size_t)(end - c->raw) + 2;
    free(c->head);
    c->head = strndup(c->raw, len);
    raw_drop(c, len + 2);
    CHECK(strncmp(c->head, "HTTP/1.", 7) == 0, "not an answer: %.80s", c->head);
    c->status = strtol(c->head + 9, NULL, 10);
    if (c->status == 100)
        return; /* an interim answer; the real one follows */
    c->has_head = true;
    struct text length = conn_header(c, "Content-Length");
    c->chunked = strcasecmp(conn_header(c, "Transfer-Encoding").s, "chunked") == 0;
    if (length.s[0] != '\0')
        c->body_left = strtoll(length.s, NULL, 10);
    if (c->body_left == 0 || c->status == 204 || c->status == 304)
        c->ended = true;
}

/* Takes whole chunks and parts of a chunk; body_left is what the current chunk still brings, with
 * its final CRLF. */
static bool chunk_take(struct conn *c)
{
    if (c->body_left <= 0) {
        char *end = memmem(c->raw, c->raw_len, "\r\n", 2);
        if (end == NULL)
            return false;
        int64_t size = strtoll(c->raw, NULL, 16);
        if (size == 0) {
            if (memmem(end, c->raw_len - (size_t)(end - c->raw), "\r\n\r\n", 4) == NULL)
                return false;
            c->ended = true;
            raw_drop(c, (size_t)(end - c->raw) + 4);
            return false;
        }
        raw_drop(c, (size_t)(end - c->raw) + 2);
        c->body_left = size + 2;
    }
    size_t n = (size_t)c->body_left < c->raw_len ? (size_t)c->body_left : c->raw_len;
    size_t data = c->body_left - (int64_t)n >= 2
                      ? n
                      : (c->body_left > 2 ? (size_t)(c->body_left - 2) : 0);
    body_add(c, c->raw, data);
    c->body_left -= (int64_t)n;
    raw_drop(c, n);
    return c->raw_len > 0;
}

static void conn_decode(struct conn *c)
{
    while (!c->has_head && c->raw_len > 0) {
        size_t before = c->raw_len;
        head_take(c);
        if (c->raw_len == before)
            return;
    }
    if (!c->has_head || c->ended)
        return;
    if (c->chunked) {
        while (chunk_take(c))
            continue;
        return;
    }
    size_t n = c->raw_len;
    if (c->body_left >= 0 && (size_t)c->body_left < n)
        n = (size_t)c->body_left;
    body_add(c, c->raw, n);
    raw_drop(c, n);
    if (c->body_left >= 0) {
        c->body_left -= (int64_t)n;
        c->ended = c->body_left == 0;
    }
}

/* Reads once. False when the deadline passed or nothing can come any more. */
static bool conn_pump(struct conn *c, uint64_t until)
{
    char bytes[65536];
    while (!c->closed) {
        uint64_t now = now_ns();
        if (now >= until)
            return false;
        struct pollfd p = {c->fd, POLLIN, 0};
        int wait_ms = (int)((until - now) / 1000000) + 1;
        if (poll(&p, 1, wait_ms) <= 0)
            continue;
        ssize_t n = recv(c->fd, bytes, sizeof(bytes), 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            c->closed = true;
            c->ended = c->ended || (c->has_head && c->body_left < 0 && !c->chunked);
            return false;
        }
        c->raw = need_realloc(c->raw, c->raw_len + (size_t)n);
        memcpy(c->raw + c->raw_len, bytes, (size_t)n);
        c->raw_len += (size_t)n;
        conn_decode(c);
        return true;
    }
    return false;
}

/* Bytes that came behind the previous answer are decoded before the first look. */
#define CONN_AWAIT(condition)              \
    uint64_t until = deadline_in(seconds); \
    conn_decode(c);                        \
    while (!(condition)) {                 \
        if (!conn_pump(c, until))          \
            return condition;              \
    }                                      \
    return true

bool conn_await_head(struct conn *c, double seconds)
{
    CONN_AWAIT(c->has_head);
}

bool conn_await_text(struct conn *c, const char *needle, double seconds)
{
    CONN_AWAIT(memmem(c->body, c->len, needle, strlen(needle)) != NULL);
}

bool conn_await_bytes(struct conn *c, size_t len, double seconds)
{
    CONN_AWAIT(c->len >= len);
}

bool conn_await_end(struct conn *c, double seconds)
{
    CONN_AWAIT(c->ended);
}

bool conn_await_close(struct conn *c, double seconds)
{
    CONN_AWAIT(c->closed);
}
