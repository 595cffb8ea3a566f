/* SPDX-License-Identifier: MIT */
/* Blobs, for readers. */
#include "storage/blobs.h"
#include "storage/blobs_impl.h"
#include "storage/reader_impl.h"

/* The columns behind those of blob_read. */
enum { C_NAME = 7, C_JOB, C_JOB_CREATED, C_JOB_SALT };

static bool view_read(sqlite3_stmt *get, struct arena *a, struct blob *ret, struct err *err)
{
    struct slice name;

    if (!blob_read(get, ret, err))
        return false;
    if (!reader_keep(get, C_NAME, a, &name))
        return reader_no_room(err);
    ret->name = name.ptr;
    ret->job = (struct job_id){(uint64_t)sqlite3_column_int64(get, C_JOB_CREATED) / 1000,
                               sqlite3_column_int64(get, C_JOB),
                               (uint32_t)sqlite3_column_int(get, C_JOB_SALT)};
    return true;
}

bool reader_blob(struct reader *reader, const struct job_id *id, struct arena *a, struct blob *ret,
                 struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = reader_stmt(reader, SQL_READ_BLOB);
    bool found;

    bind_i64(get, 1, id->no);
    if (!db_next(&reader->db, get, &found, err) || (found && !view_read(get, a, ret, err)))
        return false;
    return (found && job_id_eq(&ret->id, id)) ||
           err_set(err, ERR_NOT_FOUND, "There is no blob with this id");
}

bool reader_blob_id(struct reader *reader, int64_t no, struct job_id *ret, struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = reader_stmt(reader, SQL_READ_BLOB);
    struct blob blob;
    bool found;

    bind_i64(get, 1, no);
    if (!db_next(&reader->db, get, &found, err) || (found && !blob_read(get, &blob, err)))
        return false;
    if (!found)
        return err_set(err, ERR_NOT_FOUND, "The blob that was made with this key is gone");
    *ret = blob.id;
    return true;
}

/* Its first parameter is bound. */
static bool page_fill(struct reader *reader, sqlite3_stmt *get, struct arena *a,
                      struct blob_page *page, struct err *err)
{
    bool found;

    page->n = 0;
    bind_i64(get, 2, (int64_t)page->max);
    while (db_next(&reader->db, get, &found, err)) {
        if (!found)
            return true;
        if (!view_read(get, a, &page->items[page->n], err))
            return false;
        page->n++;
    }
    return false;
}

bool reader_blobs(struct reader *reader, struct arena *a, struct blob_page *page, struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = reader_stmt(reader, SQL_READ_BLOBS);

    bind_i64(get, 1, page->before);
    return page_fill(reader, get, a, page, err);
}

bool reader_blobs_of(struct reader *reader, int64_t job, struct arena *a, struct blob_page *page,
                     struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = reader_stmt(reader, SQL_READ_BLOBS_OF);

    bind_i64(get, 1, job);
    return page_fill(reader, get, a, page, err);
}
