/* SPDX-License-Identifier: MIT */
#include "pool/runner_process.h"

#include "pool/nursery.h"
#include "pool/pipe.h"
#include "pool/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <time.h>

#define ARENA_MAX ((size_t)1 << 20)
#define QUEUE_MAX ((size_t)1 << 30) /* a task with its arguments was accepted before */
#define QUEUE_KEPT ((size_t)1 << 20)
#define START_TIMEOUT_NS UINT64_C(10000000000)
#define DRAIN_MAX ((size_t)1 << 20) /* of one look; who writes without end waits */
#define QUIT_MS 500
#define PING_NS UINT64_C(10000000000)
#define PONG_NS UINT64_C(5000000000)
#define INBOX_KEPT (1 << 20)

/* ------------------------------------------------------------------------------------------------
 * start */

/* The child's ends; closed when it has started or failed. */
struct child_ends {
    int in, out, stream[2];
};

static void close_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(steal_fd(fd));
}

static void close_own(struct runner *r)
{
    close_fd(&r->pidfd);
    close_fd(&r->to_fd);
    close_fd(&r->from_fd);
    close_fd(&r->stream_fd[0]);
    close_fd(&r->stream_fd[1]);
    close_fd(&r->inbox_fd);
    close_fd(&r->outbox_fd);
    close_fd(&r->statm_fd);
    buf_release(&r->queue);
    buf_release(&r->body);
}

static void close_child(struct child_ends *ends)
{
    close_fd(&ends->in);
    close_fd(&ends->out);
    close_fd(&ends->stream[0]);
    close_fd(&ends->stream[1]);
}

/* To a number that none of the child's own descriptors takes. */
static bool move_above(int *fd)
{
    const int moved = fcntl(*fd, F_DUPFD_CLOEXEC, PROC_ABOVE_FDS);
    close_fd(fd);
    *fd = moved;
    return moved >= 0;
}

static bool make_pipe(int *ret_ours, int *ret_child, enum pipe_end ours)
{
    int fds[2];
    if (!pipe_make(fds, ours))
        return false;
    *ret_ours = fds[ours];
    *ret_child = fds[1 - ours];
    return true;
}

static bool make_pipes(struct runner *r, struct child_ends *ends)
{
    if (!make_pipe(&r->to_fd, &ends->in, PIPE_WRITE) ||
        !make_pipe(&r->from_fd, &ends->out, PIPE_READ) ||
        !make_pipe(&r->stream_fd[0], &ends->stream[0], PIPE_READ) ||
        !make_pipe(&r->stream_fd[1], &ends->stream[1], PIPE_READ))
        return false;
    r->inbox_fd = memfd_create("ganger-inbox", MFD_CLOEXEC);
    r->outbox_fd = memfd_create("ganger-outbox", MFD_CLOEXEC);
    return r->inbox_fd >= 0 && r->outbox_fd >= 0 && move_above(&ends->in) &&
           move_above(&ends->out) && move_above(&r->inbox_fd) && move_above(&r->outbox_fd);
}

static bool prepare(const struct runner_source *from, struct arena *a, struct proc *proc)
{
    const struct function *f = from->function;
    char name[sizeof("GANGER_FUNCTION=") + MAX_FUNCTION_NAME];
    struct task task = from->limits == NULL ? (struct task){0} : *from->limits;

    (void)snprintf(name, sizeof(name), "%s=%s",
                   runner_is_of_pool(from->all, f) ? "GANGER_POOL" : "GANGER_FUNCTION", f->name);
    const struct slice whose = {arena_dup(a, slice_of(name)), strlen(name)};
    const struct slice extra[] = {SLICE_LIT("GANGER_IN_FD=3"),
                                  SLICE_LIT("GANGER_OUT_FD=4"),
                                  SLICE_LIT("GANGER_INBOX_FD=5"),
                                  SLICE_LIT("GANGER_OUTBOX_FD=6"),
                                  whose,
                                  SLICE_LIT("GANGER_ISOLATION=fork")};
    const uint32_t n_extra = (uint32_t)ARRAY_LEN(extra) -
                             (from->all->isolation == POOL_FORK ? 0 : 1);
    task.argv = f->argv;
    task.n_argv = f->n_argv;
    task.env = f->env;
    task.n_env = f->n_env;
    task.cwd = f->cwd == NULL ? SLICE_LIT("/") : slice_of(f->cwd);
    task.limit_cpu_us = 0;
    const struct proc_source source = {.task = &task,
                                       .extra = extra,
                                       .n_extra = n_extra,
                                       .marker = slice_of(from->all->marker),
                                       .path = from->all->path};
    return whose.ptr != NULL && proc_prepare(proc, &source, a);
}

