/* SPDX-License-Identifier: MIT */
#include "cli/finish.h"

#include "cli/args.h"
#include "cli/outcome.h"
#include "cli/output.h"
#include "cli/watch.h"

void finish_tell(struct cli *cli, const struct json_job *job)
{
    struct buf AUTO_BUF words;
    buf_init(&words, 1024);
    outcome_put_words(job, &words);
    output_note(cli->out, "job %s %.*s", job->id, (int)words.len, words.ptr);
}

int finish_job(struct cli *cli, const char *id, uint64_t deadline_ns)
{
    struct err err = {0};
    struct watch AUTO_WATCH watch;
    bool timed_out = false;
    watch_init(&watch, cli, id);
    if (!watch_end(&watch, deadline_ns, &timed_out, &err)) {
        int code = outcome_of_error(cli, &err);
        output_error(cli->out, "%s: %s", id, err.detail);
        return code;
    }
    if (timed_out) {
        output_note(cli->out, "%s is still %s", id, job_state_name(watch.job.state));
        return CLI_TIMEOUT;
    }
    if (args_has(cli->args, OPT_JSON)) {
        if (!output_json(watch.job.raw))
            return CLI_GANGER;
    } else if (watch.job.state != JOB_SUCCEEDED) {
        finish_tell(cli, &watch.job);
    }
    return outcome_exit_code(&watch.job);
}
