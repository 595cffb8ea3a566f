/* SPDX-License-Identifier: MIT */
/* fib: naive Fibonacci numbers 25 to 35 on W forked workers that pull from one pipe.
 * usage: fib WORKERS */
#define _GNU_SOURCE
#include "../../examples/native/fib.h"
#include "common.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

struct result {
    long n, value;
};

static void work(int from, int to)
{
    int n;
    while (read(from, &n, sizeof(n)) == (ssize_t)sizeof(n)) {
        struct result result = {n, fib(n)};
        if (write(to, &result, sizeof(result)) != (ssize_t)sizeof(result))
            _exit(1);
    }
    _exit(0);
}

int main(int argc, char **argv)
{
    int tasks[2];
    int results[2];
    int n_workers = (int)number_of(argc > 1 ? argv[1] : "3", 1, 64);
    uint64_t start_ns = now_ns();
    if (pipe2(tasks, O_CLOEXEC) != 0 || pipe2(results, O_CLOEXEC) != 0)
        die("pipe");
    for (int i = 0; i < n_workers; i++) {
        if (fork() == 0) {
            close(tasks[1]);
            work(tasks[0], results[1]);
        }
    }
    for (int n = 25; n <= 35; n++) {
        if (write(tasks[1], &n, sizeof(n)) != (ssize_t)sizeof(n))
            die("write");
    }
    close(tasks[1]);
    long sum = 0;
    for (int n = 25; n <= 35; n++) {
        struct result result;
        if (read(results[0], &result, sizeof(result)) != (ssize_t)sizeof(result))
            die("read");
        sum += result.value;
    }
    while (wait(NULL) > 0)
        continue;
    printf("c_fib25_35_w%d: %.4f s (sum %ld)\n", n_workers, (double)(now_ns() - start_ns) / 1e9,
           sum);
    return 0;
}
