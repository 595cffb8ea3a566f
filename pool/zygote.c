/* SPDX-License-Identifier: MIT */
/* Workers are made by clone(2) with another exit signal than SIGCHLD, which makes them "clone
 * children" (wait(2), __WCLONE). What a dead worker leaves is adopted with SIGCHLD. So plain wait
 * sees orphans alone, its ECHILD proves that none is left, and __WCLONE sees workers alone. */
#include "pool/zygote.h"

#include "pool/frame.h"
#include "pool/title.h"
#include "pool/tree.h"
#include "service/base/footprint.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define WORKER_SIGNAL SIGUSR1
#define SWEEP_ROUNDS 8
#define SWEEP_FIRST_PAUSE_MS 1
#define SWEEP_MAX_PAUSE_MS 100

struct child {
    pid_t pid;    /* 0: none */
    bool is_dead; /* reaped; GONE waits until no orphan is left */
    int status;
    uint64_t max_rss; /* bytes */
    uint64_t dead_ns;
};

struct zygote {
    const struct worker_config *cfg;
    int control;
    int signal_fd;
    struct child *children; /* one per slot */
    uint32_t n_dead;
    bool is_ending;
};

static void tell_server(struct zygote *z, const struct frame *frame, int fd)
{
    enum frame_status status;
    while ((status = frame_send(z->control, frame, fd)) == FRAME_AGAIN) {
        struct pollfd room = {.fd = z->control, .events = POLLOUT};
        (void)poll(&room, 1, -1);
    }
    if (status != FRAME_OK)
        z->is_ending = true;
}

/* clone(2) as fork: glibc's fork would make children with SIGCHLD. This process has one thread and
 * no lock is held, so nothing that glibc's fork cares for is needed. */
static pid_t clone_worker(void)
{
    return (pid_t)syscall(SYS_clone, (unsigned long)WORKER_SIGNAL, NULL, NULL, NULL, NULL);
}

static NORETURN void become_worker(struct zygote *z, uint32_t slot, int sock)
{
    const struct worker_config *cfg = z->cfg;
    (void)close(z->control);
    (void)close(z->signal_fd);
    free(z->children);
    worker_main(cfg, slot, sock);
}

static void spawn(struct zygote *z, uint32_t slot)
{
    int ends[2];
    struct frame frame = {.type = FRAME_SPAWN_FAILED, .slot = slot};

    if (slot >= z->cfg->slots.n || z->children[slot].pid != 0)
        return;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        frame.arg = errno;
        tell_server(z, &frame, -1);
        return;
    }
    const pid_t pid = FAULT("zygote-spawn") ? -1 : clone_worker();
    if (pid == 0) {
        (void)close(ends[0]);
        become_worker(z, slot, ends[1]);
    }
    frame.arg = errno;
    if (pid > 0) {
        z->children[slot] = (struct child){.pid = pid};
        frame = (struct frame){.type = FRAME_SPAWNED, .slot = slot, .pid = pid};
    }
    tell_server(z, &frame, pid > 0 ? ends[0] : -1);
    /* A copy left here, or inherited by a later worker, would hide the end of file that tells a
     * death. */
    (void)close(ends[0]);
    (void)close(ends[1]);
}

static void hear_server(struct zygote *z)
{
    struct frame frame;
    int fd;
    const enum frame_status status = frame_recv(z->control, &frame, &fd);

    if (fd >= 0)
        (void)close(fd);
    if (status == FRAME_EOF || status == FRAME_ERROR ||
        (status == FRAME_OK && frame.type == FRAME_QUIT)) {
        z->is_ending = true;
        return;
    }
    if (status != FRAME_OK || frame.slot >= z->cfg->slots.n)
        return;
    if (frame.type == FRAME_SPAWN)
        spawn(z, frame.slot);
    else if (frame.type == FRAME_KILL && z->children[frame.slot].pid > 0 &&
             !z->children[frame.slot].is_dead)
        (void)kill(z->children[frame.slot].pid, SIGKILL);
}

static void reap_workers(struct zygote *z)
{
    for (;;) {
        int status = 0;
        struct rusage usage;
        const pid_t pid = wait4(-1, &status, WNOHANG | (int)__WCLONE, &usage);
        if (pid <= 0)
            return;
        for (uint32_t slot = 0; slot < z->cfg->slots.n; slot++) {
            struct child *child = &z->children[slot];
            if (child->pid != pid || child->is_dead)
                continue;
            child->is_dead = true;
            child->status = status;
            child->max_rss = (uint64_t)usage.ru_maxrss * 1024;
            child->dead_ns = clock_mono_ns();
            z->n_dead++;
        }
    }
}

/* True when no orphan is left. */
static bool reap_orphans(void)
{
    for (;;) {
        const pid_t pid = waitpid(-1, NULL, WNOHANG);
        if (pid == 0)
            return false;
        if (pid < 0 && errno != EINTR)
            return errno == ECHILD;
    }
}

static bool is_worker(const struct zygote *z, pid_t pid)
{
    for (uint32_t slot = 0; slot < z->cfg->slots.n; slot++)
        if (z->children[slot].pid == pid && !z->children[slot].is_dead)
            return true;
    return false;
}

