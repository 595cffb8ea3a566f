/* SPDX-License-Identifier: MIT */
/* How one job of many went → JSON on one line: an item of a stream of results. */
#ifndef GANGER_API_ITEM_H
#define GANGER_API_ITEM_H

#include "service/query.h"

/* {"seq","index","id","state","stdout_bytes","stderr_bytes","value"}, or with
 * "reason","exit_code","error" instead of a value. A value that is too large to be carried is null,
 * and "result" says where it is. */
void item_write(struct query *query, const struct result_row *row, struct buf *out);
/* The same of a batch that is over, or of a job that was forgotten meanwhile: no value. */
struct item_place {
    int64_t seq, index;
};
void item_write_batch(const struct item_place *place, const struct job_id *id, enum job_state state,
                      struct buf *out);
void item_write_gone(const struct item_place *place, const struct job_id *id, struct buf *out);

/* UTF-8 without NUL, which our own rules for JSON refuse. */
bool item_is_text(struct slice bytes);

#endif
