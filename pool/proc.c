/* SPDX-License-Identifier: MIT */
#include "pool/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define STACK_SIZE ((size_t)256 << 10)
#define GUARD_SIZE ((size_t)64 << 10) /* a page on every architecture */

/* CLONE_VM: no page table is copied; the child has its own stack, descriptors and signal handlers.
 * CLONE_VFORK: the caller sleeps until exec, so the report is complete when clone returns. Without
 * it (`goes_on`) the two run side by side on one memory, until exec.
 * A sanitizer's shadow memory does not survive two flows of control on one address space, so there
 * the child gets a copy and only the report is shared. */
#if defined(WITH_ASAN) || defined(WITH_TSAN)
#define CLONE_FLAGS SIGCHLD
#else
#define CLONE_FLAGS (CLONE_VM | SIGCHLD)
#endif

/* The child runs on a stack that the sanitizers do not know. */
#define ON_CHILD_STACK __attribute__((no_sanitize("address", "thread")))

/* What the kernel answers: < 0 is an errno. errno itself is the worker's, which may be about to
 * look at its own, so a child that runs beside it must not write there. */
#if defined(__x86_64__)
#define CAN_GO_ON true
static ON_CHILD_STACK long ask(long number, long a, long b, long c, long d)
{
    register long r10 __asm__("r10") = d;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "0"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
                     : "rcx", "r11", "memory");
    return result;
}
#elif defined(__aarch64__)
#define CAN_GO_ON true
static ON_CHILD_STACK long ask(long number, long a, long b, long c, long d)
{
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
    return x0;
}
#else
#define CAN_GO_ON false
static ON_CHILD_STACK long ask(long number, long a, long b, long c, long d)
{
    const long result = syscall(number, a, b, c, d);
    return result < 0 ? -errno : result;
}
#endif
#define AT(pointer) ((long)(uintptr_t)(pointer))

