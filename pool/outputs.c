/* SPDX-License-Identifier: MIT */
#include "pool/outputs.h"

#include <errno.h>
#include <fcntl.h>
#include <nettle/sha2.h>
#include <sys/stat.h>

#define PIECE ((size_t)128 << 10)
#define SYNC_STEP (UINT64_C(8) << 20) /* as the writer of uploads has it */

/* One component after the other, none of them a link: so the way cannot lead out of the directory,
 * whatever the task has put there. O_NONBLOCK: a pipe without a writer would hold us up. */
static int open_below(int dir_fd, const char *path)
{
    char part[MAX_OUTPUT_NAME + 1];
    AUTO_CLOSE int dir = fcntl(dir_fd, F_DUPFD_CLOEXEC, 3);
    const char *slash;

    for (; dir >= 0 && (slash = strchr(path, '/')) != NULL; path = slash + 1) {
        (void)snprintf(part, sizeof(part), "%.*s", (int)(slash - path), path);
        const int next = openat(dir, part, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        (void)close(dir);
        dir = next;
    }
    return dir < 0 ? -1 : openat(dir, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
}

static bool fail(struct bank *bank, const char *name, const char *why)
{
    bank->end = TASK_FUNCTION_FAILED;
    (void)snprintf(bank->error_text, sizeof(bank->error_text), "OutputError: %s: %s", name, why);
    return false;
}

static bool fail_errno(struct bank *bank, const char *name)
{
    /* openat(2) says ELOOP of a link at the end, ENOTDIR of one on the way. */
    const char *why = errno == ELOOP ? "a symbolic link is not kept" : strerrordesc_np(errno);
    return fail(bank, name, why == NULL ? "cannot be kept" : why);
}

static bool open_source(const struct outputs *o, struct bank *bank, const char *name, int *ret_fd)
{
    struct stat st;

    AUTO_CLOSE int fd = open_below(o->dir_fd, name);
    if (fd < 0)
        return fail_errno(bank, name);
    if (fstat(fd, &st) != 0)
        return fail_errno(bank, name);
    if (!S_ISREG(st.st_mode))
        return fail(bank, name, "is not a regular file");
    if (o->max_bytes != 0 && (uint64_t)st.st_size > o->max_bytes)
        return fail(bank, name, "is larger than blobs.max_size");
    *ret_fd = steal_fd(&fd);
    return true;
}

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

/* What is hashed is what is written, whatever happens to the source meanwhile: it is read once and
 * never mapped. */
static bool copy(int from_fd, int to_fd, struct task_blob *ret)
{
    AUTO_FREE char *piece = must_alloc(PIECE);
    struct sha256_ctx sha;
    uint64_t synced = 0;
    ssize_t n;

    sha256_init(&sha);
    ret->bytes = 0;
    while ((n = read(from_fd, piece, PIECE)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        errno = ENOSPC; /* what the fault simulates */
        if (FAULT("output-write") || !fd_write_all(to_fd, (struct slice){piece, (size_t)n}))
            return false;
        sha256_update(&sha, (size_t)n, (const uint8_t *)piece);
        ret->bytes += (uint64_t)n;
        if (ret->bytes - synced < SYNC_STEP)
            continue;
        (void)sync_file_range(to_fd, (off_t)synced, 0, SYNC_FILE_RANGE_WRITE);
        synced = ret->bytes;
    }
    sha256_digest(&sha, sizeof(ret->sha256), ret->sha256);
    return fsync(to_fd) == 0;
}

static bool keep_one(const struct outputs *o, struct slice name, struct bank *bank)
{
    struct task_blob *ret = &bank->blobs[bank->n_blobs];
    AUTO_CLOSE int from_fd = -1;

    (void)snprintf(ret->name, sizeof(ret->name), "%s", name.ptr);
    if (!open_source(o, bank, ret->name, &from_fd))
        return false;
    ret->file = blob_random_file();
    AUTO_CLOSE int to_fd = make_file(o->data_fd, ret->file);
    if (to_fd < 0)
        return fail_errno(bank, ret->name);
    bank->n_blobs++; /* from here on it is to be taken back */
    if (!copy(from_fd, to_fd, ret))
        return fail_errno(bank, ret->name);
    if (SEEDED_BUG("one-output-file")) /* a bank that is damaged, tests/integration/test_guard.c */
        ret->file = 1;
    return true;
}

static bool sync_directory(int data_fd)
{
    AUTO_CLOSE int fd = openat(data_fd, BLOB_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 && fsync(fd) == 0;
}

static void take_back(int data_fd, struct bank *bank)
{
    char path[BLOB_PATH_SIZE];

    while (bank->n_blobs > 0) {
        blob_path(bank->blobs[--bank->n_blobs].file, path);
        (void)unlinkat(data_fd, path, 0);
    }
}

void outputs_keep(const struct outputs *o, const struct task *task, struct bank *bank)
{
    bool ok = true;

    bank->n_blobs = 0;
    for (uint32_t i = 0; ok && i < task->n_outputs; i++)
        ok = keep_one(o, task->outputs[i], bank);
    if (ok && !sync_directory(o->data_fd))
        ok = fail_errno(bank, BLOB_DIR);
    if (!ok)
        take_back(o->data_fd, bank);
}
