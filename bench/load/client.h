/* SPDX-License-Identifier: MIT */
/* One keep-alive HTTP/1.1 connection over a blocking loopback socket, with as little of its own as
 * possible: the load client runs on the processors that it measures. Anything that is not a whole,
 * well-formed answer ends the program. */
#ifndef GANGER_BENCH_LOAD_CLIENT_H
#define GANGER_BENCH_LOAD_CLIENT_H

#include <stddef.h>
#include <stdint.h>

struct client;

struct answer {
    int status;
    char *body; /* terminated; the client's until its next read */
    size_t body_len;
};

struct request {
    const char *method, *path;
    const char *headers; /* whole lines with CRLF, or NULL */
    const char *body;    /* NULL: none */
    size_t body_len;
    const char *type; /* of the body; NULL: application/json */
};

/* token NULL: no Authorization header. */
struct client *client_open(uint16_t port, const char *token);
void client_close(struct client *client);
int client_fd(const struct client *client);

void client_send(struct client *client, const struct request *request);
void client_read(struct client *client, struct answer *ret);
void client_ask(struct client *client, const struct request *request, struct answer *ret);

#endif
