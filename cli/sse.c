/* SPDX-License-Identifier: MIT */
#include "cli/sse.h"

void sse_init(struct sse *sse, size_t max, sse_event_fn *on_event, void *owner)
{
    *sse = (struct sse){.on_event = on_event, .owner = owner};
    buf_init(&sse->line, max);
    buf_init(&sse->type, 256);
    buf_init(&sse->id, 256);
    buf_init(&sse->data, max);
}

void sse_release(struct sse *sse)
{
    buf_release(&sse->line);
    buf_release(&sse->type);
    buf_release(&sse->id);
    buf_release(&sse->data);
}

static void event_clear(struct sse *sse)
{
    buf_clear(&sse->type);
    buf_clear(&sse->id);
    buf_clear(&sse->data);
}

void sse_restart(struct sse *sse)
{
    buf_clear(&sse->line);
    event_clear(sse);
}

static struct slice field_of(const struct buf *b)
{
    return b->len == 0 ? (struct slice){0} : buf_slice(b);
}

/* An empty line: the event is whole. One without data is none. */
static bool event_end(struct sse *sse)
{
    bool goes_on = true;
    if (sse->data.len > 0) {
        struct sse_event event = {field_of(&sse->type), field_of(&sse->id), field_of(&sse->data)};
        goes_on = sse->on_event(sse->owner, &event);
    }
    event_clear(sse);
    return goes_on;
}

static bool take_line(struct sse *sse, struct slice line)
{
    static const char space = ' ';
    if (line.len == 0)
        return event_end(sse);
    const char *colon = memchr(line.ptr, ':', line.len);
    size_t name_len = colon == NULL ? line.len : (size_t)(colon - line.ptr);
    size_t start = MIN(name_len + 1, line.len);
    if (start < line.len && line.ptr[start] == space)
        start++;
    struct slice name = {line.ptr, name_len}, value = {line.ptr + start, line.len - start};
    struct buf *field = slice_is(name, "event")  ? &sse->type
                        : slice_is(name, "id")   ? &sse->id
                        : slice_is(name, "data") ? &sse->data
                                                 : NULL;
    if (field == NULL) /* a comment, or a field of no interest here */
        return true;
    if (field == &sse->data && field->len > 0)
        buf_putc(field, '\n');
    if (field != &sse->data)
        buf_clear(field);
    buf_append(field, value.ptr, value.len);
    return buf_ok(field);
}

bool sse_feed(struct sse *sse, struct slice bytes)
{
    while (bytes.len > 0) {
        const char *end = memchr(bytes.ptr, '\n', bytes.len);
        size_t len = end == NULL ? bytes.len : (size_t)(end - bytes.ptr);
        buf_append(&sse->line, bytes.ptr, len);
        if (!buf_ok(&sse->line))
            return false;
        if (end == NULL)
            return true;
        struct slice line = buf_slice(&sse->line);
        if (line.len > 0 && line.ptr[line.len - 1] == '\r')
            line.len--;
        if (!take_line(sse, line))
            return false;
        buf_clear(&sse->line);
        bytes = (struct slice){end + 1, bytes.len - len - 1};
    }
    return true;
}
