/* SPDX-License-Identifier: MIT */
/* The inside of struct reader, for reader.c, list.c and reader_*.c. */
#ifndef GANGER_STORAGE_READER_IMPL_H
#define GANGER_STORAGE_READER_IMPL_H

#include "storage/db.h"
#include "storage/reader.h"
#include "storage/row.h"
#include "storage/sql.h"

struct reader {
    struct db db;
};

static inline sqlite3_stmt *reader_stmt(const struct reader *reader, enum reader_sql which)
{
    return db_stmt(&reader->db, which);
}

/* Fills a view from a row and its side tables. To be called while the statement that gave the row
 * is still open: that holds the snapshot, so all parts are of the same commit. */
MUST_CHECK bool reader_fill(struct reader *reader, const struct row *row, struct arena *a,
                            struct job_view *ret, struct err *err);
bool reader_no_room(struct err *err);
/* A column's copy in the arena; NULL stays absent. False when the arena is full. */
MUST_CHECK bool reader_keep(sqlite3_stmt *stmt, int column, struct arena *a, struct slice *ret);
/* reader_batch.c: the batch's name becomes that of its element `row`, which is made from an item.
 */
MUST_CHECK bool reader_item_name(struct reader *reader, const struct row *row, struct arena *a,
                                 struct slice *name, struct err *err);

#endif
