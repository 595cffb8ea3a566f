/* SPDX-License-Identifier: MIT */
/* 64-byte messages over SOCK_SEQPACKET socketpairs: whole or absent, with up to FRAME_MAX_FDS
 * descriptors beside them. */
#ifndef GANGER_POOL_FRAME_H
#define GANGER_POOL_FRAME_H

#include "service/base/error.h"

enum frame_type {
    /* server → zygote */
    FRAME_SPAWN = 1, /* slot: fork a worker for it */
    FRAME_KILL,      /* slot: SIGKILL its worker */
    FRAME_QUIT,      /* end all workers, then yourself */
    /* zygote → server */
    FRAME_SPAWNED, /* slot, pid; descriptor: the server's end of the worker's socket */
    /* slot, pid, wait status in arg, max_rss; sent when no orphan is left, or when the kill
     * deadline has passed: then arg64 says how many are. */
    FRAME_GONE,
    FRAME_SPAWN_FAILED, /* slot, errno in arg */
    /* server → worker */
    /* bank, job_no, attempt; descriptors: memfd with the input when it did not fit, stdin, stdout
     * when they are pipes to other tasks, memfds of blobs */
    FRAME_START,
    /* job_no, attempt: end the tree. Signal in arg (0: the task's own), grace in arg64 (µs; < 0:
     * its own). */
    FRAME_STOP,
    FRAME_WATCH, /* job_no: move the output to the spool now and report progress of it */
    /* job_no, attempt: signals in arg64 (bit N: signal N to the main group, bit 32 + N: to all
     * processes); arg > 0: all are to stand still, < 0: to go on. */
    FRAME_REACH,
    /* worker → server */
    FRAME_READY, /* pid in arg: first frame of a worker, and again after a quarantine */
    /* job_no: live_bytes have changed (at most every 20 ms while watched), or the progress (every
     * 250 ms while listened to) */
    FRAME_OUTPUT,
    /* a task is over: which one is said in the slot (ends.h) */
    FRAME_DONE,
    /* bank, job_no, attempt: some of the tasks that run behind that one are over; how many, is in
     * the bank */
    FRAME_OVER,
    FRAME_TYPE_COUNT
};

struct frame {
    uint32_t type, slot, bank, attempt;
    int64_t job_no;
    int64_t arg64;
    int32_t arg, pid;
    uint16_t fds; /* bit i: descriptor i came with it; frame_send_fds sets it */
    uint8_t reserved[14];
    uint64_t max_rss; /* bytes */
};
_Static_assert(sizeof(struct frame) == 64, "a frame is one cache line");

/* Descriptors that travel with a frame, each at its place; -1: none. */
#define FRAME_MAX_FDS 11
struct frame_fds {
    int fd[FRAME_MAX_FDS];
};
/* Their places beside a START: the memfds of blobs in the order of the task's inputs. */
enum start_fd { START_INPUT, START_STDIN, START_STDOUT, START_BLOB };
static inline struct frame_fds frame_no_fds(void)
{
    struct frame_fds fds;
    for (int i = 0; i < FRAME_MAX_FDS; i++)
        fds.fd[i] = -1;
    return fds;
}
void frame_fds_close(struct frame_fds *fds); /* all that are there */

enum frame_status { FRAME_OK, FRAME_AGAIN, FRAME_EOF, FRAME_ERROR };

/* MSG_NOSIGNAL, never blocks; AGAIN when the socket is full. The caller keeps its descriptors. */
enum frame_status frame_send_fds(int sock, const struct frame *frame, const struct frame_fds *fds);
enum frame_status frame_send(int sock, const struct frame *frame, int fd);
/* Never blocks. ECONNRESET means "read on until EOF": the peer died with a frame of ours unread,
 * but what it had sent is still there. The descriptors are CLOEXEC and the caller's. A short or
 * unknown frame is FRAME_ERROR. */
enum frame_status frame_recv_fds(int sock, struct frame *ret_frame, struct frame_fds *ret_fds);
/* The same where one descriptor at most belongs; others are closed. */
enum frame_status frame_recv(int sock, struct frame *ret_frame, int *ret_fd);

#endif
