/* SPDX-License-Identifier: MIT */
/* Reading server-sent events and base 64. */
#include "cli/sse.h"

#include <criterion/criterion.h>

/* Writes each event as "type|id|data;" and stops at one of type "stop". */
static bool note_event(void *owner, const struct sse_event *event)
{
    struct buf *seen = owner;
    const struct slice *fields[] = {&event->type, &event->id, &event->data};
    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        buf_append(seen, fields[i]->ptr, fields[i]->len);
        buf_putc(seen, i < 2 ? '|' : ';');
    }
    return !slice_is(event->type, "stop");
}

/* Reads the stream cut in two at every place; each time the same events must come out. */
static void events_are(struct slice stream, const char *expected)
{
    for (size_t cut = 0; cut <= stream.len; cut++) {
        struct buf AUTO_BUF seen;
        struct sse sse;
        buf_init(&seen, 4096);
        sse_init(&sse, (size_t)1 << 20, note_event, &seen);
        cr_assert(sse_feed(&sse, (struct slice){stream.ptr, cut}));
        cr_assert(sse_feed(&sse, (struct slice){stream.ptr + cut, stream.len - cut}));
        cr_assert(slice_is(buf_slice(&seen), expected), "cut at %zu: %.*s", cut, (int)seen.len,
                  seen.ptr);
        sse_release(&sse);
    }
}
#define EVENTS_ARE(stream, expected) events_are(SLICE_LIT(stream), expected)

Test(client_events, fields_become_events)
{
    EVENTS_ARE("id: 1.5\nevent: stdout\ndata: {}\n\n", "stdout|1.5|{};");
    EVENTS_ARE(": connected\nretry: 2000\n\ndata:x\n\n", "||x;");
    EVENTS_ARE("data: one\ndata: two\n\n", "||one\ntwo;");
    EVENTS_ARE("event: a\r\ndata: x\r\n\r\nevent: b\r\ndata: y\r\n\r\n", "a||x;b||y;");
    EVENTS_ARE("data:  two spaces\n\n", "|| two spaces;");
}

Test(client_events, what_is_not_an_event_is_not_told)
{
    EVENTS_ARE("event: nothing\n\n: alive\n\ndata: x\n\n", "||x;");
    EVENTS_ARE("data: never finished\n", "");
    EVENTS_ARE("unknown: field\ndata\ndata: x\n\n", "||x;");
}

Test(client_events, the_reader_may_stop)
{
    struct buf AUTO_BUF seen;
    struct sse sse;
    buf_init(&seen, 4096);
    sse_init(&sse, (size_t)1 << 20, note_event, &seen);
    cr_assert_not(sse_feed(&sse, SLICE_LIT("event: stop\ndata: x\n\ndata: y\n\n")));
    cr_assert(slice_is(buf_slice(&seen), "stop||x;"));
    sse_release(&sse);
}

Test(client_events, a_restart_drops_what_has_begun)
{
    struct buf AUTO_BUF seen;
    struct sse sse;
    buf_init(&seen, 4096);
    sse_init(&sse, (size_t)1 << 20, note_event, &seen);
    cr_assert(sse_feed(&sse, SLICE_LIT("id: 9\ndata: half\nda")));
    sse_restart(&sse);
    cr_assert(sse_feed(&sse, SLICE_LIT("data: whole\n\n")));
    cr_assert(slice_is(buf_slice(&seen), "||whole;"));
    sse_release(&sse);
}

Test(client_events, events_are_bounded)
{
    struct buf AUTO_BUF seen;
    struct sse sse;
    char part[4096];
    size_t fed = 0;
    buf_init(&seen, 4096);
    sse_init(&sse, (size_t)1 << 20, note_event, &seen);
    memset(part, 'x', sizeof(part));
    while (fed < ((size_t)4 << 20) && sse_feed(&sse, (struct slice){part, sizeof(part)}))
        fed += sizeof(part);
    cr_assert_leq(fed, (size_t)1 << 20);
    sse_release(&sse);
}
