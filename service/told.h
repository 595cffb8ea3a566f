/* SPDX-License-Identifier: MIT */
/* An end on its way from the engine to a stream that follows the batch. A read after a commit costs
 * more than all else between the two: the reader's pages are outdated and have to be fetched anew.
 * So whoever has seen all ends but the newest is handed that one, if it is small; everybody else
 * reads, and so does this stream before it waits again. */
#ifndef GANGER_SERVICE_TOLD_H
#define GANGER_SERVICE_TOLD_H

#include "service/base/result.h"

#define TOLD_BYTES 512 /* of its value, or its standard output */

/* Of a stream; the engine's while that is parked. */
struct told_end {
    bool is_there;
    struct result_row row; /* in the order of ends; its bytes are below */
    char bytes[TOLD_BYTES];
};

/* False: it is too long, or what it says is elsewhere. */
MUST_CHECK bool told_set(struct told_end *told, const struct result_row *row);

#endif
