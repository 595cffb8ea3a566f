/* SPDX-License-Identifier: MIT */
#include "storage/ballast.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#define RETRY_NS 1000000000u
/* The least room that must be free again before new work is taken. With a ballast it is twice its
 * size: its own place alone would come and go with each attempt. */
#define ROOM_BYTES ((uint64_t)1 << 20)

static bool ballast_make(const struct ballast *b)
{
    AUTO_CLOSE int fd = open(b->path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    if (fd < 0)
        return false;
    if (posix_fallocate(fd, 0, (off_t)b->bytes) != 0) {
        (void)unlink(b->path);
        return false;
    }
    return ftruncate(fd, (off_t)b->bytes) == 0; /* an older file may be larger */
}

static bool disk_has_room(const struct ballast *b)
{
    struct statvfs fs;
    AUTO_FREE char *dir = strdup(b->path);
    char *slash = dir == NULL ? NULL : strrchr(dir, '/');

    if (slash == NULL)
        return true;
    *slash = '\0';
    return statvfs(dir, &fs) != 0 ||
           (uint64_t)fs.f_bavail * fs.f_frsize >= MAX(2 * b->bytes, ROOM_BYTES);
}

void ballast_open(struct ballast *b, const char *dir, uint64_t bytes)
{
    size_t len = strlen(dir) + sizeof("/ballast");

    *b = (struct ballast){.path = must_alloc(len), .bytes = bytes};
    (void)snprintf(b->path, len, "%s/ballast", dir);
    if (bytes == 0)
        (void)unlink(b->path);
    else
        b->missing = !ballast_make(b);
}

void ballast_close(struct ballast *b)
{
    free(b->path);
    *b = (struct ballast){0};
}

void ballast_drop(struct ballast *b)
{
    if (b->bytes > 0)
        (void)unlink(b->path);
    b->missing = true;
    b->next_try_ns = clock_mono_ns() + RETRY_NS;
}

bool ballast_is_missing(struct ballast *b)
{
    uint64_t now_ns;

    if (!b->missing)
        return false;
    now_ns = clock_mono_ns();
    if (now_ns < b->next_try_ns)
        return true;
    b->next_try_ns = now_ns + RETRY_NS;
    b->missing = !disk_has_room(b) || (b->bytes > 0 && !ballast_make(b));
    return b->missing;
}
