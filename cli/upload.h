/* SPDX-License-Identifier: MIT */
/* Items on their way into a batch: the first ones come with the request that makes it, the others
 * follow in chunks. Each request has a key of its own and is small enough to be repeated after a
 * lost answer, so nothing is lost or doubled by a restart of the service. */
#ifndef GANGER_CLI_UPLOAD_H
#define GANGER_CLI_UPLOAD_H

#include "cli/cli.h"
#include "cli/items.h"

struct upload {
    struct cli *cli;
    struct items *items; /* borrowed */
    /* Members of POST /v1/batches but `items` and `open`, without braces; borrowed. Absent: the
     * batch exists. */
    struct slice members;
    char batch[37];    /* its id, once it exists */
    bool leaves_open;  /* more will come from elsewhere */
    struct buf chunk;  /* JSON values, each followed by a comma */
    uint32_t n;        /* of the chunk */
    int64_t sent;      /* items that the service has taken */
    bool at_end, over; /* no more items come; everything is said */
    bool refused;      /* the service takes no more: the batch was halted or cancelled */
    /* Called for each item, or NULL. */
    bool (*on_item)(void *owner, struct slice item, struct err *err);
    void *owner;
};
void upload_init(struct upload *upload, struct cli *cli, struct items *items);
void upload_release(struct upload *upload);

/* Takes what items are here without waiting, and sends them when there is enough or nothing more is
 * here. *ret_wants: there is room, but no item; the descriptor of the items is worth watching. */
MUST_CHECK bool upload_step(struct upload *upload, bool *ret_wants, struct err *err);

#endif
