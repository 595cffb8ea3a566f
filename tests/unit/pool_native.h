/* SPDX-License-Identifier: MIT */
/* Calls of the native function of tests/native that does what a word says. */
#ifndef GANGER_TESTS_POOL_NATIVE_H
#define GANGER_TESTS_POOL_NATIVE_H

#include "pool_fixture.h"

#include <signal.h>

#define MODULE GANGER_HELPER_DIR "/native_misbehave.so"
#define SECOND_US INT64_C(1000000)

static struct function misbehave = {
    .name = "misbehave", .kind = FUNCTION_NATIVE, .module = MODULE, .symbol = "misbehave"};
static const struct function_list native_functions = {.items = &misbehave, .n = 1};

/* A call of misbehave with the word of the way. */
struct call {
    struct slice argv[1];
    char in[128];
    struct task task;
};

static inline struct task *call_of(struct call *c, const char *word)
{
    c->argv[0] = SLICE_LIT("misbehave");
    (void)snprintf(c->in, sizeof(c->in), "{\"args\":[\"%s\",1],\"kwargs\":{\"x\":[2]}}", word);
    c->task = (struct task){.kind = TASK_NATIVE,
                            .argv = c->argv,
                            .n_argv = 1,
                            .stdin_bytes = slice_of(c->in),
                            .timeout_us = 60 * SECOND_US,
                            .stop_signal = SIGTERM,
                            .stop_grace_us = 5 * SECOND_US,
                            .limit_output = 10 << 20};
    return &c->task;
}

/* A suite whose tests have `f`, a pool of one worker with that function. */
#define NATIVE_SUITE(name)                                          \
    static struct fixture f;                                        \
    static void name##_open(void)                                   \
    {                                                               \
        fixture_open_with(&f, 1, 5 * SECOND_US, &native_functions); \
    }                                                               \
    static void name##_close(void)                                  \
    {                                                               \
        fixture_close(&f);                                          \
    }                                                               \
    TestSuite(name, .init = name##_open, .fini = name##_close, .timeout = 60);

#endif