/* One round; returns how many orphans were seen. */
static uint32_t kill_orphans(const struct zygote *z)
{
    pid_t pids[TREE_MAX_LISTED];
    const size_t n = tree_list_children(pids, ARRAY_LEN(pids));
    uint32_t n_orphans = 0;

    for (size_t i = 0; i < n; i++) {
        if (is_worker(z, pids[i]))
            continue;
        tree_kill_child(pids[i]);
        n_orphans++;
    }
    return n_orphans;
}

/* A worker's death is told when its tree is proved empty, or when the deadline of the kill has
 * passed: then with the survivors. */
static void tell_deaths(struct zygote *z, uint32_t n_orphans)
{
    const uint64_t now_ns = clock_mono_ns();
    for (uint32_t slot = 0; slot < z->cfg->slots.n; slot++) {
        struct child *child = &z->children[slot];
        const uint64_t end_ns = child->dead_ns + (uint64_t)z->cfg->kill_deadline_us * 1000;
        if (!child->is_dead || (n_orphans > 0 && now_ns < end_ns))
            continue;
        const struct frame gone = {.type = FRAME_GONE,
                                   .slot = slot,
                                   .pid = child->pid,
                                   .arg = child->status,
                                   .arg64 = n_orphans,
                                   .max_rss = child->max_rss};
        *child = (struct child){0};
        z->n_dead--;
        tell_server(z, &gone, -1);
    }
}

/* True while orphans are left: come again soon. Several rounds at once, since a fork chain must be
 * outrun. */
static bool sweep(struct zygote *z)
{
    uint32_t n_orphans = 0;
    bool is_clean = false;

    reap_workers(z);
    for (int round = 0; round < SWEEP_ROUNDS; round++) {
        is_clean = reap_orphans();
        if (is_clean)
            break;
        n_orphans = kill_orphans(z);
    }
    n_orphans = is_clean ? 0 : MAX(n_orphans, 1U);
    if (z->n_dead > 0)
        tell_deaths(z, n_orphans);
    return n_orphans > 0;
}

/* Workers end their own trees when their sockets close, but we do not rely on them: KILL, adopt,
 * KILL, until nothing is left. */
static NORETURN void end_all(struct zygote *z)
{
    struct tree all = {0};
    const int64_t patience_us = INT64_C(3600) * 1000000;
    (void)close(z->control);
    (void)tree_end(&all, patience_us, z->signal_fd);
    _exit(0);
}

static int open_signals(void)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGCHLD);
    (void)sigaddset(&set, WORKER_SIGNAL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static NORETURN void run(const struct worker_config *cfg, int control)
{
    struct zygote z = {.cfg = cfg, .control = control, .signal_fd = open_signals()};
    bool is_sweeping = false;
    int pause_ms = SWEEP_FIRST_PAUSE_MS;
    char drop[16 * 128]; /* struct signalfd_siginfo, signalfd(2) */

    footprint_trim(); /* here, since libraries have done by now what they do in a new process */
    z.children = must_alloc(cfg->slots.n * sizeof(*z.children));
    if (z.signal_fd < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0)
        _exit(70);
    while (!z.is_ending) {
        struct pollfd fds[2] = {{.fd = z.control, .events = POLLIN},
                                {.fd = z.signal_fd, .events = POLLIN}};
        if (poll(fds, 2, is_sweeping ? pause_ms : -1) < 0)
            continue;
        /* Somebody ended: look at once. What cannot be killed is looked at less and less often. */
        pause_ms = fds[1].revents != 0 ? SWEEP_FIRST_PAUSE_MS
                                       : MIN(pause_ms * 2, SWEEP_MAX_PAUSE_MS);
        if (fds[1].revents != 0)
            (void)!read(z.signal_fd, drop, sizeof(drop));
        if (fds[1].revents != 0 || is_sweeping)
            is_sweeping = sweep(&z);
        if (fds[0].revents != 0)
            hear_server(&z);
    }
    end_all(&z);
}

/* In its own session, so that Ctrl-C reaches the server alone. It ends by the control socket only.
 */
static NORETURN void become_zygote(const struct worker_config *cfg, int control)
{
    sigset_t all;
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, NULL);
    (void)setsid();
    title_set("ganger: zygote", "ganger: zygote");
    /* Descriptors 0 and 1 of the server may be a pipe whose reader waits for its end. */
    AUTO_CLOSE int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0 || dup2(null_fd, STDOUT_FILENO) < 0)
        _exit(70);
    if (fcntl(STDERR_FILENO, F_GETFD) < 0 && dup2(null_fd, STDERR_FILENO) < 0)
        _exit(70);
    run(cfg, control);
}

bool zygote_start(const struct worker_config *cfg, int *ret_pid, int *ret_control, struct err *err)
{
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return err_sys(err, ERR_INTERNAL, "cannot make the control socket");
    AUTO_CLOSE int ours = ends[0];
    AUTO_CLOSE int theirs = ends[1];
    const pid_t pid = fork();
    if (pid < 0)
        return err_sys(err, ERR_INTERNAL, "cannot fork the zygote");
    if (pid == 0) {
        (void)close(steal_fd(&ours));
        become_zygote(cfg, steal_fd(&theirs));
    }
    *ret_pid = pid;
    *ret_control = steal_fd(&ours);
    return true;
}
