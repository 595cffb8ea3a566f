/* SPDX-License-Identifier: MIT */
/* ganger call: a registered function as if it were called here; ganger result: what a job made. */
#include "cli/args.h"
#include "cli/commands.h"
#include "cli/emit.h"
#include "cli/finish.h"
#include "cli/follow.h"
#include "cli/outcome.h"
#include "cli/output.h"
#include "cli/submit.h"

/* What it has returned, or of a call that failed what it has written. */
static bool call_print(struct cli *cli, const struct json_job *job, struct err *err)
{
    if (job->state == JOB_SUCCEEDED)
        return emit_bytes(cli, job->id, "result", STDOUT_FILENO, err);
    if (!emit_bytes(cli, job->id, "stdout", STDOUT_FILENO, err))
        return false;
    finish_tell(cli, job);
    return true;
}

static int call_follow(struct cli *cli, const char *id)
{
    struct err err = {0};
    struct watch AUTO_WATCH watch;
    struct follow_targets targets = {{-1, STDERR_FILENO}};
    watch_init(&watch, cli, id);
    if (!follow_job(&watch, targets, &err) || !call_print(cli, &watch.job, &err))
        return finish_left(cli, id, &err);
    return outcome_exit_code(&watch.job);
}

int command_call(struct cli *cli)
{
    struct err err = {0};
    struct submission AUTO_SUBMISSION done;
    submission_init(&done);
    if (!submit_one(cli, false, &done, &err)) {
        output_error(cli->out, "%s", err.detail);
        return outcome_of_error(cli, &err);
    }
    if (!client_catch_signals(cli->client, &err))
        return finish_left(cli, done.job.id, &err);
    return call_follow(cli, done.job.id);
}

int command_result(struct cli *cli)
{
    const char *id = cli->args->operands[0];
    struct err err = {0};
    const int code = finish_job(cli, id, args_deadline_ns(cli->args));
    if (code != CLI_OK || emit_bytes(cli, id, "result", STDOUT_FILENO, &err))
        return code;
    output_error(cli->out, "%s: %s", id, err.detail);
    return outcome_of_error(cli, &err);
}