static enum proc_result not_started(struct proc_started *ret, int error, const char *text)
{
    *ret = (struct proc_started){.pidfd = -1, .error = error};
    (void)snprintf(ret->text, sizeof(ret->text), "%s", text);
    return PROC_NOT_STARTED;
}

static enum proc_result start_process(struct runner *r, const struct runner_source *from,
                                      struct child_ends *ends, struct proc_started *ret)
{
    AUTO_ARENA struct arena a = {0};
    struct proc proc = {.cwd_fd = -1};

    arena_init(&a, ARENA_MAX);
    if (!make_pipes(r, ends))
        return not_started(ret, errno, "cannot make the descriptors of a runner");
    if (!prepare(from, &a, &proc))
        return not_started(ret, E2BIG, "the runner's command has too many parts");
    proc.fds[0] = from->all->io->null_fd;
    proc.fds[1] = ends->stream[0];
    proc.fds[2] = ends->stream[1];
    proc.progress_fd = ends->in;
    proc.more_fds[0] = ends->out;
    proc.more_fds[1] = r->inbox_fd;
    proc.more_fds[2] = r->outbox_fd;
    return nursery_start(&from->all->nursery, from->all->io->launcher, &proc, ret);
}

/* What is asked after each of its tasks is looked up once. */
static void open_usage(struct runner *r)
{
    char path[48];

    r->has_clock = clock_getcpuclockid(r->pid, &r->clock) == 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/statm", r->pid);
    r->statm_fd = open(path, O_RDONLY | O_CLOEXEC);
}

enum proc_result runner_start(struct runner *r, const struct runner_source *from,
                              struct proc_started *ret)
{
    struct child_ends ends = {-1, -1, {-1, -1}};
    const int64_t timeout_us = from->function->start_timeout_us;

    *r = (struct runner){.pidfd = -1,
                         .to_fd = -1,
                         .from_fd = -1,
                         .stream_fd = {-1, -1},
                         .inbox_fd = -1,
                         .outbox_fd = -1,
                         .statm_fd = -1,
                         .pong_by_ns = UINT64_MAX};
    const enum proc_result result = start_process(r, from, &ends, ret);
    close_child(&ends);
    if (result != PROC_STARTED) {
        close_own(r);
        return result;
    }
    r->function = from->function;
    r->pid = ret->pid;
    r->pidfd = ret->pidfd;
    r->limit_memory = from->limits == NULL ? 0 : from->limits->limit_memory;
    open_usage(r);
    r->boot_by_ns = clock_mono_ns() +
                    (timeout_us == 0 ? START_TIMEOUT_NS : (uint64_t)timeout_us * 1000);
    buf_init(&r->queue, QUEUE_MAX);
    buf_init(&r->body, RUNNER_BODY_MAX);
    runner_reader_init(&r->reader);
    return PROC_STARTED;
}

/* ------------------------------------------------------------------------------------------------
 * talk */

bool runner_has_queue(const struct runner *r)
{
    return r->to_fd >= 0 && r->sent < r->queue.len;
}

