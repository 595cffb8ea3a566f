/* SPDX-License-Identifier: MIT */
#include "cli/args.h"
#include "cli/cell.h"
#include "cli/client.h"
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/output.h"

#define HEALTH_S 5u

int command_health(struct cli *cli)
{
    struct err err = {0};
    struct reply AUTO_REPLY reply = {0};
    struct call call = {
        .method = "GET",
        .path = "/readyz",
        .anonymous = true,
        .limit_s = HEALTH_S,
    };
    if (!client_call(cli->client, &call, &reply, &err)) {
        output_error(cli->out, "%s", err.detail);
        return CLI_FAILED;
    }
    bool ready = reply.status == 200 || reply.status == 204;
    if (ready)
        output_note(cli->out, "ready");
    else
        output_error(cli->out, "not ready: HTTP %d", reply.status);
    return ready ? CLI_OK : CLI_FAILED;
}

static void put_server(struct buf *out, struct slice version)
{
    struct json_iter it;
    struct slice key, value;
    buf_puts(out, "server\n");
    json_iter_init(&it, json_trim(version));
    while (json_next_member(&it, &key, &value)) {
        buf_puts(out, "  ");
        cell_put(out, key, 16);
        bool text = json_type_of(value) == JSON_STRING;
        cell_put(out, text ? (struct slice){value.ptr + 1, value.len - 2} : value, 0);
        buf_putc(out, '\n');
    }
}

int command_version(struct cli *cli)
{
    struct err err = {0};
    struct reply AUTO_REPLY reply = {0};
    struct buf AUTO_BUF text;
    struct call call = {.method = "GET", .path = "/v1/version", .limit_s = HEALTH_S};
    buf_init(&text, (size_t)1 << 20);
    bool answered = client_ask(cli->client, &call, &reply, &err) &&
                    json_check(buf_slice(&reply.body), &err) &&
                    json_type_of(json_trim(buf_slice(&reply.body))) == JSON_OBJECT;
    struct slice version = buf_slice(&reply.body);
    bool written = false;
    if (args_has(cli->args, OPT_JSON)) {
        buf_puts(&text, "{\"client\":{\"version\":\"" GANGER_VERSION "\"},\"server\":");
        if (answered)
            buf_append(&text, version.ptr, version.len);
        else
            buf_puts(&text, "null");
        buf_putc(&text, '}');
        written = output_json(buf_slice(&text));
    } else {
        buf_puts(&text, "client\n  version         " GANGER_VERSION "\n");
        if (answered)
            put_server(&text, version);
        written = output_text(buf_slice(&text));
        if (!answered)
            output_note(cli->out, "%s", err.detail);
    }
    return written ? CLI_OK : CLI_GANGER;
}
