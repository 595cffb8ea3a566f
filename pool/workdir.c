/* SPDX-License-Identifier: MIT */
#include "pool/workdir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>

#define WORK_DIR "work"
#define MAX_DEPTH \
    32 /* deeper directories are moved up and come in a later pass, so no nesting is too deep */
#define MAX_PASSES 4096

static int open_directory(int dir_fd, const char *name)
{
    return openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static bool remove_entry(int dir_fd, const char *name, int work_fd, int depth);

/* NOLINTNEXTLINE(misc-no-recursion): bounded by MAX_DEPTH */
static bool empty_directory(int fd, int work_fd, int depth)
{
    DIR *dir = fdopendir(fd); /* takes fd */
    if (dir == NULL) {
        (void)close(fd);
        return false;
    }
    bool ok = true;
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        ok = remove_entry(dirfd(dir), entry->d_name, work_fd, depth) && ok;
    }
    (void)closedir(dir);
    return ok;
}

/* False when something is left: it could not be removed, or was moved up for a later pass. */
/* NOLINTNEXTLINE(misc-no-recursion): bounded by MAX_DEPTH */
static bool remove_entry(int dir_fd, const char *name, int work_fd, int depth)
{
    if (unlinkat(dir_fd, name, 0) == 0)
        return true;
    /* EISDIR on Linux, EPERM by POSIX: it is a directory. */
    if (errno != EISDIR && errno != EPERM)
        return errno == ENOENT;
    if (unlinkat(dir_fd, name, AT_REMOVEDIR) == 0)
        return true;
    if (depth >= MAX_DEPTH) {
        char aside[40];
        uint64_t random;
        random_bytes(&random, sizeof(random));
        (void)snprintf(aside, sizeof(aside), "deep-%016" PRIx64, random);
        (void)renameat(dir_fd, name, work_fd, aside);
        return false;
    }
    int fd = open_directory(dir_fd, name);
    if (fd < 0 && errno == EACCES && fchmodat(dir_fd, name, 0700, 0) == 0)
        fd = open_directory(dir_fd, name);
    if (fd < 0)
        return false;
    (void)fchmod(fd, 0700); /* a read-only directory keeps its entries from us unless we are root */
    return empty_directory(fd, work_fd, depth + 1) && unlinkat(dir_fd, name, AT_REMOVEDIR) == 0;
}

/* Removes the entries of <data>/work that begin with `prefix`, and those that were moved up
 * meanwhile. */
static void remove_matching(int work_fd, const char *prefix)
{
    bool is_left = true;
    for (int pass = 0; is_left && pass < MAX_PASSES; pass++) {
        const int fd = open_directory(work_fd, ".");
        DIR *dir = fd < 0 ? NULL : fdopendir(fd);
        if (dir == NULL)
            return;
        is_left = false;
        bool removed_any = false;
        for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
            const char *name = entry->d_name;
            if (name[0] == '.' ||
                (strncmp(name, prefix, strlen(prefix)) != 0 && strncmp(name, "deep-", 5) != 0))
                continue;
            const bool removed = remove_entry(work_fd, name, work_fd, 0);
            removed_any = removed_any || removed;
            is_left = is_left || !removed;
        }
        (void)closedir(dir);
        if (pass > 0 && !removed_any)
            return;
    }
}

bool workdir_init(struct workdir *w, int data_fd, uint32_t slot, struct err *err)
{
    char prefix[16];

    *w = (struct workdir){.work_fd = -1, .fd = -1, .slot = slot};
    if (mkdirat(data_fd, WORK_DIR, 0700) != 0 && errno != EEXIST)
        return err_sys(err, ERR_STORAGE, "cannot make the directory %s", WORK_DIR);
    w->work_fd = open_directory(data_fd, WORK_DIR);
    if (w->work_fd < 0)
        return err_sys(err, ERR_STORAGE, "cannot open the directory %s", WORK_DIR);
    (void)snprintf(prefix, sizeof(prefix), "%" PRIu32 "-", slot);
    remove_matching(w->work_fd, prefix);
    return true;
}

/* Any change of the entries sets mtime to now, so a time in the past tells even a change within the
 * clock's tick. */
static bool mark_fresh(struct workdir *w)
{
    const struct timespec past[2] = {{.tv_sec = 1}, {.tv_sec = 1}};
    return futimens(w->fd, past) == 0 && fstat(w->fd, &w->fresh) == 0;
}

bool workdir_prepare(struct workdir *w, struct err *err)
{
    uint64_t random;

    if (w->fd >= 0)
        return true;
    random_bytes(&random, sizeof(random));
    (void)snprintf(w->name, sizeof(w->name), "%" PRIu32 "-%016" PRIx64, w->slot, random);
    if (mkdirat(w->work_fd, w->name, 0700) != 0)
        return err_sys(err, ERR_STORAGE, "cannot make a directory for the task");
    w->fd = open_directory(w->work_fd, w->name);
    if (w->fd < 0 || !mark_fresh(w))
        return err_sys(err, ERR_STORAGE, "cannot open the directory of the task");
    return true;
}

static bool is_untouched(const struct workdir *w)
{
    struct stat now;
    const struct stat *then = &w->fresh;

    return fstat(w->fd, &now) == 0 && now.st_nlink == then->st_nlink &&
           now.st_mode == then->st_mode && now.st_uid == then->st_uid &&
           now.st_gid == then->st_gid && now.st_mtim.tv_sec == then->st_mtim.tv_sec &&
           now.st_mtim.tv_nsec == then->st_mtim.tv_nsec &&
           now.st_ctim.tv_sec == then->st_ctim.tv_sec &&
           now.st_ctim.tv_nsec == then->st_ctim.tv_nsec;
}

void workdir_recycle(struct workdir *w)
{
    if (w->fd < 0 || is_untouched(w))
        return;
    (void)close(steal_fd(&w->fd));
    remove_matching(w->work_fd, w->name);
}

void workdir_sweep(int data_fd)
{
    AUTO_CLOSE int work_fd = open_directory(data_fd, WORK_DIR);
    if (work_fd >= 0)
        remove_matching(work_fd, "");
}
