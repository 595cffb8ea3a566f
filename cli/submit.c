/* SPDX-License-Identifier: MIT */
#include "cli/submit.h"

#include "cli/args.h"
#include "cli/bulk.h"
#include "cli/commands.h"
#include "cli/finish.h"
#include "cli/outcome.h"
#include "cli/output.h"
#include "cli/spec.h"
#include "service/base/hex.h"

#define JOB_MEMORY ((size_t)4 << 20)
#define BODY_MEMORY ((size_t)64 << 20)

void submit_make_key(char key[KEY_SIZE])
{
    unsigned char random[16];
    random_bytes(random, sizeof(random));
    hex_put(key, random, sizeof(random));
    key[2 * sizeof(random)] = '\0';
}

/* The user's key goes as a quoted string (RFC 8941, section 3.3.3). */
static bool choose_key(const struct args *args, char key[KEY_SIZE], struct err *err)
{
    const char *given = args->value[OPT_IDEMPOTENCY_KEY];
    if (given == NULL) {
        submit_make_key(key);
        return true;
    }
    size_t len = strlen(given);
    for (size_t i = 0; i < len; i++) {
        if (given[i] < 0x20 || given[i] > 0x7E || given[i] == '"' || given[i] == '\\')
            len = 0;
    }
    if (len == 0 || len > KEY_SIZE - 3)
        return err_set(err, ERR_INVALID,
                       "--idempotency-key wants 1 to %d printable ASCII "
                       "characters, without quotes",
                       KEY_SIZE - 3);
    (void)snprintf(key, KEY_SIZE, "\"%s\"", given);
    return true;
}

void submission_init(struct submission *s)
{
    *s = (struct submission){0};
    arena_init(&s->arena, JOB_MEMORY);
}

void submission_release(struct submission *s)
{
    reply_release(&s->reply);
    arena_release(&s->arena);
}

bool submit_one(struct cli *cli, bool sends_stdin, struct submission *ret, struct err *err)
{
    char key[KEY_SIZE];
    struct buf AUTO_BUF body;
    buf_init(&body, BODY_MEMORY);
    if (!choose_key(cli->args, key, err) || !spec_write(cli->args, sends_stdin, &body, err))
        return false;
    struct call call = {
        .method = "POST",
        .path = "/v1/jobs",
        .body = buf_slice(&body),
        .key = key,
        .harmless = true,
    };
    if (client_ask(cli->client, &call, &ret->reply, err))
        return json_read_job(buf_slice(&ret->reply.body), &ret->arena, &ret->job, err);
    if (err->code != ERR_TOO_LARGE)
        return false;
    struct err why = *err;
    return err_set(err, why.code, "%.100s; " SPEC_LARGE_INPUT, why.detail);
}

static int submit_command(struct cli *cli)
{
    struct err err = {0};
    struct submission AUTO_SUBMISSION done;
    submission_init(&done);
    if (!submit_one(cli, false, &done, &err)) {
        output_error(cli->out, "%s", err.detail);
        return outcome_of_error(cli, &err);
    }
    bool waits = args_has(cli->args, OPT_WAIT);
    bool written = true;
    if (!args_has(cli->args, OPT_JSON)) {
        char line[sizeof(done.job.id) + 1];
        int len = snprintf(line, sizeof(line), "%s\n", done.job.id);
        written = output_write(STDOUT_FILENO, (struct slice){line, (size_t)len});
    } else if (!waits) {
        written = output_json(done.job.raw);
    }
    if (!written)
        return CLI_GANGER;
    return waits ? finish_job(cli, done.job.id, 0) : CLI_OK;
}

int command_submit(struct cli *cli)
{
    const char *from = cli->args->value[OPT_FROM];
    bool has_command = cli->args->n_operands > 0 || args_has(cli->args, OPT_FUNCTION);
    if (from != NULL && !has_command && !args_has(cli->args, OPT_WAIT))
        return bulk_submit(cli, from);
    if (from == NULL && has_command)
        return submit_command(cli);
    if (from == NULL)
        output_error(cli->out, "submit needs a command to run, --function NAME, or --from FILE");
    else
        output_error(cli->out, "--from goes with neither a command nor --wait");
    return CLI_USAGE;
}
