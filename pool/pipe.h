/* SPDX-License-Identifier: MIT */
/* Kernel pipes with one end of ours and one of a task's. */
#ifndef GANGER_POOL_PIPE_H
#define GANGER_POOL_PIPE_H

#include "service/base/util.h"

enum pipe_end { PIPE_READ, PIPE_WRITE };

/* Our end does not block; the other one is a task's, which may rely on it that it does. errno. */
MUST_CHECK bool pipe_make(int ret[2], enum pipe_end ours);

/* A stream of one task after the other, of which the worker holds both ends: few tasks write to all
 * that they have, and to make and close a pipe costs more than most of what is done for a task. */
struct task_pipe {
    int fd;      /* the end that is read here, non-blocking; -1: there is no pipe */
    int task_fd; /* what tasks get */
    int size;    /* as it was made */
};
#define TASK_PIPE_NONE          \
    {                           \
        .fd = -1, .task_fd = -1 \
    }
/* For the next task; makes a pipe unless there is one that is as good as new. errno says why not.
 */
MUST_CHECK bool task_pipe_open(struct task_pipe *p);
void task_pipe_close(struct task_pipe *p);

/* For much data: 2 to 3 times the speed of the default size. */
#define PIPE_LARGE (1 << 20)
void pipe_enlarge(int fd);

#endif
