/* SPDX-License-Identifier: MIT */
/* Which of the jobs of a request a client has got: the id of an event of POST /v1/as-completed. It
 * holds all that is needed to go on, so nothing is kept for a client that has left, and a restart
 * of the service changes nothing. */
#ifndef GANGER_API_RECEIVED_H
#define GANGER_API_RECEIVED_H

#include "api/codec_wait.h"
#include "service/base/buf.h"

struct received {
    uint8_t *bytes; /* which list it is of, then a bit per place in it; in the arena */
    size_t len;
    size_t used; /* up to the last bit that is set */
};

/* None of this list. False: beyond the arena. */
MUST_CHECK bool received_init(struct received *ret, const struct wait_request *asked,
                              struct arena *a);
/* What received_put has written. False, and nothing has changed: it is not, or of another list. */
MUST_CHECK bool received_read(struct received *r, struct slice id);
bool received_has(const struct received *r, uint32_t index);
void received_add(struct received *r, uint32_t index);
/* Base 64 that an address takes. */
void received_put(const struct received *r, struct buf *out);

#endif
