/* SPDX-License-Identifier: MIT */
#include "cli/args.h"
#include "cli/commands.h"
#include "cli/finish.h"

int command_wait(struct cli *cli)
{
    const struct args *args = cli->args;
    uint64_t deadline_ns = 0;
    if (args_has(args, OPT_WAIT_TIMEOUT)) {
        int64_t us = args_duration_us(args, OPT_WAIT_TIMEOUT, 0);
        deadline_ns = clock_mono_ns() + (uint64_t)us * 1000;
    }
    int code = CLI_OK;
    for (int i = 0; i < args->n_operands; i++) {
        int one = finish_job(cli, args->operands[i], deadline_ns);
        if (code == CLI_OK)
            code = one;
    }
    return code;
}
