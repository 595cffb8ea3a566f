/* SPDX-License-Identifier: MIT */
/* What a client of the crash tests knows for certain: which jobs were acknowledged (each
 * acknowledgement is synced to a file before it counts), and what the jobs wrote themselves when
 * they began and ended. The oracle joins both with what the server says after all the crashes. */
#ifndef GANGER_TESTS_CRASH_ORACLE_H
#define GANGER_TESTS_CRASH_ORACLE_H

#include "integration/harness_job.h"

struct ack {
    char id[40];
    int max_attempts;
    char seen_state[16]; /* an outcome that was shown before a crash: it must never change; "" =
                            none seen */
    int seen_attempt;
};

struct oracle {
    struct ack *acks;
    size_t n, room, n_checked;
    int fd;            /* the file of acknowledgements */
    char job_log[200]; /* where jobs write "start|end <job> <attempt> <pid>" */
    size_t n_violations;
    size_t n_succeeded, n_failed, n_lost, n_lost_silent; /* silent: without a start line of its last
                                                            attempt */
};

void oracle_open(struct oracle *o, const char *dir);
void oracle_close(struct oracle *o);
/* Remembers an acknowledged job; counts after oracle_sync. */
struct ack *oracle_add(struct oracle *o, const char *id, int max_attempts);
void oracle_sync(struct oracle *o);
void oracle_saw(struct ack *ack, struct response *finished);
void oracle_violation(struct oracle *o, const char *fmt, ...) PRINTF_ARGS(2, 3);
/* All jobs acknowledged since the last call must be known to the server. Returns false when it does
 * not answer. */
bool oracle_check_known(struct oracle *o, struct server *s);
/* Waits for the end of every acknowledged job and compares all three records. */
void oracle_check_all(struct oracle *o, struct server *s);
/* PRAGMA integrity_check on each database file of the directory; the server must have ended. */
void oracle_check_files(struct oracle *o, const char *dir);

#endif