bool proc_launcher_init(struct proc_launcher *l, struct err *err)
{
    char *stack = mmap(NULL, GUARD_SIZE + STACK_SIZE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (stack == MAP_FAILED || mprotect(stack, GUARD_SIZE, PROT_NONE) != 0)
        return err_sys(err, ERR_INTERNAL, "cannot make a stack");
    void *report = mmap(NULL, sizeof(struct proc_report), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (report == MAP_FAILED)
        return err_sys(err, ERR_INTERNAL, "cannot make a shared page");
    l->stack = stack + GUARD_SIZE;
    l->stack_size = STACK_SIZE;
    l->report = report;
    l->self = getpid();
    return true;
}

/* exec(3) takes pointers to char that it does not write to. */
static char *unconst(const char *s)
{
    union {
        const char *in;
        char *out;
    } u = {.in = s};
    return u.out;
}

static size_t name_len(struct slice env)
{
    const char *equals = memchr(env.ptr, '=', env.len);
    return equals == NULL ? env.len : (size_t)(equals - env.ptr);
}

static bool has_name(const struct slice *env, uint32_t n_env, struct slice wanted)
{
    const size_t len = name_len(wanted);
    for (uint32_t i = 0; i < n_env; i++)
        if (name_len(env[i]) == len && memcmp(env[i].ptr, wanted.ptr, len) == 0)
            return true;
    return false;
}

/* Each name once: which of two equal names a program sees is not defined. */
static bool make_environment(struct proc *p, const struct proc_source *from, struct arena *a,
                             struct slice *ret_path)
{
    const struct task *task = from->task;
    const size_t path_size = sizeof("PATH=") + strlen(from->path);
    char *path = arena_alloc(a, path_size);
    p->envp = arena_alloc(a, ((size_t)task->n_env + from->n_extra + 3) * sizeof(char *));
    if (path == NULL || p->envp == NULL)
        return false;
    (void)snprintf(path, path_size, "PATH=%s", from->path);

    size_t n = 0;
    const bool is_marked = from->marker.len > 0;
    struct slice found = slice_of(path);
    if (is_marked)
        p->envp[n++] = unconst(from->marker.ptr);
    for (uint32_t i = 0; i < task->n_env; i++) {
        if (is_marked && has_name(&from->marker, 1, task->env[i]))
            continue;
        p->envp[n++] = unconst(task->env[i].ptr);
        if (has_name(&task->env[i], 1, slice_of(path)))
            found = task->env[i];
    }
    for (uint32_t i = 0; i < from->n_extra; i++) {
        if ((is_marked && has_name(&from->marker, 1, from->extra[i])) ||
            has_name(task->env, task->n_env, from->extra[i]))
            continue;
        p->envp[n++] = unconst(from->extra[i].ptr);
    }
    if (found.ptr == path)
        p->envp[n++] = path;
    *ret_path = (struct slice){found.ptr + 5, found.len - 5};
    return true;
}

/* As execvp(3) searches: each directory of PATH, an empty one is the current one. The child tries
 * them with exec itself, so there is no time between a look and the use. */
static bool make_candidates(struct proc *p, struct slice program, struct slice path,
                            struct arena *a)
{
    size_t n_dirs = 1;
    for (size_t i = 0; i < path.len; i++)
        n_dirs += path.ptr[i] == ':';
    p->candidates = arena_alloc(a, (n_dirs + 1) * sizeof(char *));
    if (p->candidates == NULL)
        return false;
    if (memchr(program.ptr, '/', program.len) != NULL) {
        p->candidates[0] = unconst(program.ptr);
        return true;
    }
    const char *at = path.ptr;
    const char *const end = path.ptr + path.len;
    for (size_t i = 0; i < n_dirs; i++) {
        const char *colon = at == end ? NULL : memchr(at, ':', (size_t)(end - at));
        const size_t len = (size_t)((colon == NULL ? end : colon) - at);
        const size_t size = len + program.len + 3;
        char *candidate = arena_alloc(a, size);
        if (candidate == NULL)
            return false;
        (void)snprintf(candidate, size, "%.*s/%s", (int)len, len == 0 ? "." : at, program.ptr);
        if (len == 0)
            (void)snprintf(candidate, size, "./%s", program.ptr);
        p->candidates[i] = candidate;
        at = colon == NULL ? end : colon + 1;
    }
    return true;
}

static void add_limit(struct proc *p, int resource, uint64_t soft, uint64_t hard, const char *name)
{
    PRE(p->n_limits < PROC_MAX_LIMITS);
    p->limits[p->n_limits++] = (struct proc_limit){resource, {soft, hard}, name};
}

static void make_limits(struct proc *p, const struct task *task)
{
    p->n_limits = 0;
    if (task->limit_open_files > 0)
        add_limit(p, RLIMIT_NOFILE, task->limit_open_files, task->limit_open_files, "open_files");
    if (task->limit_file_size > 0)
        add_limit(p, RLIMIT_FSIZE, task->limit_file_size, task->limit_file_size, "file_size");
    if (task->limit_memory > 0)
        add_limit(p, RLIMIT_AS, task->limit_memory, task->limit_memory, "memory");
    if (task->limit_processes > 0)
        add_limit(p, RLIMIT_NPROC, task->limit_processes, task->limit_processes, "processes");
    if (task->limit_cpu_us > 0) {
        /* Whole seconds (setrlimit(2)); SIGXCPU first, KILL for who ignores it. */
        const uint64_t seconds = ((uint64_t)task->limit_cpu_us + 999999) / 1000000;
        add_limit(p, RLIMIT_CPU, seconds, seconds + 5, "cpu");
    }
}

bool proc_prepare(struct proc *p, const struct proc_source *from, struct arena *a)
{
    const struct task *task = from->task;
    struct slice path;

    p->argv = arena_alloc(a, ((size_t)task->n_argv + 1) * sizeof(char *));
    if (p->argv == NULL || !make_environment(p, from, a, &path))
        return false;
    for (uint32_t i = 0; i < task->n_argv; i++)
        p->argv[i] = unconst(task->argv[i].ptr);
    p->cwd = task->cwd.ptr;
    make_limits(p, task);
    return make_candidates(p, task->argv[0], path, a);
}

/* Lies where its stack ends, so that it is there as long as the child needs it. */
struct child {
    const struct proc *proc;
    struct proc_report *report;
    pid_t parent;
};

static NORETURN ON_CHILD_STACK void child_exit(void)
{
    for (;;)
        (void)ask(SYS_exit_group, 127, 0, 0, 0);
}

static NORETURN ON_CHILD_STACK void child_fail(const struct child *c, enum proc_step step,
                                               long answer)
{
    c->report->error = (int)-answer;
    c->report->step = (int)step;
    child_exit();
}

static ON_CHILD_STACK bool says_not_here(long answer)
{
    return answer == -EACCES || answer == -ENOENT || answer == -ENOTDIR || answer == -ESTALE ||
           answer == -ENODEV || answer == -ETIMEDOUT;
}

/* The search goes on where execvp(3) would; a permission problem is remembered since it says more
 * than "not found". */
static ON_CHILD_STACK long child_exec(const struct proc *p)
{
    long first = -ENOENT;
    for (char **path = p->candidates; *path != NULL; path++) {
        const long answer = ask(SYS_execve, AT(*path), AT(p->argv), AT(p->envp), 0);
        const bool is_searched = p->candidates[1] != NULL;
        if (!is_searched || !says_not_here(answer))
            return answer;
        if (answer == -EACCES)
            first = -EACCES;
    }
    return first;
}

static ON_CHILD_STACK long child_dup(int fd, int number)
{
    return ask(SYS_dup3, fd, number, 0, 0);
}

/* As the functions below: < 0 when it failed. A copy of a descriptor to itself would leave it
 * CLOEXEC. What had number 3 before has been taken already. */
static ON_CHILD_STACK long child_set_progress(int fd)
{
    return fd == 3 ? ask(SYS_fcntl, fd, F_SETFD, 0, 0) : child_dup(fd, 3);
}

/* Returns the first descriptor that the task does not have. */
static ON_CHILD_STACK long child_set_fds(const struct proc *p)
{
    long answer = 0;
    int next = 3;
    for (int fd = 0; fd < 3 && answer >= 0; fd++)
        answer = child_dup(p->fds[fd], fd);
    if (answer >= 0 && p->progress_fd > 0)
        answer = child_set_progress(p->progress_fd);
    next += p->progress_fd > 0;
    for (int i = 0; answer >= 0 && i < PROC_MORE_FDS && p->more_fds[i] > 0; i++)
        answer = child_dup(p->more_fds[i], next++);
    return answer < 0 ? answer : next;
}

/* The others go. ENOSYS of close_range before Linux 5.9: ours are all O_CLOEXEC anyway. */
static ON_CHILD_STACK long child_set_blobs(const struct proc *p, long first_free)
{
    long answer = 0;
    for (uint32_t i = 0; i < p->n_blobs && answer >= 0; i++)
        answer = child_dup(p->blob_fds[i], PROC_BLOB_FD + (int)i);
    if (p->n_blobs == 0) {
        (void)ask(SYS_close_range, first_free, ~0U, 0, 0);
        return answer;
    }
    (void)ask(SYS_close_range, first_free, PROC_BLOB_FD - 1, 0, 0);
    (void)ask(SYS_close_range, PROC_BLOB_FD + p->n_blobs, ~0U, 0, 0);
    return answer;
}

static ON_CHILD_STACK void child_set_limits(const struct child *c)
{
    for (uint32_t i = 0; i < c->proc->n_limits; i++) {
        const struct proc_limit *limit = &c->proc->limits[i];
        const long answer = ask(SYS_prlimit64, 0, limit->resource, AT(&limit->value), 0);
        if (answer < 0) {
            c->report->limit = (int)i;
            child_fail(c, PROC_STEP_LIMIT, answer);
        }
    }
}

/* Between clone and exec. Shares the worker's memory, and perhaps runs beside it: no function of
 * the library, writes to its own stack and the report alone. Umask, core limit, NO_NEW_PRIVS,
 * oom_score_adj and default dispositions come from the worker, which sets them once. */
static ON_CHILD_STACK int child_main(void *arg)
{
    const struct child *c = arg;
    const struct proc *p = c->proc;
    const uint64_t no_signal = 0;
    long answer;

    if ((answer = ask(SYS_setsid, 0, 0, 0, 0)) < 0 ||
        (answer = ask(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0)) < 0)
        child_fail(c, PROC_STEP_SETUP, answer);
    /* The parent may have died before prctl; then there is nobody to report to. */
    if (ask(SYS_getppid, 0, 0, 0, 0) != c->parent)
        child_exit();
    answer = p->cwd == NULL ? ask(SYS_fchdir, p->cwd_fd, 0, 0, 0)
                            : ask(SYS_chdir, AT(p->cwd), 0, 0, 0);
    if (answer < 0)
        child_fail(c, PROC_STEP_DIRECTORY, answer);
    if ((answer = child_set_fds(p)) < 0 || (answer = child_set_blobs(p, answer)) < 0)
        child_fail(c, PROC_STEP_SETUP, answer);
    child_set_limits(c);
    (void)ask(SYS_rt_sigprocmask, SIG_SETMASK, AT(&no_signal), 0, sizeof(no_signal));
    child_fail(c, PROC_STEP_EXEC, child_exec(p));
}

/* Never ends inside a UTF-8 character: the text goes into JSON. */
static void cut_text(char *text, size_t size)
{
    size_t len = strnlen(text, size - 1);
    if (len < size - 1) {
        text[len] = '\0';
        return;
    }
    while (len > 0 && ((unsigned char)text[len - 1] & 0xc0) == 0x80)
        len--;
    if (len > 0 && (unsigned char)text[len - 1] >= 0xc0)
        len--;
    text[len] = '\0';
}

static const char *describe(int error)
{
    const char *text = strerrordesc_np(error);
    return text == NULL ? "Unknown error" : text;
}

/* ENOENT of a file that is there means its interpreter (the #! line or the ELF loader). */
static bool interpreter_is_missing(const struct proc *p, int error)
{
    return error == ENOENT && p->cwd == NULL && p->candidates[1] == NULL &&
           p->candidates[0][0] == '/' && access(p->candidates[0], F_OK) == 0;
}

static void explain(const struct proc *p, const struct proc_report *report,
                    struct proc_started *ret)
{
    const char *why = describe(report->error);
    char *text = ret->text;
    const size_t size = sizeof(ret->text);
    int len;

    ret->error = report->error;
    if (report->step == PROC_STEP_DIRECTORY)
        len = snprintf(text, size, "cannot enter directory %s: %s", p->cwd == NULL ? "." : p->cwd,
                       why);
    else if (report->step == PROC_STEP_LIMIT)
        len = snprintf(text, size, "cannot apply limit %s: %s", p->limits[report->limit].name, why);
    else if (report->step == PROC_STEP_SETUP)
        len = snprintf(text, size, "cannot prepare the process: %s", why);
    else if (interpreter_is_missing(p, report->error))
        len = snprintf(text, size, "%s: the interpreter of %s", why, p->argv[0]);
    else
        len = snprintf(text, size, "%s: %s", why, p->argv[0]);
    if (len >= (int)size)
        cut_text(text, size);
}

static bool is_transient(int error)
{
    return error == EAGAIN || error == ENOMEM || error == EMFILE || error == ENFILE;
}

/* exec can lack memory because the machine does, or because the task asked for a limit that is too
 * small to start in. */
static enum proc_result judge(const struct proc *p, const struct proc_report *report)
{
    const bool is_our_directory = report->step == PROC_STEP_DIRECTORY && p->cwd == NULL;
    const bool may_be_own_limit = p->n_limits > 0 && report->step == PROC_STEP_EXEC;
    if (report->step == PROC_STEP_SETUP || is_our_directory ||
        (is_transient(report->error) && !may_be_own_limit))
        return PROC_NOT_STARTED;
    return PROC_EXEC_FAILED;
}

static void close_pidfd(int pidfd)
{
    if (pidfd >= 0)
        (void)close(pidfd);
}

enum proc_result proc_outcome(const struct proc_launcher *l, const struct proc *p,
                              struct proc_started *ret)
{
    if (l->report->step == PROC_STEP_NONE)
        return PROC_STARTED;
    explain(p, l->report, ret);
    return judge(p, l->report);
}

enum proc_result proc_start(const struct proc_launcher *l, const struct proc *p,
                            struct proc_started *ret)
{
    struct child *child = l->stack;
    const bool goes_on = CAN_GO_ON && p->goes_on;
    int pidfd = -1;

    PRE(p->fds[0] > 2 && p->fds[1] > 2 && p->fds[2] > 2);
    *child = (struct child){.proc = p, .report = l->report, .parent = l->self};
    *l->report = (struct proc_report){0};
    *ret = (struct proc_started){.pidfd = -1};
    const int flags = CLONE_FLAGS | (goes_on ? 0 : CLONE_VFORK) | (p->no_pidfd ? 0 : CLONE_PIDFD);
    ret->pid = clone(child_main, (char *)l->stack + l->stack_size, flags, child, &pidfd);
    if (ret->pid < 0 || FAULT("proc-clone")) {
        ret->error = ret->pid < 0 ? errno : EAGAIN;
        if (ret->pid >= 0) {
            (void)kill(ret->pid, SIGKILL);
            (void)waitpid(ret->pid, NULL, 0);
            close_pidfd(pidfd);
        }
        (void)snprintf(ret->text, sizeof(ret->text), "cannot start a process: %s",
                       describe(ret->error));
        return PROC_NOT_STARTED;
    }
    const enum proc_result result = p->goes_on ? PROC_STARTED : proc_outcome(l, p, ret);
    if (result == PROC_STARTED) {
        ret->pidfd = pidfd;
        return result;
    }
    while (waitpid(ret->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    close_pidfd(pidfd);
    return result;
}
