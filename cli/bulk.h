/* SPDX-License-Identifier: MIT */
/* Submitting many jobs: `submit --from`. */
#ifndef GANGER_CLI_BULK_H
#define GANGER_CLI_BULK_H

#include "cli/cli.h"

/* The lines of a file, "-" for standard input. Prints the ids, returns the exit code. */
int bulk_submit(struct cli *cli, const char *path);

#endif
