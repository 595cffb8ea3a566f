/* SPDX-License-Identifier: MIT */
/* The API as OpenAPI 3.1: paths from the route table, schemas from schema.json (embedded at build
 * time). */
#ifndef GANGER_API_OPENAPI_H
#define GANGER_API_OPENAPI_H

#include "service/base/buf.h"

/* Made for who asks: few do, and it is 100 KB. */
void openapi_write(struct buf *out);

#endif
