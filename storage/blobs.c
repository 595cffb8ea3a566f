/* SPDX-License-Identifier: MIT */
#include "storage/blobs.h"

#include "storage/blobs_impl.h"
#include "storage/store_impl.h"

#define MAX_KEPT_US (INT64_MAX / 4)

struct blob_totals store_blobs(const struct store *store)
{
    return store->blobs;
}

bool blob_insert(struct store *store, const struct blob_new *blob, struct job_id *ret_id,
                 struct err *err)
{
    sqlite3_stmt *insert = store_stmt(store, SQL_BLOB_INSERT);
    struct newest next = {store->newest.no + 1, MAX(blob->now_us, store->newest.created_us)};

    bind_i64(insert, 1, next.no);
    bind_i64(insert, 2, next.created_us);
    bind_i64(insert, 3, (int32_t)blob->salt);
    bind_i64(insert, 4, (int64_t)blob->file);
    bind_i64(insert, 5, (int64_t)blob->bytes);
    bind_blob(insert, 6, (struct slice){(const char *)blob->sha256, SHA256_BYTES});
    bind_i64(insert, 7, blob->now_us + MIN(blob->keep_us, MAX_KEPT_US));
    bind_time(insert, 8, blob->job);
    bind_i64(insert, 9, blob->k);
    bind_text(insert, 10, blob->name);
    if (!store_run(store, insert, err))
        return false;
    store->newest = next;
    store->blobs.n++;
    store->blobs.bytes += blob->bytes;
    *ret_id = (struct job_id){(uint64_t)next.created_us / 1000, next.no, blob->salt};
    return true;
}

bool blob_read(sqlite3_stmt *stmt, struct blob *ret, struct err *err)
{
    const struct slice sha = column_slice(stmt, 5);
    const int64_t bytes = sqlite3_column_int64(stmt, 4);

    *ret = (struct blob){
        .created_us = sqlite3_column_int64(stmt, 1),
        .file = (uint64_t)sqlite3_column_int64(stmt, 3),
        .bytes = (uint64_t)bytes,
        .gone_us = sqlite3_column_int64(stmt, 6),
    };
    ret->id = (struct job_id){(uint64_t)ret->created_us / 1000, sqlite3_column_int64(stmt, 0),
                              (uint32_t)sqlite3_column_int(stmt, 2)};
    if (bytes < 0 || sha.len != SHA256_BYTES)
        return err_set(err, ERR_STORAGE, "The stored row of blob %lld is damaged.",
                       (long long)ret->id.no);
    memcpy(ret->sha256, sha.ptr, SHA256_BYTES);
    return true;
}

static bool not_found(struct err *err)
{
    return err_set(err, ERR_NOT_FOUND, "There is no blob with this id");
}

bool blob_find_by_no(struct store *store, int64_t no, struct blob *ret, struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = store_stmt(store, SQL_BLOB_GET);
    bool found;

    *ret = (struct blob){0};
    bind_i64(get, 1, no);
    if (!db_next(&store->db, get, &found, err))
        return false;
    return found ? blob_read(get, ret, err) : not_found(err);
}

bool blob_find(struct store *store, const struct job_id *id, struct blob *ret, struct err *err)
{
    return blob_find_by_no(store, id->no, ret, err) && (job_id_eq(&ret->id, id) || not_found(err));
}

static bool is_used(struct store *store, int64_t no, bool *ret, struct err *err)
{
    AUTO_STMT sqlite3_stmt *used = store_stmt(store, SQL_BLOB_USED);

    bind_i64(used, 1, no);
    return db_next(&store->db, used, ret, err);
}

static bool row_drop(struct store *store, const struct blob *blob, struct err *err)
{
    if (!newest_keep(store, blob->id.no, err) ||
        !store_run_no(store, SQL_BLOB_DELETE, blob->id.no, err))
        return false;
    store->blobs.n--;
    store->blobs.bytes -= MIN(blob->bytes, store->blobs.bytes);
    return true;
}

bool blob_delete(struct store *store, const struct job_id *id, uint64_t *ret_file, struct err *err)
{
    struct blob blob = {0};
    bool used = false;

    if (!blob_find(store, id, &blob, err) || !is_used(store, id->no, &used, err))
        return false;
    if (used)
        return err_set(err, ERR_STATE_CONFLICT,
                       "A job that has not ended needs the blob; it can be deleted afterwards");
    *ret_file = blob.file;
    return row_drop(store, &blob, err);
}

