/* SPDX-License-Identifier: MIT */
/* overwrite: how long it takes until 4 KiB that replace blocks a file has already are on the disk.
 * usage: overwrite DIR N */
#define _GNU_SOURCE
#include "common.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BLOCK_BYTES 4096

static void write_block(int fd, int64_t i)
{
    char block[BLOCK_BYTES];
    memset(block, 'y', sizeof(block));
    if (pwrite(fd, block, sizeof(block), i * BLOCK_BYTES) != BLOCK_BYTES)
        die("write");
}

int main(int argc, char **argv)
{
    char path[4096];
    if (argc != 3)
        die("usage: overwrite DIR N");
    int64_t n = number_of(argv[2], 1, 1000000);
    uint64_t *samples_ns = must_alloc((size_t)n * sizeof(*samples_ns));
    snprintf(path, sizeof(path), "%s/overwrite.test", argv[1]);
    int fd = open(path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        die("%s", path);
    for (int64_t i = 0; i < n; i++)
        write_block(fd, i);
    if (fsync(fd) != 0)
        die("fsync");
    for (int64_t i = 0; i < n; i++) {
        uint64_t start_ns = now_ns();
        write_block(fd, i);
        if (fdatasync(fd) != 0)
            die("fdatasync");
        samples_ns[i] = now_ns() - start_ns;
    }
    samples_sort(samples_ns, (size_t)n);
    printf("fdatasync_overwrite_4096B: p50 %.1f us p99 %.1f us\n",
           samples_us(samples_ns, (size_t)n, 50), samples_us(samples_ns, (size_t)n, 99));
    close(fd);
    unlink(path);
    free(samples_ns);
    return 0;
}
