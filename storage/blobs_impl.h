/* SPDX-License-Identifier: MIT */
#ifndef GANGER_STORAGE_BLOBS_IMPL_H
#define GANGER_STORAGE_BLOBS_IMPL_H

#include "service/base/blob.h"

#include <sqlite3.h>

/* From a statement that stands on a row of TEXT_BLOB; a damaged one is STORAGE. */
MUST_CHECK bool blob_read(sqlite3_stmt *stmt, struct blob *ret, struct err *err);

#endif
