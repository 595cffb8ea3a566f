/* SPDX-License-Identifier: MIT */
/* pingpong: TCP over loopback between two processes that are pinned to a core each: the round trip
 * of one byte, and how many messages of 128 bytes go one way when each is a write of its own.
 * usage: pingpong SECONDS */
#define _GNU_SOURCE
#include "common.h"

#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define MESSAGE_BYTES 128

static void pin(size_t core)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(core, &set);
    if (sched_setaffinity(0, sizeof(set), &set) != 0)
        die("pin to core %zu", core);
}

/* Echoes single bytes until a 'q', then takes in what comes and tells how much it was. */
static void peer(int fd)
{
    char buf[65536];
    uint64_t taken = 0;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    pin(1);
    for (char c = 0; c != 'q';) {
        if (read(fd, &c, 1) != 1 || write(fd, &c, 1) != 1)
            _exit(1);
    }
    for (ssize_t n; (n = read(fd, buf, sizeof(buf))) > 0;)
        taken += (uint64_t)n;
    _exit(write(fd, &taken, sizeof(taken)) == sizeof(taken) ? 0 : 1);
}

static void echo(int fd, char c)
{
    if (write(fd, &c, 1) != 1 || read(fd, &c, 1) != 1)
        die("echo");
}

static double round_trip_us(int fd, uint64_t for_ns)
{
    uint64_t n = 0, start_ns = now_ns();
    for (; (n & 15) != 0 || now_ns() - start_ns < for_ns; n++)
        echo(fd, 'x');
    double us = (double)(now_ns() - start_ns) / 1000 / (double)n;
    echo(fd, 'q');
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

int main(int argc, char **argv)
{
    if (argc != 2)
        die("usage: pingpong SECONDS");
    uint64_t for_ns = (uint64_t)(seconds_of(argv[1]) * 1e9);
    int listener = listen_loopback(0);
    struct sockaddr_in address;
    socklen_t len = sizeof(address);
    if (getsockname(listener, (struct sockaddr *)&address, &len) != 0)
        die("getsockname");
    int fd = connect_loopback(ntohs(address.sin_port));
    int other = accept(listener, NULL, NULL);
    if (other < 0)
        die("accept");
    pid_t pid = fork();
    if (pid < 0)
        die("fork");
    if (pid == 0) {
        close(fd);
        peer(other);
    }
    close(other);
    pin(0);
    double us = round_trip_us(fd, for_ns);
    double rate = one_way_rate(fd, for_ns);
    (void)waitpid(pid, NULL, 0);
    printf("ipc_tcp_split_roundtrip: %.2f us  ipc_tcp_split_oneway_128B: %.0f msg/s\n", us, rate);
    return 0;
}
