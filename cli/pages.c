/* SPDX-License-Identifier: MIT */
#include "cli/pages.h"

#include "cli/facts.h"
#include "cli/query.h"

#include <inttypes.h>

#define PATH_MAX_BYTES 16384

void pages_release(struct pages *pages)
{
    reply_release(&pages->reply);
    pages->reply = (struct reply){0};
}

static bool ask(struct pages *pages, struct err *err)
{
    struct buf AUTO_BUF path;
    char number[24];
    buf_init(&path, PATH_MAX_BYTES);
    buf_puts(&path, pages->path);
    /* The service knows no page of 0 items. */
    (void)snprintf(number, sizeof(number), "%" PRId64,
                   MAX(MIN(pages->left, pages->size), (int64_t)1));
    query_put(&path, "limit", slice_of(number));
    if (pages->cursor[0] != '\0')
        query_put(&path, "cursor", slice_of(pages->cursor));
    AUTO_FREE char *text = buf_steal(&path);
    if (text == NULL)
        return err_set(err, ERR_INVALID, "the filters are too long");
    struct call call = {.method = "GET", .path = text, .harmless = true};
    pages_release(pages);
    return facts_ask(pages->cli, &call, &pages->reply, err);
}

bool pages_next(struct pages *pages, struct err *err)
{
    struct arena AUTO_ARENA arena;
    PRE(pages->size > 0 && pages->left >= 0);
    arena_init(&arena, 65536);
    if (!ask(pages, err))
        return false;
    const struct slice list = buf_slice(&pages->reply.body), items = json_at(list, "items");
    if (items.ptr == NULL || json_type_of(items) != JSON_ARRAY)
        return err_set(err, ERR_INTERNAL, "the server's answer is not a list");
    const char *next = json_text_at(list, "next_cursor", &arena);
    if (strlen(next) >= sizeof(pages->cursor))
        return err_set(err, ERR_INTERNAL, "the server's cursor is too long");
    (void)snprintf(pages->cursor, sizeof(pages->cursor), "%s", next);
    json_iter_init(&pages->items, items);
    return true;
}

bool pages_item(struct pages *pages, struct slice *ret)
{
    if (pages->left == 0 || !json_next_element(&pages->items, ret))
        return false;
    pages->left--;
    return true;
}
