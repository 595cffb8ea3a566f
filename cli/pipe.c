/* SPDX-License-Identifier: MIT */
/* ganger pipe: stages that the service starts together, joined by pipes of the kernel. */
#include "cli/args.h"
#include "cli/batch.h"
#include "cli/commands.h"
#include "cli/finish.h"
#include "cli/follow.h"
#include "cli/outcome.h"
#include "cli/output.h"
#include "cli/spec.h"
#include "cli/submit.h"
#include "cli/watch.h"

#include <signal.h>

#define BODY_MAX ((size_t)32 << 20)

/* The next stage begins at *at; returns how many words it has. */
static int stage_words(const struct args *args, int at)
{
    int n = 0;
    while (at + n < args->n_operands && strcmp(args->operands[at + n], ":::") != 0)
        n++;
    return n;
}

/* {"stages":[{"command":[…],…}],"name":…} */
static bool put_body(struct buf *body, const struct args *args, struct err *err)
{
    bool first = true;
    buf_puts(body, "{\"stages\":[");
    for (int at = 0; at <= args->n_operands;) {
        struct buf AUTO_BUF stage;
        int n = stage_words(args, at);
        buf_init(&stage, BODY_MAX);
        if (n == 0)
            return err_set(err, ERR_INVALID, "a stage without a command");
        buf_putc(&stage, '{');
        spec_put_command(&stage, args->operands + at, n);
        buf_putc(&stage, '}');
        buf_puts(body, first ? "" : ",");
        buf_append(body, stage.ptr, stage.len);
        first = false;
        at += n + 1;
    }
    buf_putc(body, ']');
    return spec_put_members(args, body, err) &&
           (!args_has(args, OPT_STDIN) || spec_put_stdin(args, body, err));
}

static bool pipe_submit(struct cli *cli, struct reply *ret, struct err *err)
{
    struct buf AUTO_BUF body;
    char key[KEY_SIZE];
    submit_make_key(key);
    buf_init(&body, BODY_MAX);
    if (!put_body(&body, cli->args, err))
        return false;
    buf_putc(&body, '}');
    if (!buf_ok(&body))
        return err_set(err, ERR_TOO_LARGE, "the pipeline's description is too large");
    struct call call = {.method = "POST",
                        .path = "/v1/pipelines",
                        .body = buf_slice(&body),
                        .key = key,
                        .harmless = true};
    return client_ask(cli->client, &call, ret, err);
}

/* The end of an earlier stage: its stderr, and its exit code. A stage that was ended by SIGPIPE
 * because a later one had enough is no failure. */
static bool finish_stage(struct cli *cli, const char *id, int *ret_code, struct err *err)
{
    struct watch AUTO_WATCH watch;
    bool timed_out = false;
    struct follow_targets targets = {{-1, STDERR_FILENO}};
    watch_init(&watch, cli, id);
    if (!watch_end(&watch, 0, &timed_out, err) || !follow_print(&watch, targets, err))
        return false;
    int code = watch.job.signal == SIGPIPE ? CLI_OK : outcome_exit_code(&watch.job);
    if (*ret_code == CLI_OK)
        *ret_code = code;
    return true;
}

static bool last_stage(struct cli *cli, const char *id, int *ret_code, struct err *err)
{
    struct watch AUTO_WATCH watch;
    struct follow_targets targets = {{STDOUT_FILENO, STDERR_FILENO}};
    watch_init(&watch, cli, id);
    if (!follow_job(&watch, targets, err))
        return false;
    if (watch.job.truncated)
        output_note(cli->out, "the last stage wrote more than its output limit");
    if (watch.job.state != JOB_SUCCEEDED && watch.job.reason != REASON_EXIT_CODE)
        finish_tell(cli, &watch.job);
    *ret_code = outcome_exit_code(&watch.job);
    return true;
}

/* Follows the last stage, then tells of the others, the later ones first: the code is that of the
 * last one that failed. */
static bool follow_stages(struct cli *cli, struct slice jobs, int *ret_code, struct err *err)
{
    struct json_iter it;
    struct slice job;
    struct arena AUTO_ARENA arena;
    const char *ids[64];
    int n = 0;
    arena_init(&arena, 65536);
    if (jobs.ptr == NULL || json_type_of(jobs) != JSON_ARRAY)
        return err_set(err, ERR_INTERNAL, "the server's answer does not name the stages");
    json_iter_init(&it, jobs);
    while (n < (int)ARRAY_LEN(ids) && json_next_element(&it, &job))
        ids[n++] = json_text_at(job, "id", &arena);
    if (n == 0)
        return err_set(err, ERR_INTERNAL, "the server's answer does not name the stages");
    if (!last_stage(cli, ids[n - 1], ret_code, err))
        return false;
    for (int i = n - 2; i >= 0; i--) {
        if (!finish_stage(cli, ids[i], ret_code, err))
            return false;
    }
    return true;
}

static int pipe_left(struct cli *cli, const char *id, const struct err *err)
{
    int code = outcome_of_error(cli, err);
    if (client_interrupted(cli->client) == 0)
        output_error(cli->out, "%s", err->detail);
    output_error(cli->out,
                 "pipeline %s goes on; wait for it: ganger wait %s; stop it: ganger batch cancel "
                 "%s",
                 id, id, id);
    return code;
}

int command_pipe(struct cli *cli)
{
    struct err err = {0};
    struct reply AUTO_REPLY reply = {0};
    struct json_batch batch;
    int code = CLI_OK;
    if (!pipe_submit(cli, &reply, &err) || !json_read_batch(buf_slice(&reply.body), &batch, &err)) {
        output_error(cli->out, "%s", err.detail);
        return outcome_of_error(cli, &err);
    }
    if (args_has(cli->args, OPT_DETACH)) {
        char line[sizeof(batch.id) + 1];
        int len = snprintf(line, sizeof(line), "%s\n", batch.id);
        bool written = args_has(cli->args, OPT_JSON)
                           ? output_json(json_trim(batch.raw))
                           : output_write(STDOUT_FILENO, (struct slice){line, (size_t)len});
        return written ? CLI_OK : CLI_GANGER;
    }
    if (!client_catch_signals(cli->client, &err) ||
        !follow_stages(cli, json_at(buf_slice(&reply.body), "jobs"), &code, &err))
        return pipe_left(cli, batch.id, &err);
    return code;
}
