/* SPDX-License-Identifier: MIT */
#include "pool/frame.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

static void make_pair(int ends[2])
{
    cr_assert_eq(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
}

Test(frame, arrives_whole)
{
    int ends[2];
    int fd = 77;
    struct frame got = {0};
    const struct frame sent = {.type = FRAME_STOP,
                               .slot = 3,
                               .bank = 1,
                               .attempt = 9,
                               .job_no = INT64_MAX,
                               .arg64 = INT64_MIN,
                               .arg = -1,
                               .pid = 4711};
    make_pair(ends);
    cr_assert_eq(frame_recv(ends[1], &got, &fd), FRAME_AGAIN);
    cr_assert_eq(fd, -1);
    cr_assert_eq(frame_send(ends[0], &sent, -1), FRAME_OK);
    cr_assert_eq(frame_recv(ends[1], &got, &fd), FRAME_OK);
    cr_assert_eq(fd, -1);
    cr_assert_eq(memcmp(&got, &sent, sizeof(got)), 0);
}

Test(frame, carries_a_descriptor_that_is_closed_on_exec)
{
    int ends[2];
    int fd = -1;
    struct frame got;
    struct stat a;
    struct stat b;
    const struct frame sent = {.type = FRAME_START};

    make_pair(ends);
    const int file = open("/dev/null", O_RDONLY);
    cr_assert_eq(frame_send(ends[0], &sent, file), FRAME_OK);
    cr_assert_eq(frame_recv(ends[1], &got, &fd), FRAME_OK);
    cr_assert_geq(fd, 0);
    cr_assert_neq(fd, file, "the sender keeps its own");
    cr_assert_eq(fstat(file, &a), 0);
    cr_assert_eq(fstat(fd, &b), 0);
    cr_assert_eq(a.st_rdev, b.st_rdev);
    cr_assert_neq(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
}

static bool is_file(int fd, const char *path)
{
    struct stat a;
    struct stat b;
    return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_rdev == b.st_rdev;
}

Test(frame, each_descriptor_arrives_at_its_place)
{
    int ends[2];
    struct frame got;
    struct frame_fds fds;
    const struct frame sent = {.type = FRAME_START};

    make_pair(ends);
    const int null = open("/dev/null", O_RDONLY);
    const int zero = open("/dev/zero", O_RDONLY);
    const int full = open("/dev/full", O_RDONLY);
    for (unsigned places = 0; places < 8u; places++) {
        struct frame_fds out = frame_no_fds();
        out.fd[0] = places & 1u ? null : -1;
        out.fd[1] = places & 2u ? zero : -1;
        out.fd[FRAME_MAX_FDS - 1] = places & 4u ? full : -1;
        cr_assert_eq(frame_send_fds(ends[0], &sent, &out), FRAME_OK);
        cr_assert_eq(frame_recv_fds(ends[1], &got, &fds), FRAME_OK);
        cr_assert_eq(places & 1u ? is_file(fds.fd[0], "/dev/null") : fds.fd[0] == -1, true);
        cr_assert_eq(places & 2u ? is_file(fds.fd[1], "/dev/zero") : fds.fd[1] == -1, true);
        const int last = fds.fd[FRAME_MAX_FDS - 1];
        cr_assert_eq(places & 4u ? is_file(last, "/dev/full") : last == -1, true);
        cr_assert_eq(fds.fd[2], -1);
        frame_fds_close(&fds);
    }
}

Test(frame, end_of_file_when_the_peer_is_gone)
{
    int ends[2];
    int fd;
    struct frame got;
    const struct frame sent = {.type = FRAME_READY};

    make_pair(ends);
    cr_assert_eq(frame_send(ends[0], &sent, -1), FRAME_OK);
    (void)close(ends[0]);
    cr_assert_eq(frame_recv(ends[1], &got, &fd), FRAME_OK, "what was sent is still there");
    cr_assert_eq(frame_recv(ends[1], &got, &fd), FRAME_EOF);
    cr_assert_eq(frame_send(ends[1], &sent, -1), FRAME_EOF, "and no SIGPIPE");
}

/* The trap: the peer sent DONE, had a STOP of ours unread, and died. The kernel reports ECONNRESET
 * before DONE. */
Test(frame, connection_reset_hides_nothing)
{
    int ends[2];
    int fd;
    struct frame got;
    const struct frame done = {.type = FRAME_DONE, .job_no = 5};
    const struct frame stop = {.type = FRAME_STOP, .job_no = 5};
    char raw[64];

    /* First without frame_recv: if the kernel stops doing this, the test below proves nothing. */
    make_pair(ends);
    cr_assert_eq(frame_send(ends[1], &done, -1), FRAME_OK);
    cr_assert_eq(frame_send(ends[0], &stop, -1), FRAME_OK);
    (void)close(ends[1]);
    cr_assert_eq(recv(ends[0], raw, sizeof(raw), MSG_DONTWAIT), -1);
    cr_assert_eq(errno, ECONNRESET);

    make_pair(ends);
    cr_assert_eq(frame_send(ends[1], &done, -1), FRAME_OK);
    cr_assert_eq(frame_send(ends[0], &stop, -1), FRAME_OK);
    (void)close(ends[1]);
    cr_assert_eq(frame_recv(ends[0], &got, &fd), FRAME_OK);
    cr_assert_eq(got.type, FRAME_DONE);
    cr_assert_eq(frame_recv(ends[0], &got, &fd), FRAME_EOF);
}

Test(frame, again_when_the_socket_is_full)
{
    int ends[2];
    const struct frame sent = {.type = FRAME_OUTPUT};
    enum frame_status status;
    int n = 0;

    make_pair(ends);
    while ((status = frame_send(ends[0], &sent, -1)) == FRAME_OK && n < 100000)
        n++;
    cr_assert_eq(status, FRAME_AGAIN);
    cr_assert_gt(n, 16, "room for a few frames in flight");
}

Test(frame, refuses_what_is_no_frame)
{
    int ends[2];
    int fd;
    struct frame got;
    struct frame odd = {.type = FRAME_TYPE_COUNT};
    char large[100] = {FRAME_DONE};
    char small[63] = {FRAME_DONE};

    make_pair(ends);
    cr_assert_eq(send(ends[0], small, sizeof(small), 0), (ssize_t)sizeof(small));
    cr_assert_eq(frame_recv(ends[1], &got, &fd), FRAME_ERROR);
    cr_assert_eq(send(ends[0], large, sizeof(large), 0), (ssize_t)sizeof(large));
    cr_assert_eq(frame_recv(ends[1], &got, &fd), FRAME_ERROR);
    cr_assert_eq(send(ends[0], &odd, sizeof(odd), 0), (ssize_t)sizeof(odd));
    cr_assert_eq(frame_recv(ends[1], &got, &fd), FRAME_ERROR);
    odd.type = 0;
    cr_assert_eq(send(ends[0], &odd, sizeof(odd), 0), (ssize_t)sizeof(odd));
    cr_assert_eq(frame_recv(ends[1], &got, &fd), FRAME_ERROR);
}

static int count_open(void)
{
    int n = 0;
    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

Test(frame, a_bad_frame_leaks_no_descriptor)
{
    int ends[2];
    int fd;
    struct frame got;
    char bytes[10] = {0};
    union {
        struct cmsghdr align;
        char room[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec part = {bytes, sizeof(bytes)};
    struct msghdr msg = {.msg_iov = &part,
                         .msg_iovlen = 1,
                         .msg_control = control.room,
                         .msg_controllen = sizeof(control.room)};

    make_pair(ends);
    const int file = open("/dev/null", O_RDONLY);
    struct cmsghdr *head = CMSG_FIRSTHDR(&msg);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(head), &file, sizeof(int));
    const int before = count_open();
    cr_assert_eq(sendmsg(ends[0], &msg, 0), (ssize_t)sizeof(bytes));
    cr_assert_eq(frame_recv(ends[1], &got, &fd), FRAME_ERROR);
    cr_assert_eq(fd, -1);
    cr_assert_eq(count_open(), before);
}

Test(frame, refuses_descriptors_that_it_does_not_name)
{
    int ends[2];
    struct frame got;
    struct frame_fds fds;
    struct frame raw = {.type = FRAME_START, .fds = 5};

    make_pair(ends);
    const int before = count_open();
    cr_assert_eq(send(ends[0], &raw, sizeof(raw), 0), (ssize_t)sizeof(raw));
    cr_assert_eq(frame_recv_fds(ends[1], &got, &fds), FRAME_ERROR, "named, and not there");
    raw.fds = 1u << FRAME_MAX_FDS;
    cr_assert_eq(send(ends[0], &raw, sizeof(raw), 0), (ssize_t)sizeof(raw));
    cr_assert_eq(frame_recv_fds(ends[1], &got, &fds), FRAME_ERROR, "a place that is none");
    cr_assert_eq(count_open(), before);
}
