/* SPDX-License-Identifier: MIT */
/* spawn: bare spawn-and-reap loops, the floor of a job runner.
 * usage: spawn METHOD K CAPTURE SECONDS PROCESSES RESIDENT_MB PROGRAM [ARGS...]
 *   METHOD   posix_spawn|vfork|fork|clone3
 *   K        children in flight per spawning process
 *   CAPTURE  0: wait4 only; 1: stdout and stderr through two pipes to their end, epoll, pidfd,
 * waitid with rusage Environment: PIN=1 binds spawner i to processor i; NOTHP=1 keeps the resident
 * memory on small pages. */
#define _GNU_SOURCE
#include "common.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_IN_FLIGHT 64
#define MAX_PROCESSES 64

enum method { METHOD_POSIX_SPAWN, METHOD_VFORK, METHOD_FORK, METHOD_CLONE3 };

struct job {
    pid_t pid;
    int pidfd; /* -1: the method gives none */
    int fds[2];
    int n_open;
    size_t bytes[2];
};

struct spawner {
    enum method method;
    char **argv;
    char **envp;
    int null_fd;
    int in_flight;
    uint64_t end_ns;
};

static void child_exec(const struct spawner *spawner, int out, int err)
{
    if (out >= 0) {
        dup2(spawner->null_fd, 0);
        dup2(out, 1);
        dup2(err, 2);
    }
    execve(spawner->argv[0], spawner->argv, spawner->envp);
    _exit(127);
}

static pid_t start_posix_spawn(const struct spawner *spawner, int out, int err)
{
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_t *used = NULL;
    pid_t pid = -1;
    if (out >= 0) {
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, spawner->null_fd, 0);
        posix_spawn_file_actions_adddup2(&actions, out, 1);
        posix_spawn_file_actions_adddup2(&actions, err, 2);
        used = &actions;
    }
    errno = posix_spawn(&pid, spawner->argv[0], used, NULL, spawner->argv, spawner->envp);
    if (errno != 0)
        die("posix_spawn");
    if (used != NULL)
        posix_spawn_file_actions_destroy(used);
    return pid;
}

/* syscall(2) returns through the caller's stack, which a child in the same memory has overwritten
 * by then; so the system call stands in the function itself. Other processors do without the pidfd
 * and use vfork. */
#if defined(__x86_64__)
static inline __attribute__((always_inline)) pid_t raw_clone3(struct clone_args *args)
{
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "0"(SYS_clone3), "D"(args), "S"(sizeof(*args))
                     : "rcx", "r11", "memory");
    return (pid_t)result;
}
#endif

static __attribute__((noinline)) pid_t start_clone3(const struct spawner *spawner, int out, int err,
                                                    int *ret_pidfd)
{
#if defined(__x86_64__)
    int pidfd = -1;
    struct clone_args args = {.flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD,
                              .exit_signal = SIGCHLD};
    args.pidfd = (uint64_t)(uintptr_t)&pidfd;
    pid_t pid = raw_clone3(&args);
    if (pid == 0)
        child_exec(spawner, out, err);
    *ret_pidfd = pidfd;
    return pid < 0 ? -1 : pid;
#else
    pid_t pid = vfork();
    if (pid == 0)
        child_exec(spawner, out, err);
    *ret_pidfd = -1;
    return pid;
#endif
}

/* NOLINTBEGIN(clang-analyzer-unix.Vfork,clang-analyzer-security.insecureAPI.vfork): vfork is what
 * is measured */
static __attribute__((noinline)) pid_t start_child(const struct spawner *spawner, int out, int err,
                                                   int *ret_pidfd)
{
    pid_t pid = -1;
    *ret_pidfd = -1;
    switch (spawner->method) {
    case METHOD_POSIX_SPAWN: pid = start_posix_spawn(spawner, out, err); break;
    case METHOD_VFORK:
        pid = vfork();
        if (pid == 0)
            child_exec(spawner, out, err);
        break;
    case METHOD_FORK:
        pid = fork();
        if (pid == 0)
            child_exec(spawner, out, err);
        break;
    case METHOD_CLONE3: pid = start_clone3(spawner, out, err, ret_pidfd); break;
    }
    if (pid < 0)
        die("start a child");
    return pid;
}

/* NOLINTEND(clang-analyzer-unix.Vfork,clang-analyzer-security.insecureAPI.vfork) */

static long loop_bare(const struct spawner *spawner)
{
    long done = 0;
    int live = 0;
    for (;;) {
        while (live < spawner->in_flight && now_ns() < spawner->end_ns) {
            int pidfd;
            (void)start_child(spawner, -1, -1, &pidfd);
            if (pidfd >= 0)
                close(pidfd);
            live++;
        }
        if (live == 0)
            return done;
        struct rusage usage;
        int status;
        if (wait4(-1, &status, 0, &usage) < 0)
            die("wait4");
        live--;
        done++;
    }
}

static void start_captured(const struct spawner *spawner, int epoll_fd, struct job *jobs, int i)
{
    struct job *job = &jobs[i];
    int out[2];
    int err[2];
    if (pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0)
        die("pipe");
    job->pid = start_child(spawner, out[1], err[1], &job->pidfd);
    close(out[1]);
    close(err[1]);
    job->fds[0] = out[0];
    job->fds[1] = err[0];
    job->n_open = 2;
    for (unsigned stream = 0; stream < 2; stream++) {
        struct epoll_event event = {.events = EPOLLIN, .data.u64 = (uint64_t)i << 1 | stream};
        job->bytes[stream] = 0;
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, job->fds[stream], &event);
    }
}

