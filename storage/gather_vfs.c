/* SPDX-License-Identifier: MIT */
#include "storage/gather_vfs.h"

/* The log is a header, then frames: of each a header and a page. These sizes, and the place of the
 * mark of a commit, are those of SQLite's file format, version 3007000. */
#define FRAME_HEADER_BYTES 24
#define FRAME_COMMIT_AT 4 /* four bytes: not 0 in the last frame of a commit */
#define GATHERED_FRAMES 16
#define GATHERED_BYTES (GATHERED_FRAMES * (FRAME_HEADER_BYTES + 4096))

/* What was written at `offset` and the system does not have yet. Whatever reads, cuts, measures or
 * syncs the file comes after it. Of the log,
 *   1. The last frame of a commit never stays: when nothing is synced, no further call comes here
 *      before others may read it.
 *   2. What is written right after a read does not wait: so does SQLite change the header of a
 *      frame that it wrote earlier, which may be its last call before others may read. */
struct gather_file {
    sqlite3_file base;
    unsigned char *bytes; /* GATHERED_BYTES */
    size_t len;
    sqlite3_int64 offset;
    bool has_read, is_last; /* of the log. is_last: the header was that of a commit's last frame */
    bool gathers;           /* the database file, in a checkpoint */
    int failed;             /* how it has failed to gather: SQLite does not always ask */
    sqlite3_file *real;     /* behind this struct, in the space that SQLite gives us */
};

static struct gather_file *file_of(sqlite3_file *base)
{
    return (struct gather_file *)(void *)base;
}

/* After a failure the commit or checkpoint fails, and SQLite writes these bytes once more, or
 * never. */
static int flush(struct gather_file *file)
{
    const int len = (int)file->len;
    int rc;

    if (len == 0)
        return SQLITE_OK;
    file->len = 0;
    rc = file->real->pMethods->xWrite(file->real, file->bytes, len, file->offset);
    if (file->gathers && rc != SQLITE_OK)
        file->failed = rc;
    return rc;
}

static int gather(struct gather_file *file, const void *bytes, size_t len, sqlite3_int64 offset)
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

/* The file below, when it has all that was gathered. */
static int flushed(sqlite3_file *base, sqlite3_file **ret_real)
{
    const int rc = flush(file_of(base));

    *ret_real = file_of(base)->real;
    return rc == SQLITE_OK ? file_of(base)->failed : rc;
}

/* ---- both files ---- */

static int file_truncate(sqlite3_file *base, sqlite3_int64 size)
{
    sqlite3_file *real;
    const int rc = flushed(base, &real);

    return rc == SQLITE_OK ? real->pMethods->xTruncate(real, size) : rc;
}

static int file_sync(sqlite3_file *base, int flags)
{
    sqlite3_file *real;
    const int rc = flushed(base, &real);

    return rc == SQLITE_OK ? real->pMethods->xSync(real, flags) : rc;
}

static int file_size(sqlite3_file *base, sqlite3_int64 *ret)
{
    sqlite3_file *real;
    const int rc = flushed(base, &real);

    return rc == SQLITE_OK ? real->pMethods->xFileSize(real, ret) : rc;
}

static int file_control(sqlite3_file *base, int op, void *arg)
{
    sqlite3_file *real;
    const int rc = flushed(base, &real);

    return rc == SQLITE_OK ? real->pMethods->xFileControl(real, op, arg) : rc;
}

static int file_lock(sqlite3_file *base, int level)
{
    return file_of(base)->real->pMethods->xLock(file_of(base)->real, level);
}

static int file_unlock(sqlite3_file *base, int level)
{
    return file_of(base)->real->pMethods->xUnlock(file_of(base)->real, level);
}

static int file_is_reserved(sqlite3_file *base, int *ret)
{
    return file_of(base)->real->pMethods->xCheckReservedLock(file_of(base)->real, ret);
}

static int file_sector(sqlite3_file *base)
{
    return file_of(base)->real->pMethods->xSectorSize(file_of(base)->real);
}

static int file_device(sqlite3_file *base)
{
    return file_of(base)->real->pMethods->xDeviceCharacteristics(file_of(base)->real);
}

/* What is left belongs to no commit and no checkpoint. */
static int file_close(sqlite3_file *base)
{
    struct gather_file *file = file_of(base);

    free(file->bytes);
    return file->real->pMethods->xClose(file->real);
}

/* clang-format off */
#define FILE_METHODS                                                                               \
    .xClose = file_close, .xTruncate = file_truncate, .xSync = file_sync, .xFileSize = file_size,  \
    .xLock = file_lock, .xUnlock = file_unlock, .xCheckReservedLock = file_is_reserved,            \
    .xFileControl = file_control, .xSectorSize = file_sector, .xDeviceCharacteristics = file_device
/* clang-format on */

/* ---- the log ---- */

static bool is_commit(const unsigned char *header)
{
    static const unsigned char none[4];

    return memcmp(header + FRAME_COMMIT_AT, none, sizeof(none)) != 0;
}