void runner_flush(struct runner *r)
{
    while (runner_has_queue(r)) {
        const ssize_t n = write(r->to_fd, r->queue.ptr + r->sent, r->queue.len - r->sent);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0)
            close_fd(&r->to_fd); /* EPIPE: its death will tell */
        else
            r->sent += (size_t)n;
    }
    r->sent = 0;
    if (r->queue.cap > QUEUE_KEPT) {
        buf_release(&r->queue);
        buf_init(&r->queue, QUEUE_MAX);
    }
    buf_clear(&r->queue);
}

void runner_say(struct runner *r, const char *verb, struct slice id, const char *keys,
                struct slice body)
{
    runner_frame_put(&r->queue, verb, id, keys, body);
    runner_flush(r);
}

void runner_say_init(struct runner *r)
{
    AUTO_BUF struct buf keys = {0};
    buf_init(&keys, RUNNER_LINE_MAX);
    if (r->function->preload.len > 0)
        runner_key_put(&keys, "preload", r->function->preload);
    buf_putc(&keys, '\0');
    PRE(buf_ok(&keys)); /* pool_runner.c */
    runner_say(r, "INIT", SLICE_LIT("init"), keys.ptr, r->function->init);
}

static void keep_tail(struct runner *r, const char *bytes, size_t len)
{
    const size_t n = MIN(len, (size_t)RUNNER_TAIL);
    const size_t kept = MIN((size_t)r->n_tail, RUNNER_TAIL - n);
    memmove(r->tail, r->tail + r->n_tail - kept, kept);
    memcpy(r->tail + kept, bytes + len - n, n);
    r->n_tail = (uint32_t)(kept + n);
}

static void drain_stream(struct runner *r, int stream)
{
    char bytes[4096];
    for (size_t taken = 0; r->stream_fd[stream] >= 0 && taken < DRAIN_MAX;) {
        const ssize_t n = read(r->stream_fd[stream], bytes, sizeof(bytes));
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0)
            close_fd(&r->stream_fd[stream]);
        if (n <= 0)
            return;
        if (stream == 1)
            keep_tail(r, bytes, (size_t)n);
        taken += (size_t)n;
    }
}

void runner_drain(struct runner *r)
{
    drain_stream(r, 0);
    drain_stream(r, 1);
}

bool runner_look(struct runner *r)
{
    struct pollfd fds[3] = {{.fd = r->pidfd, .events = POLLIN},
                            {.fd = r->stream_fd[0], .events = POLLIN},
                            {.fd = r->stream_fd[1], .events = POLLIN}};
    if (poll(fds, ARRAY_LEN(fds), 0) < 0)
        return !runner_is_dead(r);
    for (int stream = 0; stream < 2; stream++)
        if (fds[1 + stream].revents != 0)
            drain_stream(r, stream);
    return fds[0].revents == 0;
}

struct slice runner_last_line(struct slice text)
{
    size_t end = text.len;
    while (end > 0 && (text.ptr[end - 1] == '\n' || text.ptr[end - 1] == ' '))
        end--;
    const char *before = end == 0 ? NULL : memrchr(text.ptr, '\n', end);
    const size_t at = before == NULL ? 0 : (size_t)(before - text.ptr) + 1;
    return (struct slice){text.ptr + at, end - at};
}

static uint64_t ping_period_ns(const struct runner *r)
{
    return r->function->ping_us == 0 ? PING_NS : (uint64_t)r->function->ping_us * 1000;
}

void runner_await_ping(struct runner *r)
{
    r->ping_at_ns = clock_mono_ns() + ping_period_ns(r);
}

void runner_ping(struct runner *r)
{
    char number[16];

    (void)snprintf(number, sizeof(number), "%" PRIu32, ++r->pings);
    runner_say(r, "PING", slice_of(number), "", (struct slice){0});
    r->pong_by_ns = clock_mono_ns() + MIN(PONG_NS, ping_period_ns(r));
    r->ping_at_ns = UINT64_MAX;
}

void runner_rest(struct runner *r)
{
    r->used_ns = clock_mono_ns();
    runner_await_ping(r);
    if (r->inbox_bytes > INBOX_KEPT) {
        (void)!ftruncate(r->inbox_fd, 0);
        r->inbox_bytes = 0;
    }
    /* Who names the capability may have written there and then failed. */
    if (r->has_outbox || (r->caps & CAP_SHM) != 0)
        (void)!ftruncate(r->outbox_fd, 0);
    r->has_outbox = false;
}

