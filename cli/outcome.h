/* SPDX-License-Identifier: MIT */
/* How a job ended, as an exit code and in words. */
#ifndef GANGER_CLI_OUTCOME_H
#define GANGER_CLI_OUTCOME_H

#include "cli/cli.h"
#include "cli/json.h"

/* For a job that is done: see enum cli_exit. */
int outcome_exit_code(const struct json_job *job);
/* "succeeded", "failed: exit code 3", "failed: No such file or directory: foo", "running", … */
void outcome_put_words(const struct json_job *job, struct buf *out);

/* The exit code of a command that could not do its work; `code_is_job` as in the table. */
int outcome_of_error(const struct cli *cli, const struct err *err);

#endif
