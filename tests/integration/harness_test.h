/* SPDX-License-Identifier: MIT */
/* A Criterion test with a server of its own: SERVER_TEST(suite, name) { … s … }. The server is
 * drained at the end and must exit with 0. SERVER_TEST_WITH takes options: SERVER_TEST_WITH(suite,
 * name, .workers = 1). One whose environment names a fault is skipped by a binary without fault
 * points. */
#ifndef GANGER_TESTS_HARNESS_TEST_H
#define GANGER_TESTS_HARNESS_TEST_H

#include "integration/harness_conn.h"
#include "integration/harness_job.h"
#include "integration/harness_proc.h"

#include <criterion/criterion.h>

/* Seconds after which Criterion ends a test; far above every deadline inside one, so that those
 * speak first. */
#define TEST_TIMEOUT 280

#define SKIP_WITHOUT_FAULTS()                           \
    do {                                                \
        if (!binary_has_faults())                       \
            cr_skip_test("built without fault points"); \
    } while (0)

#define SERVER_TEST_WITH(suite, name, ...)                          \
    static void suite##_##name##_body(struct server *s);            \
    Test(suite, name, .timeout = TEST_TIMEOUT)                      \
    {                                                               \
        static const struct server_options options = {__VA_ARGS__}; \
        struct server server;                                       \
        if (options_name_fault(&options))                           \
            SKIP_WITHOUT_FAULTS();                                  \
        server_start(&server, &options);                            \
        suite##_##name##_body(&server);                             \
        server_stop(&server);                                       \
    }                                                               \
    static void suite##_##name##_body(struct server *s)

#define SERVER_TEST(suite, name) SERVER_TEST_WITH(suite, name, .workers = 2)
#define PLAIN_TEST(suite, name) Test(suite, name, .timeout = TEST_TIMEOUT)

#endif
