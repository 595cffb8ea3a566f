/* SPDX-License-Identifier: MIT */
#include "storage_vfs.h"

#define SECTOR 512
/* A write goes to the system in pieces: it may fail after any of them, as on a full disk, and the
 * power may go after any of them. */
#define PIECE 2048

struct vfs_file {
    sqlite3_file base;
    enum io_file which;
    bool is_watched;
    sqlite3_file *real; /* behind this struct, in the space that SQLite gives us */
};

static struct {
    sqlite3_vfs vfs;
    sqlite3_vfs *real;
    struct io_log *log;
    enum io_kind fail_kind;
    int fail_in, fail_rc; /* fail_in: 0 = not armed */
    bool failed;
} recorder;

static struct vfs_file *file_of(sqlite3_file *file)
{
    return (struct vfs_file *)(void *)file;
}

static sqlite3_file *real_of(sqlite3_file *file)
{
    return file_of(file)->real;
}

static struct io *log_append(struct io_log *log, enum io_kind kind, enum io_file file,
                             int64_t offset)
{
    if (log->n == log->cap) {
        log->cap = MAX(1024, 2 * log->cap);
        log->ops = must_realloc(log->ops, log->cap * sizeof(*log->ops));
    }
    log->ops[log->n] = (struct io){.kind = kind, .file = file, .offset = offset};
    return &log->ops[log->n++];
}

/* The result of the armed call, or OK. */
static int fail_now(const struct vfs_file *file, enum io_kind kind)
{
    if (!file->is_watched || recorder.fail_in == 0 || recorder.fail_kind != kind ||
        --recorder.fail_in > 0)
        return SQLITE_OK;
    recorder.failed = true;
    return recorder.fail_rc;
}

/* ---- the methods that matter ---- */

static int piece_write(struct vfs_file *file, const unsigned char *bytes, int len,
                       sqlite3_int64 offset)
{
    int rc = fail_now(file, IO_WRITE);

    if (rc == SQLITE_OK)
        rc = file->real->pMethods->xWrite(file->real, bytes, len, offset);
    if (rc == SQLITE_OK && file->is_watched) {
        struct io *io = log_append(recorder.log, IO_WRITE, file->which, offset);

        io->len = (size_t)len;
        io->bytes = must_alloc(io->len);
        memcpy(io->bytes, bytes, io->len);
    }
    return rc;
}

static int file_write(sqlite3_file *base, const void *bytes, int len, sqlite3_int64 offset)
{
    struct vfs_file *file = file_of(base);
    int rc = SQLITE_OK;

    if (file->is_watched)
        recorder.log->n_writes[file->which]++;
    for (int done = 0; done < len && rc == SQLITE_OK; done += PIECE)
        rc = piece_write(file, (const unsigned char *)bytes + done, MIN(PIECE, len - done),
                         offset + done);
    return rc;
}

static int file_truncate(sqlite3_file *base, sqlite3_int64 size)
{
    struct vfs_file *file = file_of(base);

    if (file->is_watched)
        (void)log_append(recorder.log, IO_TRUNCATE, file->which, size);
    return file->real->pMethods->xTruncate(file->real, size);
}

static int file_sync(sqlite3_file *base, int flags)
{
    struct vfs_file *file = file_of(base);
    int rc = fail_now(file, IO_SYNC);

    if (rc == SQLITE_OK)
        rc = file->real->pMethods->xSync(file->real, flags);
    if (rc == SQLITE_OK && file->is_watched)
        (void)log_append(recorder.log, IO_SYNC, file->which, 0);
    return rc;
}

/* ---- the others pass through ---- */

static int file_close(sqlite3_file *base)
{
    return real_of(base)->pMethods->xClose(real_of(base));
}

static int file_read(sqlite3_file *base, void *bytes, int len, sqlite3_int64 offset)
{
    return real_of(base)->pMethods->xRead(real_of(base), bytes, len, offset);
}

static int file_size(sqlite3_file *base, sqlite3_int64 *ret)
{
    return real_of(base)->pMethods->xFileSize(real_of(base), ret);
}

static int file_lock(sqlite3_file *base, int level)
{
    return real_of(base)->pMethods->xLock(real_of(base), level);
}

static int file_unlock(sqlite3_file *base, int level)
{
    return real_of(base)->pMethods->xUnlock(real_of(base), level);
}

static int file_is_reserved(sqlite3_file *base, int *ret)
{
    return real_of(base)->pMethods->xCheckReservedLock(real_of(base), ret);
}

static int file_control(sqlite3_file *base, int op, void *arg)
{
    /* A size hint would make the real file larger without a write that we see. */
    if (op == SQLITE_FCNTL_SIZE_HINT)
        return SQLITE_OK;
    return real_of(base)->pMethods->xFileControl(real_of(base), op, arg);
}

static int file_sector(sqlite3_file *base)
{
    return real_of(base)->pMethods->xSectorSize(real_of(base));
}

static int file_device(sqlite3_file *base)
{
    return real_of(base)->pMethods->xDeviceCharacteristics(real_of(base));
}

static int file_shm_map(sqlite3_file *base, int page, int size, int extend, void volatile **ret)
{
    return real_of(base)->pMethods->xShmMap(real_of(base), page, size, extend, ret);
}

static int file_shm_lock(sqlite3_file *base, int offset, int n, int flags)
{
    return real_of(base)->pMethods->xShmLock(real_of(base), offset, n, flags);
}

static void file_shm_barrier(sqlite3_file *base)
{
    real_of(base)->pMethods->xShmBarrier(real_of(base));
}

