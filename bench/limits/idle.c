/* SPDX-License-Identifier: MIT */
/* idle: opens N keep-alive connections, sends one GET on each, checks the answer, holds them, and
 * prints the resident memory of PID before and after. usage: idle PORT N PID NAME [PATH [hold]]
 * hold: keeps them open until its own stdin ends */
#include "common.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static int open_one(uint16_t port, const char *path)
{
    char text[4096];
    int len = snprintf(text, sizeof(text), "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n", path,
                       port);
    int fd = connect_loopback(port);
    if (write(fd, text, (size_t)len) != len)
        die("write");
    ssize_t n = read(fd, text, sizeof(text) - 1);
    if (n <= 0)
        die("the server closed an idle connection");
    text[n] = '\0';
    if (strncmp(text, "HTTP/1.1 200 ", 13) != 0)
        die("unexpected answer: %.40s", text);
    return fd;
}

int main(int argc, char **argv)
{
    if (argc < 5)
        die("usage: idle PORT N PID NAME [PATH [hold]]");
    uint16_t port = (uint16_t)number_of(argv[1], 1, 65535);
    int64_t n = number_of(argv[2], 0, 60000);
    int64_t pid = number_of(argv[3], 1, 1 << 30);
    const char *path = argc > 5 ? argv[5] : "/";

    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    int64_t before_kib = resident_kib(pid);
    for (int64_t i = 0; i < n; i++)
        (void)open_one(port, path); /* open until this process ends */
    pause_ns(200000000);
    printf("%s_idle%lld_rss: %lld KiB (at start %lld KiB, ok %lld)\n", argv[4], (long long)n,
           (long long)resident_kib(pid), (long long)before_kib, (long long)n);
    fflush(stdout);
    if (argc > 6) {
        char byte;
        while (read(STDIN_FILENO, &byte, 1) > 0)
            continue;
    }
    return 0;
}