/* ------------------------------------------------------------------------------------------------
 * usage */

int64_t runner_cpu_us(const struct runner *r)
{
    struct timespec t;
    if (!r->has_clock || clock_gettime(r->clock, &t) != 0)
        return 0;
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* proc(5): "size resident shared …", in pages. */
uint64_t runner_rss_bytes(const struct runner *r)
{
    char text[96] = "", *at = NULL;
    if (r->statm_fd < 0 || pread(r->statm_fd, text, sizeof(text) - 1, 0) <= 0)
        return 0;
    (void)strtoul(text, &at, 10);
    return strtoul(at, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* ------------------------------------------------------------------------------------------------
 * end */

/* It is not reaped. */
static bool has_ended(const struct runner *r, siginfo_t *ret_how)
{
    *ret_how = (siginfo_t){0};
    return waitid(P_PIDFD, (id_t)r->pidfd, ret_how, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           ret_how->si_pid == r->pid;
}

bool runner_is_dead(const struct runner *r)
{
    siginfo_t ignored;
    return has_ended(r, &ignored);
}

void runner_signal(const struct runner *r, int signal)
{
    /* It leads its group, and is not reaped before it is forgotten. */
    (void)kill(-r->pid, signal);
}

const char *runner_death(const struct runner *r, char out[RUNNER_DEATH])
{
    siginfo_t how;
    if (!has_ended(r, &how))
        return "it has closed its descriptor 4";
    if (how.si_code == CLD_EXITED)
        (void)snprintf(out, RUNNER_DEATH, "exit code %d", how.si_status);
    else
        (void)snprintf(out, RUNNER_DEATH, "%s", text_signal_name(how.si_status));
    return out;
}

static void await_death(const struct runner *r, int64_t max_us)
{
    struct pollfd wait = {.fd = r->pidfd, .events = POLLIN};
    const uint64_t end_ns = clock_mono_ns() + (uint64_t)max_us * 1000;
    for (uint64_t now_ns; (now_ns = clock_mono_ns()) < end_ns && !runner_is_dead(r);)
        (void)poll(&wait, 1, (int)((end_ns - now_ns) / 1000000) + 1);
}

static bool reap(struct runner *r, struct runner_end *end)
{
    struct rusage usage;
    int status = 0;
    if (wait4(r->pid, &status, WNOHANG | __WALL, &usage) != r->pid)
        return false;
    end->status = status;
    end->cpu_us = (int64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
                  usage.ru_utime.tv_usec + usage.ru_stime.tv_usec;
    end->max_rss_bytes = (uint64_t)usage.ru_maxrss * 1024;
    return true;
}

void runner_kill(struct runners *all, struct runner *r, struct runner_end *ret)
{
    struct tree orphans = {0};

    *ret = (struct runner_end){.was_killed = !runner_is_dead(r), .limit_memory = r->limit_memory};
    runner_signal(r, SIGKILL);
    if (ret->was_killed)
        tree_kill_child(r->pid);
    await_death(r, all->io->kill_deadline_us);
    const bool is_gone = reap(r, ret);
    ret->survivors = tree_end(&orphans, all->io->kill_deadline_us, all->io->child_fd);
    ret->ended = orphans.ended + (ret->was_killed && is_gone ? 1 : 0);
    if (!is_gone) {
        ret->survivors++;
        r->is_stuck = true;
        return;
    }
    close_own(r);
    *r = (struct runner){0};
}

void runner_quit(struct runners *all, struct runner *r, struct runner_end *ret)
{
    runner_say(r, "QUIT", SLICE_LIT("0"), "", (struct slice){0});
    close_fd(&r->to_fd);
    await_death(r, QUIT_MS * INT64_C(1000));
    runner_kill(all, r, ret);
}
