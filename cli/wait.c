/* SPDX-License-Identifier: MIT */
#include "cli/args.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/finish.h"
#include "cli/outcome.h"
#include "cli/output.h"

#define BODY_MAX ((size_t)4 << 20)

static void put_wait_body(struct buf *body, const struct args *args)
{
    buf_puts(body, "{\"jobs\":[");
    for (int i = 0; i < args->n_operands; i++) {
        if (i > 0)
            buf_putc(body, ',');
        buf_json_string(body, slice_of(args->operands[i]));
    }
    buf_printf(body, "],\"return_when\":\"%s\"}",
               args_has(args, OPT_ANY) ? "FIRST_COMPLETED" : "FIRST_EXCEPTION");
}

/* One id that has ended: printed, and its exit code without more words. */
static int tell_done(struct cli *cli, const char *id)
{
    char line[80];
    int len = snprintf(line, sizeof(line), "%s\n", id);
    if (!args_has(cli->args, OPT_JSON) &&
        !output_write(STDOUT_FILENO, (struct slice){line, (size_t)len}))
        return CLI_GANGER;
    return finish_any(cli, id, 0);
}

/* The codes of those that have ended; in the order given, the first that is not 0. */
static int tell_all_done(struct cli *cli, struct slice done)
{
    struct json_iter it;
    struct slice id;
    int code = CLI_OK;
    for (int i = 0; i < cli->args->n_operands; i++) {
        const char *operand = cli->args->operands[i];
        bool is_done = false;
        json_iter_init(&it, done);
        while (!is_done && json_next_element(&it, &id))
            is_done = json_type_of(id) == JSON_STRING && json_string_eq(id, operand);
        if (!is_done)
            continue;
        int one = tell_done(cli, operand);
        if (code == CLI_OK)
            code = one;
    }
    return code;
}

/* True when `done` says what was waited for: one, one that failed, or all. The service says so by
 * answering before the time is up; `not_done` empty is all. */
static bool wait_once(struct cli *cli, struct slice body, uint32_t wait_s, struct reply *ret,
                      struct err *err)
{
    struct call call = {
        .method = "POST", .path = "/v1/wait", .body = body, .wait_s = wait_s, .harmless = true};
    reply_release(ret);
    return client_ask(cli->client, &call, ret, err) && json_check(buf_slice(&ret->body), err);
}

static int wait_some(struct cli *cli, uint64_t deadline_ns)
{
    struct err err = {0};
    struct buf AUTO_BUF body;
    struct reply AUTO_REPLY reply = {0};
    buf_init(&body, BODY_MAX);
    put_wait_body(&body, cli->args);
    for (;;) {
        uint32_t wait_s = client_wait_left(deadline_ns);
        uint64_t until = clock_mono_ns() + (uint64_t)wait_s * 1000000000;
        if (!wait_once(cli, buf_slice(&body), wait_s, &reply, &err)) {
            output_error(cli->out, "%s", err.detail);
            return outcome_of_error(cli, &err);
        }
        struct slice done = json_at(buf_slice(&reply.body), "done");
        if (done.ptr == NULL || json_type_of(done) != JSON_ARRAY) {
            output_error(cli->out, "the server's answer says nothing of what has ended");
            return CLI_GANGER;
        }
        bool early = clock_mono_ns() < until;
        bool any = args_has(cli->args, OPT_ANY) && !slice_is(done, "[]");
        if (any || (early && wait_s > 0))
            return tell_all_done(cli, done);
        if (client_wait_left(deadline_ns) == 0)
            return CLI_TIMEOUT;
    }
}

int command_wait(struct cli *cli)
{
    const struct args *args = cli->args;
    const uint64_t deadline_ns = args_deadline_ns(args);
    int n_modes = args_has(args, OPT_ANY) + args_has(args, OPT_ALL) +
                  args_has(args, OPT_FIRST_ERROR);
    if (n_modes > 1) {
        output_error(cli->out, "--all, --any and --first-error exclude each other");
        return CLI_USAGE;
    }
    if (args_has(args, OPT_ANY) || args_has(args, OPT_FIRST_ERROR))
        return wait_some(cli, deadline_ns);
    int code = CLI_OK;
    for (int i = 0; i < args->n_operands; i++) {
        int one = finish_any(cli, args->operands[i], deadline_ns);
        if (code == CLI_OK)
            code = one;
    }
    return code;
}
