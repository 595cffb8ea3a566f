/* SPDX-License-Identifier: MIT */
#include "pool/frame.h"

#include <errno.h>
#include <sys/socket.h>

/* Room for all descriptors, aligned as cmsg(3) asks. */
union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(FRAME_MAX_FDS * sizeof(int))];
};

void frame_fds_close(struct frame_fds *fds)
{
    for (int i = 0; i < FRAME_MAX_FDS; i++)
        if (fds->fd[i] >= 0)
            (void)close(steal_fd(&fds->fd[i]));
}

static enum frame_status status_of_errno(int error)
{
    if (error == EAGAIN || error == EWOULDBLOCK)
        return FRAME_AGAIN;
    if (error == EPIPE || error == ECONNRESET)
        return FRAME_EOF;
    return FRAME_ERROR;
}

/* The descriptors that are there, close together; returns the bits of their places. */
static uint16_t attach_fds(struct msghdr *msg, union control *control, const struct frame_fds *fds)
{
    int list[FRAME_MAX_FDS];
    size_t n = 0;
    unsigned places = 0;

    for (unsigned i = 0; i < FRAME_MAX_FDS; i++) {
        if (fds->fd[i] < 0)
            continue;
        list[n++] = fds->fd[i];
        places |= 1u << i;
    }
    if (n == 0)
        return 0;
    memset(control, 0, sizeof(*control));
    msg->msg_control = control->bytes;
    msg->msg_controllen = CMSG_SPACE(n * sizeof(int));
    struct cmsghdr *head = CMSG_FIRSTHDR(msg);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(n * sizeof(int));
    memcpy(CMSG_DATA(head), list, n * sizeof(int));
    return (uint16_t)places;
}

enum frame_status frame_send_fds(int sock, const struct frame *frame, const struct frame_fds *fds)
{
    union control control;
    struct frame copy = *frame;
    struct iovec part = {.iov_base = &copy, .iov_len = sizeof(copy)};
    struct msghdr msg = {.msg_iov = &part, .msg_iovlen = 1};

    PRE(frame->type > 0 && frame->type < FRAME_TYPE_COUNT);
    copy.fds = attach_fds(&msg, &control, fds);
    ssize_t n;
    do
        n = sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return status_of_errno(errno);
    return n == (ssize_t)sizeof(copy) ? FRAME_OK : FRAME_ERROR;
}

enum frame_status frame_send(int sock, const struct frame *frame, int fd)
{
    struct frame_fds fds = frame_no_fds();

    fds.fd[0] = fd;
    return frame_send_fds(sock, frame, &fds);
}

/* The first descriptors of *ret are those that came, in their order. */
static void take_fds(struct msghdr *msg, struct frame_fds *ret)
{
    for (struct cmsghdr *head = CMSG_FIRSTHDR(msg); head != NULL; head = CMSG_NXTHDR(msg, head)) {
        if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS)
            continue;
        /* As many as there is room for at most: the kernel closes the rest (MSG_CTRUNC). */
        const size_t bytes = MIN(head->cmsg_len - CMSG_LEN(0), sizeof(ret->fd));
        memcpy(ret->fd, CMSG_DATA(head), bytes);
    }
}

/* Each to the place that the frame names. False: they are not as many as it says. */
static bool place_fds(const struct frame *frame, struct frame_fds *fds)
{
    struct frame_fds placed = frame_no_fds();
    unsigned n = 0;

    if (frame->fds >= 1u << FRAME_MAX_FDS)
        return false;
    for (unsigned i = 0; i < FRAME_MAX_FDS; i++) {
        if ((frame->fds >> i & 1u) == 0)
            continue;
        if (fds->fd[n] < 0)
            return false;
        placed.fd[i] = fds->fd[n++];
    }
    if (n < FRAME_MAX_FDS && fds->fd[n] >= 0)
        return false;
    *fds = placed;
    return true;
}

enum frame_status frame_recv_fds(int sock, struct frame *ret_frame, struct frame_fds *ret_fds)
{
    union control control;
    struct frame frame;
    struct iovec part = {.iov_base = &frame, .iov_len = sizeof(frame)};
    struct msghdr msg = {.msg_iov = &part, .msg_iovlen = 1};
    ssize_t n;

    *ret_fds = frame_no_fds();
    for (;;) {
        msg.msg_control = control.bytes;
        msg.msg_controllen = sizeof(control.bytes);
        n = recvmsg(sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
        /* ECONNRESET is reported once and clears itself; the dead peer's frames come after it. */
        if (n >= 0 || (errno != EINTR && errno != ECONNRESET))
            break;
    }
    if (n < 0)
        return status_of_errno(errno);
    if (n == 0)
        return FRAME_EOF;
    take_fds(&msg, ret_fds);
    if (n != (ssize_t)sizeof(frame) || (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 ||
        frame.type == 0 || frame.type >= FRAME_TYPE_COUNT || !place_fds(&frame, ret_fds)) {
        frame_fds_close(ret_fds);
        return FRAME_ERROR;
    }
    *ret_frame = frame;
    return FRAME_OK;
}

enum frame_status frame_recv(int sock, struct frame *ret_frame, int *ret_fd)
{
    struct frame_fds fds;
    const enum frame_status status = frame_recv_fds(sock, ret_frame, &fds);

    *ret_fd = steal_fd(&fds.fd[0]);
    frame_fds_close(&fds);
    return status;
}