/* ---- who needs it ---- */

bool blob_use(struct store *store, int64_t blob, int64_t no, struct err *err)
{
    sqlite3_stmt *use = store_stmt(store, SQL_BLOB_USE);

    bind_i64(use, 1, blob);
    bind_i64(use, 2, no);
    return store_run(store, use, err);
}

static bool set_gone(struct store *store, int64_t no, int64_t us, struct err *err)
{
    sqlite3_stmt *set = store_stmt(store, SQL_BLOB_GONE_AT);

    bind_i64(set, 1, no);
    bind_time(set, 2, us);
    return store_run(store, set, err);
}

static bool first_used(struct store *store, int64_t no, int64_t *ret_blob, struct err *err)
{
    AUTO_STMT sqlite3_stmt *first = store_stmt(store, SQL_BLOB_USED_BY);
    bool found;

    bind_i64(first, 1, no);
    if (!db_next(&store->db, first, &found, err))
        return false;
    *ret_blob = found ? sqlite3_column_int64(first, 0) : 0;
    return true;
}

static bool unuse(struct store *store, int64_t blob, int64_t no, bool *ret_last, struct err *err)
{
    sqlite3_stmt *delete = store_stmt(store, SQL_BLOB_UNUSE);
    bool used = false;

    bind_i64(delete, 1, blob);
    bind_i64(delete, 2, no);
    if (!store_run(store, delete, err) || !is_used(store, blob, &used, err))
        return false;
    *ret_last = !used;
    return true;
}

bool blob_unuse(struct store *store, int64_t no, int64_t now_us, bool *ret_gone, struct err *err)
{
    struct blob row = {0};
    int64_t blob = 0;
    bool is_last = false;

    *ret_gone = false;
    for (;;) {
        if (!first_used(store, no, &blob, err))
            return false;
        if (blob == 0)
            return true;
        if (!unuse(store, blob, no, &is_last, err) ||
            (is_last && !blob_find_by_no(store, blob, &row, err)))
            return false;
        if (!is_last || row.gone_us != 0)
            continue;
        /* It has only waited for its last user, and goes at the next look. */
        *ret_gone = true;
        if (!set_gone(store, blob, now_us, err))
            return false;
    }
}

bool blobs_disown(struct store *store, int64_t job, struct err *err)
{
    return store_run_no(store, SQL_BLOBS_DISOWN, job, err);
}

/* ---- the end of their time ---- */

static bool gone_first(struct store *store, int64_t now_us, int64_t *ret_no, struct err *err)
{
    AUTO_STMT sqlite3_stmt *gone = store_stmt(store, SQL_BLOB_GONE);
    bool found;

    bind_i64(gone, 1, now_us);
    if (!db_next(&store->db, gone, &found, err))
        return false;
    *ret_no = found ? sqlite3_column_int64(gone, 0) : 0;
    return true;
}

static bool prune_one(struct store *store, int64_t no, struct blob_prune *prune, struct err *err)
{
    struct blob blob;
    bool used;

    if (!is_used(store, no, &used, err))
        return false;
    if (used)
        return set_gone(store, no, 0, err);
    if (!blob_find_by_no(store, no, &blob, err) || !row_drop(store, &blob, err))
        return false;
    prune->files[prune->n++] = blob.file;
    return true;
}

bool blobs_prune(struct store *store, struct blob_prune *prune, struct err *err)
{
    for (size_t looked = 0; looked < prune->max; looked++) {
        int64_t no;
        if (!gone_first(store, prune->now_us, &no, err))
            return false;
        if (no == 0)
            return true;
        if (!prune_one(store, no, prune, err))
            return false;
    }
    return true;
}

bool blobs_next_gone(struct store *store, int64_t *ret_us, struct err *err)
{
    AUTO_STMT sqlite3_stmt *next = store_stmt(store, SQL_BLOB_NEXT_GONE);
    bool found;

    if (!db_next(&store->db, next, &found, err))
        return false;
    if (found)
        *ret_us = MIN(*ret_us, sqlite3_column_int64(next, 0));
    return true;
}

bool blob_has_row(struct store *store, uint64_t file, bool *ret, struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = store_stmt(store, SQL_BLOB_OF_FILE);

    bind_i64(get, 1, (int64_t)file);
    return db_next(&store->db, get, ret, err);
}
