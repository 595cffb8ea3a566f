/* SPDX-License-Identifier: MIT */
#include "service/blob_writer.h"

#include "service/inbox.h"

#include <errno.h>
#include <fcntl.h>
#include <nettle/sha2.h>
#include <poll.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#define SYNC_STEP (UINT64_C(8) << 20) /* so much is on its way to the disk before the end asks */

struct blob_upload {
    int fd;
    uint64_t file, bytes, synced;
    struct sha256_ctx sha;
    struct command drop; /* how it comes back at its end, whoever has no command then */
    bool is_over, has_row;
};

struct blob_writer {
    struct inbox inbox;
    int data_fd, dir_fd;
    pthread_t thread;
    bool has_thread;
    _Atomic bool stop;
};

static bool fail(struct command *cmd, const char *what)
{
    const bool is_full = errno == ENOSPC || errno == EDQUOT;
    return is_full ? err_set(&cmd->err, ERR_DISK_FULL,
                             "The disk that holds the data directory is full; free some space and "
                             "send the blob again")
                   : err_sys(&cmd->err, ERR_STORAGE, "%s", what);
}

/* ------------------------------------------------------------------------------------------------
 * one upload */

static bool open_directory(struct blob_writer *w)
{
    if (w->dir_fd >= 0)
        return true;
    if (mkdirat(w->data_fd, BLOB_DIR, 0700) == 0) {
        if (fsync(w->data_fd) != 0)
            return false;
    } else if (errno != EEXIST) {
        return false;
    }
    w->dir_fd = openat(w->data_fd, BLOB_DIR, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return w->dir_fd >= 0;
}

static bool begin(struct blob_writer *w, struct command *cmd)
{
    char path[BLOB_PATH_SIZE];
    struct blob_upload *u = must_alloc(sizeof *u);
    cmd->blob.upload = u;
    *u = (struct blob_upload){.fd = -1};
    sha256_init(&u->sha);
    if (!open_directory(w))
        return fail(cmd, "open the directory of blobs");
    u->file = blob_random_file();
    blob_path(u->file, path);
    u->fd = openat(w->data_fd, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    return u->fd >= 0 || fail(cmd, "make the file of the blob");
}

static bool write_piece(struct command *cmd)
{
    struct blob_upload *u = cmd->blob.upload;
    const struct slice piece = cmd->blob.piece;
    sha256_update(&u->sha, piece.len, (const uint8_t *)piece.ptr);
    errno = ENOSPC; /* what the fault simulates */
    if (FAULT("blob-write") || !fd_write_all(u->fd, piece))
        return fail(cmd, "write the blob");
    u->bytes += piece.len;
    if (u->bytes - u->synced >= SYNC_STEP) {
        (void)sync_file_range(u->fd, (off_t)u->synced, 0, SYNC_FILE_RANGE_WRITE);
        u->synced = u->bytes;
    }
    return true;
}

static bool finish(struct blob_writer *w, struct command *cmd)
{
    struct blob_upload *u = cmd->blob.upload;
    if (fsync(u->fd) != 0 || fsync(w->dir_fd) != 0)
        return fail(cmd, "make the blob durable");
    (void)FAULT("blob-durable");
    (void)close(steal_fd(&u->fd));
    cmd->blob.file = u->file;
    cmd->blob.bytes = u->bytes;
    sha256_digest(&u->sha, sizeof cmd->blob.sha256, cmd->blob.sha256);
    return true;
}

static void do_write(struct blob_writer *w, struct command *cmd)
{
    bool ok = cmd->blob.upload != NULL || begin(w, cmd);
    ok = ok && write_piece(cmd);
    if (ok && cmd->blob.is_last)
        ok = finish(w, cmd);
    PRE(ok == (cmd->err.code == ERR_NONE));
    if (mailbox_push(cmd->home, cmd))
        mailbox_notify(cmd->home);
    inbox_unreserve(&w->inbox);
}

static void do_drop(struct blob_writer *w, struct blob_upload *u)
{
    char path[BLOB_PATH_SIZE];
    blob_path(u->file, path);
    if (u->file != 0 && !u->has_row)
        (void)unlinkat(w->data_fd, path, 0);
    if (u->fd >= 0)
        (void)close(u->fd);
    free(u);
}

/* ------------------------------------------------------------------------------------------------
 * the thread */

static void serve(struct blob_writer *w)
{
    struct command *cmd = inbox_take(&w->inbox);
    for (struct command *next; cmd != NULL; cmd = next) {
        next = cmd->next;
        struct blob_upload *u = cmd->blob.upload;
        if (u != NULL && u->is_over)
            do_drop(w, u);
        else
            do_write(w, cmd);
    }
}

static void *run(void *arg)
{
    struct blob_writer *w = arg;
    (void)prctl(PR_SET_NAME, "blobs");
    while (!atomic_load(&w->stop)) {
        struct pollfd event = {.fd = w->inbox.event_fd, .events = POLLIN};
        if (poll(&event, 1, -1) == 1)
            inbox_heard(&w->inbox);
        serve(w);
    }
    serve(w);
    return NULL;
}

bool blob_writer_reserve(struct blob_writer *w, struct err *err)
{
    return inbox_reserve(&w->inbox) ||
           err_set(err, ERR_OVERLOADED, "Too many uploads are under way; try again");
}

void blob_writer_post(struct blob_writer *w, struct command *cmd)
{
    inbox_push(&w->inbox, cmd);
    inbox_wake(&w->inbox);
}

void blob_writer_drop(struct blob_writer *w, struct blob_upload *upload, bool has_row)
{
    if (upload == NULL)
        return;
    upload->is_over = true;
    upload->has_row = has_row;
    upload->drop.kind = CMD_BLOB_WRITE;
    upload->drop.blob.upload = upload;
    blob_writer_post(w, &upload->drop);
}

bool blob_writer_start(struct engine *engine, struct blob_writer **ret, struct err *err)
{
    struct blob_writer *w = must_alloc(sizeof *w);
    *ret = w;
    *w = (struct blob_writer){.inbox.event_fd = -1, .dir_fd = -1};
    w->data_fd = open(engine_config(engine)->data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (w->data_fd < 0)
        return err_sys(err, ERR_STORAGE, "open the data directory");
    if (!inbox_open(&w->inbox, err))
        return false;
    int error = pthread_create(&w->thread, NULL, run, w);
    w->has_thread = error == 0;
    return w->has_thread ||
           err_set(err, ERR_INTERNAL, "cannot start the thread of blobs: %s", strerror(error));
}

void blob_writer_stop(struct blob_writer *w)
{
    if (w == NULL)
        return;
    atomic_store(&w->stop, true);
    if (w->has_thread) {
        /* Not inbox_wake, which is silent when there is nothing to do. */
        (void)!write(w->inbox.event_fd, &(uint64_t){1}, sizeof(uint64_t));
        (void)pthread_join(w->thread, NULL);
    }
    if (w->inbox.event_fd >= 0)
        inbox_close(&w->inbox);
    auto_close(&w->data_fd);
    auto_close(&w->dir_fd);
    free(w);
}
