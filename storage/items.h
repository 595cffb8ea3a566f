/* SPDX-License-Identifier: MIT */
/* Items of elements that were born together lie many in one row of `items`, as a row costs more
 * than what most of them hold; a long one, or one that was born alone, is specs.task. They go with
 * the payload of the last of them, and nothing reads that of one whose payload has expired. Owner:
 * the engine thread's store; item_read alone is used by readers too. */
#ifndef GANGER_STORAGE_ITEMS_H
#define GANGER_STORAGE_ITEMS_H

#include "storage/db.h"

struct element_new;
struct store;

/* Those of the jobs first_no, first_no + 1 ... */
MUST_CHECK bool items_put(struct store *store, int64_t first_no, const struct element_new *elements,
                          size_t n, struct err *err);
/* That of job `no`, from the statement TEXT_ITEM with it as its parameter; ptr NULL: there is none,
 * or none any more. Good until the statement, which stands on its row, moves on. */
MUST_CHECK bool item_read(const struct db *db, sqlite3_stmt *get, int64_t no, struct slice *ret,
                          struct err *err);
/* The payload of job `no`, whose row says so or is gone, goes. */
MUST_CHECK bool item_expire(struct store *store, int64_t no, struct err *err);

/* One row, for who reads what several elements of it have; n = 0: none. */
struct item_row {
    int64_t first_no, n;
    struct slice bytes;
};
/* False: `no` is not in it. */
bool item_row_find(const struct item_row *row, int64_t no, struct slice *ret);
/* From the statement, which stands on it. */
struct item_row item_row_of(sqlite3_stmt *get);

#endif
