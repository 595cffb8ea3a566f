/* SPDX-License-Identifier: MIT */
/* Queues by the public API, and what their jobs say about when they ran. */
#ifndef GANGER_TESTS_HARNESS_QUEUE_H
#define GANGER_TESTS_HARNESS_QUEUE_H

#include "integration/harness_http.h"

/* One NDJSON body of `n` times the same line, with ' for "; returns the answer. */
struct response *submit_lines(struct server *s, size_t n, const char *fmt, ...) PRINTF_ARGS(3, 4);
void put_queue(struct server *s, const char *name, const char *settings);
/* pause or resume */
void queue_verb(struct server *s, const char *name, const char *what);
int64_t count_in(struct server *s, const char *name, const char *state);
/* Waits until n jobs of the queue have succeeded; says how the queue stands otherwise. */
void await_succeeded(struct server *s, const char *name, int64_t n);

struct span {
    double start, end; /* seconds */
    char queue;        /* the first letter of its name */
};
/* When the succeeded jobs (of a queue, or of all: NULL) began and ended, by beginning. */
size_t spans_of(struct server *s, const char *queue, struct span *ret, size_t max);
/* The most that ran at the same moment. */
int most_at_once(const struct span *spans, size_t n);

/* Jobs that run until the file `gate` is there. */
void submit_held(struct server *s, size_t n, const char *queue, const char *gate);

#endif
