/* SPDX-License-Identifier: MIT */
#include "cli/outcome.h"

#include "cli/args.h"
#include "cli/client.h"

#include <errno.h>

/* A command that could not be started: 127 when there is none of that name, 126 for any other
 * reason. The service gives the kernel's text for the errno, and ENOENT's is fixed. */
static int exec_exit_code(const struct json_job *job)
{
    return strstr(job->detail, strerrordesc_np(ENOENT)) != NULL ? CLI_NO_COMMAND : CLI_NO_EXEC;
}

/* What the main process itself ended with; `otherwise` when it told nothing. */
static int process_exit_code(const struct json_job *job, int otherwise)
{
    if (job->signal > 0)
        return CLI_SIGNAL_BASE + job->signal;
    if (job->has_exit_code && job->exit_code > 0 && job->exit_code <= 255)
        return (int)job->exit_code;
    return otherwise;
}

int outcome_exit_code(const struct json_job *job)
{
    PRE(job->done);
    if (job->state == JOB_SUCCEEDED)
        return CLI_OK;
    if (job->state == JOB_CANCELLED)
        return process_exit_code(job, CLI_FAILED);
    switch (job->reason) {
    case REASON_TIMEOUT:
    case REASON_QUEUE_TIMEOUT:
    case REASON_DEADLINE: return CLI_TIMEOUT;
    case REASON_EXEC: return exec_exit_code(job);
    case REASON_LOST:
    case REASON_DEPENDENCY:
    case REASON_UNKILLABLE: return CLI_GANGER;
    case REASON_EXIT_CODE:
    case REASON_SIGNAL:
    case REASON_OOM:
    case REASON_FUNCTION_ERROR:
    case REASON_OUTPUT_LIMIT:
    case REASON_NONE:
    case REASON_COUNT: break;
    }
    return process_exit_code(job, CLI_FAILED);
}

void outcome_put_words(const struct json_job *job, struct buf *out)
{
    buf_puts(out, job_state_name(job->state));
    if (job->state != JOB_FAILED)
        return;
    buf_puts(out, ": ");
    if (job->reason == REASON_EXIT_CODE && job->has_exit_code)
        buf_printf(out, "exit code %d", (int)job->exit_code);
    else if (job->reason == REASON_SIGNAL && job->signal > 0)
        buf_printf(out, "ended by %s", text_signal_name(job->signal));
    else if ((job->reason == REASON_EXEC || job->reason == REASON_FUNCTION_ERROR) &&
             job->detail[0] != '\0')
        buf_puts(out, job->detail);
    else
        buf_puts(out, job->reason == REASON_NONE ? "unknown" : job_reason_name(job->reason));
}

int outcome_of_error(const struct cli *cli, const struct err *err)
{
    int signal = cli->client == NULL ? 0 : client_interrupted(cli->client);
    if (signal != 0)
        return CLI_SIGNAL_BASE + signal;
    bool job_code = cli->args->command->code_is_job || args_has(cli->args, OPT_WAIT);
    return job_code || err_status(err->code) >= 500 ? CLI_GANGER : CLI_FAILED;
}
