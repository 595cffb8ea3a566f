/* SPDX-License-Identifier: MIT */
/* Items on their way into a batch: the first ones come with the request that makes it, the others
 * follow in chunks. Each request has a key of its own and is small enough to be repeated after a
 * lost answer, so nothing is lost or doubled by a restart of the service. */
#ifndef GANGER_CLI_UPLOAD_H
#define GANGER_CLI_UPLOAD_H

#include "cli/cli.h"
#include "cli/items.h"

#define UPLOAD_CHUNK_ITEMS 1000u

struct upload {
    struct cli *cli;
    struct items *items; /* borrowed */
    /* Members of POST /v1/batches but `items` and `open`, without braces; borrowed. Absent: the
     * batch exists. */
    struct slice members;
    char batch[37];                  /* its id, once it exists */
    bool leaves_open;                /* more will come from elsewhere */
    struct buf chunk;                /* JSON values, each followed by a comma */
    size_t ends[UPLOAD_CHUNK_ITEMS]; /* where each ends in the chunk */
    uint32_t n;                      /* of the chunk */
    uint32_t most;     /* so many may go at once: less where the queue is nearly full */
    uint64_t again_ns; /* the queue is full: when it is tried again */
    int64_t sent;      /* items that the service has taken */
    bool was_full;     /* that the queue is full was told */
    bool closed;       /* the request that made the batch had all items */
    bool at_end, over; /* no more items come; everything is said */
    bool refused;      /* the service takes no more: the batch was halted or cancelled */
    /* Called for each item, or NULL. */
    bool (*on_item)(void *owner, struct slice item, struct err *err);
    void *owner;
};
void upload_init(struct upload *upload, struct cli *cli, struct items *items);
void upload_release(struct upload *upload);

enum upload_state {
    UPLOAD_SENDS, /* there is more to do at once, unless it is over */
    UPLOAD_WANTS, /* items: their descriptor is worth watching */
    UPLOAD_WAITS  /* for room in the queue */
};
/* Takes what items are here without waiting for more, and sends them. */
MUST_CHECK bool upload_step(struct upload *upload, enum upload_state *ret, struct err *err);
/* Waits a moment for what the state says; false: interrupted. */
MUST_CHECK bool upload_turn(struct upload *upload, enum upload_state state, struct err *err);

#endif
