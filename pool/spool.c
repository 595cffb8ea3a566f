/* SPDX-License-Identifier: MIT */
#include "pool/spool.h"

#include "pool/pool.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>

#define SPOOL_DIR "spool"

static void directory_of(int64_t job_no, char out[16])
{
    (void)snprintf(out, 16, SPOOL_DIR "/%02x", (unsigned)(job_no & 0xff));
}

void spool_path(int64_t job_no, uint32_t attempt, int stream, char out[64])
{
    static const char *const ends[] = {"out", "err", "res", "dat"};
    PRE(stream >= 0 && (size_t)stream < ARRAY_LEN(ends));
    (void)snprintf(out, 64, SPOOL_DIR "/%02x/%" PRId64 ".%" PRIu32 ".%s", (unsigned)(job_no & 0xff),
                   job_no, attempt, ends[stream]);
}

/* A directory that was made here must survive a power cut as well: its name is in its parent. */
static bool sync_directory(int data_fd, const char *path)
{
    AUTO_CLOSE int fd = openat(data_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 && fsync(fd) == 0;
}

static bool make_directory(int data_fd, int64_t job_no)
{
    char dir[16];
    directory_of(job_no, dir);
    if (mkdirat(data_fd, SPOOL_DIR, 0700) == 0)
        (void)sync_directory(data_fd, ".");
    else if (errno != EEXIST)
        return false;
    if (mkdirat(data_fd, dir, 0700) == 0)
        (void)sync_directory(data_fd, SPOOL_DIR);
    else if (errno != EEXIST)
        return false;
    return true;
}

int spool_open(int data_fd, int64_t job_no, uint32_t attempt, int stream, struct err *err)
{
    char path[64];
    const int flags = O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC;

    spool_path(job_no, attempt, stream, path);
    int fd = openat(data_fd, path, flags, 0600);
    if (fd < 0 && errno == ENOENT && make_directory(data_fd, job_no))
        fd = openat(data_fd, path, flags, 0600);
    if (fd < 0)
        (void)err_sys(err, ERR_STORAGE, "cannot open %s", path);
    return fd;
}

void spool_remove(int data_fd, int64_t job_no, uint32_t attempt, int stream)
{
    char path[64];
    spool_path(job_no, attempt, stream, path);
    (void)unlinkat(data_fd, path, 0);
}

bool spool_sync(int data_fd, int64_t job_no, int file_fd, struct err *err)
{
    char dir[16];
    directory_of(job_no, dir);
    if (fdatasync(file_fd) != 0 || !sync_directory(data_fd, dir))
        return err_sys(err, ERR_STORAGE, "cannot sync the output in %s", dir);
    return true;
}
