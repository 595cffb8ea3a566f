/* SPDX-License-Identifier: MIT */
#include "storage/gang.h"

#include "storage/store_impl.h"

bool gang_get(struct store *store, int64_t batch, struct gang *ret, struct err *err)
{
    const struct batch *b;
    struct batch_part part;

    if (!batch_get_by_no(store, batch, &b, err))
        return false;
    *ret = (struct gang){.batch = batch, .n = (uint32_t)b->n};
    if (!batch_part_at(store, batch, 0, &part, err))
        return false;
    ret->first_no = part.first_no;
    return part.n == ret->n ||
           err_set(err, ERR_INTERNAL, "The stages of pipeline %lld are damaged.", (long long)batch);
}

bool gang_is_ready(struct store *store, const struct gang *gang, bool *ret, struct err *err)
{
    *ret = true;
    for (uint32_t i = 0; i < gang->n && *ret; i++) {
        struct row row;

        if (!row_load(store, gang->first_no + i, &row, err))
            return false;
        *ret = i == 0 ? row.state == JOB_QUEUED
                      : row.state == JOB_BLOCKED && (row.flags & JOB_WAITS) == 0;
    }
    return true;
}

bool gang_let_in(struct store *store, int64_t no, int64_t now_us, struct err *err)
{
    struct row row;

    if (!row_load(store, no, &row, err))
        return false;
    row.queued_us = now_us;
    return row_move(store, &row, JOB_QUEUED, err);
}

bool gang_put_back(struct store *store, int64_t no, struct err *err)
{
    struct row row;

    if (!row_load(store, no, &row, err))
        return false;
    row.queued_us = 0;
    return row_move(store, &row, JOB_BLOCKED, err) &&
           row_set_flags(store, &row, row.flags | JOB_GATED, err);
}
