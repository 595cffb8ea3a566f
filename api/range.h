/* SPDX-License-Identifier: MIT */
/* One byte range (RFC 9110, section 14): a single part or nothing; several parts are not served. */
#ifndef GANGER_API_RANGE_H
#define GANGER_API_RANGE_H

#include "service/base/util.h"

enum range_kind {
    RANGE_ALL, /* no range, or one that may be ignored: send everything */
    RANGE_PART,
    RANGE_OUTSIDE /* 416 */
};
struct range {
    enum range_kind kind;
    uint64_t first, len; /* of what is to be sent; len 0 when kind is OUTSIDE */
};
/* `header` absent: ptr == NULL. `total`: bytes that there are. */
struct range range_parse(struct slice header, uint64_t total);

#endif
