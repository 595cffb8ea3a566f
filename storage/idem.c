/* SPDX-License-Identifier: MIT */
#include "storage/jobs.h"

#include "storage/store_impl.h"

#define HASH_BYTES 32

static struct slice hash_slice(const uint8_t hash[HASH_BYTES])
{
    return (struct slice){(const char *)hash, HASH_BYTES};
}

bool idem_find(struct store *store, const uint8_t key[32], struct idem_entry *ret, bool *ret_found,
               struct err *err)
{
    AUTO_STMT sqlite3_stmt *find = store_stmt(store, SQL_IDEM_FIND);
    struct slice body;

    bind_blob(find, 1, hash_slice(key));
    if (!db_next(&store->db, find, ret_found, err))
        return false;
    if (!*ret_found)
        return true;
    body = column_slice(find, 0);
    if (body.len != HASH_BYTES)
        return err_set(err, ERR_STORAGE, "A stored idempotency key is damaged.");
    memcpy(ret->key, key, HASH_BYTES);
    memcpy(ret->body, body.ptr, HASH_BYTES);
    ret->first_no = sqlite3_column_int64(find, 1);
    ret->n = sqlite3_column_int64(find, 2);
    ret->created_us = sqlite3_column_int64(find, 3);
    return true;
}

bool idem_put(struct store *store, const struct idem_entry *entry, struct err *err)
{
    sqlite3_stmt *put = store_stmt(store, SQL_IDEM_PUT);

    bind_blob(put, 1, hash_slice(entry->key));
    bind_blob(put, 2, hash_slice(entry->body));
    bind_i64(put, 3, entry->first_no);
    bind_i64(put, 4, entry->n);
    bind_i64(put, 5, entry->created_us);
    return store_run(store, put, err);
}

/* The oldest key that is older than the limit. */
static bool idem_oldest(struct store *store, int64_t older_than_us, uint8_t ret_key[HASH_BYTES],
                        bool *ret_found, struct err *err)
{
    AUTO_STMT sqlite3_stmt *old = store_stmt(store, SQL_IDEM_OLD);
    struct slice key;

    bind_i64(old, 1, older_than_us);
    if (!db_next(&store->db, old, ret_found, err))
        return false;
    if (!*ret_found)
        return true;
    key = column_slice(old, 0);
    if (key.len != HASH_BYTES)
        return err_set(err, ERR_STORAGE, "A stored idempotency key is damaged.");
    memcpy(ret_key, key.ptr, HASH_BYTES);
    return true;
}

bool idem_prune(struct store *store, int64_t older_than_us, uint32_t limit, struct err *err)
{
    sqlite3_stmt *delete = store_stmt(store, SQL_IDEM_DELETE);
    uint8_t key[HASH_BYTES];
    bool found;

    for (uint32_t i = 0; i < limit; i++) {
        if (!idem_oldest(store, older_than_us, key, &found, err))
            return false;
        if (!found)
            break;
        bind_blob(delete, 1, hash_slice(key));
        if (!store_run(store, delete, err))
            return false;
    }
    return true;
}
