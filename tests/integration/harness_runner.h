/* SPDX-License-Identifier: MIT */
/* Tests of functions of the kind runner. RUNNER_TESTS(suite, registry) once, then RUNNER_TEST(name)
 * { … s … }: a server with that configuration and one worker. */
#ifndef GANGER_TESTS_HARNESS_RUNNER_H
#define GANGER_TESTS_HARNESS_RUNNER_H

#include "integration/harness_batch.h"
#include "integration/harness_config.h"

/* Calls the function with arguments in JSON with ' for ", without brackets. Waits for the end. */
struct response *runner_call(struct server *s, const char *function, const char *args);
/* The call succeeds with this value, byte for byte. */
void runner_value(struct server *s, const char *function, const char *args, const char *value);
int64_t runner_int(struct server *s, const char *function, const char *args);

#define RUNNER_TESTS(suite, registry)                        \
    static void suite##_run(void (*body)(struct server * s)) \
    {                                                        \
        struct server server;                                \
        server_start_configured(&server, 1, registry);       \
        body(&server);                                       \
        server_stop(&server);                                \
    }
#define RUNNER_TEST(name) RUNNER_TEST_OF(runners, name)
#define RUNNER_TEST_OF(suite, name)                      \
    static void suite##_##name##_body(struct server *s); \
    PLAIN_TEST(suite, name)                              \
    {                                                    \
        suite##_run(suite##_##name##_body);              \
    }                                                    \
    static void suite##_##name##_body(struct server *s)

#endif
