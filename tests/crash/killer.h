/* SPDX-License-Identifier: MIT */
/* A thread that kills -9 one process of the server's family after the other, at random moments, and
 * looks whether the tree below the victim is gone within two seconds. A process is signalled
 * only through a pidfd whose place in the family was checked after it was opened, so nobody else on
 * this machine can be hit. */
#ifndef GANGER_TESTS_CRASH_KILLER_H
#define GANGER_TESTS_CRASH_KILLER_H

#include "crash/random.h"
#include "integration/harness_proc.h"

#include <pthread.h>
#include <stdatomic.h>

enum victim {
    VICTIM_SERVER,
    VICTIM_ZYGOTE,
    VICTIM_WORKER,
    VICTIM_JOB,
    VICTIM_RUNNER,
    VICTIM_COUNT
};
const char *victim_name(enum victim victim);

struct killer {
    pthread_t thread;
    pthread_mutex_t lock; /* held by the killer while it strikes, by the main thread while it reaps
                             and restarts */
    struct dice dice;
    uint32_t weight[VICTIM_COUNT];
    uint32_t max_gap_ms;
    _Atomic int server; /* pid, 0 = none now */
    _Atomic bool stop;
    _Atomic int n_kills[VICTIM_COUNT];
    _Atomic int n_survivors; /* processes that outlived their tree's end by two seconds */
};

void killer_start(struct killer *k, uint64_t seed, const uint32_t weight[VICTIM_COUNT],
                  uint32_t max_gap_ms);
void killer_stop(struct killer *k);
int killer_count(const struct killer *k);

#endif
