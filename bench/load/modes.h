/* SPDX-License-Identifier: MIT */
/* What the load client can do; the comment in load.c says what each mode is. */
#ifndef GANGER_BENCH_LOAD_MODES_H
#define GANGER_BENCH_LOAD_MODES_H

#include <stdint.h>

#define MAX_CONNECTIONS 1024

struct plan {
    uint16_t port;
    const char *token; /* NULL: none is sent */
    const char *queue, *name;
    const char *function; /* NULL: ARGV is a command */
    int64_t n, chunk;     /* chunk: elements of one worker turn */
    int n_connections;
    int priority;
    int argc;
    char **argv;
};

void mode_bulk(const struct plan *plan);
void mode_submit(const struct plan *plan);
void mode_verify(const struct plan *plan);
void mode_fill(const struct plan *plan);
void mode_drop(const struct plan *plan);
void mode_pairs(const struct plan *plan);
void mode_calls(const struct plan *plan);
void mode_wait(const struct plan *plan);
void mode_cancel(const struct plan *plan);
void mode_big(const struct plan *plan);
void mode_results(const struct plan *plan);
void mode_through(const struct plan *plan);
void mode_imap(const struct plan *plan);
void mode_batches(const struct plan *plan);
void mode_lag(const struct plan *plan);
void mode_beside(const struct plan *plan);
void mode_get(const struct plan *plan);
void mode_call(const struct plan *plan);

#endif
