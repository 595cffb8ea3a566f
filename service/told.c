/* SPDX-License-Identifier: MIT */
#include "service/told.h"

static void keep(struct told_end *told, struct slice *bytes, size_t *len)
{
    if (bytes->ptr == NULL)
        return;
    bytes->ptr = memcpy(told->bytes + *len, bytes->ptr, bytes->len);
    *len += bytes->len;
}

bool told_set(struct told_end *told, const struct result_row *row)
{
    size_t len = 0;
    told->is_there = !row->is_spooled && !row->is_expired && row->error_detail.ptr == NULL &&
                     row->stdout_inline.len <= TOLD_BYTES &&
                     row->value_inline.len <= TOLD_BYTES - row->stdout_inline.len;
    if (!told->is_there)
        return false;
    told->row = *row;
    keep(told, &told->row.stdout_inline, &len);
    keep(told, &told->row.value_inline, &len);
    return true;
}
