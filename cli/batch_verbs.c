/* SPDX-License-Identifier: MIT */
/* ganger batch ls, show, results, add, close, cancel, retry. */
#include "cli/args.h"
#include "cli/batch.h"
#include "cli/cell.h"
#include "cli/commands.h"
#include "cli/facts.h"
#include "cli/outcome.h"
#include "cli/output.h"
#include "cli/tally.h"
#include "cli/upload.h"

#include <inttypes.h>

#define TURN_MS 100
#define BODY_MAX ((size_t)1 << 20)

enum {
    ID_WIDTH = 36,
    STATE_WIDTH = 9,
    DONE_WIDTH = 15,
    NUMBER_WIDTH = 8,
    AGE_WIDTH = 7,
    QUEUE_WIDTH = 12
};

static void put_head(struct buf *out)
{
    buf_printf(out, "%-*s  %-*s %-*s %-*s %-*s %-*s %s\n", ID_WIDTH, "ID", STATE_WIDTH, "STATE",
               DONE_WIDTH, "DONE", NUMBER_WIDTH, "FAILED", AGE_WIDTH, "AGE", QUEUE_WIDTH, "QUEUE",
               "NAME");
}

static void put_row(struct buf *out, struct slice batch, struct arena *a)
{
    char done[48];
    struct buf AUTO_BUF age;
    int64_t created_us = 0;
    buf_init(&age, 64);
    (void)snprintf(done, sizeof(done), "%" PRId64 " of %" PRId64,
                   json_i64_at(batch, "progress.done", 0), json_i64_at(batch, "total", 0));
    if (text_to_time_us(slice_of(json_text_at(batch, "times.created", a)), &created_us))
        cell_put_duration(&age, clock_wall_us() - created_us);
    cell_put_column(out, json_text_at(batch, "id", a), ID_WIDTH + 1);
    cell_put_column(out, json_text_at(batch, "state", a), STATE_WIDTH);
    cell_put_column(out, done, DONE_WIDTH);
    cell_put_number(out, json_i64_at(batch, "counts.failed", 0), NUMBER_WIDTH);
    cell_put(out, buf_slice(&age), AGE_WIDTH);
    buf_putc(out, ' ');
    cell_put_column(out, json_text_at(batch, "queue", a), QUEUE_WIDTH);
    cell_put(out, slice_of(json_text_at(batch, "name", a)), 0);
    buf_putc(out, '\n');
}

int command_batch_ls(struct cli *cli)
{
    static const struct facts_table table = {
        .path = "/v1/batches", .name = "id", .put_head = put_head, .put_row = put_row, .most = 20};
    return facts_list(cli, &table);
}

static bool show_one(struct cli *cli, const char *id, struct err *err)
{
    char path[96];
    (void)snprintf(path, sizeof(path), "/v1/batches/%s", id);
    struct call call = {.method = "GET", .path = path, .harmless = true};
    return facts_show(cli, &call, err);
}

int command_batch_show(struct cli *cli)
{
    return facts_each(cli, show_one);
}

static bool follow(struct cli *cli, struct tally *tally, struct err *err)
{
    struct json_batch batch;
    struct reply AUTO_REPLY reply = {0};
    char path[96];
    const char *id = cli->args->operands[0];
    (void)snprintf(path, sizeof(path), "/v1/batches/%s", id);
    struct call call = {.method = "GET", .path = path, .harmless = true};
    if (!facts_ask(cli, &call, &reply, err) ||
        !json_read_batch(buf_slice(&reply.body), &batch, err) || !tally_begin(tally, id, err))
        return false;
    tally->total = batch.total;
    tally->all_sent = true;
    while (!tally_is_over(tally)) {
        bool any = false;
        if (!tally_step(tally, &any, err) || !tally_turn(tally, any ? 0 : TURN_MS, err))
            return false;
    }
    return true;
}

/* What has come so far: an array of results. */
static bool print_so_far(struct cli *cli, struct tally *tally, struct err *err)
{
    struct reply AUTO_REPLY reply = {0};
    struct json_iter it;
    struct slice element;
    char path[160];
    (void)snprintf(path, sizeof(path), "/v1/batches/%s/results?order=%s&after=%" PRId64,
                   cli->args->operands[0],
                   args_has(cli->args, OPT_KEEP_ORDER) ? "index" : "completed",
                   args_integer(cli->args, OPT_AFTER, 0));
    struct call call = {
        .method = "GET", .path = path, .accept = "application/json", .harmless = true};
    if (!facts_ask(cli, &call, &reply, err))
        return false;
    struct slice array = json_trim(buf_slice(&reply.body));
    if (json_type_of(array) != JSON_ARRAY)
        return err_set(err, ERR_INTERNAL, "the server's answer is not a list of results");
    json_iter_init(&it, array);
    while (json_next_element(&it, &element)) {
        if (!tally_result(tally, element, err))
            return false;
    }
    return true;
}

