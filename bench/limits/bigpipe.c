/* SPDX-License-Identifier: MIT */
/* bigpipe: moving a large job output, child -> pipe -> parent [-> file + fdatasync].
 * usage: bigpipe MIB discard|copy|splice PIPE_BYTES DIR
 *        bigpipe MIB write          writes MIB to stdout as the child does: the job that ganger
 * runs beside it */
#define _GNU_SOURCE
#include "common.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHUNK_BYTES (1 << 20)
#define WRITE_BYTES (1 << 17)

static bool write_all(int fd, int64_t total)
{
    static char block[WRITE_BYTES];
    memset(block, 'z', sizeof(block));
    for (int64_t done = 0; done < total;) {
        ssize_t n = write(fd, block, sizeof(block));
        if (n <= 0)
            return false;
        done += n;
    }
    return true;
}

static int64_t move_all(int from, int to, bool by_splice)
{
    static char block[CHUNK_BYTES];
    int64_t total = 0;
    ssize_t n;
    if (by_splice) {
        while ((n = splice(from, NULL, to, NULL, CHUNK_BYTES, SPLICE_F_MOVE)) > 0)
            total += n;
        return total;
    }
    while ((n = read(from, block, sizeof(block))) > 0) {
        total += n;
        if (to >= 0 && write(to, block, (size_t)n) != n)
            die("write");
    }
    return total;
}

static int measure(int64_t total, const char *mode, int pipe_bytes, const char *dir)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        die("pipe");
    if (pipe_bytes != 0 && fcntl(ends[1], F_SETPIPE_SZ, pipe_bytes) < 0)
        die("F_SETPIPE_SZ");
    char path[4096];
    snprintf(path, sizeof(path), "%s/big.tmp", dir);
    uint64_t start_ns = now_ns();
    pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        _exit(write_all(ends[1], total) ? 0 : 1);
    }
    close(ends[1]);
    int file = -1;
    if (mode[0] != 'd') {
        file = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
        if (file < 0)
            die("%s", path);
    }
    int64_t moved = move_all(ends[0], file, mode[0] == 's');
    uint64_t moved_ns = now_ns() - start_ns;
    if (file >= 0) {
        if (fdatasync(file) != 0)
            die("fdatasync");
        close(file);
        unlink(path);
    }
    int status = 0;
    if (waitpid(child, &status, 0) != child || status != 0 || moved != total)
        die("moved %lld of %lld bytes", (long long)moved, (long long)total);
    uint64_t synced_ns = now_ns() - start_ns;
    double gib_ns = (double)total / 1073741824.0 * 1e9;
    printf("bigpipe_%s_psz%d: %.2f GiB/s  with_fdatasync: %.2f GiB/s\n", mode, pipe_bytes,
           gib_ns / (double)moved_ns, gib_ns / (double)synced_ns);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 3 && argc != 5)
        die("usage: bigpipe MIB discard|copy|splice PIPE_BYTES DIR | bigpipe MIB write");
    int64_t total = number_of(argv[1], 1, 1 << 20) << 20;
    if (argc == 3)
        return write_all(STDOUT_FILENO, total) ? 0 : 1;
    return measure(total, argv[2], (int)number_of(argv[3], 0, 1 << 24), argv[4]);
}
