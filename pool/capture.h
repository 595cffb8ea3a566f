/* SPDX-License-Identifier: MIT */
/* One output stream of a running task: from its pipe into the slot, and beyond that into its spool
 * file. Owner: the worker. Never blocks on the pipe; writes to the file may block on the disk. */
#ifndef GANGER_POOL_CAPTURE_H
#define GANGER_POOL_CAPTURE_H

#include "pool/slot.h"

struct capture {
    int pipe_fd; /* non-blocking read end; -1: at its end */
    int task_fd; /* what the task writes to, if that is ours; -1: its own alone */
    int file_fd; /* -1: still in the slot */
    int null_fd; /* /dev/null, borrowed */
    int data_fd; /* data directory, borrowed */
    int stream;  /* 0 stdout, 1 stderr */
    struct bank *bank;
    uint64_t limit; /* bytes to keep */
    uint64_t kept;
    uint64_t written_out; /* writeback was started up to here */
    bool truncated;       /* more came and was dropped */
    bool plain_writes;    /* the file system cannot splice */
};

void capture_init(struct capture *c, struct bank *bank, int stream, int pipe_fd, uint64_t limit);
/* Takes what the pipe holds, up to about `budget` bytes; true when there may be more. At the end of
 * the stream pipe_fd is closed and -1. Beyond `limit` bytes are dropped and `truncated` set. When
 * the file cannot be written (disk full) the rest is dropped likewise. */
bool capture_pump(struct capture *c, size_t budget);
/* Adds bytes that did not come by the pipe, as far as the limit lets them. */
void capture_put(struct capture *c, struct slice bytes);
/* The pipe has no writer any more and is empty. */
void capture_close(struct capture *c);
/* Moves the stream to its spool file now, so that readers can follow it. False: it could not be
 * opened; stays as it is. */
bool capture_spool(struct capture *c);
/* After the end of the tree: takes what is left, closes, syncs the file, and writes the bank's
 * out_bytes, truncated and spooled. */
void capture_finish(struct capture *c);

#endif
