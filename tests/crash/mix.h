/* SPDX-License-Identifier: MIT */
/* Clients that use all verbs on many jobs at random, each in a thread of its own, while the server
 * is killed again and again; and what must be true of the file afterwards, whatever has happened:
 * all counts are those of the rows, each element has ended once, nobody waits for nothing. */
#ifndef GANGER_TESTS_CRASH_MIX_H
#define GANGER_TESTS_CRASH_MIX_H

#include "crash/oracle.h"
#include "crash/random.h"

#include <pthread.h>
#include <stdatomic.h>

#define MIX_CLIENTS 3
#define MIX_KNOWN 64 /* ids that a client may name */

struct mix_client {
    struct server server; /* its own connection, by the socket, which every start makes again */
    struct dice dice;
    pthread_t thread;
    const char *job_log, *notes;
    uint64_t index, n_calls;
    char known[MIX_KNOWN][40], batches[MIX_KNOWN][40];
    size_t n_known, n_batches;
    uint64_t n_done, n_refused;
    _Atomic bool *stop;
};

struct mix {
    struct mix_client clients[MIX_CLIENTS];
    char notes[220]; /* where brief calls leave their numbers */
    _Atomic bool stop;
};

/* The server is copied; the jobs write to job_log as the oracle wants it. */
void mix_start(struct mix *m, const struct server *s, const char *job_log, uint64_t seed);
void mix_stop(struct mix *m);
/* Afterwards, with a server that runs: nothing is paused or open any more, and all jobs end. */
void mix_settle(struct server *s, struct oracle *o);
/* After that: none of the brief calls has begun twice, and those that have succeeded have begun. */
void mix_check_notes(const struct mix *m, struct server *s, struct oracle *o);
/* The server has ended. */
void mix_check_file(struct oracle *o, const char *dir);

#endif
