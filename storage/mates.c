/* SPDX-License-Identifier: MIT */
/* Who may run behind the head of a chunk. The rows come as arguments of an aggregate function, all
 * in one step of its statement: to be asked for them one by one, and column by column, costs as
 * much as to find them. */
#include "storage/batches.h"
#include "storage/items.h"
#include "storage/store_impl.h"

/* What one statement gathers. */
struct boarding {
    const struct job_row *head;
    struct mate_list *list;
};

/* The arguments, in the order of the statement. */
enum { A_NO, A_SALT, A_CREATED, A_VERSION, A_KEEP, A_TERMS, A_FLAGS };
enum { N_ARGUMENTS = A_FLAGS + 1 };

/* False: its row is damaged, which it says when it is started alone. */
static bool mate_read(sqlite3_value **values, const struct job_row *head, struct job_row *ret)
{
    const struct slice terms = value_slice(values[A_TERMS]);
    struct row row = {.created_us = sqlite3_value_int64(values[A_CREATED])};

    if (!row_unpack_terms(terms, &row))
        return false;
    *ret = *head;
    ret->no = sqlite3_value_int64(values[A_NO]);
    ret->idx = head->idx + (ret->no - head->no);
    ret->created_us = row.created_us;
    ret->id = (struct job_id){(uint64_t)ret->created_us / 1000, ret->no,
                              (uint32_t)sqlite3_value_int(values[A_SALT])};
    ret->state = JOB_BLOCKED;
    ret->version = sqlite3_value_int64(values[A_VERSION]);
    ret->max_attempts = row.max_attempts;
    ret->keep_us = sqlite3_value_int64(values[A_KEEP]);
    ret->deadline_us = row.deadline_us;
    ret->started_us = 0;
    ret->flags = (uint32_t)sqlite3_value_int64(values[A_FLAGS]);
    return true;
}

static void take(sqlite3_context *context, int argc, sqlite3_value **argv)
{
    struct boarding *boarding = ((struct store *)sqlite3_user_data(context))->boarding;
    struct mate_list *list = boarding->list;
    struct job_row *row = &list->mates[list->n].row;

    PRE(argc == N_ARGUMENTS && list->n < list->max);

    if (!mate_read(argv, boarding->head, row))
        return;
    PRE(row->no > (list->n == 0 ? boarding->head->no : list->mates[list->n - 1].row.no));
    list->n++;
}

static void finish(sqlite3_context *context)
{
    sqlite3_result_null(context);
}

bool mates_open(struct store *store, struct err *err)
{
    const int rc = sqlite3_create_function_v2(store->db.handle, "board", N_ARGUMENTS,
                                              SQLITE_UTF8 | SQLITE_DIRECTONLY, store, NULL, take,
                                              finish, NULL);

    return rc == SQLITE_OK || db_fail(&store->db, rc, "create a function", err);
}

/* Those whose items are there and have room. */
static bool items_read(struct store *store, struct mate_list *list, struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = store_stmt(store, SQL_ITEM_GET);
    struct item_row row = {0};
    size_t left = list->max_bytes, n = list->n;

    for (list->n = 0; list->n < n; list->n++) {
        struct mate *mate = &list->mates[list->n];
        struct slice item = {NULL, 0};

        if (!item_row_find(&row, mate->row.no, &item)) {
            (void)sqlite3_reset(get);
            if (!item_read(&store->db, get, mate->row.no, &item, err))
                return false;
            row = item.ptr != NULL ? item_row_of(get) : (struct item_row){0};
        }
        /* Its payload is gone, which it says when it is started alone; or it has no room. */
        if (item.ptr == NULL || item.len > left)
            return true;
        left -= item.len;
        mate->item = (struct slice){arena_dup(list->arena, item), item.len};
        if (mate->item.ptr == NULL)
            return true; /* as many as there is room for */
    }
    return true;
}

bool batch_mates(struct store *store, const struct job_row *head, int64_t end,
                 struct mate_list *ret, struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = store_stmt(store, SQL_BATCH_MATES);
    struct boarding boarding = {.head = head, .list = ret};
    bool found;

    bind_i64(get, 1, head->no);
    bind_i64(get, 2, head->no + MIN(end - head->idx, (int64_t)ret->max + 1));
    bind_i64(get, 3, ~(int64_t)(JOB_ITEM | JOB_PARENT | JOB_CHUNKED)); /* gated, and no other */
    bind_i64(get, 4, head->batch);
    bind_i64(get, 5, head->queue);
    bind_i64(get, 6, head->priority);
    bind_i64(get, 7, head->attempt);
    bind_i64(get, 8, head->no - head->idx);
    ret->n = 0;
    store->boarding = &boarding;
    const bool ok = db_next(&store->db, get, &found, err);
    store->boarding = NULL;
    return ok && items_read(store, ret, err);
}
