/* SPDX-License-Identifier: MIT */
#include "cli/args.h"
#include "cli/commands.h"
#include "cli/outcome.h"
#include "cli/output.h"
#include "cli/query.h"
#include "cli/select.h"
#include "cli/spec.h"
#include "cli/watch.h"

#include <inttypes.h>

/* Asks until the job is over: cancelling again is harmless and gives the same receipt. */
static bool cancel_ask(struct cli *cli, const char *id, struct reply *ret, struct err *err)
{
    struct buf AUTO_BUF body;
    char path[96];
    buf_init(&body, 1024);
    buf_putc(&body, '{');
    select_put_cancel(&body, cli->args);
    if (args_has(cli->args, OPT_IF_QUEUED))
        buf_puts(&body, "\"if\":\"queued\",");
    select_end_object(&body);
    (void)snprintf(path, sizeof(path), "/v1/jobs/%s/cancel", id);
    struct call call = {
        .method = "POST",
        .path = path,
        .body = buf_slice(&body),
        .wait_s = WAIT_MAX_S,
        .harmless = true,
    };
    for (;;) {
        struct reply AUTO_REPLY reply = {0};
        if (!client_ask(cli->client, &call, &reply, err))
            return false;
        if (reply.status != 202) {
            *ret = reply;
            reply = (struct reply){0};
            return true;
        }
        output_note(cli->out, "%s is stopping", id);
        if (!client_pause(cli->client, MAX(reply.retry_after_us, 100000), err))
            return false;
    }
}

static void put_receipt(struct buf *line, struct slice answer)
{
    int64_t killed = json_i64_at(answer, "receipt.processes_killed", 0);
    int64_t survivors = json_i64_at(answer, "receipt.survivors", 0);
    double took = json_double_at(answer, "receipt.took", -1);
    if (killed > 0)
        buf_printf(line, ", %" PRId64 " process%s killed", killed, killed == 1 ? "" : "es");
    if (survivors > 0)
        buf_printf(line, ", %" PRId64 " SURVIVED", survivors);
    if (took >= 0)
        buf_printf(line, ", %.3f s", took);
}

/* Prints the answer; *ret_cancelled says what it says. */
static bool cancel_tell(struct cli *cli, const struct reply *reply, bool *ret_cancelled,
                        struct err *err)
{
    struct arena AUTO_ARENA arena;
    struct buf AUTO_BUF line;
    struct json_job job;
    struct slice answer = buf_slice(&reply->body);
    arena_init(&arena, (size_t)4 << 20);
    buf_init(&line, 4096);
    if (!json_check(answer, err) || !json_take_job(json_at(answer, "job"), &arena, &job, err))
        return false;
    *ret_cancelled = json_is_true(json_at(answer, "cancelled"));
    bool written = true;
    if (args_has(cli->args, OPT_JSON)) {
        written = output_json(json_trim(answer));
    } else {
        buf_printf(&line, "%s ", job.id);
        outcome_put_words(&job, &line);
        if (*ret_cancelled)
            put_receipt(&line, answer);
        else
            buf_puts(&line, job.done ? " before" : ", left alone");
        buf_putc(&line, '\n');
        written = output_text(buf_slice(&line));
    }
    return written || err_sys(err, ERR_INTERNAL, "cannot write the output");
}

static int cancel_one(struct cli *cli, const char *id)
{
    struct err err = {0};
    struct reply AUTO_REPLY reply = {0};
    bool cancelled = false;
    if (cancel_ask(cli, id, &reply, &err) && cancel_tell(cli, &reply, &cancelled, &err))
        return cancelled ? CLI_OK : CLI_FAILED;
    output_error(cli->out, "%s: %s", id, err.detail);
    return outcome_of_error(cli, &err);
}

