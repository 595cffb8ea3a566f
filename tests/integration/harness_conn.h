/* SPDX-License-Identifier: MIT */
/* A bare socket to the server: for requests that libcurl would not send, for bytes that must be
 * seen as they arrive, and for many clients that wait at once. */
#ifndef GANGER_TESTS_HARNESS_CONN_H
#define GANGER_TESTS_HARNESS_CONN_H

#include "integration/harness_http.h"

struct conn {
    int fd;
    bool closed; /* the server has closed it */
    /* What came, not decoded yet. */
    char *raw;
    size_t raw_len;
    /* The answer that is being read. */
    bool has_head, chunked, ended;
    long status;
    int64_t body_left; /* -1: until the end of the connection */
    char *head;        /* terminated, with the status line */
    char *body;        /* decoded, terminated */
    size_t len;
};

struct conn *conn_open(const struct server *s);
void conn_close(struct conn *c);
static inline void auto_conn(struct conn **c)
{
    conn_close(*c);
}
#define AUTO_CONN __attribute__((cleanup(auto_conn), unused)) struct conn *

/* False when the server does not take the bytes any more. */
bool conn_send(struct conn *c, const void *bytes, size_t len);
/* One request with Host and token; `headers` are whole lines that end with \r\n, or "". body may be
 * NULL. */
bool conn_request(struct conn *c, const struct server *s, const char *target, const char *headers,
                  const char *body);
/* Each waits for its condition; false when it did not come true in time or cannot any more. */
bool conn_await_head(struct conn *c, double seconds);
bool conn_await_text(struct conn *c, const char *needle, double seconds);
bool conn_await_bytes(struct conn *c, size_t len, double seconds);
bool conn_await_end(struct conn *c, double seconds); /* the body is complete */
bool conn_await_close(struct conn *c, double seconds);
/* A header of the answer by value; "" when absent. */
struct text conn_header(const struct conn *c, const char *name);
/* Forgets the answer, so that the next one on the same connection can be read. */
void conn_next(struct conn *c);

#endif