int command_batch_results(struct cli *cli)
{
    struct err err = {0};
    struct tally tally;
    bool follows = args_has(cli->args, OPT_FOLLOW);
    tally_init(&tally, cli);
    bool ok = client_catch_signals(cli->client, &err) &&
              (follows ? follow(cli, &tally, &err) : print_so_far(cli, &tally, &err));
    tally_release(&tally);
    if (ok)
        return CLI_OK;
    if (client_interrupted(cli->client) == 0)
        output_error(cli->out, "%s", err.detail);
    return outcome_of_error(cli, &err);
}

static bool add_all(struct upload *upload, struct err *err)
{
    while (!upload->over) {
        enum upload_state state;
        if (!upload_step(upload, &state, err) || !upload_turn(upload, state, err))
            return false;
    }
    return !upload->refused || err_set(err, ERR_STATE_CONFLICT, "the batch takes no more items");
}

int command_batch_add(struct cli *cli)
{
    struct err err = {0};
    struct items *items = NULL;
    struct upload upload;
    upload_init(&upload, cli, NULL);
    upload.leaves_open = true;
    (void)snprintf(upload.batch, sizeof(upload.batch), "%s", cli->args->operands[0]);
    bool ok = items_open(cli->args, 1, true, &items, &err);
    if (ok) {
        upload.items = items;
        ok = add_all(&upload, &err);
    }
    if (!ok)
        output_error(cli->out, "%s: %s; %" PRId64 " items were taken", cli->args->operands[0],
                     err.detail, upload.sent);
    else
        output_note(cli->out, "%" PRId64 " items were taken", upload.sent);
    upload_release(&upload);
    items_close(items);
    return ok ? CLI_OK : outcome_of_error(cli, &err);
}

static bool close_one(struct cli *cli, const char *id, struct err *err)
{
    return ask_batch_close(cli, id, err);
}

int command_batch_close(struct cli *cli)
{
    return facts_each(cli, close_one);
}

/* POST …/cancel or …/retry; `member` of the answer is how many jobs it was. */
static bool change_one(struct cli *cli, const char *id, const char *verb, const char *member,
                       struct err *err)
{
    struct buf AUTO_BUF body, line;
    struct reply AUTO_REPLY reply = {0};
    const char *indexes = cli->args->value[OPT_INDEXES], *reason = cli->args->value[OPT_REASON];
    char path[96];
    buf_init(&body, BODY_MAX);
    buf_init(&line, 256);
    buf_putc(&body, '{');
    if (indexes != NULL) {
        buf_puts(&body, "\"indexes\":");
        buf_json_string(&body, slice_of(indexes));
    }
    if (reason != NULL) {
        buf_puts(&body, indexes != NULL ? ",\"reason\":" : "\"reason\":");
        buf_json_string(&body, slice_of(reason));
    }
    buf_putc(&body, '}');
    (void)snprintf(path, sizeof(path), "/v1/batches/%s/%s", id, verb);
    struct call call = {.method = "POST",
                        .path = path,
                        .body = buf_slice(&body),
                        .harmless = strcmp(verb, "cancel") == 0};
    if (!facts_ask(cli, &call, &reply, err))
        return false;
    struct slice answer = json_trim(buf_slice(&reply.body));
    if (args_has(cli->args, OPT_JSON))
        return output_json(answer) || err_sys(err, ERR_INTERNAL, "cannot write the output");
    buf_printf(&line, "%s: %" PRId64 " %s\n", id, json_i64_at(answer, member, 0), member);
    return facts_write(&line, err);
}

static bool cancel_one(struct cli *cli, const char *id, struct err *err)
{
    return change_one(cli, id, "cancel", "cancelled", err);
}

static bool retry_one(struct cli *cli, const char *id, struct err *err)
{
    return change_one(cli, id, "retry", "retried", err);
}

int command_batch_cancel(struct cli *cli)
{
    return facts_each(cli, cancel_one);
}

int command_batch_retry(struct cli *cli)
{
    return facts_each(cli, retry_one);
}
