/* SPDX-License-Identifier: MIT */
/* A batch → JSON, as clients see it. */
#ifndef GANGER_API_VIEW_BATCH_H
#define GANGER_API_VIEW_BATCH_H

#include "service/base/batch.h"

/* The whole batch, without a line break behind it. */
void view_write_batch(const struct batch_view *view, struct buf *out);

#endif
