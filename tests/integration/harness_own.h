/* SPDX-License-Identifier: MIT */
/* Tests of a job's own token: a server with functions that a job may submit, and jobs that run
 * while their tokens are tried. */
#ifndef GANGER_TESTS_HARNESS_OWN_H
#define GANGER_TESTS_HARNESS_OWN_H

#include "integration/harness_pool.h"

/* Functions echo(text), hold(path) and misbehave. */
void own_start(struct server *s, const char *auth);

#define OWN_TEST(name, auth)                  \
    static void own_##name(struct server *s); \
    PLAIN_TEST(own, name)                     \
    {                                         \
        struct server server;                 \
        own_start(&server, auth);             \
        own_##name(&server);                  \
        server_stop(&server);                 \
    }                                         \
    static void own_##name(struct server *s)

/* A job that runs until its fifo is released, and its token. */
struct holder {
    struct job_ref job;
    struct text fifo;
    char token[140];
    char header[180];
};

/* The token that the job of `h` has written to this file. */
void own_token_take(struct holder *h, const char *path);
struct holder own_hold(struct server *s, const char *name);
struct response *own_ask(struct server *s, const struct holder *h, const char *method,
                         const char *path, const char *body);

#endif
