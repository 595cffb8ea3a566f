/* SPDX-License-Identifier: MIT */
/* By LD_PRELOAD: a file whose path matches the pattern SYNC_FAILS cannot be made durable. */
#include <errno.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool must_fail(int fd)
{
    const char *pattern = getenv("SYNC_FAILS");
    char link[64], path[PATH_MAX];

    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    const ssize_t n = readlink(link, path, sizeof(path) - 1);
    if (pattern == NULL || n < 0)
        return false;
    path[n] = '\0';
    return fnmatch(pattern, path, 0) == 0;
}

static int sync_by(long call, int fd)
{
    if (!must_fail(fd))
        return (int)syscall(call, fd);
    errno = EIO;
    return -1;
}

int fsync(int fd)
{
    return sync_by(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return sync_by(SYS_fdatasync, fd);
}
