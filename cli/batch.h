/* SPDX-License-Identifier: MIT */
/* What the client needs of a batch. */
#ifndef GANGER_CLI_BATCH_H
#define GANGER_CLI_BATCH_H

#include "cli/cli.h"
#include "cli/client.h"
#include "cli/json.h"

struct json_batch {
    struct slice raw; /* the validated object; borrowed */
    char id[37];
    char state[16]; /* running, succeeded, failed, cancelled */
    bool done;
    int64_t total, n_done;
    int64_t succeeded, failed, cancelled;
};
/* From an object inside text that was validated already. */
MUST_CHECK bool json_take_batch(struct slice object, struct json_batch *ret, struct err *err);
/* The whole of an answer. */
MUST_CHECK bool json_read_batch(struct slice text, struct json_batch *ret, struct err *err);

/* "succeeded, 10 of 10", "running, 3 of 10, 1 failed" */
void outcome_put_batch(const struct json_batch *batch, struct buf *out);

/* Asks to cancel what is left. Repeating it is harmless. */
MUST_CHECK bool ask_batch_cancel(struct cli *cli, const char *id, struct err *err);
/* Says that no more items come. Repeating it is harmless. */
MUST_CHECK bool ask_batch_close(struct cli *cli, const char *id, struct err *err);

#endif
