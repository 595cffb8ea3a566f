/* SPDX-License-Identifier: MIT */
/* How the elements of a batch are born: many by one statement, since most of what a statement costs
 * does not depend on how many rows it writes. */
#include "storage/batches.h"

#include "storage/items.h"
#include "storage/store_impl.h"

/* How many of n are written by one statement. */
static size_t at_once(size_t n)
{
    return n >= ELEMENTS_AT_ONCE    ? ELEMENTS_AT_ONCE
           : n >= ELEMENTS_AT_LEAST ? ELEMENTS_AT_LEAST
                                    : 1;
}

static sqlite3_stmt *rows_bind(struct store *store, const struct row *row,
                               const struct element_new *elements, size_t n)
{
    sqlite3_stmt *insert = store_stmt(store, n == ELEMENTS_AT_ONCE ? SQL_ROWS_INSERT_MANY
                                                                   : SQL_ROWS_INSERT);

    row_bind_born(store, insert, row);
    for (size_t i = 0; i < n; i++)
        row_bind_salt(insert, ROW_BORN_OWN + (int)i, elements[i].salt);
    return insert;
}

/* What a birth brings with it beside row and item, of the newest one. */
static bool note_birth(struct store *store, const struct row *row, struct slice item,
                       struct err *err)
{
    spec_keep(&store->specs, row->no, &(struct spec_texts){.task = item});
    store->newest = (struct newest){row->no, row->created_us};
    return batch_append(store, row->batch, row->no, err);
}

/* `row` is that of the first one; afterwards, that of the next. */
static bool insert_some(struct store *store, struct row *row, const struct element_new *elements,
                        size_t n, struct err *err)
{
    if (!store_run(store, rows_bind(store, row, elements, n), err))
        return false;
    for (size_t i = 0; i < n; i++, row->no++, row->idx++) {
        row->salt = elements[i].salt;
        if (!row_born(store, row, err) || !note_birth(store, row, elements[i].item, err))
            return false;
    }
    return true;
}

static bool insert_one(struct store *store, struct row *row, const struct element_new *element,
                       struct err *err)
{
    row->salt = element->salt;
    if (!queue_has_room(store, row->queue, err) || !row_insert(store, row, err) ||
        !note_birth(store, row, element->item, err))
        return false;
    row->no++;
    row->idx++;
    return true;
}

bool batch_insert_elements(struct store *store, const struct job_new *like,
                           const struct element_new *elements, size_t n, struct err *err)
{
    struct row row;
    size_t done = 0;

    PRE(like->batch != 0 && (like->flags & JOB_ITEM) != 0 && like->ukey.ptr == NULL);

    if (!job_row_new(store, like, &row, err))
        return false;
    const int64_t first_no = row.no;
    /* Where the queue has a limit, each is asked whether there is room for it. */
    const bool has_limit = counts_state(&store->counts, row.queue)->settings.max_length > 0;
    for (size_t together; done < n; done += together) {
        together = has_limit ? 1 : at_once(n - done);
        if (!(together == 1 ? insert_one(store, &row, &elements[done], err)
                            : insert_some(store, &row, &elements[done], together, err)))
            return false;
    }
    return items_put(store, first_no, elements, n, err);
}
