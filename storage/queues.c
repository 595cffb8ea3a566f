/* SPDX-License-Identifier: MIT */
/* Queues and their numbers, as the writer keeps them: one row a queue, nothing is counted here. */
#include "storage/reader_impl.h"

static bool queue_read(sqlite3_stmt *row, struct queue_view *ret, struct err *err)
{
    struct slice name = column_slice(row, 0);

    if (name.ptr == NULL || name.len > MAX_QUEUE_NAME)
        return err_set(err, ERR_STORAGE, "The store holds a queue with an impossible name.");
    memcpy(ret->name, name.ptr, name.len);
    ret->name[name.len] = '\0';
    for (int s = 0; s < JOB_STATE_COUNT; s++)
        ret->count[s] = sqlite3_column_int64(row, 1 + s);
    return true;
}

bool reader_queue(struct reader *reader, const char *name, struct queue_view *ret, struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = reader_stmt(reader, SQL_READ_COUNTS);
    bool found;

    bind_text(get, 1, slice_of(name));
    if (!db_next(&reader->db, get, &found, err))
        return false;
    if (!found)
        return err_set(err, ERR_NOT_FOUND,
                       "There is no queue with this name; the first job makes it.");
    return queue_read(get, ret, err);
}

bool reader_queues(struct reader *reader, const char *after, struct queue_page *page,
                   struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = reader_stmt(reader, SQL_READ_QUEUES);

    page->n = 0;
    bind_text(get, 1, slice_of(after));
    while (page->n < page->max) {
        bool found;

        if (!db_next(&reader->db, get, &found, err))
            return false;
        if (!found)
            break;
        if (!queue_read(get, &page->queues[page->n], err))
            return false;
        page->n++;
    }
    return true;
}
