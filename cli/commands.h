/* SPDX-License-Identifier: MIT */
/* The functions behind the rows of the command table. Each returns the exit code of the process. */
#ifndef GANGER_CLI_COMMANDS_H
#define GANGER_CLI_COMMANDS_H

#include "cli/table.h"

command_fn command_run;    /* run.c */
command_fn command_submit; /* submit.c */
command_fn command_wait;   /* wait.c */
command_fn command_show;   /* show.c */
command_fn command_ls;     /* list.c */
command_fn command_logs;   /* logs.c */
command_fn command_cancel; /* jobs.c */
command_fn command_rm;
command_fn command_health; /* service.c */
command_fn command_version;
command_fn command_completion; /* completion.c */
command_fn command_help;       /* help.c */

#endif
