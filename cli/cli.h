/* SPDX-License-Identifier: MIT */
/* The client subcommands of `ganger`: everything but `serve`. One process, one thread; it knows the
 * service over HTTP only. What a run shares between its functions is in struct cli; nothing is
 * global. */
#ifndef GANGER_CLI_CLI_H
#define GANGER_CLI_CLI_H

#include "service/base/error.h"

/* The convention of timeout(1), env(1) and docker-run(1). `run`, `wait` and `submit --wait` end
 * with the job's own code; theirs begin at 124, so that a job's small codes stay the job's. */
enum cli_exit {
    CLI_OK = 0,
    CLI_FAILED = 1, /* understood and refused: no such job, state forbids it, … */
    CLI_USAGE = 2,
    CLI_TIMEOUT = 124,
    CLI_GANGER = 125,  /* no server, or it failed */
    CLI_NO_EXEC = 126, /* the job's command was found but could not be started */
    CLI_NO_COMMAND = 127,
    CLI_SIGNAL_BASE = 128 /* plus the number of the signal */
};

struct args;
struct client;
struct output;

/* Owner: cli_main. The client connects when it is first used. */
struct cli {
    const struct args *args;
    struct client *client;
    struct output *out;
};

/* argv as main has it: program, subcommand, arguments. Returns the exit code of the process. */
int cli_main(int argc, char **argv);

#endif
