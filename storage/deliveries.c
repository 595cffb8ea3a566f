/* SPDX-License-Identifier: MIT */
#include "storage/deliveries.h"

#include "storage/reader_impl.h"
#include "storage/store_impl.h"

/* ---- writing ---- */

bool callback_insert(struct store *store, int64_t no, const struct job_spec *spec, struct err *err)
{
    sqlite3_stmt *insert = store_stmt(store, SQL_CALLBACK_INSERT);

    PRE(spec->callback_url.ptr != NULL && spec->callback_receiver.ptr != NULL);

    bind_i64(insert, 1, no);
    bind_text(insert, 2, spec->callback_url);
    bind_text(insert, 3, spec->callback_receiver);
    bind_i64(insert, 4, spec->callback_states);
    return store_run(store, insert, err);
}

bool callback_forget(struct store *store, int64_t no, struct err *err)
{
    if (!store_run_no(store, SQL_DELIVERIES_DROP, no, err))
        return false;
    store->deliveries -= sqlite3_changes64(store->db.handle);
    return store_run_no(store, SQL_TRIES_DELETE, no, err) &&
           store_run_no(store, SQL_CALLBACK_DELETE, no, err);
}

bool delivery_insert(struct store *store, const struct job_change *end, int64_t now_us,
                     bool *ret_made, struct err *err)
{
    sqlite3_stmt *insert = store_stmt(store, SQL_DELIVERY_INSERT);

    PRE(job_change_is_end(end));

    bind_i64(insert, 1, end->no);
    bind_i64(insert, 2, end->is_batch);
    bind_i64(insert, 3, (int64_t)end->to);
    bind_i64(insert, 4, end->version);
    bind_i64(insert, 5, now_us);
    if (!store_run(store, insert, err))
        return false;
    *ret_made = sqlite3_changes64(store->db.handle) == 1;
    store->deliveries += *ret_made ? 1 : 0;
    return true;
}

static bool try_insert(struct store *store, const struct delivery_try *try, struct err *err)
{
    sqlite3_stmt *insert = store_stmt(store, SQL_TRY_INSERT);

    bind_i64(insert, 1, try->no);
    bind_i64(insert, 2, try->at_us);
    bind_i64(insert, 3, try->took_us);
    bind_i64(insert, 4, try->http_status);
    bind_i64(insert, 5, (int64_t)try->outcome);
    bind_text(insert, 6, slice_of(try->error));
    return store_run(store, insert, err);
}

bool delivery_record(struct store *store, const struct delivery_try *try, struct err *err)
{
    bool again = try->outcome == TRY_FAILED;
    sqlite3_stmt *change = store_stmt(store, again ? SQL_DELIVERY_AGAIN : SQL_DELIVERY_DELETE);

    bind_i64(change, 1, try->id);
    if (again)
        bind_i64(change, 2, try->again_us);
    if (!store_run(store, change, err))
        return false;
    if (sqlite3_changes64(store->db.handle) == 0)
        return true;
    store->deliveries -= again ? 0 : 1;
    return try_insert(store, try, err);
}

int64_t store_deliveries(const struct store *store)
{
    return store->deliveries;
}

/* ---- reading ---- */

bool reader_receiver(struct reader *reader, const char *after, char ret[CALLBACK_MAX_RECEIVER],
                     bool *ret_found, struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = reader_stmt(reader, SQL_READ_RECEIVER);
    struct slice receiver;

    bind_text(get, 1, slice_of(after));
    if (!db_next(&reader->db, get, ret_found, err))
        return false;
    if (!*ret_found)
        return true;
    receiver = column_slice(get, 0);
    if (receiver.len >= CALLBACK_MAX_RECEIVER)
        return err_set(err, ERR_STORAGE, "The store holds a callback with an impossible receiver.");
    memcpy(ret, receiver.ptr, receiver.len);
    ret[receiver.len] = '\0';
    return true;
}

static bool delivery_read(sqlite3_stmt *row, struct delivery *ret, struct err *err)
{
    *ret = (struct delivery){
        .id = sqlite3_column_int64(row, 0),
        .no = sqlite3_column_int64(row, 1),
        .is_batch = sqlite3_column_int(row, 2) != 0,
        .state = (enum job_state)sqlite3_column_int(row, 3),
        .version = sqlite3_column_int64(row, 4),
        .tries = (uint32_t)sqlite3_column_int64(row, 5),
        .created_us = sqlite3_column_int64(row, 6),
    };
    if ((unsigned)ret->state < JOB_STATE_COUNT && job_state_is_end(ret->state))
        return true;
    return err_set(err, ERR_STORAGE, "The stored callback of %lld is damaged.", (long long)ret->no);
}

