/* SPDX-License-Identifier: MIT */
/* The results of a batch as they come: GET /v1/batches/{id}/results as server-sent events, begun
 * anew after the last one whenever the connection breaks. What has come and is not taken yet is
 * kept, about a megabyte of it; the rest waits with the service. */
#ifndef GANGER_CLI_RESULTS_H
#define GANGER_CLI_RESULTS_H

#include "cli/cli.h"
#include "cli/client.h"

struct results;

struct results_wish {
    const char *path; /* "/v1/batches/<id>/results?order=completed"; copied */
    int64_t after;    /* the place of the last one that is known; 0: none */
};
struct results *results_open(struct cli *cli, const struct results_wish *wish);
void results_close(struct results *results);

/* The next one; absent when none is here. Its text is checked JSON, valid until the next call. */
MUST_CHECK bool results_take(struct results *results, struct slice *ret, struct err *err);
/* The last one was taken, and the service said that it was the last. */
bool results_ended(const struct results *results);
/* Waits up to timeout_ms for something to happen. Connects again, for up to a minute. */
MUST_CHECK bool results_turn(struct results *results, int timeout_ms, struct err *err);

#endif
