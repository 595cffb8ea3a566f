/* SPDX-License-Identifier: MIT */
#include "storage/items.h"

#include "storage/batches.h"
#include "storage/store_impl.h"

#define LONG_ITEM 1000    /* bytes: it has a row of its own */
#define ITEMS_IN_A_ROW 64 /* at most: so many are looked at when one of them expires */
#define ROW_BYTES 3500    /* a page holds them */
_Static_assert(LONG_ITEM + sizeof(uint32_t) <= ROW_BYTES, "one that is not long has room");

/* ---- the form of a row: where each item ends, behind the first one's beginning; all items ---- */

struct item_row item_row_of(sqlite3_stmt *get)
{
    return (struct item_row){sqlite3_column_int64(get, 1), sqlite3_column_int64(get, 2),
                             column_slice(get, 0)};
}

static size_t end_of(const struct item_row *row, int64_t i)
{
    uint32_t end = 0;

    if (i >= 0)
        memcpy(&end, row->bytes.ptr + (size_t)i * sizeof(end), sizeof(end));
    return end;
}

bool item_row_find(const struct item_row *row, int64_t no, struct slice *ret)
{
    const int64_t i = no - row->first_no;

    if (row->bytes.ptr == NULL || i < 0 || i >= row->n ||
        (size_t)row->n > row->bytes.len / sizeof(uint32_t))
        return false;
    const size_t head = (size_t)row->n * sizeof(uint32_t);
    const size_t begin = end_of(row, i - 1), end = end_of(row, i);
    if (begin > end || end > row->bytes.len - head)
        return false; /* damaged: as if it was gone */
    *ret = (struct slice){row->bytes.ptr + head + begin, end - begin};
    return true;
}

/* ---- writing ---- */

static bool put_one(struct store *store, int64_t no, struct slice item, struct err *err)
{
    sqlite3_stmt *put = store_stmt(store, SQL_ITEM_OWN);

    bind_i64(put, 1, no);
    bind_blob(put, 2, item);
    return store_run(store, put, err);
}

/* How many of the next ones have a row together; 0: the first one is long. */
static size_t fit(const struct element_new *elements, size_t n)
{
    size_t bytes = 0, i;

    for (i = 0; i < n && i < ITEMS_IN_A_ROW && elements[i].item.len <= LONG_ITEM; i++) {
        bytes += sizeof(uint32_t) + elements[i].item.len;
        if (bytes > ROW_BYTES)
            break;
    }
    return i;
}

static bool put_row(struct store *store, int64_t first_no, const struct element_new *elements,
                    size_t n, struct err *err)
{
    sqlite3_stmt *put = store_stmt(store, SQL_ITEMS_PUT);
    char bytes[ROW_BYTES];
    const size_t head = n * sizeof(uint32_t);
    uint32_t end = 0;

    for (size_t i = 0; i < n; i++) {
        const struct slice item = elements[i].item;

        memcpy(bytes + head + end, item.ptr, item.len);
        end += (uint32_t)item.len;
        memcpy(bytes + i * sizeof(end), &end, sizeof(end));
    }
    bind_i64(put, 1, first_no);
    bind_i64(put, 2, (int64_t)n);
    bind_blob(put, 3, (struct slice){bytes, head + end});
    return store_run(store, put, err);
}

bool items_put(struct store *store, int64_t first_no, const struct element_new *elements, size_t n,
               struct err *err)
{
    for (size_t done = 0; done < n;) {
        const size_t together = fit(&elements[done], n - done);
        const int64_t no = first_no + (int64_t)done;

        if (!(together == 0 ? put_one(store, no, elements[done].item, err)
                            : put_row(store, no, &elements[done], together, err)))
            return false;
        done += MAX(together, (size_t)1);
    }
    return true;
}

bool item_expire(struct store *store, int64_t no, struct err *err)
{
    return store_run_no(store, SQL_ITEMS_EXPIRE, no, err);
}

/* ---- reading ---- */

bool item_read(const struct db *db, sqlite3_stmt *get, int64_t no, struct slice *ret,
               struct err *err)
{
    bool found;

    *ret = (struct slice){NULL, 0};
    bind_i64(get, 1, no);
    if (!db_next(db, get, &found, err))
        return false;
    if (!found)
        return true;
    const struct item_row row = item_row_of(get);
    if (row.n == 0)
        *ret = row.bytes; /* its own */
    else
        (void)item_row_find(&row, no, ret);
    return true;
}
