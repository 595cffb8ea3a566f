/* SPDX-License-Identifier: MIT */
/* The end of a job as `wait` and `submit --wait` report it. */
#ifndef GANGER_CLI_FINISH_H
#define GANGER_CLI_FINISH_H

#include "cli/cli.h"
#include "cli/json.h"

/* Waits for the job (deadline as in watch_end), prints what is to be printed, returns the exit
 * code. */
int finish_job(struct cli *cli, const char *id, uint64_t deadline_ns);
/* The same for the id of a job or of a batch; a batch's code is 0 when all its jobs succeeded. */
int finish_any(struct cli *cli, const char *id, uint64_t deadline_ns);
/* A note that says how it ended. */
void finish_tell(struct cli *cli, const struct json_job *job);

/* The end of a command whose job outlives it: tells how to come back. Returns the exit code. */
int finish_left(struct cli *cli, const char *id, const struct err *err);

#endif
