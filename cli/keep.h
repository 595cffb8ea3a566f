/* SPDX-License-Identifier: MIT */
/* What each job of a map has written, as files: DIR/SEQ/stdout and DIR/SEQ/stderr, as GNU
 * parallel's
 * --results has them, but for the directories named by arguments. */
#ifndef GANGER_CLI_KEEP_H
#define GANGER_CLI_KEEP_H

#include "cli/emit.h"

/* Makes the directory unless it is there. */
MUST_CHECK bool keep_open(const char *path, int *ret_fd, struct err *err);
MUST_CHECK bool keep_result(struct cli *cli, int dir_fd, const struct result *result,
                            struct err *err);

#endif
