/* SPDX-License-Identifier: MIT */
#include "storage/wal_vfs.h"

/* The log is a header, then frames: of each a header and a page. These sizes, and the place of the
 * mark of a commit, are those of SQLite's file format, version 3007000. */
#define FRAME_HEADER_BYTES 24
#define FRAME_COMMIT_AT 4 /* four bytes: not 0 in the last frame of a commit */
#define GATHERED_FRAMES 16
#define GATHERED_BYTES (GATHERED_FRAMES * (FRAME_HEADER_BYTES + 4096))

/* What was written at `offset` and the system does not have yet.
 *   1. The last frame of a commit never stays: when nothing is synced, no further call comes here
 *      before others may read it.
 *   2. Any other call than a write comes after it.
 *   3. What is written right after a read does not wait: so does SQLite change the header of a
 *      frame that it wrote earlier, which may be its last call before others may read. */
struct wal_file {
    sqlite3_file base;
    unsigned char *bytes; /* GATHERED_BYTES */
    size_t len;
    sqlite3_int64 offset;
    bool has_read, is_last; /* is_last: the header was that of the last frame of a commit */
    sqlite3_file *real;     /* behind this struct, in the space that SQLite gives us */
};

static struct wal_file *file_of(sqlite3_file *base)
{
    return (struct wal_file *)(void *)base;
}

/* After a failure the commit fails, and SQLite writes these bytes once more, or never. */
static int flush(struct wal_file *file)
{
    const int len = (int)file->len;

    if (len == 0)
        return SQLITE_OK;
    file->len = 0;
    return file->real->pMethods->xWrite(file->real, file->bytes, len, file->offset);
}

static int gather(struct wal_file *file, const void *bytes, size_t len, sqlite3_int64 offset)
{
    const bool goes_on = offset == file->offset + (sqlite3_int64)file->len &&
                         file->len + len <= GATHERED_BYTES;

    if (!goes_on || file->has_read) {
        int rc = flush(file);

        if (rc != SQLITE_OK)
            return rc;
    }
    if (file->has_read || len > GATHERED_BYTES) {
        file->has_read = false;
        return file->real->pMethods->xWrite(file->real, bytes, (int)len, offset);
    }
    if (file->len == 0)
        file->offset = offset;
    memcpy(file->bytes + file->len, bytes, len);
    file->len += len;
    return SQLITE_OK;
}

static bool is_commit(const unsigned char *header)
{
    static const unsigned char none[4];

    return memcmp(header + FRAME_COMMIT_AT, none, sizeof(none)) != 0;
}

static int wal_write(sqlite3_file *base, const void *bytes, int len, sqlite3_int64 offset)
{
    struct wal_file *file = file_of(base);
    const bool is_header = len == FRAME_HEADER_BYTES, was_last = file->is_last;
    const int rc = gather(file, bytes, (size_t)len, offset);

    file->is_last = is_header && is_commit(bytes);
    return rc == SQLITE_OK && was_last && !is_header ? flush(file) : rc;
}

/* ---- the others come after what was gathered ---- */

static int wal_read(sqlite3_file *base, void *bytes, int len, sqlite3_int64 offset)
{
    struct wal_file *file = file_of(base);
    const int rc = flush(file);

    file->has_read = true;
    return rc == SQLITE_OK ? file->real->pMethods->xRead(file->real, bytes, len, offset) : rc;
}

static int wal_truncate(sqlite3_file *base, sqlite3_int64 size)
{
    struct wal_file *file = file_of(base);
    const int rc = flush(file);

    return rc == SQLITE_OK ? file->real->pMethods->xTruncate(file->real, size) : rc;
}

static int wal_sync(sqlite3_file *base, int flags)
{
    struct wal_file *file = file_of(base);
    const int rc = flush(file);

    return rc == SQLITE_OK ? file->real->pMethods->xSync(file->real, flags) : rc;
}

static int wal_size(sqlite3_file *base, sqlite3_int64 *ret)
{
    struct wal_file *file = file_of(base);
    const int rc = flush(file);

    return rc == SQLITE_OK ? file->real->pMethods->xFileSize(file->real, ret) : rc;
}

static int wal_control(sqlite3_file *base, int op, void *arg)
{
    struct wal_file *file = file_of(base);
    const int rc = flush(file);

    return rc == SQLITE_OK ? file->real->pMethods->xFileControl(file->real, op, arg) : rc;
}

/* What is left belongs to no commit. */
static int wal_close(sqlite3_file *base)
{
    struct wal_file *file = file_of(base);

    free(file->bytes);
    return file->real->pMethods->xClose(file->real);
}

/* ---- nothing to do with what is written ---- */

static int wal_lock(sqlite3_file *base, int level)
{
    return file_of(base)->real->pMethods->xLock(file_of(base)->real, level);
}

static int wal_unlock(sqlite3_file *base, int level)
{
    return file_of(base)->real->pMethods->xUnlock(file_of(base)->real, level);
}

static int wal_is_reserved(sqlite3_file *base, int *ret)
{
    return file_of(base)->real->pMethods->xCheckReservedLock(file_of(base)->real, ret);
}

static int wal_sector(sqlite3_file *base)
{
    return file_of(base)->real->pMethods->xSectorSize(file_of(base)->real);
}

static int wal_device(sqlite3_file *base)
{
    return file_of(base)->real->pMethods->xDeviceCharacteristics(file_of(base)->real);
}

static const sqlite3_io_methods methods = {
    .iVersion = 1, /* the later ones are about the database file */
    .xClose = wal_close,
    .xRead = wal_read,
    .xWrite = wal_write,
    .xTruncate = wal_truncate,
    .xSync = wal_sync,
    .xFileSize = wal_size,
    .xLock = wal_lock,
    .xUnlock = wal_unlock,
    .xCheckReservedLock = wal_is_reserved,
    .xFileControl = wal_control,
    .xSectorSize = wal_sector,
    .xDeviceCharacteristics = wal_device,
};

static int vfs_open(sqlite3_vfs *base, const char *name, sqlite3_file *file, int flags,
                    int *ret_flags)
{
    sqlite3_vfs *real = ((struct wal_vfs *)(void *)base)->real;
    struct wal_file *wal = file_of(file);
    int rc;

    if ((flags & SQLITE_OPEN_WAL) == 0)
        return real->xOpen(real, name, file, flags, ret_flags);
    *wal = (struct wal_file){.real = (sqlite3_file *)(void *)(wal + 1)};
    rc = real->xOpen(real, name, wal->real, flags, ret_flags);
    if (rc != SQLITE_OK)
        return rc;
    wal->bytes = must_alloc(GATHERED_BYTES);
    wal->base.pMethods = &methods;
    return SQLITE_OK;
}

void wal_vfs_init(struct wal_vfs *vfs)
{
    vfs->real = sqlite3_vfs_find(NULL);
    vfs->vfs = *vfs->real;
    vfs->vfs.zName = WAL_VFS_NAME;
    vfs->vfs.szOsFile = (int)sizeof(struct wal_file) + vfs->real->szOsFile;
    vfs->vfs.pNext = NULL;
    vfs->vfs.xOpen = vfs_open;
}
