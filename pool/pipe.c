/* SPDX-License-Identifier: MIT */
#include "pool/pipe.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

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

void task_pipe_close(struct task_pipe *p)
{
    if (p->fd >= 0)
        (void)close(steal_fd(&p->fd));
    if (p->task_fd >= 0)
        (void)close(steal_fd(&p->task_fd));
}

/* Bytes, flags, size, mode and locks are the pipe's, not the task's that has left them there. */
static bool is_as_new(const struct task_pipe *p)
{
    struct stat st;
    int waiting;

    return ioctl(p->fd, FIONREAD, &waiting) == 0 && waiting == 0 &&
           fcntl(p->task_fd, F_GETFL) == O_WRONLY && fcntl(p->fd, F_GETPIPE_SZ) == p->size &&
           fstat(p->fd, &st) == 0 && st.st_mode == (S_IFIFO | S_IRUSR | S_IWUSR) &&
           flock(p->task_fd, LOCK_UN) == 0;
}

bool task_pipe_open(struct task_pipe *p)
{
    int fds[2];

    if (p->fd >= 0 && is_as_new(p))
        return true;
    task_pipe_close(p);
    if (!pipe_make(fds, PIPE_READ))
        return false;
    *p = (struct task_pipe){.fd = fds[0], .task_fd = fds[1], .size = fcntl(fds[0], F_GETPIPE_SZ)};
    return true;
}

/* Refused (EPERM) when the user's pipes have many pages already: then it stays as it is. */
void pipe_enlarge(int fd)
{
    (void)fcntl(fd, F_SETPIPE_SZ, PIPE_LARGE);
}
