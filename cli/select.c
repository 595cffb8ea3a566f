/* SPDX-License-Identifier: MIT */
#include "cli/select.h"

#include "cli/args.h"
#include "cli/client.h"
#include "cli/json.h"
#include "cli/outcome.h"
#include "cli/output.h"
#include "cli/query.h"

#include <inttypes.h>

void select_put_cancel(struct buf *body, const struct args *args)
{
    if (args_has(args, OPT_SIGNAL)) {
        buf_puts(body, "\"signal\":");
        buf_json_string(
            body, slice_of(text_signal_name(text_to_signal(slice_of(args->value[OPT_SIGNAL])))));
        buf_putc(body, ',');
    }
    if (args_has(args, OPT_GRACE)) {
        buf_puts(body, "\"grace\":");
        buf_json_seconds_us(body, args_duration_us(args, OPT_GRACE, 0));
        buf_putc(body, ',');
    }
    if (args_has(args, OPT_REASON)) {
        buf_puts(body, "\"reason\":");
        buf_json_string(body, slice_of(args->value[OPT_REASON]));
        buf_putc(body, ',');
    }
}

void select_end_object(struct buf *body)
{
    PRE(body->len > 0);
    if (body->ptr[body->len - 1] == ',')
        body->len--;
    buf_putc(body, '}');
}

struct selected {
    int64_t matched, changed;
};

static bool select_ask(struct cli *cli, const struct select_verb *verb, bool dry,
                       struct selected *ret, struct err *err)
{
    struct buf AUTO_BUF body;
    struct reply AUTO_REPLY reply = {0};
    buf_init(&body, 65536);
    buf_putc(&body, '{');
    query_put_members(&body, cli->args);
    if (args_has(cli->args, OPT_ALL))
        buf_puts(&body, "\"all\":true,");
    select_put_cancel(&body, cli->args);
    if (dry)
        buf_puts(&body, "\"dry_run\":true,");
    select_end_object(&body);
    struct call call = {
        .method = "POST", .path = verb->path, .body = buf_slice(&body), .harmless = dry};
    if (!client_ask(cli->client, &call, &reply, err) || !json_check(buf_slice(&reply.body), err))
        return false;
    struct slice answer = buf_slice(&reply.body);
    *ret = (struct selected){json_i64_at(answer, "matched", 0), json_i64_at(answer, "changed", 0)};
    if (args_has(cli->args, OPT_JSON) && dry == args_has(cli->args, OPT_DRY_RUN) &&
        !output_json(json_trim(answer)))
        return err_sys(err, ERR_INTERNAL, "cannot write the output");
    return true;
}

/* True when the change may be made; *ret_code is the exit code otherwise. */
static bool select_confirm(struct cli *cli, const struct select_verb *verb, int *ret_code,
                           struct err *err)
{
    struct selected would = {0};
    if (!verb->confirms || args_has(cli->args, OPT_YES))
        return true;
    if (!select_ask(cli, verb, true, &would, err))
        return false;
    if (output_confirm(cli->out, "%s %" PRId64 " job%s?", verb->word, would.matched,
                       would.matched == 1 ? "" : "s"))
        return true;
    output_error(cli->out, "%" PRId64 " job%s would be %s; nothing is changed without --yes",
                 would.matched, would.matched == 1 ? "" : "s", verb->past);
    *ret_code = CLI_FAILED;
    return false;
}

int select_jobs(struct cli *cli, const struct select_verb *verb)
{
    struct err err = {0};
    struct selected done = {0};
    bool dry = args_has(cli->args, OPT_DRY_RUN);
    int code = CLI_OK;
    bool goes = dry || select_confirm(cli, verb, &code, &err);
    if (code != CLI_OK)
        return code;
    if (!goes || !select_ask(cli, verb, dry, &done, &err)) {
        output_error(cli->out, "%s", err.detail);
        return outcome_of_error(cli, &err);
    }
    if (args_has(cli->args, OPT_JSON))
        return CLI_OK;
    struct buf AUTO_BUF line;
    buf_init(&line, 256);
    buf_printf(&line, "%" PRId64 " %s%s\n", dry ? done.matched : done.changed,
               dry ? "would be " : "", verb->past);
    return output_text(buf_slice(&line)) ? CLI_OK : CLI_GANGER;
}
