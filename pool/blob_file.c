/* SPDX-License-Identifier: MIT */
#include "pool/blob_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define SYNC_STEP (UINT64_C(8) << 20) /* so much is on its way to the disk before the end asks */

static int make_file(int data_fd, uint64_t file)
{
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    char path[BLOB_PATH_SIZE];

    blob_path(file, path);
    const int fd = openat(data_fd, path, flags, 0600);
    if (fd >= 0 || errno != ENOENT)
        return fd;
    /* The first blob of all. */
    if ((mkdirat(data_fd, BLOB_DIR, 0700) != 0 && errno != EEXIST) || fsync(data_fd) != 0)
        return -1;
    return openat(data_fd, path, flags, 0600);
}

bool blob_file_make(struct blob_file *f, int data_fd, uint64_t file)
{
    *f = (struct blob_file){.file = file};
    sha256_init(&f->sha);
    f->fd = make_file(data_fd, f->file);
    if (f->fd < 0)
        f->file = 0;
    return f->fd >= 0;
}

bool blob_file_put(struct blob_file *f, struct slice piece)
{
    errno = ENOSPC; /* what the fault simulates */
    if (FAULT("blob-write") || !fd_write_all(f->fd, piece))
        return false;
    sha256_update(&f->sha, piece.len, (const uint8_t *)piece.ptr);
    f->bytes += piece.len;
    if (f->bytes - f->synced >= SYNC_STEP) {
        (void)sync_file_range(f->fd, (off_t)f->synced, 0, SYNC_FILE_RANGE_WRITE);
        f->synced = f->bytes;
    }
    return true;
}

bool blob_file_end(struct blob_file *f, uint8_t ret_sha256[SHA256_BYTES])
{
    if (fsync(f->fd) != 0)
        return false;
    sha256_digest(&f->sha, SHA256_BYTES, ret_sha256);
    (void)close(steal_fd(&f->fd));
    return true;
}

bool blob_file_sync_names(int data_fd)
{
    AUTO_CLOSE int fd = openat(data_fd, BLOB_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd >= 0 && fsync(fd) == 0;
}

void blob_file_close(struct blob_file *f)
{
    auto_close(&f->fd);
    f->fd = -1;
}

void blob_file_remove(int data_fd, uint64_t file)
{
    char path[BLOB_PATH_SIZE];
    blob_path(file, path);
    (void)unlinkat(data_fd, path, 0);
}
