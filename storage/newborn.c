/* SPDX-License-Identifier: MIT */
/* The row that waits to be written: see struct newborn. */
#include "storage/row.h"
#include "storage/store_impl.h"

/* Nobody waits any more: its statement must not settle it once more. */
static struct row take(struct store *store)
{
    const struct row row = store->newborn.row;

    store->newborn.row.no = 0;
    return row;
}

bool newborn_write(struct store *store, struct err *err)
{
    struct row row;

    if (store->newborn.row.no == 0)
        return true;
    row = take(store);
    return row_write_born(store, &row, err);
}

bool newborn_keep(struct store *store, const struct row *row, struct err *err)
{
    PRE(newborn_may_wait(row) && store_in_transaction(store));

    if (!newborn_write(store, err))
        return false;
    store->newborn.row = *row;
    return true;
}

bool newborn_begin(struct store *store, const struct row *begun, struct err *err)
{
    sqlite3_stmt *insert;

    PRE(newborn_is(store, begun->no) && begun->state == JOB_RUNNING);

    (void)take(store);
    insert = store_stmt(store, SQL_ROW_BEGUN);
    row_bind_born(store, insert, begun);
    row_bind_salt(insert, ROW_BORN_OWN, begun->salt);
    bind_i64(insert, ROW_BORN_OWN + 1, begun->version);
    bind_i64(insert, ROW_BORN_OWN + 2, begun->attempt);
    row_bind_ran(store, insert, ROW_BORN_OWN + 3, begun);
    return store_run(store, insert, err);
}

/* What does not look at `jobs`, of that which comes between the birth and the start of a job at
 * rest; and what takes it back anyway. */
static bool is_indifferent(enum writer_sql which)
{
    return which == SQL_SPEC_INSERT || which == SQL_INFLIGHT_PUT || which == SQL_QUEUE_COUNTS ||
           which == SQL_QUEUE_NAME || which == SQL_QUEUE_LEDGER || which == SQL_ROLLBACK ||
           which == SQL_UNDO;
}

void newborn_settle(struct store *store, enum writer_sql which)
{
    struct err err;

    if (!is_indifferent(which) && !newborn_write(store, &err))
        store->poisoned = true;
}