bool reader_line(struct reader *reader, struct delivery_line *line, struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = reader_stmt(reader, SQL_READ_LINE);
    bool found;

    line->n = 0;
    bind_text(get, 1, slice_of(line->receiver));
    bind_i64(get, 2, line->now_us);
    bind_i64(get, 3, (int64_t)line->max);
    while (line->n < line->max) {
        if (!db_next(&reader->db, get, &found, err))
            return false;
        if (!found)
            return true;
        if (!delivery_read(get, &line->items[line->n], err))
            return false;
        line->n++;
    }
    return true;
}

bool reader_next_due(struct reader *reader, int64_t now_us, int64_t *ret_due_us, struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = reader_stmt(reader, SQL_READ_NEXT_DUE);
    bool found;

    bind_i64(get, 1, now_us);
    if (!db_next(&reader->db, get, &found, err))
        return false;
    *ret_due_us = found ? sqlite3_column_int64(get, 0) : INT64_MAX;
    return true;
}

bool reader_callback_url(struct reader *reader, int64_t no, struct arena *a, const char **ret,
                         struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = reader_stmt(reader, SQL_READ_URL);
    bool found;

    bind_i64(get, 1, no);
    if (!db_next(&reader->db, get, &found, err))
        return false;
    if (!found)
        return err_set(err, ERR_NOT_FOUND, "There is no such callback.");
    *ret = arena_dup(a, column_slice(get, 0));
    return *ret != NULL ? true : reader_no_room(err);
}

static bool pending_fill(struct reader *reader, int64_t no, struct callback_view *view,
                         struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = reader_stmt(reader, SQL_READ_PENDING);

    bind_i64(get, 1, no);
    return db_next(&reader->db, get, &view->is_pending, err);
}

static enum try_outcome outcome_read(sqlite3_stmt *row, int column)
{
    int outcome = sqlite3_column_int(row, column);

    return outcome >= 0 && outcome < TRY_OUTCOME_COUNT ? (enum try_outcome)outcome : TRY_FAILED;
}

static bool last_try_fill(struct reader *reader, int64_t no, struct callback_view *view,
                          struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = reader_stmt(reader, SQL_READ_LAST_TRY);

    bind_i64(get, 1, no);
    if (!db_next(&reader->db, get, &view->has_tried, err))
        return false;
    if (!view->has_tried)
        return true;
    view->tries = sqlite3_column_int64(get, 0);
    view->http_status = sqlite3_column_int(get, 1);
    view->outcome = outcome_read(get, 2);
    return true;
}

bool reader_callback(struct reader *reader, int64_t no, struct arena *a, struct callback_view **ret,
                     struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = reader_stmt(reader, SQL_READ_CALLBACK);
    struct callback_view *view;
    bool found;

    *ret = NULL;
    bind_i64(get, 1, no);
    if (!db_next(&reader->db, get, &found, err))
        return false;
    if (!found)
        return true;
    view = arena_alloc(a, sizeof(*view));
    if (view == NULL)
        return reader_no_room(err);
    view->receiver = arena_dup(a, column_slice(get, 0));
    view->states = (uint32_t)sqlite3_column_int64(get, 1);
    if (view->receiver == NULL)
        return reader_no_room(err);
    *ret = view;
    return pending_fill(reader, no, view, err) && last_try_fill(reader, no, view, err);
}

static bool try_read(sqlite3_stmt *row, struct arena *a, struct callback_try *ret, struct err *err)
{
    struct slice error = column_slice(row, 5);

    *ret = (struct callback_try){
        .seq = sqlite3_column_int64(row, 0),
        .at_us = sqlite3_column_int64(row, 1),
        .took_us = sqlite3_column_int64(row, 2),
        .http_status = sqlite3_column_int(row, 3),
        .outcome = outcome_read(row, 4),
        .error = error.ptr == NULL ? NULL : arena_dup(a, error),
    };
    return error.ptr == NULL || ret->error != NULL ? true : reader_no_room(err);
}

bool reader_tries(struct reader *reader, int64_t no, struct arena *a, struct try_page *page,
                  struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = reader_stmt(reader, SQL_READ_TRIES);
    bool found;

    page->n = 0;
    bind_i64(get, 1, no);
    bind_i64(get, 2, page->after);
    while (page->n < page->max) {
        if (!db_next(&reader->db, get, &found, err))
            return false;
        if (!found)
            break;
        if (!try_read(get, a, &page->tries[page->n], err))
            return false;
        page->n++;
    }
    return true;
}
