/* SPDX-License-Identifier: MIT */
#include "cli/finish.h"

#include "cli/args.h"
#include "cli/batch.h"
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

int finish_left(struct cli *cli, const char *id, const struct err *err)
{
    int code = outcome_of_error(cli, err);
    if (client_interrupted(cli->client) != 0) {
        output_error(cli->out,
                     "job %s goes on; follow it: ganger logs -f %s; stop it: ganger cancel %s", id,
                     id, id);
    } else {
        output_error(cli->out, "%s", err->detail);
        output_error(cli->out, "the job was accepted; ask for it later: ganger wait %s", id);
    }
    return code;
}

static int finish_failed(struct cli *cli, const char *id, const struct err *err)
{
    int code = outcome_of_error(cli, err);
    output_error(cli->out, "%s: %s", id, err->detail);
    return code;
}

/* What is to be said of the job that was watched. */
static int finish_watched(struct cli *cli, const struct watch *watch, bool timed_out)
{
    if (timed_out) {
        output_note(cli->out, "%s is still %s", watch->id, job_state_name(watch->job.state));
        return CLI_TIMEOUT;
    }
    if (args_has(cli->args, OPT_JSON)) {
        if (!output_json(watch->job.raw))
            return CLI_GANGER;
    } else if (watch->job.state != JOB_SUCCEEDED) {
        finish_tell(cli, &watch->job);
    }
    return outcome_exit_code(&watch->job);
}

int finish_job(struct cli *cli, const char *id, uint64_t deadline_ns)
{
    struct err err = {0};
    struct watch AUTO_WATCH watch;
    bool timed_out = false;
    watch_init(&watch, cli, id);
    if (!watch_end(&watch, deadline_ns, &timed_out, &err))
        return finish_failed(cli, id, &err);
    return finish_watched(cli, &watch, timed_out);
}

struct batch_answer {
    struct reply reply;
    struct json_batch batch; /* points into the reply */
};

/* Asks until the batch is done or the time is up. */
static bool batch_end(struct cli *cli, const char *id, uint64_t deadline_ns,
                      struct batch_answer *ret, struct err *err)
{
    char path[96];
    (void)snprintf(path, sizeof(path), "/v1/batches/%s", id);
    for (uint32_t wait_s = 0;;) {
        struct call call = {.method = "GET", .path = path, .wait_s = wait_s, .harmless = true};
        reply_release(&ret->reply);
        if (!client_ask(cli->client, &call, &ret->reply, err) ||
            !json_read_batch(buf_slice(&ret->reply.body), &ret->batch, err))
            return false;
        wait_s = client_wait_left(deadline_ns);
        if (ret->batch.done || wait_s == 0)
            return true;
    }
}

static int finish_told_batch(struct cli *cli, const struct json_batch *batch)
{
    struct buf AUTO_BUF words;
    bool succeeded = strcmp(batch->state, "succeeded") == 0;
    buf_init(&words, 256);
    outcome_put_batch(batch, &words);
    if (!batch->done) {
        output_note(cli->out, "%s is still %.*s", batch->id, (int)words.len, words.ptr);
        return CLI_TIMEOUT;
    }
    if (args_has(cli->args, OPT_JSON)) {
        if (!output_json(json_trim(batch->raw)))
            return CLI_GANGER;
    } else if (!succeeded) {
        output_note(cli->out, "batch %s %.*s", batch->id, (int)words.len, words.ptr);
    }
    return succeeded ? CLI_OK : CLI_FAILED;
}

static int finish_batch(struct cli *cli, const char *id, uint64_t deadline_ns)
{
    struct err err = {0};
    struct batch_answer answer = {0};
    int code = batch_end(cli, id, deadline_ns, &answer, &err)
                   ? finish_told_batch(cli, &answer.batch)
                   : finish_failed(cli, id, &err);
    reply_release(&answer.reply);
    return code;
}

int finish_any(struct cli *cli, const char *id, uint64_t deadline_ns)
{
    struct err err = {0};
    struct watch AUTO_WATCH watch;
    bool timed_out = false;
    watch_init(&watch, cli, id);
    if (watch_end(&watch, deadline_ns, &timed_out, &err))
        return finish_watched(cli, &watch, timed_out);
    /* A batch is asked for when there is no job of that id; the first refusal says more. */
    struct err ignored = {0};
    struct reply AUTO_REPLY reply = {0};
    char path[96];
    (void)snprintf(path, sizeof(path), "/v1/batches/%s", id);
    struct call call = {.method = "GET", .path = path, .harmless = true};
    if (err.code == ERR_NOT_FOUND && client_ask(cli->client, &call, &reply, &ignored))
        return finish_batch(cli, id, deadline_ns);
    return finish_failed(cli, id, &err);
}