static int file_shm_unmap(sqlite3_file *base, int remove)
{
    return real_of(base)->pMethods->xShmUnmap(real_of(base), remove);
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_is_reserved,
    .xFileControl = file_control,
    .xSectorSize = file_sector,
    .xDeviceCharacteristics = file_device,
    .xShmMap = file_shm_map,
    .xShmLock = file_shm_lock,
    .xShmBarrier = file_shm_barrier,
    .xShmUnmap = file_shm_unmap,
};

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *base, int flags,
                    int *ret_flags)
{
    struct vfs_file *file = file_of(base);
    int rc;

    (void)vfs;
    file->real = (sqlite3_file *)(void *)(file + 1);
    file->which = (flags & SQLITE_OPEN_WAL) != 0 ? IO_WAL : IO_DB;
    file->is_watched = (flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_DB)) != 0;
    rc = recorder.real->xOpen(recorder.real, name, file->real, flags, ret_flags);
    file->base.pMethods = rc == SQLITE_OK ? &methods : NULL;
    return rc;
}

/* ---- what tests call ---- */

void vfs_record(struct io_log *log)
{
    *log = (struct io_log){0};
    recorder.log = log;
    recorder.real = sqlite3_vfs_find(NULL);
    recorder.vfs = *recorder.real;
    recorder.vfs.zName = "recorder";
    recorder.vfs.szOsFile = (int)sizeof(struct vfs_file) + recorder.real->szOsFile;
    recorder.vfs.xOpen = vfs_open;
    recorder.vfs.pNext = NULL;
    PRE(sqlite3_vfs_register(&recorder.vfs, 1) == SQLITE_OK);
}

void vfs_stop(void)
{
    (void)sqlite3_vfs_unregister(&recorder.vfs);
    (void)sqlite3_vfs_register(recorder.real, 1);
}

void io_log_release(struct io_log *log)
{
    for (size_t i = 0; i < log->n; i++)
        free(log->ops[i].bytes);
    free(log->ops);
    *log = (struct io_log){0};
}

void io_log_mark(struct io_log *log, int64_t number)
{
    (void)log_append(log, IO_MARK, IO_DB, number);
}

size_t io_log_count(const struct io_log *log, enum io_kind kind, enum io_file file)
{
    size_t n = 0;

    for (size_t i = 0; i < log->n; i++)
        n += log->ops[i].kind == kind && log->ops[i].file == file ? 1 : 0;
    return n;
}

void vfs_fail(enum io_kind kind, int nth, int rc)
{
    recorder.fail_kind = kind;
    recorder.fail_in = nth;
    recorder.fail_rc = rc;
    recorder.failed = false;
}

bool vfs_failed(void)
{
    recorder.fail_in = 0;
    return recorder.failed;
}

/* ---- images ---- */

static uint64_t next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return *state >> 33;
}

static void image_resize(struct image *image, enum io_file file, size_t len)
{
    if (len > image->cap[file]) {
        image->cap[file] = MAX(len, 2 * image->cap[file]);
        image->bytes[file] = must_realloc(image->bytes[file], image->cap[file]);
    }
    if (len > image->len[file])
        memset(image->bytes[file] + image->len[file], 0, len - image->len[file]);
    image->len[file] = len;
}

static void image_write(struct image *image, const struct io *io, size_t from, size_t len)
{
    size_t end = (size_t)io->offset + from + len;

    if (end > image->len[io->file])
        image_resize(image, io->file, end);
    memcpy(image->bytes[io->file] + (size_t)io->offset + from, io->bytes + from, len);
}

static void image_apply(struct image *image, const struct io *io)
{
    if (io->kind == IO_WRITE)
        image_write(image, io, 0, io->len);
    else if (io->kind == IO_TRUNCATE)
        image_resize(image, io->file, (size_t)io->offset);
}

/* Some sectors of a write that was not synced. */
static void image_tear(struct image *image, const struct io *io, uint64_t *state)
{
    size_t from = 0;

    while (from < io->len) {
        size_t to_boundary = SECTOR - ((size_t)io->offset + from) % SECTOR;
        size_t len = MIN(to_boundary, io->len - from);

        if (next_random(state) % 4 != 0)
            image_write(image, io, from, len);
        from += len;
    }
}

static void image_build_file(struct image *image, const struct io_log *log, size_t cut,
                             uint64_t *torn_state, enum io_file file)
{
    size_t synced = 0;

    for (size_t i = 0; i < cut; i++) {
        if (log->ops[i].kind == IO_SYNC && log->ops[i].file == file)
            synced = i;
    }
    image->len[file] = 0;
    for (size_t i = 0; i < cut; i++) {
        const struct io *io = &log->ops[i];

        if (io->file != file)
            continue;
        if (i < synced)
            image_apply(image, io);
        else if (torn_state != NULL && next_random(torn_state) % 2 == 0 && io->kind == IO_WRITE)
            image_tear(image, io, torn_state);
        else if (torn_state != NULL && next_random(torn_state) % 2 == 0 && io->kind == IO_TRUNCATE)
            image_apply(image, io);
    }
}

void image_build(struct image *image, const struct io_log *log, size_t cut, bool torn,
                 uint64_t seed)
{
    uint64_t state = seed;

    PRE(cut <= log->n);

    image_build_file(image, log, cut, torn ? &state : NULL, IO_DB);
    image_build_file(image, log, cut, torn ? &state : NULL, IO_WAL);
}

void image_release(struct image *image)
{
    free(image->bytes[IO_DB]);
    free(image->bytes[IO_WAL]);
    *image = (struct image){0};
}
