/* SPDX-License-Identifier: MIT */
/* killlat: SIGKILL through a pidfd to the reaped status, the floor for cancelling a running job.
 * usage: killlat N */
#include "common.h"

#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static uint64_t kill_once(void)
{
    static char program[] = "/bin/sleep";
    static char argument[] = "60";
    char *argv[] = {program, argument, NULL};
    char *envp[] = {NULL};
    pid_t pid;
    if (posix_spawn(&pid, program, NULL, NULL, argv, envp) != 0)
        die("spawn %s", program);
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0)
        die("pidfd_open");
    pause_ns(3000000); /* it shall sleep, not start, when the signal comes */

    siginfo_t info;
    struct rusage usage;
    uint64_t start_ns = now_ns();
    if (syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) != 0)
        die("pidfd_send_signal");
    if (syscall(SYS_waitid, P_PIDFD, pidfd, &info, WEXITED, &usage) != 0)
        die("waitid");
    uint64_t took_ns = now_ns() - start_ns;
    close(pidfd);
    return took_ns;
}

int main(int argc, char **argv)
{
    size_t n = (size_t)number_of(argc > 1 ? argv[1] : "300", 1, 100000);
    uint64_t *samples_ns = must_alloc(n * sizeof(*samples_ns));
    for (size_t i = 0; i < n; i++)
        samples_ns[i] = kill_once();
    samples_sort(samples_ns, n);
    printf("kill_to_reaped: p50 %.0f us p99 %.0f us\n", samples_us(samples_ns, n, 50),
           samples_us(samples_ns, n, 99));
    free(samples_ns);
    return 0;
}
