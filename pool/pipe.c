/* SPDX-License-Identifier: MIT */
#include "pool/pipe.h"

#include <fcntl.h>

bool pipe_make(int ret[2], enum pipe_end ours)
{
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) != 0)
        return false;
    if (fcntl(fds[ours], F_SETFL, O_NONBLOCK) != 0) {
        (void)close(fds[0]);
        (void)close(fds[1]);
        return false;
    }
    ret[0] = fds[0];
    ret[1] = fds[1];
    return true;
}

/* Refused (EPERM) when the user's pipes have many pages already: then it stays as it is. */
void pipe_enlarge(int fd)
{
    (void)fcntl(fd, F_SETPIPE_SZ, PIPE_LARGE);
}
