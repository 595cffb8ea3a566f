/* SPDX-License-Identifier: MIT */
/* Kernel pipes with one end of ours and one of a task's. */
#ifndef GANGER_POOL_PIPE_H
#define GANGER_POOL_PIPE_H

#include "service/base/util.h"

enum pipe_end { PIPE_READ, PIPE_WRITE };

/* Our end does not block; the other one is a task's, which may rely on it that it does. errno. */
MUST_CHECK bool pipe_make(int ret[2], enum pipe_end ours);
/* For much data: 2 to 3 times the speed of the default size. */
#define PIPE_LARGE (1 << 20)
void pipe_enlarge(int fd);

#endif
