/* SPDX-License-Identifier: MIT */
#include "pool/tree.h"

#include "pool/family.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
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
        tree->main_rss_bytes = rss;
    } else if (tree->ending && died_by_signal(status)) {
        tree->ended++;
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

/* A child belongs to the thread that has forked it. */
static size_t list_children_of(pid_t pid, pid_t thread, pid_t *ret_pids, size_t max)
{
    char path[64];
    char text[TREE_MAX_LISTED * 8];

    (void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, thread);
    const size_t len = read_proc(AT_FDCWD, path, text, sizeof(text));
    return parse_pids(text, len, ret_pids, max);
}

size_t tree_list_children(pid_t *ret_pids, size_t max)
{
    return list_children_of(getpid(), getpid(), ret_pids, max);
}

/* Children that are the tree's and not the main thread's. */
static size_t list_of_threads(const struct tree *tree, pid_t *ret_pids, size_t max)
{
    const nlink_t alone = tree->nursery == 0 ? 3 : 4; /* proc(5): ".", "..", and each thread */
    struct stat st;
    size_t n = 0;

    if (!tree->has_threads || stat("/proc/self/task", &st) != 0 || st.st_nlink <= alone)
        return 0;
    AUTO_DIR DIR *dir = opendir("/proc/self/task");
    for (pid_t thread; (thread = family_next_thread(dir)) > 0;)
        if (thread != getpid() && thread != tree->nursery)
            n += list_children_of(getpid(), thread, ret_pids + n, max - n);
    return n;
}

/* True: none of them is left. */
static bool reap_of_threads(struct tree *tree)
{
    pid_t pids[TREE_MAX_LISTED];
    const size_t n = list_of_threads(tree, pids, ARRAY_LEN(pids));
    bool is_left = false;

    for (size_t i = 0; i < n; i++) {
        int status = 0;
        struct rusage usage;
        const pid_t pid = wait4(pids[i], &status, WNOHANG | __WALL, &usage);
        if (pid == pids[i])
            account(tree, pid, status, &usage);
        is_left = is_left || pid == 0;
    }
    return !is_left;
}

bool tree_reap(struct tree *tree)
{
    const bool is_whole = tree->has_threads && tree->nursery == 0;
    const int of_threads = is_whole ? 0 : __WNOTHREAD;

    for (;;) {
        int status = 0;
        struct rusage usage;
        const pid_t pid = wait4(-1, &status, WNOHANG | __WALL | of_threads, &usage);
        if (pid == 0)
            return false;
        if (pid < 0 && errno == EINTR)
            continue;
        if (pid < 0)
            return errno == ECHILD && (is_whole || reap_of_threads(tree));
        account(tree, pid, status, &usage);
    }
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
    /* It makes its group by itself, and may not have come to it yet. */
    if (kill(-tree->main_pid, signal) != 0 && errno == ESRCH)
        (void)kill(tree->main_pid, signal);
}

static void kill_grandchildren(pid_t parent, int depth);

static void kill_grandchild(pid_t pid, pid_t parent, int depth)
{
    struct family_member now;
    AUTO_CLOSE int pidfd = pidfd_open(pid, 0);
    /* The parent is stopped or dead: a pid that still names it as parent now is the process that we
     * listed or its sibling, and the pidfd, opened before this look, cannot point to a later one.
     */
    if (pidfd < 0 || !family_look_at(pid, &now) || now.ppid != parent)
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
    const size_t n = list_children_of(parent, parent, pids, ARRAY_LEN(pids));
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
static bool kill_round(const struct tree *tree, pid_t *known, size_t *n_known)
{
    pid_t pids[TREE_MAX_LISTED];
    const size_t n_main = tree_list_children(pids, ARRAY_LEN(pids));
    const size_t n = n_main + list_of_threads(tree, pids + n_main, ARRAY_LEN(pids) - n_main);
    bool is_new = false;

    for (size_t i = 0; i < n; i++) {
        bool seen = false;
        for (size_t k = 0; k < *n_known && !seen; k++)
            seen = known[k] == pids[i];
        is_new = is_new || !seen;
        if (i < n_main)
            tree_kill_child(pids[i]);
        else /* its thread may reap it just now, so its number may be another one's */
            kill_grandchild(pids[i], getpid(), 0);
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

    const bool kills_main = tree->main_pid > 1 && !tree->main_reaped;
    if (kills_main)
        tree_signal(tree, SIGKILL);
    tree->ending = true;
    bool is_over = tree_reap(tree);
    /* As a rule nothing is left when the group has died, so it gets a moment for that before /proc
     * is asked who else there is. */
    if (!is_over && kills_main && !tree->main_reaped) {
        wait_for_child(sigchld_fd, FIRST_PAUSE_MS);
        is_over = tree_reap(tree);
    }
    while (!is_over) {
        if (clock_mono_ns() >= end_ns)
            return (uint32_t)MAX(n_known, (size_t)1);
        if (!kill_round(tree, known, &n_known)) {
            wait_for_child(sigchld_fd, pause_ms);
            pause_ms = MIN(pause_ms * 2, MAX_PAUSE_MS);
        }
        is_over = tree_reap(tree);
    }
    return 0;
}
