/* SPDX-License-Identifier: MIT */
#ifndef GANGER_CLI_HELP_H
#define GANGER_CLI_HELP_H

#include "cli/table.h"

/* The verbs of "queue", "batch", … */
void help_put_group(struct buf *out, const char *group);
void help_put_overview(struct buf *out);
void help_put_command(struct buf *out, const struct command *command);

#endif
