/* SPDX-License-Identifier: MIT */
/* A dispatcher with a real pool and a real store, one step of a turn at a time. */
#ifndef GANGER_TESTS_SERVICE_DISPATCH_H
#define GANGER_TESTS_SERVICE_DISPATCH_H

#include "service/base/config.h"
#include "service/command.h"
#include "service/dispatch.h"

#include <criterion/criterion.h>

struct bench {
    char dir[64];
    struct log log;
    struct metrics metrics;
    struct pool *pool;
    struct store *store;
    struct dispatch d;
    struct turn turn;
    struct arena arena;
    int64_t tried_again; /* this one is, when it has ended; 0: none */
};

#define MUST(call)                                    \
    do {                                              \
        struct err err = {0};                         \
        cr_assert(call, "%s: %s", #call, err.detail); \
    } while (0)

void bench_open(struct bench *b, uint32_t workers); /* at most two */
void bench_close(struct bench *b);
/* Inside a transaction: a job that runs `script` by sh. */
int64_t submit(struct bench *b, const char *script, int priority);
int64_t submit_to(struct bench *b, const char *queue, const char *script, int priority);
int64_t submit_large(struct bench *b, struct slice bytes); /* with this on its standard input */
/* A turn: it begins and records what has begun; it applies ends, claims, commits, publishes. */
void turn_open(struct bench *b);
void turn_close(struct bench *b);
void hear(struct bench *b, int wait_ms); /* what the pool tells */
enum job_state state_of(struct bench *b, int64_t no);
void wait_ready(struct bench *b); /* until a worker is idle */
void run_until(struct bench *b, int64_t no, enum job_state wanted);
size_t count_lines(const char *path);

#endif
