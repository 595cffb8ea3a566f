/* SPDX-License-Identifier: MIT */
/* pingpong: TCP over loopback between two processes that are pinned to a core each: the round trip
 * of one byte, and how many messages of 128 bytes go one way when each is a write of its own. With
 * `pipe`: the round trip through two pipes. With `rest`: the median of TCP round trips with 20 ms
 * between them, for which both sides wake from rest.
 * usage: pingpong SECONDS [pipe|rest] */
#define _GNU_SOURCE
#include "common.h"

#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define MESSAGE_BYTES 128
#define PAUSE_NS 20000000

/* What a process reads from and writes to. */
struct ends {
    int in, out;
};

static void pin(size_t core)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    if (sched_setaffinity(0, sizeof(set), &set) != 0)
        die("pin to core %zu", core);
}

/* Echoes single bytes until a 'q', then takes in what comes and tells how much it was. */
static void peer(struct ends ends)
{
    char buf[65536];
    uint64_t taken = 0;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    pin(1);
    for (char c = 0; c != 'q';) {
        if (read(ends.in, &c, 1) != 1 || write(ends.out, &c, 1) != 1)
            _exit(1);
    }
    for (ssize_t n; (n = read(ends.in, buf, sizeof(buf))) > 0;)
        taken += (uint64_t)n;
    _exit(write(ends.out, &taken, sizeof(taken)) == sizeof(taken) ? 0 : 1);
}

static void echo(struct ends ends, char c)
{
    if (write(ends.out, &c, 1) != 1 || read(ends.in, &c, 1) != 1)
        die("echo");
}

static double round_trip_us(struct ends ends, uint64_t for_ns)
{
    uint64_t n = 0, start_ns = now_ns();
    for (; (n & 15) != 0 || now_ns() - start_ns < for_ns; n++)
        echo(ends, 'x');
    double us = (double)(now_ns() - start_ns) / 1000 / (double)n;
    echo(ends, 'q');
    return us;
}

static double rest_round_trip_us(struct ends ends, uint64_t for_ns)
{
    size_t n = (size_t)(for_ns / PAUSE_NS) + 1;
    uint64_t *samples_ns = must_alloc(n * sizeof(*samples_ns));
    for (size_t i = 0; i < n; i++) {
        pause_ns(PAUSE_NS);
        uint64_t start_ns = now_ns();
        echo(ends, 'x');
        samples_ns[i] = now_ns() - start_ns;
    }
    echo(ends, 'q');
    samples_sort(samples_ns, n);
    double us = samples_us(samples_ns, n, 50);
    free(samples_ns);
    return us;
}

static double one_way_rate(int fd, uint64_t for_ns)
{
    static const char message[MESSAGE_BYTES];
    uint64_t n = 0, taken = 0, start_ns = now_ns();
    for (; (n & 15) != 0 || now_ns() - start_ns < for_ns; n++) {
        if (write(fd, message, sizeof(message)) != sizeof(message))
            die("write");
    }
    if (shutdown(fd, SHUT_WR) != 0 || read(fd, &taken, sizeof(taken)) != sizeof(taken))
        die("the peer does not tell what it got");
    double rate = (double)n / ((double)(now_ns() - start_ns) / 1e9);
    if (taken != n * MESSAGE_BYTES)
        die("the peer got %llu bytes", (unsigned long long)taken);
    return rate;
}

static void open_tcp(struct ends *ret_mine, struct ends *ret_its)
{
    int listener = listen_loopback(0);
    struct sockaddr_in address;
    socklen_t len = sizeof(address);
    if (getsockname(listener, (struct sockaddr *)&address, &len) != 0)
        die("getsockname");
    int fd = connect_loopback(ntohs(address.sin_port));
    int other = accept(listener, NULL, NULL);
    if (other < 0)
        die("accept");
    *ret_mine = (struct ends){fd, fd};
    *ret_its = (struct ends){other, other};
}

static void open_pipes(struct ends *ret_mine, struct ends *ret_its)
{
    int there[2];
    int back[2];
    if (pipe(there) != 0 || pipe(back) != 0)
        die("pipe");
    *ret_mine = (struct ends){back[0], there[1]};
    *ret_its = (struct ends){there[0], back[1]};
}

int main(int argc, char **argv)
{
    struct ends mine;
    struct ends its;
    bool is_pipe = argc == 3 && strcmp(argv[2], "pipe") == 0;
    bool rests = argc == 3 && strcmp(argv[2], "rest") == 0;
    if (argc != 2 && !is_pipe && !rests)
        die("usage: pingpong SECONDS [pipe|rest]");
    uint64_t for_ns = (uint64_t)(seconds_of(argv[1]) * 1e9);
    if (is_pipe)
        open_pipes(&mine, &its);
    else
        open_tcp(&mine, &its);
    pid_t pid = fork();
    if (pid < 0)
        die("fork");
    if (pid == 0) {
        close(mine.in);
        close(mine.out);
        peer(its);
    }
    close(its.in);
    close(its.out);
    pin(0);
    double us = rests ? rest_round_trip_us(mine, for_ns) : round_trip_us(mine, for_ns);
    if (rests) {
        close(mine.out);
        printf("ipc_tcp_rest_roundtrip: %.2f us\n", us);
    } else if (is_pipe) {
        close(mine.out);
        printf("ipc_pipe_split_roundtrip: %.2f us\n", us);
    } else {
        double rate = one_way_rate(mine.out, for_ns);
        printf("ipc_tcp_split_roundtrip: %.2f us  ipc_tcp_split_oneway_128B: %.0f msg/s\n", us,
               rate);
    }
    (void)waitpid(pid, NULL, 0);
    return 0;
}
