/* SPDX-License-Identifier: MIT */
#include "cli/facts.h"

#include "cli/args.h"
#include "cli/cell.h"
#include "cli/outcome.h"
#include "cli/output.h"
#include "cli/query.h"

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

struct list {
    struct cli *cli;
    const struct facts_table *table;
    char cursor[512]; /* of the next page, or "" */
    int64_t left;     /* items still to be shown */
    bool any;
};

static bool print_items(struct list *list, struct slice items, struct err *err)
{
    struct json_iter it;
    struct slice item;
    const char *name = list->table->name == NULL ? "name" : list->table->name;
    struct arena AUTO_ARENA arena;
    struct buf AUTO_BUF text;
    arena_init(&arena, (size_t)16 << 20);
    buf_init(&text, (size_t)4 << 20);
    json_iter_init(&it, items);
    while (list->left > 0 && json_next_element(&it, &item)) {
        list->left--;
        if (args_has(list->cli->args, OPT_JSON)) {
            if (!output_json(item))
                return err_sys(err, ERR_INTERNAL, "cannot write the output");
        } else if (args_has(list->cli->args, OPT_QUIET)) {
            buf_printf(&text, "%s\n", json_text_at(item, name, &arena));
        } else {
            if (!list->any)
                list->table->put_head(&text);
            list->table->put_row(&text, item, &arena);
        }
        list->any = true;
    }
    return facts_write(&text, err);
}

static bool list_page(struct list *list, struct err *err)
{
    struct buf AUTO_BUF path;
    struct arena AUTO_ARENA arena;
    struct reply AUTO_REPLY reply = {0};
    buf_init(&path, 1024);
    arena_init(&arena, 65536);
    buf_puts(&path, list->table->path);
    if (list->cursor[0] != '\0')
        query_put(&path, "cursor", slice_of(list->cursor));
    AUTO_FREE char *text = buf_steal(&path);
    PRE(text != NULL);
    struct call call = {.method = "GET", .path = text, .harmless = true};
    if (!facts_ask(list->cli, &call, &reply, err))
        return false;
    struct slice items = json_at(buf_slice(&reply.body), "items");
    if (items.ptr == NULL || json_type_of(items) != JSON_ARRAY)
        return err_set(err, ERR_INTERNAL, "the server's answer is not a list");
    const char *next = json_text_at(buf_slice(&reply.body), "next_cursor", &arena);
    if (strlen(next) >= sizeof(list->cursor))
        return err_set(err, ERR_INTERNAL, "the server's cursor is too long");
    (void)snprintf(list->cursor, sizeof(list->cursor), "%s", next);
    return print_items(list, items, err);
}

int facts_list(struct cli *cli, const struct facts_table *table)
{
    struct list list = {.cli = cli,
                        .table = table,
                        .left = table->most == 0 ? INT64_MAX
                                                 : args_integer(cli->args, OPT_LIMIT, table->most)};
    struct err err = {0};
    bool ok = true;
    do
        ok = list_page(&list, &err);
    while (ok && list.left > 0 && list.cursor[0] != '\0');
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