static void reap(struct job *job)
{
    siginfo_t info;
    struct rusage usage;
    idtype_t type = job->pidfd >= 0 ? P_PIDFD : P_PID;
    int id = job->pidfd >= 0 ? job->pidfd : job->pid;
    if (syscall(SYS_waitid, type, id, &info, WEXITED, &usage) != 0)
        die("waitid");
    if (job->pidfd >= 0)
        close(job->pidfd);
}

/* Returns true when the job is over. */
static bool read_captured(int epoll_fd, struct job *job, unsigned stream)
{
    static char buffer[4096];
    ssize_t n = read(job->fds[stream], buffer, sizeof(buffer));
    if (n < 0)
        die("read");
    if (n > 0) {
        job->bytes[stream] += (size_t)n;
        return false;
    }
    /* DEL before close: a vfork parent resumes before the child's exec has closed its O_CLOEXEC
     * copies, so a bare close can leave the description, and its epoll entry, alive and reporting
     * EPOLLHUP. */
    epoll_ctl(epoll_fd, EPOLL_CTL_DEL, job->fds[stream], NULL);
    close(job->fds[stream]);
    if (--job->n_open > 0)
        return false;
    reap(job);
    return true;
}

/* Waits for output; writes the numbers of the jobs that are over, and returns how many. */
static int read_ready(int epoll_fd, struct job *jobs, int *ret_over)
{
    struct epoll_event events[MAX_IN_FLIGHT];
    int n_over = 0;
    int n = epoll_wait(epoll_fd, events, MAX_IN_FLIGHT, -1);
    for (int e = 0; e < n; e++) {
        int i = (int)(events[e].data.u64 >> 1);
        if (read_captured(epoll_fd, &jobs[i], events[e].data.u64 & 1U))
            ret_over[n_over++] = i;
    }
    return n_over;
}

static long loop_captured(const struct spawner *spawner)
{
    struct job jobs[MAX_IN_FLIGHT];
    int idle[MAX_IN_FLIGHT];
    int n_idle = 0;
    long done = 0;
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    while (n_idle < spawner->in_flight) {
        idle[n_idle] = n_idle;
        n_idle++;
    }
    for (;;) {
        while (n_idle > 0 && now_ns() < spawner->end_ns)
            start_captured(spawner, epoll_fd, jobs, idle[--n_idle]);
        if (n_idle == spawner->in_flight)
            return done;
        int n = read_ready(epoll_fd, jobs, &idle[n_idle]);
        n_idle += n;
        done += n;
    }
}

static void pin_to(int processor)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)processor, &set);
    sched_setaffinity(0, sizeof(set), &set);
}

static long run_spawners(const struct spawner *spawner, bool capture, int n_processes)
{
    long total = 0;
    if (n_processes == 1)
        return capture ? loop_captured(spawner) : loop_bare(spawner);

    size_t size = sizeof(long) * MAX_PROCESSES;
    long *counts = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (counts == MAP_FAILED)
        die("mmap");
    for (int i = 0; i < n_processes; i++) {
        if (fork() == 0) {
            if (getenv("PIN") != NULL)
                pin_to(i);
            counts[i] = capture ? loop_captured(spawner) : loop_bare(spawner);
            _exit(0);
        }
    }
    while (wait(NULL) > 0)
        continue;
    for (int i = 0; i < n_processes; i++)
        total += counts[i];
    munmap(counts, size);
    return total;
}

static double cpu_seconds(int who)
{
    struct rusage usage;
    getrusage(who, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static void occupy(int64_t mib)
{
    if (mib == 0)
        return;
    size_t size = (size_t)mib << 20;
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        die("mmap");
    if (getenv("NOTHP") != NULL)
        madvise(memory, size, MADV_NOHUGEPAGE);
    memset(memory, 1, size);
}

static enum method method_of(const char *name)
{
    static const char *const names[] = {"posix_spawn", "vfork", "fork", "clone3"};
    for (unsigned i = 0; i < 4; i++) {
        if (strcmp(name, names[i]) == 0)
            return (enum method)i;
    }
    die("%s: not a method", name);
}

int main(int argc, char **argv)
{
    static char path[] = "PATH=/usr/bin:/bin";
    char *envp[] = {path, NULL};
    if (argc < 8)
        die("usage: spawn METHOD K CAPTURE SECONDS PROCESSES RESIDENT_MB PROGRAM [ARGS...]");
    struct spawner spawner = {.method = method_of(argv[1]), .argv = argv + 7, .envp = envp};
    spawner.in_flight = (int)number_of(argv[2], 1, MAX_IN_FLIGHT);
    bool capture = number_of(argv[3], 0, 1) == 1;
    int n_processes = (int)number_of(argv[5], 1, MAX_PROCESSES);
    int64_t resident_mib = number_of(argv[6], 0, 1 << 20);
    spawner.null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    occupy(resident_mib);

    uint64_t start_ns = now_ns();
    spawner.end_ns = start_ns + (uint64_t)(seconds_of(argv[4]) * 1e9);
    long done = run_spawners(&spawner, capture, n_processes);
    double took_s = (double)(now_ns() - start_ns) / 1e9;
    double cpu_s = cpu_seconds(RUSAGE_SELF) + cpu_seconds(RUSAGE_CHILDREN);
    const char *slash = strrchr(spawner.argv[0], '/');
    printf("spawn%s_%s_k%d_cap%d_p%d_mb%lld_%s: %.0f jobs/s  cpu_per_job: %.0f us\n",
           getenv("PIN") != NULL ? "pin" : "", argv[1], spawner.in_flight, capture, n_processes,
           (long long)resident_mib, slash != NULL ? slash + 1 : spawner.argv[0],
           (double)done / took_s, cpu_s / (double)done * 1e6);
    return 0;
}
