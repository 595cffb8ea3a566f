/* SPDX-License-Identifier: MIT */
#include "service/blob_writer.h"

#include "pool/blob_file.h"
#include "service/inbox.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/prctl.h>

struct blob_upload {
    struct blob_file file;
    struct command drop; /* how it comes back at its end, whoever has no command then */
    bool is_over, has_row;
};

struct blob_writer {
    struct inbox inbox;
    int data_fd;
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

static bool begin(struct blob_writer *w, struct command *cmd)
{
    struct blob_upload *u = must_alloc(sizeof *u);
    cmd->blob.upload = u;
    return blob_file_make(&u->file, w->data_fd, blob_random_file()) ||
           fail(cmd, "make the file of the blob");
}

static bool finish(struct blob_writer *w, struct command *cmd)
{
    struct blob_file *file = &cmd->blob.upload->file;
    if (!blob_file_end(file, cmd->blob.sha256) || !blob_file_sync_names(w->data_fd))
        return fail(cmd, "make the blob durable");
    (void)FAULT("blob-durable");
    cmd->blob.file = file->file;
    cmd->blob.bytes = file->bytes;
    return true;
}

static void do_write(struct blob_writer *w, struct command *cmd)
{
    struct mailbox *home = cmd->home; /* which may use the command again before it is notified */
    bool ok = cmd->blob.upload != NULL || begin(w, cmd);
    ok = ok &&
         (blob_file_put(&cmd->blob.upload->file, cmd->blob.piece) || fail(cmd, "write the blob"));
    if (ok && cmd->blob.is_last)
        ok = finish(w, cmd);
    PRE(ok == (cmd->err.code == ERR_NONE));
    if (mailbox_push(home, cmd))
        mailbox_notify(home);
    inbox_unreserve(&w->inbox);
}

static void do_drop(struct blob_writer *w, struct blob_upload *u)
{
    if (u->file.file != 0 && !u->has_row)
        blob_file_remove(w->data_fd, u->file.file);
    blob_file_close(&u->file);
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
    *w = (struct blob_writer){.inbox.event_fd = -1};
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
    free(w);
}