static int remove_one(struct cli *cli, const char *id)
{
    struct err err = {0};
    struct reply AUTO_REPLY reply = {0};
    char path[96];
    (void)snprintf(path, sizeof(path), "/v1/jobs/%s", id);
    struct call call = {.method = "DELETE", .path = path};
    if (client_ask(cli->client, &call, &reply, &err))
        return CLI_OK;
    const char *advice = err.code == ERR_STATE_CONFLICT ? "; cancel it first" : "";
    output_error(cli->out, "%s: %s%s", id, err.detail, advice);
    return outcome_of_error(cli, &err);
}

static int change_one(struct cli *cli, const char *id)
{
    struct err err = {0};
    struct buf AUTO_BUF body;
    struct reply AUTO_REPLY reply = {0};
    char path[96];
    buf_init(&body, 65536);
    buf_putc(&body, '{');
    bool ok = spec_put_members(cli->args, &body, &err) &&
              (body.len > 1 || err_set(&err, ERR_INVALID, "say what to change, as --priority 5"));
    buf_putc(&body, '}');
    (void)snprintf(path, sizeof(path), "/v1/jobs/%s", id);
    struct call call = {
        .method = "PATCH", .path = path, .body = buf_slice(&body), .harmless = true};
    ok = ok && client_ask(cli->client, &call, &reply, &err) &&
         json_check(buf_slice(&reply.body), &err);
    if (!ok) {
        output_error(cli->out, "%s: %s", id, err.detail);
        return outcome_of_error(cli, &err);
    }
    if (args_has(cli->args, OPT_JSON) && !output_json(json_trim(buf_slice(&reply.body))))
        return CLI_GANGER;
    return CLI_OK;
}

static int retry_one(struct cli *cli, const char *id)
{
    struct err err = {0};
    struct reply AUTO_REPLY reply = {0};
    char path[96];
    (void)snprintf(path, sizeof(path), "/v1/jobs/%s/retry", id);
    struct call call = {.method = "POST", .path = path};
    if (!client_ask(cli->client, &call, &reply, &err) ||
        !json_check(buf_slice(&reply.body), &err)) {
        output_error(cli->out, "%s: %s", id, err.detail);
        return outcome_of_error(cli, &err);
    }
    if (args_has(cli->args, OPT_JSON) && !output_json(json_trim(buf_slice(&reply.body))))
        return CLI_GANGER;
    return CLI_OK;
}

/* The worst code of all: one bad id does not keep the others from being handled. */
static int each_operand(struct cli *cli, int (*one)(struct cli *cli, const char *id))
{
    int code = CLI_OK;
    for (int i = 0; i < cli->args->n_operands; i++) {
        int mine = one(cli, cli->args->operands[i]); /* MAX evaluates its arguments twice */
        code = MAX(code, mine);
    }
    return code;
}

/* Ids, or jobs by what they are; never both, and never all by an oversight. */
static int by_ids_or_filter(struct cli *cli, const struct select_verb *verb,
                            int (*one)(struct cli *cli, const char *id))
{
    const struct args *args = cli->args;
    bool selects = query_has_filter(args) || args_has(args, OPT_ALL);
    if (args->n_operands > 0 && !selects && !args_has(args, OPT_DRY_RUN))
        return each_operand(cli, one);
    if (args->n_operands == 0 && selects)
        return select_jobs(cli, verb);
    output_error(cli->out,
                 "%s wants either ids, or options that say which jobs, as --state; see: "
                 "ganger help %s",
                 args->command->name, args->command->name);
    return CLI_USAGE;
}

int command_cancel(struct cli *cli)
{
    static const struct select_verb verb = {"/v1/jobs/cancel", "cancel", "cancelled", true};
    return by_ids_or_filter(cli, &verb, cancel_one);
}

int command_change(struct cli *cli)
{
    return each_operand(cli, change_one);
}

int command_retry(struct cli *cli)
{
    static const struct select_verb verb = {"/v1/jobs/retry", "retry", "retried", false};
    return by_ids_or_filter(cli, &verb, retry_one);
}

int command_rm(struct cli *cli)
{
    static const struct select_verb verb = {"/v1/jobs/delete", "forget", "forgotten", true};
    return by_ids_or_filter(cli, &verb, remove_one);
}
