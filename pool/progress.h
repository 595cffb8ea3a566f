/* SPDX-License-Identifier: MIT */
/* How far a running task says that it is. A command writes lines to its descriptor 3:
 *
 *     progress 0.6 tile 6 of 10
 *
 * a fraction from 0 to 1, and if it likes a text. Other lines there mean nothing (yet). The newest
 * one is in the bank, where any thread of the server may read it while the worker writes the next.
 */
#ifndef GANGER_POOL_PROGRESS_H
#define GANGER_POOL_PROGRESS_H

#include "pool/slot.h"

#define PROGRESS_LINE 256 /* what follows in a longer line is not looked at */

struct progress {
    bool is_known;
    uint32_t ppm;  /* millionths, at most 1,000,000 */
    int64_t at_us; /* wall clock */
    char text[PROGRESS_TEXT + 1];
};

/* The worker: one writer at a time. Of the text so much is kept as fits, without half a character;
 * what is no UTF-8 becomes "?", and control characters become blanks. */
void progress_put(struct bank *bank, uint32_t ppm, struct slice text);
void progress_clear(struct bank *bank);
/* Changes with each of them. */
uint32_t progress_turn(const struct bank *bank);
/* The server, any thread: never half of one and half of another. What comes from a broken worker is
 * held within its limits. */
void progress_get(const struct bank *bank, struct progress *ret);

/* Descriptor 3 of one task after the other. Few tasks write to it, and a pipe costs more than most
 * of what a worker does for a task, so one that was never touched goes on to the next task. */
struct progress_pipe {
    int fd;      /* non-blocking read end; -1: there is no pipe */
    int task_fd; /* what tasks get; ours stays open, so that the pipe does not end with them */
    struct bank *bank;
    bool is_touched;
    bool is_long; /* the rest of the line is dropped */
    uint32_t used;
    char line[PROGRESS_LINE];
};
#define PROGRESS_PIPE_NONE      \
    {                           \
        .fd = -1, .task_fd = -1 \
    }
/* For the next task; makes a pipe unless there is one. errno says why not. */
MUST_CHECK bool progress_open(struct progress_pipe *p, struct bank *bank);
/* Takes what the pipe holds, up to a bound: who writes without end is not kept waiting, and neither
 * are the others. */
void progress_pump(struct progress_pipe *p);
/* After the end of the task, when its pipe is empty. `may_stay`: all that had its descriptor 3 have
 * ended. */
void progress_end(struct progress_pipe *p, bool may_stay);
void progress_close(struct progress_pipe *p);
/* What progress_pump does with bytes. */
void progress_feed(struct progress_pipe *p, struct slice bytes);

#endif
