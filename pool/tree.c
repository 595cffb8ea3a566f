/* SPDX-License-Identifier: MIT */
#include "pool/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define MAX_DEPTH 16    /* of one STOP-and-recurse pass; the next round adopts what lies deeper */
#define MAX_CHILDREN 64 /* of one deeper process looked at in one pass */
#define FIRST_PAUSE_MS 1
#define MAX_PAUSE_MS 20

static bool died_by_signal(int status)
{
    return WIFSIGNALED(status);
}

static void account(struct tree *tree, pid_t pid, int status, const struct rusage *usage)
{
    const int64_t million = 1000000;
    const uint64_t rss = (uint64_t)usage->ru_maxrss * 1024;

    tree->reaped++;
    tree->user_us += usage->ru_utime.tv_sec * million + usage->ru_utime.tv_usec;
    tree->system_us += usage->ru_stime.tv_sec * million + usage->ru_stime.tv_usec;
    tree->max_rss_bytes = MAX(tree->max_rss_bytes, rss);
    if (pid == tree->main_pid) {
        tree->main_reaped = true;
        tree->main_status = status;
    } else if (tree->ending && died_by_signal(status)) {
        tree->ended++;
    }
}

bool tree_reap(struct tree *tree)
{
    for (;;) {
        int status = 0;
        struct rusage usage;
        const pid_t pid = wait4(-1, &status, WNOHANG | __WALL | __WNOTHREAD, &usage);
        if (pid == 0)
            return false;
        if (pid < 0 && errno == EINTR)
            continue;
        if (pid < 0)
            return errno == ECHILD;
        account(tree, pid, status, &usage);
    }
}

/* Reads a small file of /proc whole. The kernel cuts `children` at a page, so a long list comes in
 * several reads. */
static size_t read_proc(int dir_fd, const char *path, char *out, size_t size)
{
    AUTO_CLOSE int fd = openat(dir_fd, path, O_RDONLY | O_CLOEXEC);
    size_t used = 0;
    while (fd >= 0 && used + 1 < size) {
        const ssize_t n = read(fd, out + used, size - 1 - used);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        used += (size_t)n;
    }
    out[used] = '\0';
    return used;
}

static size_t parse_pids(const char *text, size_t len, pid_t *ret_pids, size_t max)
{
    const char *at = text;
    const char *const end = text + len;
    size_t n = 0;

    while (at < end && n < max) {
        char *next;
        const long pid = strtol(at, &next, 10);
        /* A number that touches the end of the buffer may be cut: proc(5) ends each with a space.
         */
        if (next == at || next == end)
            break;
        if (pid > 0)
            ret_pids[n++] = (pid_t)pid;
        at = next;
    }
    return n;
}

