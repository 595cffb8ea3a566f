/* SPDX-License-Identifier: MIT */
/* fibonacci N: prints the N-th Fibonacci number by the plain recursion, whose cost grows like its
 * value. The classic load for a pool of processes. */
#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_INDEX 50

static uint64_t fibonacci(unsigned n)
{
    return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}

int main(int argc, char **argv)
{
    char *end = NULL;

    errno = 0;
    long n = argc == 2 ? strtol(argv[1], &end, 10) : -1;
    if (n < 0 || n > MAX_INDEX || errno != 0 || *end != '\0' || end == argv[1]) {
        fprintf(stderr, "usage: fibonacci N   (N from 0 to %d)\n", MAX_INDEX);
        return 2;
    }
    printf("%" PRIu64 "\n", fibonacci((unsigned)n));
    return fflush(stdout) == 0 ? 0 : 1;
}
