/* SPDX-License-Identifier: MIT */
/* A job's output as it comes: stdout and stderr at once, through lost connections, a restarted
 * server and further attempts, each byte once. */
#ifndef GANGER_CLI_FOLLOW_H
#define GANGER_CLI_FOLLOW_H

#include "cli/cli.h"
#include "cli/watch.h"

/* Where the two streams of the job go; -1 leaves one out. */
struct follow_targets {
    int fd[2];
};

/* Until the job is done and all of its output is written. `watch` then holds the finished job. */
MUST_CHECK bool follow_job(struct watch *watch, struct follow_targets targets, struct err *err);
/* What there is now, one stream after the other. */
MUST_CHECK bool follow_print(struct watch *watch, struct follow_targets targets, struct err *err);

#endif
