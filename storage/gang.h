/* SPDX-License-Identifier: MIT */
/* The rows of a pipeline's stages, which begin together or not at all. Owner: the engine thread.
 * Errors as in jobs.h.
 *
 * The first stage stands for all of them in the ready order: it is `queued` while the others are
 * `blocked`. They follow it in the transaction in which all are claimed, so none of them is ever
 * offered alone. */
#ifndef GANGER_STORAGE_GANG_H
#define GANGER_STORAGE_GANG_H

#include "storage/batches.h"

/* Stage i is job first_no + i: they are born in one transaction. */
struct gang {
    int64_t batch, first_no;
    uint32_t n;
};
MUST_CHECK bool gang_get(struct store *store, int64_t batch, struct gang *ret, struct err *err);
/* Whether the first stage is `queued` and all others wait for it alone. */
MUST_CHECK bool gang_is_ready(struct store *store, const struct gang *gang, bool *ret,
                              struct err *err);
/* A stage but the first: BLOCKED → QUEUED, just before it is claimed with the others. */
MUST_CHECK bool gang_let_in(struct store *store, int64_t no, int64_t now_us, struct err *err);
/* A stage but the first: QUEUED → BLOCKED, when the pipeline waits again. */
MUST_CHECK bool gang_put_back(struct store *store, int64_t no, struct err *err);

#endif
