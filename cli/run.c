/* SPDX-License-Identifier: MIT */
#include "cli/args.h"
#include "cli/commands.h"
#include "cli/finish.h"
#include "cli/follow.h"
#include "cli/outcome.h"
#include "cli/output.h"
#include "cli/submit.h"

static int run_follow(struct cli *cli, const char *id)
{
    struct err err = {0};
    struct watch AUTO_WATCH watch;
    watch_init(&watch, cli, id);
    struct follow_targets targets = {{STDOUT_FILENO, STDERR_FILENO}};
    if (!follow_job(&watch, targets, &err))
        return finish_left(cli, id, &err);
    if (watch.job.truncated)
        output_note(cli->out, "the job wrote more than its output limit; the rest is dropped");
    /* An exit code says it all; what has none here needs words. */
    bool told = watch.job.state == JOB_SUCCEEDED ||
                (watch.job.state == JOB_FAILED && watch.job.reason == REASON_EXIT_CODE);
    if (!told)
        finish_tell(cli, &watch.job);
    return outcome_exit_code(&watch.job);
}

int command_run(struct cli *cli)
{
    struct err err = {0};
    struct submission AUTO_SUBMISSION done;
    submission_init(&done);
    bool sends_stdin = !args_has(cli->args, OPT_NO_STDIN) && isatty(STDIN_FILENO) != 1;
    if (!submit_one(cli, sends_stdin, &done, &err)) {
        output_error(cli->out, "%s", err.detail);
        return outcome_of_error(cli, &err);
    }
    /* From here on Ctrl-C is ours; before, it ended a process that had nothing to tell yet. */
    if (!client_catch_signals(cli->client, &err))
        return finish_left(cli, done.job.id, &err);
    return run_follow(cli, done.job.id);
}