static size_t list_children_of(pid_t pid, pid_t *ret_pids, size_t max)
{
    char path[64];
    char text[TREE_MAX_LISTED * 8];

    (void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
    const size_t len = read_proc(AT_FDCWD, path, text, sizeof(text));
    return parse_pids(text, len, ret_pids, max);
}

size_t tree_list_children(pid_t *ret_pids, size_t max)
{
    return list_children_of(getpid(), ret_pids, max);
}

void tree_reap_adopted(struct tree *tree)
{
    pid_t pids[TREE_MAX_LISTED];
    const size_t n = tree_list_children(pids, ARRAY_LEN(pids));

    for (size_t i = 0; i < n; i++) {
        int status = 0;
        struct rusage usage;
        if (pids[i] == tree->main_pid)
            continue;
        if (wait4(pids[i], &status, WNOHANG | __WALL, &usage) == pids[i])
            account(tree, pids[i], status, &usage);
    }
}

static bool is_zombie(pid_t pid)
{
    siginfo_t info = {0};
    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid;
}

bool tree_group_is_alive(const struct tree *tree)
{
    pid_t pids[TREE_MAX_LISTED];
    const size_t n = tree_list_children(pids, ARRAY_LEN(pids));

    for (size_t i = 0; i < n; i++)
        if (pids[i] != tree->main_pid && getpgid(pids[i]) == tree->main_pid && !is_zombie(pids[i]))
            return true;
    return false;
}

void tree_signal(const struct tree *tree, int signal)
{
    PRE(tree->main_pid > 1 && !tree->main_reaped);
    (void)kill(-tree->main_pid, signal);
}

/* proc(5): the name in parentheses may hold anything, so the fields are counted from the last one.
 */
static pid_t parent_of(pid_t pid)
{
    char path[64];
    char text[512];

    (void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    if (read_proc(AT_FDCWD, path, text, sizeof(text)) == 0)
        return -1;
    const char *close_paren = strrchr(text, ')');
    if (close_paren == NULL || strlen(close_paren) < 4)
        return -1;
    return (pid_t)strtol(close_paren + 4, NULL, 10);
}

static void kill_grandchildren(pid_t parent, int depth);

static void kill_grandchild(pid_t pid, pid_t parent, int depth)
{
    AUTO_CLOSE int pidfd = pidfd_open(pid, 0);
    /* The parent is stopped or dead: a pid that still names it as parent now is the process that we
     * listed or its sibling, and the pidfd, opened before this look, cannot point to a later one.
     */
    if (pidfd < 0 || parent_of(pid) != parent)
        return;
    (void)pidfd_send_signal(pidfd, SIGSTOP, NULL, 0);
    kill_grandchildren(pid, depth + 1);
    (void)pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
}

/* NOLINTNEXTLINE(misc-no-recursion): bounded by MAX_DEPTH */
static void kill_grandchildren(pid_t parent, int depth)
{
    pid_t pids[MAX_CHILDREN];
    if (depth > MAX_DEPTH)
        return;
    const size_t n = list_children_of(parent, pids, ARRAY_LEN(pids));
    for (size_t i = 0; i < n; i++)
        kill_grandchild(pids[i], parent, depth);
}

void tree_kill_child(pid_t pid)
{
    (void)kill(pid, SIGSTOP);
    kill_grandchildren(pid, 1);
    (void)kill(pid, SIGKILL);
}

/* Kills all children once. True when one of them was not there in the last round: then the next
 * round comes at once, since a fork chain must be outrun. */
static bool kill_round(pid_t *known, size_t *n_known)
{
    pid_t pids[TREE_MAX_LISTED];
    const size_t n = tree_list_children(pids, ARRAY_LEN(pids));
    bool is_new = false;

    for (size_t i = 0; i < n; i++) {
        bool seen = false;
        for (size_t k = 0; k < *n_known && !seen; k++)
            seen = known[k] == pids[i];
        is_new = is_new || !seen;
        tree_kill_child(pids[i]);
    }
    memcpy(known, pids, n * sizeof(*pids));
    *n_known = n;
    return is_new;
}

static void wait_for_child(int sigchld_fd, int pause_ms)
{
    struct pollfd wait = {.fd = sigchld_fd, .events = POLLIN};
    char drain[128 * 4]; /* signalfd(2) gives 128 bytes per signal */
    if (poll(&wait, 1, pause_ms) > 0)
        (void)!read(sigchld_fd, drain, sizeof(drain));
}

uint32_t tree_end(struct tree *tree, int64_t max_us, int sigchld_fd)
{
    pid_t known[TREE_MAX_LISTED];
    size_t n_known = 0;
    int pause_ms = FIRST_PAUSE_MS;
    const uint64_t end_ns = clock_mono_ns() + (uint64_t)max_us * 1000;

    if (tree->main_pid > 1 && !tree->main_reaped)
        tree_signal(tree, SIGKILL);
    tree->ending = true;
    while (!tree_reap(tree)) {
        if (clock_mono_ns() >= end_ns)
            return (uint32_t)MAX(n_known, (size_t)1);
        if (kill_round(known, &n_known))
            continue;
        wait_for_child(sigchld_fd, pause_ms);
        pause_ms = MIN(pause_ms * 2, MAX_PAUSE_MS);
    }
    return 0;
}
