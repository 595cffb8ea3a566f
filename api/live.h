/* SPDX-License-Identifier: MIT */
/* What all streams have in common: their first bytes, signs of life, noticing that the client has
 * left, and waiting for more. */
#ifndef GANGER_API_LIVE_H
#define GANGER_API_LIVE_H

#include "api/request.h"

enum live_form {
    LIVE_BYTES, /* as they are; no sign of life can be given */
    LIVE_SSE,   /* server-sent events; signs of life are comments */
    LIVE_LINES  /* NDJSON; signs of life are empty lines */
};

struct live {
    enum live_form form;
    bool is_probed;
    bool has_sent; /* the client, and every proxy before it, has seen bytes of the body */
    uint64_t next_beat_ns;
    uint64_t sent_ns; /* when the last piece was made */
};

/* The form that the client accepts; otherwise `otherwise`. */
enum live_form live_accepted(const struct request *rq, enum live_form otherwise);
/* Headers, and what goes ahead of the first event; then the handler calls reply_stream. */
void live_begin(struct request *rq, struct live *live, enum live_form form);
const char *live_type(enum live_form form);

/* To be called first by a fill function, after the epoch was loaded and before anything is read: is
 * anybody there, and is a sign of life due? True: *ret is the answer of this call. */
bool live_beat(struct request *rq, struct live *live, enum fill *ret);
/* Whatever was appended to rq->out goes out. Counts n events. */
enum fill live_sent(struct request *rq, struct live *live, uint64_t n);
/* Nothing more can be read now. `park.deadline_ns` 0: none but the next sign of life. */
enum fill live_park(struct request *rq, struct live *live, struct park park);

/* One event, to rq->out: its head, then the JSON that the caller appends on one line, then its end.
 * seq 0: it has no place in a sequence. */
void live_event_begin(struct request *rq, const struct live *live, const char *name, int64_t seq);
void live_event_end(struct request *rq, const struct live *live);

#endif
