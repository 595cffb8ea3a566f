/* SPDX-License-Identifier: MIT */
#include "pool/frame.h"

#include <errno.h>
#include <sys/socket.h>

/* Room for one descriptor, aligned as cmsg(3) asks. */
union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int))];
};

static enum frame_status status_of_errno(int error)
{
    if (error == EAGAIN || error == EWOULDBLOCK)
        return FRAME_AGAIN;
    if (error == EPIPE || error == ECONNRESET)
        return FRAME_EOF;
    return FRAME_ERROR;
}

static void attach_fd(struct msghdr *msg, union control *control, int fd)
{
    memset(control, 0, sizeof(*control));
    msg->msg_control = control->bytes;
    msg->msg_controllen = sizeof(control->bytes);
    struct cmsghdr *head = CMSG_FIRSTHDR(msg);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(head), &fd, sizeof(int));
}

enum frame_status frame_send(int sock, const struct frame *frame, int fd)
{
    union control control;
    struct frame copy = *frame;
    struct iovec part = {.iov_base = &copy, .iov_len = sizeof(copy)};
    struct msghdr msg = {.msg_iov = &part, .msg_iovlen = 1};

    PRE(frame->type > 0 && frame->type < FRAME_TYPE_COUNT);
    if (fd >= 0)
        attach_fd(&msg, &control, fd);
    ssize_t n;
    do
        n = sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return status_of_errno(errno);
    return n == (ssize_t)sizeof(copy) ? FRAME_OK : FRAME_ERROR;
}

static int take_fd(struct msghdr *msg)
{
    int fd = -1;
    for (struct cmsghdr *head = CMSG_FIRSTHDR(msg); head != NULL; head = CMSG_NXTHDR(msg, head)) {
        if (head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS &&
            head->cmsg_len == CMSG_LEN(sizeof(int)))
            memcpy(&fd, CMSG_DATA(head), sizeof(int));
    }
    return fd;
}

enum frame_status frame_recv(int sock, struct frame *ret_frame, int *ret_fd)
{
    union control control;
    struct frame frame;
    struct iovec part = {.iov_base = &frame, .iov_len = sizeof(frame)};
    struct msghdr msg = {.msg_iov = &part, .msg_iovlen = 1};
    ssize_t n;

    *ret_fd = -1;
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
    AUTO_CLOSE int fd = take_fd(&msg);
    if (n == 0)
        return FRAME_EOF;
    if (n != (ssize_t)sizeof(frame) || (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0 ||
        frame.type == 0 || frame.type >= FRAME_TYPE_COUNT)
        return FRAME_ERROR;
    *ret_frame = frame;
    *ret_fd = steal_fd(&fd);
    return FRAME_OK;
}
