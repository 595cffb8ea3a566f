/* SPDX-License-Identifier: MIT */
#include "pool/capture.h"

#include "pool/pipe.h"
#include "pool/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>

#define WRITEBACK_STEP (UINT64_C(16) << 20)
#define DRAIN_MAX_NS UINT64_C(200000000) /* a foreign process may hold the pipe and write on */

void capture_init(struct capture *c, struct bank *bank, int stream, int pipe_fd, uint64_t limit)
{
    c->pipe_fd = pipe_fd;
    c->task_fd = -1;
    c->file_fd = -1;
    c->stream = stream;
    c->bank = bank;
    c->limit = limit == 0 ? UINT64_MAX : limit;
    c->kept = 0;
    c->written_out = 0;
    c->truncated = false;
    c->plain_writes = false;
}

void capture_close(struct capture *c)
{
    if (c->pipe_fd >= 0)
        (void)close(steal_fd(&c->pipe_fd));
    if (c->task_fd >= 0)
        (void)close(steal_fd(&c->task_fd));
}

/* The disk takes no more: what is kept stays, the rest is dropped and flagged. */
static void stop_keeping(struct capture *c)
{
    c->limit = c->kept;
    c->truncated = true;
}

static void announce(struct capture *c)
{
    atomic_store_explicit(&c->bank->live_bytes[c->stream], c->kept, memory_order_release);
}

bool capture_spool(struct capture *c)
{
    struct err err;

    if (c->file_fd >= 0)
        return true;
    AUTO_CLOSE int fd = FAULT("capture-spool") ? -1
                                               : spool_open(c->data_fd, c->bank->job_no,
                                                            c->bank->attempt, c->stream, &err);
    if (fd < 0)
        return false;
    if (!fd_write_all(fd, (struct slice){c->bank->out[c->stream], (size_t)c->kept})) {
        spool_remove(c->data_fd, c->bank->job_no, c->bank->attempt, c->stream);
        return false;
    }
    c->file_fd = steal_fd(&fd);
    announce(c);
    return true;
}

/* The results of moving bytes once: how many, 0 at the end of the stream, -1 when nothing is there
 * now. */
static ssize_t read_into_slot(struct capture *c, size_t room)
{
    ssize_t n;
    do
        n = read(c->pipe_fd, c->bank->out[c->stream] + c->kept, room);
    while (n < 0 && errno == EINTR);
    if (n > 0)
        c->kept += (uint64_t)n;
    return n;
}

static ssize_t drop(struct capture *c, size_t max)
{
    ssize_t n;
    do
        n = splice(c->pipe_fd, NULL, c->null_fd, NULL, max, SPLICE_F_NONBLOCK);
    while (n < 0 && errno == EINTR);
    if (n > 0)
        c->truncated = true;
    return n;
}

static ssize_t copy_to_file(struct capture *c, size_t max)
{
    /* The bytes in the slot are in the file already, so their place is free. */
    char *scratch = c->bank->out[c->stream];
    ssize_t n;
    do
        n = read(c->pipe_fd, scratch, MIN(max, (size_t)BANK_OUT_SIZE));
    while (n < 0 && errno == EINTR);
    if (n > 0 && fd_write_all(c->file_fd, (struct slice){scratch, (size_t)n}))
        c->kept += (uint64_t)n;
    else if (n > 0)
        stop_keeping(c);
    return n;
}

