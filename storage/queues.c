/* SPDX-License-Identifier: MIT */
/* Queues and their numbers, as the writer keeps them: one row a queue, nothing is counted here. */
#include "storage/reader_impl.h"
#include "storage/row_pack.h"

_Static_assert(JOB_SCHEDULED < JOB_QUEUED && JOB_BLOCKED < JOB_QUEUED,
               "the waiting states come first");

/* Each priority has its own line, so the job that waits longest heads one of them: at most as many
 * seeks as there are priorities. */
static bool oldest_read(struct reader *reader, int64_t queue, int64_t *ret_us, struct err *err)
{
    int64_t below = INT32_MAX;

    *ret_us = 0;
    for (;;) {
        AUTO_STMT sqlite3_stmt *head = reader_stmt(reader, SQL_READ_WAITING);
        struct row row = {0};
        int64_t since_us;
        bool found;

        bind_i64(head, 1, queue);
        bind_i64(head, 2, below);
        if (!db_next(&reader->db, head, &found, err))
            return false;
        if (!found)
            return true;
        below = sqlite3_column_int64(head, 0);
        row.created_us = sqlite3_column_int64(head, 1);
        if (!row_unpack_ran(column_slice(head, 2), &row))
            return err_set(err, ERR_STORAGE, "The stored row of a queued job is damaged.");
        since_us = row.queued_us == 0 ? row.created_us : row.queued_us;
        *ret_us = *ret_us == 0 ? since_us : MIN(*ret_us, since_us);
    }
}

/* The columns from `version` on, in the order of TEXT_QUEUE; all NULL when nothing was ever set. */
static bool settings_read(sqlite3_stmt *row, struct arena *a, struct queue_view *ret,
                          struct err *err)
{
    struct slice defaults = column_slice(row, 18);

    ret->settings = (struct queue_settings){
        .version = sqlite3_column_int64(row, 10),
        .is_gone = sqlite3_column_int(row, 11) != 0,
        .paused = sqlite3_column_int(row, 12) != 0,
        .has_defaults = defaults.ptr != NULL,
        .concurrency = (uint32_t)sqlite3_column_int64(row, 13),
        .rate_n = (uint32_t)sqlite3_column_int64(row, 14),
        .rate_us = sqlite3_column_int64(row, 15),
        .weight = (uint32_t)sqlite3_column_int64(row, 16),
        .max_length = sqlite3_column_int64(row, 17),
    };
    ret->defaults = defaults;
    if (defaults.ptr == NULL)
        return true;
    ret->defaults.ptr = arena_dup(a, defaults);
    return ret->defaults.ptr != NULL || reader_no_room(err);
}

static bool queue_read(struct reader *reader, sqlite3_stmt *row, struct arena *a,
                       struct queue_view *ret, struct err *err)
{
    struct slice name = column_slice(row, 0);

    if (name.ptr == NULL || name.len > MAX_QUEUE_NAME)
        return err_set(err, ERR_STORAGE, "The store holds a queue with an impossible name.");
    memcpy(ret->name, name.ptr, name.len);
    ret->name[name.len] = '\0';
    for (int s = 0; s < JOB_STATE_COUNT; s++)
        ret->count[s] = sqlite3_column_int64(row, 1 + s);
    return settings_read(row, a, ret, err) &&
           oldest_read(reader, sqlite3_column_int64(row, 9), &ret->oldest_us, err);
}

/* A deleted queue is there as long as jobs of it are. */
static bool is_shown(const struct queue_view *queue)
{
    int64_t jobs = 0;

    for (int s = 0; s < JOB_STATE_COUNT; s++)
        jobs += queue->count[s];
    return jobs > 0 || !queue->settings.is_gone;
}

/* Where the job stands in the line of its queue. */
static bool line_find(struct reader *reader, const struct row *row, int64_t max, int64_t *ret,
                      struct err *err)
{
    AUTO_STMT sqlite3_stmt *line = reader_stmt(reader, SQL_READ_ORDER);
    int64_t place = 0;
    bool found;

    bind_i64(line, 1, row->queue);
    bind_i64(line, 2, max);
    while (db_next(&reader->db, line, &found, err)) {
        place++;
        if (!found)
            return true;
        if (sqlite3_column_int64(line, 0) == row->no) {
            *ret = place;
            return true;
        }
    }
    return false;
}

bool reader_position(struct reader *reader, int64_t no, int64_t max, int64_t *ret, struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = reader_stmt(reader, SQL_READ_ROW);
    struct row row;
    bool found;

    *ret = 0;
    bind_i64(get, 1, no);
    if (!db_next(&reader->db, get, &found, err))
        return false;
    if (!found)
        return true;
    if (!row_read(get, &row, err))
        return false;
    return row.state != JOB_QUEUED || line_find(reader, &row, max, ret, err);
}

bool reader_queue(struct reader *reader, const char *name, struct arena *a, struct queue_view *ret,
                  struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = reader_stmt(reader, SQL_READ_COUNTS);
    bool found;

    bind_text(get, 1, slice_of(name));
    if (!db_next(&reader->db, get, &found, err))
        return false;
    if (found && !queue_read(reader, get, a, ret, err))
        return false;
    if (!found || !is_shown(ret))
        return err_set(err, ERR_NOT_FOUND,
                       "There is no queue with this name; its first job or PUT makes it.");
    return true;
}

bool reader_queues(struct reader *reader, const char *after, struct arena *a,
                   struct queue_page *page, struct err *err)
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
        if (!queue_read(reader, get, a, &page->queues[page->n], err))
            return false;
        page->n += is_shown(&page->queues[page->n]) ? 1 : 0;
    }
    return true;
}

bool reader_defaults(struct reader *reader, struct slice queue, struct arena *a, struct slice *ret,
                     struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = reader_stmt(reader, SQL_READ_DEFAULTS);
    bool found;

    *ret = (struct slice){NULL, 0};
    bind_text(get, 1, queue);
    if (!db_next(&reader->db, get, &found, err))
        return false;
    if (found)
        *ret = column_slice(get, 0);
    if (ret->ptr == NULL)
        return true;
    ret->ptr = arena_dup(a, *ret);
    return ret->ptr != NULL || reader_no_room(err);
}
