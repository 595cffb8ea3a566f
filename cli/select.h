/* SPDX-License-Identifier: MIT */
/* Verbs on all jobs that match: POST /v1/jobs/cancel, /retry, /delete. */
#ifndef GANGER_CLI_SELECT_H
#define GANGER_CLI_SELECT_H

#include "cli/cli.h"
#include "service/base/buf.h"

struct select_verb {
    const char *path;
    const char *word, *past; /* "cancel", "cancelled" */
    bool confirms;           /* what it does cannot be undone */
};

/* Counts what would match and asks, unless --yes or --dry-run is given; then does it. Returns the
 * exit code. */
int select_jobs(struct cli *cli, const struct select_verb *verb);

/* Appends the members that say how jobs are cancelled (signal, grace, reason), each with a comma.
 */
void select_put_cancel(struct buf *body, const struct args *args);
/* Replaces a comma at the end by "}". */
void select_end_object(struct buf *body);

#endif