static ssize_t splice_to_file(struct capture *c, size_t max)
{
    ssize_t n;
    do
        n = splice(c->pipe_fd, NULL, c->file_fd, NULL, max, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
    while (n < 0 && errno == EINTR);
    if (n >= 0) {
        c->kept += (uint64_t)n;
        return n;
    }
    if (errno == EAGAIN)
        return n;
    if (errno == EINVAL) {
        c->plain_writes = true;
        return copy_to_file(c, max);
    }
    stop_keeping(c); /* ENOSPC, EDQUOT, EFBIG, EIO */
    return drop(c, max);
}

static ssize_t keep_in_file(struct capture *c, size_t max)
{
    const ssize_t n = c->plain_writes ? copy_to_file(c, max) : splice_to_file(c, max);
    if (n > 0)
        announce(c);
    /* Writeback begins while the task still writes, so that the sync at its end is short. */
    if (c->kept - c->written_out >= WRITEBACK_STEP) {
        (void)sync_file_range(c->file_fd, (off_t)c->written_out, (off_t)(c->kept - c->written_out),
                              SYNC_FILE_RANGE_WRITE);
        c->written_out = c->kept;
    }
    return n;
}

/* The slot is full and the limit is not reached. A stream that ends exactly here needs no file. */
static ssize_t leave_slot(struct capture *c)
{
    int waiting = 0;
    if (ioctl(c->pipe_fd, FIONREAD, &waiting) != 0 || waiting == 0) {
        errno = EAGAIN;
        return -1;
    }
    if (!capture_spool(c)) {
        stop_keeping(c);
        return drop(c, (size_t)waiting);
    }
    pipe_enlarge(c->pipe_fd); /* a big talker */
    return keep_in_file(c, (size_t)MIN((uint64_t)PIPE_LARGE, c->limit - c->kept));
}

static ssize_t move_once(struct capture *c)
{
    const uint64_t room = c->limit - c->kept;
    if (room == 0)
        return drop(c, PIPE_LARGE);
    if (c->file_fd >= 0)
        return keep_in_file(c, (size_t)MIN((uint64_t)PIPE_LARGE, room));
    const uint64_t slot_room = BANK_OUT_SIZE - c->kept;
    if (slot_room == 0)
        return leave_slot(c);
    return read_into_slot(c, (size_t)MIN(slot_room, room));
}

bool capture_pump(struct capture *c, size_t budget)
{
    while (c->pipe_fd >= 0) {
        const uint64_t before = c->kept;
        const ssize_t n = move_once(c);
        if (n == 0)
            capture_close(c);
        if (n <= 0)
            return false;
        /* A read that filled neither slot nor limit has emptied the pipe: no second one to hear
         * EAGAIN. */
        if (c->file_fd < 0 && c->kept > before && c->kept < BANK_OUT_SIZE && c->kept < c->limit)
            return false;
        if ((size_t)n >= budget)
            return true;
        budget -= (size_t)n;
    }
    return false;
}

void capture_put(struct capture *c, struct slice bytes)
{
    const size_t len = (size_t)MIN((uint64_t)bytes.len, c->limit - c->kept);

    c->truncated = c->truncated || len < bytes.len;
    if (c->file_fd < 0 && c->kept + len > BANK_OUT_SIZE && !capture_spool(c)) {
        stop_keeping(c);
        return;
    }
    if (len == 0)
        return;
    if (c->file_fd < 0)
        memcpy(c->bank->out[c->stream] + c->kept, bytes.ptr, len);
    else if (!fd_write_all(c->file_fd, (struct slice){bytes.ptr, len})) {
        stop_keeping(c);
        return;
    }
    c->kept += len;
    if (c->file_fd >= 0)
        announce(c);
}

void capture_finish(struct capture *c)
{
    struct err err;
    const uint64_t end_ns = clock_mono_ns() + DRAIN_MAX_NS;

    while (capture_pump(c, PIPE_LARGE) && clock_mono_ns() < end_ns)
        continue;
    capture_close(c);
    /* Not synced, it may be gone after a power cut, so it must not be called complete. */
    if (c->file_fd >= 0 && !spool_sync(c->data_fd, c->bank->job_no, c->file_fd, &err))
        c->truncated = true;
    c->bank->report.out_bytes[c->stream] = c->kept;
    c->bank->report.truncated[c->stream] = c->truncated ? 1 : 0;
    c->bank->report.spooled[c->stream] = c->file_fd >= 0 ? 1 : 0;
    if (c->file_fd >= 0)
        (void)close(steal_fd(&c->file_fd));
}
