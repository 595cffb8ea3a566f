/* SPDX-License-Identifier: MIT */
#include "cli/args.h"
#include "cli/cell.h"
#include "cli/commands.h"
#include "cli/facts.h"
#include "cli/output.h"

#include <inttypes.h>

#define TYPE_WIDTH 12u

static void put_blockers(struct buf *out, struct slice blockers, struct arena *a)
{
    struct json_iter it;
    struct slice blocker;
    if (blockers.ptr == NULL || json_type_of(blockers) != JSON_ARRAY)
        return;
    json_iter_init(&it, blockers);
    while (json_next_element(&it, &blocker)) {
        buf_puts(out, "  ");
        cell_put(out, slice_of(json_text_at(blocker, "type", a)), TYPE_WIDTH);
        buf_putc(out, ' ');
        cell_put(out, slice_of(json_text_at(blocker, "detail", a)), 0);
        buf_putc(out, '\n');
    }
}

static void put_explanation(struct buf *out, struct slice answer, struct arena *a)
{
    int64_t position = json_i64_at(answer, "position", -1);
    double estimate = json_double_at(answer, "estimate", -1);
    buf_printf(out, "%s is %s", json_text_at(answer, "id", a), json_text_at(answer, "state", a));
    if (position >= 0)
        buf_printf(out, ", at place %" PRId64, position);
    if (estimate >= 0) {
        buf_puts(out, ", about ");
        cell_put_duration(out, (int64_t)(estimate * 1e6));
        buf_puts(out, " to go");
    }
    buf_putc(out, '\n');
    put_blockers(out, json_at(answer, "blockers"), a);
}

static bool explain_one(struct cli *cli, const char *id, struct err *err)
{
    char path[96];
    struct arena AUTO_ARENA arena;
    struct buf AUTO_BUF text;
    struct reply AUTO_REPLY reply = {0};
    (void)snprintf(path, sizeof(path), "/v1/jobs/%s/explain", id);
    struct call call = {.method = "GET", .path = path, .harmless = true};
    arena_init(&arena, (size_t)1 << 20);
    buf_init(&text, (size_t)1 << 20);
    if (args_has(cli->args, OPT_JSON))
        return facts_show(cli, &call, err);
    if (!facts_ask(cli, &call, &reply, err))
        return false;
    put_explanation(&text, buf_slice(&reply.body), &arena);
    return facts_write(&text, err);
}

int command_explain(struct cli *cli)
{
    return facts_each(cli, explain_one);
}
