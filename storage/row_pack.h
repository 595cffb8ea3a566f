/* SPDX-License-Identifier: MIT */
/* Numbers of a row that no statement looks at, together in one column: SQLite walks all columns of
 * a row, and copies or makes each of them, for every start and end. */
#ifndef GANGER_STORAGE_ROW_PACK_H
#define GANGER_STORAGE_ROW_PACK_H

#include "service/base/wire.h"
#include "storage/row.h"

/* Which numbers are not 0 (16 bits, the lowest first), and those (wire.h). Nothing: all are 0. */
#define MAX_PACKED 16
struct packed {
    uint8_t len;
    char bytes[2 + MAX_PACKED * WIRE_NUMBER_MAX];
};

/* Absent when all numbers are 0; points into `packed`. */
struct slice packed_slice(const struct packed *packed);

/* jobs.terms: what was asked for, beside what statements look at. Times count from created_us. */
void row_pack_terms(const struct row *row, struct packed *ret);
/* jobs.ran: when it was queued, and all that is known of its last attempt, but for output_flags. A
 * time counts from the one before it, the first one from created_us. */
void row_pack_ran(const struct row *row, struct packed *ret);
/* The other way; `row` has its created_us. False: the bytes are damaged. */
MUST_CHECK bool row_unpack_terms(struct slice bytes, struct row *row);
MUST_CHECK bool row_unpack_ran(struct slice bytes, struct row *row);

/* The SQL functions ended(ran, created_us, finished_us): ran of a job that has ended without an
 * attempt more; and expiry(ran, created_us, keep_us): when its result goes. */
MUST_CHECK bool row_pack_open(struct store *store, struct err *err);
/* The SQL functions that schema_2.sql needs: each makes a column out of those that it has replaced.
 */
MUST_CHECK bool row_pack_migrates(sqlite3 *handle);

#endif
