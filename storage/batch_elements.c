/* SPDX-License-Identifier: MIT */
/* How the elements of a batch are born: many by one statement, since most of what a statement costs
 * does not depend on how many rows it writes. */
#include "storage/batches.h"

#include "storage/store_impl.h"

static sqlite3_stmt *rows_bind(struct store *store, const struct row *row,
                               const struct element_new *elements)
{
    sqlite3_stmt *insert = store_stmt(store, SQL_ROWS_INSERT);

    row_bind_born(insert, row);
    for (int i = 0; i < ELEMENTS_AT_ONCE; i++)
        row_bind_salt(insert, ROW_BORN_OWN + i, elements[i].salt);
    return insert;
}

static sqlite3_stmt *specs_bind(struct store *store, const struct row *row,
                                const struct element_new *elements)
{
    sqlite3_stmt *insert = store_stmt(store, SQL_SPECS_INSERT);

    bind_i64(insert, 1, row->no);
    for (int i = 0; i < ELEMENTS_AT_ONCE; i++)
        bind_blob(insert, ROW_BORN_OWN + i, elements[i].item);
    return insert;
}

/* `row` is the first of them. */
static bool insert_some(struct store *store, const struct row *first,
                        const struct element_new *elements, struct err *err)
{
    struct row row = *first;

    if (!store_run(store, rows_bind(store, &row, elements), err) ||
        !store_run(store, specs_bind(store, &row, elements), err))
        return false;
    for (size_t i = 0; i < ELEMENTS_AT_ONCE; i++, row.no++, row.idx++) {
        row.salt = elements[i].salt;
        spec_keep(&store->specs, row.no, &(struct spec_texts){.task = elements[i].item});
        if (!row_born(store, &row, err) || !batch_append(store, row.batch, row.no, err))
            return false;
    }
    store->newest = (struct newest){row.no - 1, row.created_us};
    return true;
}

bool batch_insert_elements(struct store *store, const struct job_new *like,
                           const struct element_new *elements, size_t n, struct err *err)
{
    struct job_new job = *like;
    struct job_id ignored;
    struct row row;
    size_t done = 0;

    PRE(like->batch != 0 && (like->flags & JOB_ITEM) != 0 && like->ukey.ptr == NULL);

    if (!job_row_new(store, like, &row, err))
        return false;
    /* Where the queue has a limit, each is asked whether there is room for it. */
    if (counts_state(&store->counts, row.queue)->settings.max_length == 0)
        for (; n - done >= ELEMENTS_AT_ONCE; done += ELEMENTS_AT_ONCE) {
            if (!insert_some(store, &row, &elements[done], err))
                return false;
            row.no += ELEMENTS_AT_ONCE;
            row.idx += ELEMENTS_AT_ONCE;
        }
    for (; done < n; done++) {
        job.idx = like->idx + (int64_t)done;
        job.task = elements[done].item;
        job.salt = elements[done].salt;
        if (!jobs_insert(store, &job, &ignored, err))
            return false;
    }
    return true;
}
