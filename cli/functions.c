/* SPDX-License-Identifier: MIT */
/* ganger functions: what can be called, and with what. */
#include "cli/cell.h"
#include "cli/commands.h"
#include "cli/facts.h"

#include <inttypes.h>

#define SIGNATURE_MAX ((size_t)64 << 10)

enum { NAME_WIDTH = 20, KIND_WIDTH = 8, QUEUE_WIDTH = 12, SIGNATURE_WIDTH = 40 };

static void put_head(struct buf *out)
{
    buf_printf(out, "%-*s %-*s %-*s %-*s %s\n", NAME_WIDTH, "NAME", KIND_WIDTH, "KIND", QUEUE_WIDTH,
               "QUEUE", SIGNATURE_WIDTH, "ARGUMENTS", "DOC");
}

/* "size:string=64x64" */
static void put_parameter(struct buf *out, struct slice parameter, int64_t place, struct arena *a)
{
    const char *name = json_text_at(parameter, "name", a),
               *type = json_text_at(parameter, "type", a);
    struct slice fallback = json_at(parameter, "default");
    if (name[0] == '\0')
        buf_printf(out, "{%" PRId64 "}", place);
    else
        buf_puts(out, name);
    if (type[0] != '\0' && strcmp(type, "any") != 0)
        buf_printf(out, ":%s", type);
    if (fallback.ptr == NULL)
        return;
    buf_putc(out, '=');
    if (json_type_of(fallback) == JSON_STRING)
        buf_puts(out, json_text_at(parameter, "default", a));
    else
        buf_append(out, fallback.ptr, fallback.len);
}

/* "source target [size:string=64x64]"; "…" when it takes whatever it gets. */
static void put_signature(struct buf *out, struct slice function, struct arena *a)
{
    struct slice parameters = json_at(function, "args"), parameter;
    struct json_iter it;
    if (parameters.ptr == NULL || json_type_of(parameters) != JSON_ARRAY) {
        buf_puts(out, "…");
        return;
    }
    json_iter_init(&it, parameters);
    for (int64_t place = 1; json_next_element(&it, &parameter); place++) {
        struct slice required = json_at(parameter, "required");
        bool optional = json_at(parameter, "default").ptr != NULL ||
                        (required.ptr != NULL && !json_is_true(required));
        buf_puts(out, place == 1 ? "" : " ");
        buf_puts(out, optional ? "[" : "");
        put_parameter(out, parameter, place, a);
        buf_puts(out, optional ? "]" : "");
    }
}

static void put_row(struct buf *out, struct slice function, struct arena *a)
{
    struct buf AUTO_BUF signature;
    buf_init(&signature, SIGNATURE_MAX);
    put_signature(&signature, function, a);
    cell_put_column(out, json_text_at(function, "name", a), NAME_WIDTH);
    cell_put_column(out, json_text_at(function, "kind", a), KIND_WIDTH);
    cell_put_column(out, json_text_at(function, "queue", a), QUEUE_WIDTH);
    cell_put(out, buf_slice(&signature), SIGNATURE_WIDTH);
    buf_putc(out, ' ');
    cell_put(out, slice_of(json_text_at(function, "doc", a)), 0);
    buf_putc(out, '\n');
}

int command_functions(struct cli *cli)
{
    static const struct facts_table table = {
        .path = "/v1/functions", .put_head = put_head, .put_row = put_row};
    return facts_list(cli, &table);
}