static int log_write(sqlite3_file *base, const void *bytes, int len, sqlite3_int64 offset)
{
    struct gather_file *file = file_of(base);
    const bool is_header = len == FRAME_HEADER_BYTES, was_last = file->is_last;
    const int rc = gather(file, bytes, (size_t)len, offset);

    file->is_last = is_header && is_commit(bytes);
    return rc == SQLITE_OK && was_last && !is_header ? flush(file) : rc;
}

static int log_read(sqlite3_file *base, void *bytes, int len, sqlite3_int64 offset)
{
    sqlite3_file *real;
    const int rc = flushed(base, &real);

    file_of(base)->has_read = true;
    return rc == SQLITE_OK ? real->pMethods->xRead(real, bytes, len, offset) : rc;
}

static const sqlite3_io_methods log_methods = {
    .iVersion = 1, /* the later ones are about the database file */
    FILE_METHODS,
    .xRead = log_read,
    .xWrite = log_write,
};

/* ---- the database file ---- */

static int db_write(sqlite3_file *base, const void *bytes, int len, sqlite3_int64 offset)
{
    struct gather_file *file = file_of(base);

    if (!file->gathers)
        return file->real->pMethods->xWrite(file->real, bytes, len, offset);
    return gather(file, bytes, (size_t)len, offset);
}

static int db_read(sqlite3_file *base, void *bytes, int len, sqlite3_int64 offset)
{
    sqlite3_file *real;
    const int rc = flushed(base, &real);

    return rc == SQLITE_OK ? real->pMethods->xRead(real, bytes, len, offset) : rc;
}

static int db_shm_map(sqlite3_file *base, int region, int size, int extend, void volatile **ret)
{
    return file_of(base)->real->pMethods->xShmMap(file_of(base)->real, region, size, extend, ret);
}

static int db_shm_lock(sqlite3_file *base, int offset, int n, int flags)
{
    return file_of(base)->real->pMethods->xShmLock(file_of(base)->real, offset, n, flags);
}

static void db_shm_barrier(sqlite3_file *base)
{
    file_of(base)->real->pMethods->xShmBarrier(file_of(base)->real);
}

static int db_shm_unmap(sqlite3_file *base, int delete)
{
    return file_of(base)->real->pMethods->xShmUnmap(file_of(base)->real, delete);
}

/* Version 2: none of xFetch, since nothing is mapped (PRAGMA mmap_size=0). */
static const sqlite3_io_methods db_methods = {
    .iVersion = 2,
    FILE_METHODS,
    .xRead = db_read,
    .xWrite = db_write,
    .xShmMap = db_shm_map,
    .xShmLock = db_shm_lock,
    .xShmBarrier = db_shm_barrier,
    .xShmUnmap = db_shm_unmap,
};

static const sqlite3_io_methods *methods_for(int flags)
{
    if ((flags & SQLITE_OPEN_WAL) != 0)
        return &log_methods;
    return (flags & SQLITE_OPEN_MAIN_DB) != 0 ? &db_methods : NULL;
}

static int vfs_open(sqlite3_vfs *base, const char *name, sqlite3_file *file, int flags,
                    int *ret_flags)
{
    sqlite3_vfs *real = ((struct gather_vfs *)(void *)base)->real;
    struct gather_file *gathering = file_of(file);
    int rc;

    if (methods_for(flags) == NULL)
        return real->xOpen(real, name, file, flags, ret_flags);
    *gathering = (struct gather_file){.real = (sqlite3_file *)(void *)(gathering + 1)};
    rc = real->xOpen(real, name, gathering->real, flags, ret_flags);
    if (rc != SQLITE_OK)
        return rc;
    gathering->bytes = must_alloc(GATHERED_BYTES);
    gathering->base.pMethods = methods_for(flags);
    return SQLITE_OK;
}

void gather_vfs_init(struct gather_vfs *vfs)
{
    vfs->real = sqlite3_vfs_find(NULL);
    vfs->vfs = *vfs->real;
    vfs->vfs.zName = GATHER_VFS_NAME;
    vfs->vfs.szOsFile = (int)sizeof(struct gather_file) + vfs->real->szOsFile;
    vfs->vfs.pNext = NULL;
    vfs->vfs.xOpen = vfs_open;
}

/* A reader is in the way, of which SQLite asks before it writes anything. */
static int on_reader(void *arg, int n)
{
    struct gather_file *file = arg;

    (void)n;
    file->gathers = false;
    return 0;
}

int gather_vfs_checkpoint(sqlite3 *handle)
{
    struct gather_file *file;
    sqlite3_file *base = NULL;
    int rc = sqlite3_file_control(handle, NULL, SQLITE_FCNTL_FILE_POINTER, &base);

    if (rc != SQLITE_OK)
        return rc;
    file = file_of(base);
    file->gathers = true;
    (void)sqlite3_busy_handler(handle, on_reader, file);
    rc = sqlite3_wal_checkpoint_v2(handle, NULL, SQLITE_CHECKPOINT_FULL, NULL, NULL);
    (void)sqlite3_busy_handler(handle, NULL, NULL);
    file->gathers = false;
    file->failed = SQLITE_OK;
    file->len = 0; /* after a failure: the next one writes it once more */
    return rc;
}
