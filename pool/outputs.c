/* SPDX-License-Identifier: MIT */
#include "pool/outputs.h"

#include "pool/blob_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define PIECE ((size_t)128 << 10)

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
    bank->report.end = TASK_FUNCTION_FAILED;
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

/* What is hashed is what is written, whatever happens to the source meanwhile: it is read once and
 * never mapped. */
static bool copy(int from_fd, struct blob_file *to)
{
    AUTO_FREE char *piece = must_alloc(PIECE);
    ssize_t n;

    while ((n = read(from_fd, piece, PIECE)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 || !blob_file_put(to, (struct slice){piece, (size_t)n}))
            return false;
    }
    return true;
}

static bool keep_one(const struct outputs *o, struct slice name, struct bank *bank)
{
    struct task_blob *ret = &bank->blobs[bank->n_blobs];
    struct blob_file file;
    AUTO_CLOSE int from_fd = -1;

    (void)snprintf(ret->name, sizeof(ret->name), "%s", name.ptr);
    if (!open_source(o, bank, ret->name, &from_fd))
        return false;
    ret->file = blob_random_file();
    ret->bytes = 0;
    bank->n_blobs++; /* from here on it is to be taken back: by the server, if we are killed */
    if (!blob_file_make(&file, o->data_fd, ret->file)) {
        bank->n_blobs--;
        return fail_errno(bank, ret->name);
    }
    const bool is_kept = copy(from_fd, &file) && blob_file_end(&file, ret->sha256);
    ret->bytes = file.bytes;
    if (!is_kept) {
        (void)fail_errno(bank, ret->name);
        blob_file_close(&file);
        return false;
    }
    if (SEEDED_BUG("one-output-file")) /* a bank that is damaged, tests/integration/test_guard.c */
        ret->file = 1;
    return true;
}

static void take_back(int data_fd, struct bank *bank)
{
    while (bank->n_blobs > 0)
        blob_file_remove(data_fd, bank->blobs[--bank->n_blobs].file);
}

void outputs_keep(const struct outputs *o, const struct task *task, struct bank *bank)
{
    bool ok = true;

    bank->n_blobs = 0;
    for (uint32_t i = 0; ok && i < task->n_outputs; i++)
        ok = keep_one(o, task->outputs[i], bank);
    if (ok && !blob_file_sync_names(o->data_fd))
        ok = fail_errno(bank, BLOB_DIR);
    if (!ok)
        take_back(o->data_fd, bank);
}
