/* SPDX-License-Identifier: MIT */
/* Reads a stream of server-sent events (WHATWG HTML, section 9.2.6) in pieces of any size. */
#ifndef GANGER_CLI_SSE_H
#define GANGER_CLI_SSE_H

#include "service/base/buf.h"

struct sse_event {
    struct slice type, id, data; /* borrowed; absent when the event has none */
};
/* False ends the reading. */
typedef bool sse_event_fn(void *owner, const struct sse_event *event);

struct sse {
    struct buf line, type, id, data;
    sse_event_fn *on_event;
    void *owner;
};
/* `max`: bytes of one event. */
void sse_init(struct sse *sse, size_t max, sse_event_fn *on_event, void *owner);
void sse_release(struct sse *sse); /* accepts a zeroed one */
/* A new connection: what has only begun is dropped. */
void sse_restart(struct sse *sse);
/* False when on_event said so, or an event is too large. */
MUST_CHECK bool sse_feed(struct sse *sse, struct slice bytes);

#endif
