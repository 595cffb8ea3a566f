/* SPDX-License-Identifier: MIT */
/* Servers with a configuration file. */
#ifndef GANGER_TESTS_HARNESS_CONFIG_H
#define GANGER_TESTS_HARNESS_CONFIG_H

#include "integration/harness.h"

#define EXAMPLE_MODULES GANGER_HELPER_DIR "/../examples/native"

struct config_file {
    char dir[128], path[200];
};
struct config_file config_write(const char *text);
void config_remove(const struct config_file *file);

/* A server that runs with this text as its configuration; at its restart too, if it is given. */
void server_start_configured(struct server *s, int workers, const char *text);
void server_restart_configured(struct server *s, int workers, const char *text);

/* A test (harness_test.h) with a server of two workers, or so many, and this configuration. */
#define CONFIGURED_TEST(suite, name, text) CONFIGURED_TEST_OF(suite, name, 2, text)
#define CONFIGURED_TEST_OF(suite, name, n_workers, text)   \
    static void suite##_##name##_body(struct server *s);   \
    PLAIN_TEST(suite, name)                                \
    {                                                      \
        struct server server;                              \
        server_start_configured(&server, n_workers, text); \
        suite##_##name##_body(&server);                    \
        server_stop(&server);                              \
    }                                                      \
    static void suite##_##name##_body(struct server *s)

#endif
