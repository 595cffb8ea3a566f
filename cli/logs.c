/* SPDX-License-Identifier: MIT */
#include "cli/args.h"
#include "cli/commands.h"
#include "cli/follow.h"
#include "cli/outcome.h"
#include "cli/output.h"

int command_logs(struct cli *cli)
{
    const struct args *args = cli->args;
    bool only_out = args_has(args, OPT_STDOUT), only_err = args_has(args, OPT_STDERR);
    struct follow_targets targets = {{STDOUT_FILENO, STDERR_FILENO}};
    if (only_out && only_err) {
        output_error(cli->out, "--stdout and --stderr together are what logs does anyway");
        return CLI_USAGE;
    }
    if (only_out)
        targets = (struct follow_targets){{STDOUT_FILENO, -1}};
    if (only_err) /* what was asked for is data, so it goes where data goes */
        targets = (struct follow_targets){{-1, STDOUT_FILENO}};
    struct err err = {0};
    struct watch AUTO_WATCH watch;
    watch_init(&watch, cli, args->operands[0]);
    bool ok = args_has(args, OPT_FOLLOW) ? follow_job(&watch, targets, &err)
                                         : follow_print(&watch, targets, &err);
    if (ok)
        return CLI_OK;
    output_error(cli->out, "%s: %s", args->operands[0], err.detail);
    return outcome_of_error(cli, &err);
}
