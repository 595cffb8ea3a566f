/* SPDX-License-Identifier: MIT */
/* Streams of results, as a client reads them. */
#ifndef GANGER_TESTS_HARNESS_ITEMS_H
#define GANGER_TESTS_HARNESS_ITEMS_H

#include "integration/harness_batch.h"

#define MAX_SEEN 4096

/* What one reader has got so far, over all its connections. */
struct seen {
    int64_t last; /* seq of the last item: the place to go on */
    size_t n;
    int64_t index[MAX_SEEN]; /* in the order in which they came */
    int times[MAX_SEEN];     /* how often each index came */
    bool has_end;
};

/* Opens GET <path> and waits for the head, which must be 200. */
struct conn *items_open(struct server *s, const char *path, const char *headers);
/* Takes at most `max` items (SSE or lines) from what came on this connection after the first `skip`
 * ones; returns how many there were. What is not whole yet is left. */
size_t items_take(struct seen *seen, const struct conn *c, size_t skip, size_t max);
/* Waits until this many items have come on the connection; false when it ends before. */
bool items_await(struct conn *c, size_t n, double seconds);
/* Each of [0, n) once. */
void items_expect_each_once(const struct seen *seen, size_t n);

#endif
