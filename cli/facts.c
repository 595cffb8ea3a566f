/* SPDX-License-Identifier: MIT */
#include "cli/facts.h"

#include "cli/args.h"
#include "cli/cell.h"
#include "cli/outcome.h"
#include "cli/output.h"
#include "cli/pages.h"

#define LABEL_WIDTH 13u
#define VALUE_MAX 240u /* characters of an object */

bool facts_ask(struct cli *cli, const struct call *call, struct reply *ret, struct err *err)
{
    return client_ask(cli->client, call, ret, err) && json_check(buf_slice(&ret->body), err);
}

static bool says_nothing(struct slice key, struct slice value)
{
    return slice_is(key, "links") || json_type_of(value) == JSON_NULL || slice_is(value, "{}") ||
           slice_is(value, "[]") || slice_is(value, "\"\"");
}

/* {"queued":3,"running":0} as "3 queued"; false when it is not an object of numbers. */
static bool put_counts(struct buf *out, struct slice object)
{
    struct json_iter it;
    struct slice key, value;
    size_t before = out->len;
    json_iter_init(&it, object);
    while (json_next_member(&it, &key, &value)) {
        int64_t n = 0;
        if (json_type_of(value) != JSON_NUMBER || !json_to_i64(value, &n)) {
            out->len = before;
            return false;
        }
        if (n != 0)
            buf_printf(out, "%s%lld %.*s", out->len > before ? ", " : "", (long long)n,
                       (int)key.len, key.ptr);
    }
    if (out->len == before)
        buf_puts(out, "none");
    return true;
}

static void put_value(struct buf *out, struct slice key, struct slice value)
{
    bool counts = slice_is(key, "counts") || slice_is(key, "jobs");
    enum json_type type = json_type_of(value);
    if (type == JSON_STRING) {
        struct arena AUTO_ARENA arena;
        arena_init(&arena, (size_t)1 << 20);
        const char *text = json_string_dup(value, &arena, NULL);
        cell_put(out, text != NULL ? slice_of(text) : value, 0);
    } else if (!counts || type != JSON_OBJECT || !put_counts(out, value)) {
        cell_put(out, value, value.len > VALUE_MAX ? VALUE_MAX : 0);
    }
}

void facts_put(struct buf *out, struct slice object)
{
    struct json_iter it;
    struct slice key, value;
    json_iter_init(&it, json_trim(object));
    while (json_next_member(&it, &key, &value)) {
        if (says_nothing(key, value))
            continue;
        cell_put(out, key, LABEL_WIDTH);
        buf_putc(out, ' ');
        put_value(out, key, value);
        buf_putc(out, '\n');
    }
}

bool facts_write(const struct buf *text, struct err *err)
{
    return output_text(buf_slice(text)) || err_sys(err, ERR_INTERNAL, "cannot write the output");
}

bool facts_show(struct cli *cli, const struct call *call, struct err *err)
{
    struct reply AUTO_REPLY reply = {0};
    struct buf AUTO_BUF text;
    buf_init(&text, (size_t)1 << 20);
    if (!facts_ask(cli, call, &reply, err))
        return false;
    struct slice object = json_trim(buf_slice(&reply.body));
    if (json_type_of(object) != JSON_OBJECT)
        return err_set(err, ERR_INTERNAL, "the server's answer is not an object");
    if (args_has(cli->args, OPT_JSON))
        return output_json(object) || err_sys(err, ERR_INTERNAL, "cannot write the output");
    facts_put(&text, object);
    return facts_write(&text, err);
}

/* What has come of a page is shown at once. */
static bool print_page(struct pages *pages, const struct facts_table *table, bool *any,
                       struct err *err)
{
    struct slice item;
    const struct args *args = pages->cli->args;
    const char *name = table->name == NULL ? "name" : table->name;
    struct arena AUTO_ARENA arena;
    struct buf AUTO_BUF text;
    arena_init(&arena, (size_t)16 << 20);
    buf_init(&text, (size_t)4 << 20);
    while (pages_item(pages, &item)) {
        if (args_has(args, OPT_JSON)) {
            if (!output_json(item))
                return err_sys(err, ERR_INTERNAL, "cannot write the output");
        } else if (args_has(args, OPT_QUIET)) {
            buf_printf(&text, "%s\n", json_text_at(item, name, &arena));
        } else {
            if (!*any)
                table->put_head(&text);
            table->put_row(&text, item, &arena);
        }
        *any = true;
    }
    return facts_write(&text, err);
}

int facts_list(struct cli *cli, const struct facts_table *table)
{
    struct pages AUTO_PAGES pages = {
        .cli = cli,
        .path = table->path,
        .left = table->most == 0 ? INT64_MAX : args_integer(cli->args, OPT_LIMIT, table->most),
        .size = PAGES_SIZE};
    struct err err = {0};
    bool ok, any = false;
    do
        ok = pages_next(&pages, &err) && print_page(&pages, table, &any, &err);
    while (ok && pages_more(&pages));
    if (ok)
        return CLI_OK;
    output_error(cli->out, "%s", err.detail);
    return outcome_of_error(cli, &err);
}

int facts_each(struct cli *cli, facts_one_fn *one)
{
    int code = CLI_OK;
    for (int i = 0; i < cli->args->n_operands; i++) {
        struct err err = {0};
        const char *operand = cli->args->operands[i];
        if (one(cli, operand, &err))
            continue;
        output_error(cli->out, "%s: %s", operand, err.detail);
        int mine = outcome_of_error(cli, &err);
        code = MAX(code, mine);
    }
    return code;
}
