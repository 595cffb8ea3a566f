/* SPDX-License-Identifier: MIT */
#include "cli/query.h"

/* application/x-www-form-urlencoded is not needed: RFC 3986's unreserved characters stay. */
void query_put(struct buf *path, const char *name, struct slice value)
{
    static const char hex[] = "0123456789ABCDEF";
    buf_putc(path, memchr(path->ptr, '?', path->len) == NULL ? '?' : '&');
    buf_puts(path, name);
    buf_putc(path, '=');
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     strchr("-._~", c) != NULL;
        if (plain && c != '\0') {
            buf_putc(path, (char)c);
        } else {
            const char escape[3] = {'%', hex[c >> 4], hex[c & 15]};
            buf_append(path, escape, sizeof(escape));
        }
    }
}

static const struct {
    enum option_id id;
    const char *name;
} filters[] = {{OPT_STATE, "state"},  {OPT_QUEUE, "queue"}, {OPT_NAME, "name"},
               {OPT_LABEL, "label"},  {OPT_BATCH, "batch"}, {OPT_CREATED_AFTER, "created_after"},
               {OPT_PARENT, "parent"}};

/* A label is k:v there, because = would end the name in a query. */
static struct slice filter_value(const struct args *args, enum option_id id, char *room,
                                 size_t size)
{
    const char *value = args->value[id];
    if (id != OPT_LABEL)
        return slice_of(value);
    (void)snprintf(room, size, "%s", value);
    room[strcspn(room, "=")] = ':';
    return slice_of(room);
}

void query_put_filter(struct buf *path, const struct args *args)
{
    char room[512];
    for (size_t i = 0; i < ARRAY_LEN(filters); i++) {
        enum option_id id = filters[i].id;
        if (args_has(args, id))
            query_put(path, filters[i].name, filter_value(args, id, room, sizeof(room)));
    }
}

bool query_has_filter(const struct args *args)
{
    for (size_t i = 0; i < ARRAY_LEN(filters); i++) {
        if (args_has(args, filters[i].id))
            return true;
    }
    return false;
}

/* "queued,running" as an array of strings. */
static void put_states(struct buf *body, const char *list)
{
    buf_putc(body, '[');
    for (;;) {
        size_t len = strcspn(list, ",");
        buf_json_string(body, (struct slice){list, len});
        if (list[len] == '\0')
            break;
        buf_putc(body, ',');
        list += len + 1;
    }
    buf_putc(body, ']');
}

void query_put_members(struct buf *body, const struct args *args)
{
    char room[512];
    for (size_t i = 0; i < ARRAY_LEN(filters); i++) {
        enum option_id id = filters[i].id;
        if (!args_has(args, id))
            continue;
        buf_printf(body, "\"%s\":", filters[i].name);
        if (id == OPT_STATE)
            put_states(body, args->value[id]);
        else
            buf_json_string(body, filter_value(args, id, room, sizeof(room)));
        buf_putc(body, ',');
    }
}
