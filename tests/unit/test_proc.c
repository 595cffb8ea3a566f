/* SPDX-License-Identifier: MIT */
/* One process: what it is given and how a failed start is told. Also the directory that a worker
 * lends it. */
#include "pool/proc.h"

#include "pool/sweep.h"
#include "pool/tree.h"
#include "pool/workdir.h"
#include "pool_fixture.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define PATHS "/usr/local/bin:/usr/bin:/bin"

static struct arena arena;

static struct proc prepare(const struct task *task, const struct slice *extra, uint32_t n_extra,
                           const char *marker)
{
    struct proc proc = {.cwd_fd = open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    const struct proc_source from = {.task = task,
                                     .extra = extra,
                                     .n_extra = n_extra,
                                     .marker = slice_of(marker),
                                     .path = PATHS};
    arena_init(&arena, 1 << 20);
    cr_assert(proc_prepare(&proc, &from, &arena));
    return proc;
}

static int count_name(char **env, const char *name_equals)
{
    int n = 0;
    for (; *env != NULL; env++)
        n += strncmp(*env, name_equals, strlen(name_equals)) == 0;
    return n;
}

static const char *value_of(char **env, const char *name_equals)
{
    for (; *env != NULL; env++)
        if (strncmp(*env, name_equals, strlen(name_equals)) == 0)
            return *env + strlen(name_equals);
    return "(absent)";
}

Test(proc, environment_precedence)
{
    TASK_OF(task, "true");
    struct slice own[] = {SLICE_LIT("A=task"), SLICE_LIT("GANGER_RUN=forged"), SLICE_LIT("AB=x")};
    const struct slice extra[] = {SLICE_LIT("A=attempt"), SLICE_LIT("B=attempt"),
                                  SLICE_LIT("GANGER_RUN=other")};
    task.env = own;
    task.n_env = 3;
    const struct proc proc = prepare(&task, extra, 3, "GANGER_RUN=mark.1.1");

    cr_assert_str_eq(value_of(proc.envp, "A="), "task");
    cr_assert_str_eq(value_of(proc.envp, "AB="), "x");
    cr_assert_str_eq(value_of(proc.envp, "B="), "attempt");
    cr_assert_str_eq(value_of(proc.envp, "GANGER_RUN="), "mark.1.1");
    cr_assert_str_eq(value_of(proc.envp, "PATH="), PATHS);
    cr_assert_eq(count_name(proc.envp, "A="), 1);
    cr_assert_eq(count_name(proc.envp, "GANGER_RUN="), 1);
    cr_assert_eq(count_name(proc.envp, ""), 5, "nothing else");
    arena_release(&arena);
}

Test(proc, a_path_of_its_own_is_searched)
{
    TASK_OF(task, "tool");
    struct slice own[] = {SLICE_LIT("PATH=/opt/x::/y")};
    task.env = own;
    task.n_env = 1;
    const struct proc proc = prepare(&task, NULL, 0, "");

    cr_assert_eq(count_name(proc.envp, "PATH="), 1);
    cr_assert_str_eq(value_of(proc.envp, "PATH="), "/opt/x::/y");
    cr_assert_str_eq(proc.candidates[0], "/opt/x/tool");
    cr_assert_str_eq(proc.candidates[1], "./tool");
    cr_assert_str_eq(proc.candidates[2], "/y/tool");
    cr_assert_null(proc.candidates[3]);
    arena_release(&arena);
}

Test(proc, a_slash_means_no_search)
{
    TASK_OF(task, "./tool");
    const struct proc proc = prepare(&task, NULL, 0, "");
    cr_assert_str_eq(proc.candidates[0], "./tool");
    cr_assert_null(proc.candidates[1]);
    arena_release(&arena);
}

/* Ready to start: with a descriptor without close-on-exec, which the child must not have. */
static struct proc make_ready(const struct task *task, struct proc_launcher *ret_launcher)
{
    struct err err;
    struct proc proc = prepare(task, NULL, 0, "");

    cr_assert_geq(open("/dev/null", O_RDONLY), 0);
    cr_assert(proc_launcher_init(ret_launcher, &err), "%s", err.detail);
    const int null_fd = fcntl(open("/dev/null", O_RDWR | O_CLOEXEC), F_DUPFD_CLOEXEC, 10);
    proc.fds[0] = proc.fds[1] = proc.fds[2] = null_fd;
    return proc;
}

static enum proc_result start(const struct task *task, struct proc_started *ret)
{
    struct proc_launcher launcher;
    const struct proc proc = make_ready(task, &launcher);
    const enum proc_result result = proc_start(&launcher, &proc, ret);
    arena_release(&arena);
    return result;
}

static int status_of(pid_t pid)
{
    int status = -1;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    return status;
}

Test(proc, starts_and_hands_over_a_pidfd)
{
    TASK_OF(task, "sh", "-c", "exit 7");
    struct proc_started started;
    siginfo_t info = {0};

    cr_assert_eq(start(&task, &started), PROC_STARTED, "%s", started.text);
    cr_assert_eq(waitid(P_PIDFD, (id_t)started.pidfd, &info, WEXITED | WNOWAIT), 0);
    cr_assert_eq(info.si_pid, started.pid);
    cr_assert_neq(fcntl(started.pidfd, F_GETFD) & FD_CLOEXEC, 0);
    const int status = status_of(started.pid);
    cr_assert(WIFEXITED(status));
    cr_assert_eq(WEXITSTATUS(status), 7);
}

Test(proc, leads_its_own_session_with_default_signals)
{
    struct proc_started started;
    sigset_t blocked;
    TASK_OF(task, "sh", "-c",
            "grep -q '^SigBlk:.0000000000000000$' /proc/self/status || exit 1;"
            "grep -q '^SigIgn:.0000000000000000$' /proc/self/status || exit 2;"
            "read pid comm state ppid group session rest < /proc/$$/stat;"
            "test $group = $$ || exit 3; test $session = $$ || exit 4");

    (void)sigfillset(&blocked);
    (void)sigprocmask(SIG_SETMASK, &blocked, NULL);
    cr_assert_eq(start(&task, &started), PROC_STARTED, "%s", started.text);
    cr_assert_eq(status_of(started.pid), 0);
}

static void assert_refused(const struct task *task, int error, const char *text)
{
    struct proc_started started;
    cr_assert_eq(start(task, &started), PROC_EXEC_FAILED);
    cr_assert_eq(started.error, error, "errno %d", started.error);
    cr_assert_str_eq(started.text, text);
    cr_assert_eq(waitpid(-1, NULL, WNOHANG), -1, "nothing is left to reap");
    cr_assert_eq(errno, ECHILD);
}

Test(proc, says_why_exec_failed)
{
    char dir[64];
    char path[128];
    char text[256];

    TASK_OF(missing, "no-such-program-here");
    assert_refused(&missing, ENOENT, "No such file or directory: no-such-program-here");
    TASK_OF(absent, "/no/such");
    assert_refused(&absent, ENOENT, "No such file or directory: /no/such");
    TASK_OF(directory, "/tmp");
    assert_refused(&directory, EACCES, "Permission denied: /tmp");
    TASK_OF(nowhere, "true");
    nowhere.cwd = slice_of("/no/dir");
    assert_refused(&nowhere, ENOENT, "cannot enter directory /no/dir: No such file or directory");

    fixture_make_dir(dir);
    (void)snprintf(path, sizeof(path), "%s/script", dir);
    const int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
    cr_assert_eq(write(fd, "#!/no/interpreter\n", 18), 18);
    (void)close(fd);
    TASK_OF(script, path);
    (void)snprintf(text, sizeof(text), "No such file or directory: the interpreter of %s", path);
    assert_refused(&script, ENOENT, text);
    fixture_remove_dir(dir);
}

/* The child runs beside us then, on our memory: what it fails at is told at its end, and our errno
 * is not touched meanwhile. */
Test(proc, who_goes_on_hears_at_the_end_why_exec_failed)
{
    struct proc_launcher launcher;
    struct proc_started started;
    siginfo_t info = {0};
    TASK_OF(task, "no-such-program-here");
    struct proc proc = make_ready(&task, &launcher);

    proc.goes_on = true;
    cr_assert_eq(proc_start(&launcher, &proc, &started), PROC_STARTED, "%s", started.text);
    errno = 0;
    cr_assert_eq(waitid(P_PIDFD, (id_t)started.pidfd, &info, WEXITED | WNOWAIT), 0);
    cr_assert_eq(errno, 0);
    cr_assert_eq(WEXITSTATUS(status_of(started.pid)), 127);
    cr_assert_eq(proc_outcome(&launcher, &proc, &started), PROC_EXEC_FAILED);
    cr_assert_eq(started.error, ENOENT, "errno %d", started.error);
    cr_assert_str_eq(started.text, "No such file or directory: no-such-program-here");
    arena_release(&arena);
}

Test(proc, who_goes_on_hears_at_the_end_that_exec_succeeded)
{
    struct proc_launcher launcher;
    struct proc_started started;
    TASK_OF(task, "sh", "-c", "exit 127");
    struct proc proc = make_ready(&task, &launcher);

    proc.goes_on = true;
    cr_assert_eq(proc_start(&launcher, &proc, &started), PROC_STARTED, "%s", started.text);
    cr_assert_eq(WEXITSTATUS(status_of(started.pid)), 127);
    cr_assert_eq(proc_outcome(&launcher, &proc, &started), PROC_STARTED);
    arena_release(&arena);
}

/* A task may be stopped before its process has come to make its group. */
Test(proc, a_process_without_a_group_of_its_own_is_signalled_alone)
{
    const pid_t child = fork();
    if (child == 0) {
        (void)alarm(5); /* a signal that does not come ends the test nevertheless */
        (void)pause();
        _exit(0);
    }
    const struct tree tree = {.main_pid = child};
    tree_signal(&tree, SIGTERM);
    const int status = status_of(child);
    cr_assert(WIFSIGNALED(status));
    cr_assert_eq(WTERMSIG(status), SIGTERM);
}

Test(proc, a_long_name_is_cut_between_characters)
{
    struct proc_started started;
    char name[400] = "/x";
    for (size_t i = 2; i + 2 < sizeof(name); i += 2)
        memcpy(name + i, "\xc3\xa9", 3);
    TASK_OF(task, name);
    cr_assert_eq(start(&task, &started), PROC_EXEC_FAILED);
    const size_t len = strlen(started.text);
    cr_assert_lt(len, sizeof(started.text));
    cr_assert_gt(len, 100);
    cr_assert_eq((unsigned char)started.text[len - 1], 0xa9, "ends with a whole character");
}

Test(proc, limits_are_applied)
{
    struct proc_started started;
    TASK_OF(task, "sh", "-c",
            "test $(ulimit -n) = 77 && test $(ulimit -f) = 8 && test $(ulimit -t) = 2 &&"
            " test $(ulimit -v) = 1048576");
    task.limit_open_files = 77;
    task.limit_file_size = 4096;
    task.limit_cpu_us = 1500000;
    task.limit_memory = 1 << 30;
    cr_assert_eq(start(&task, &started), PROC_STARTED, "%s", started.text);
    cr_assert_eq(status_of(started.pid), 0);
}

Test(proc, dies_with_its_parent)
{
    TASK_OF(task, "sleep", "1000");
    int fds[2];
    pid_t pid = -1;

    cr_assert_eq(prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), 0);
    cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
    const pid_t parent = fork();
    if (parent == 0) {
        struct proc_started started = {.pid = -1};
        (void)start(&task, &started);
        (void)!write(fds[1], &started.pid, sizeof(started.pid));
        _exit(0);
    }
    cr_assert_eq(read(fds[0], &pid, sizeof(pid)), (ssize_t)sizeof(pid));
    cr_assert_gt(pid, 0);
    (void)status_of(parent);
    const int status = status_of(pid);
    cr_assert(WIFSIGNALED(status));
    cr_assert_eq(WTERMSIG(status), SIGKILL);
}

/* Workdir. */

static void touch(int dir_fd, const char *name)
{
    const int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    cr_assert_geq(fd, 0, "%s", strerror(errno));
    (void)close(fd);
}

Test(proc, an_untouched_directory_is_lent_again)
{
    char dir[64];
    char first[32];
    struct workdir w;
    struct err err = {0};

    fixture_make_dir(dir);
    const int data_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cr_assert(workdir_init(&w, data_fd, 3, &err), "%s", err.detail);
    cr_assert(workdir_prepare(&w, &err));
    memcpy(first, w.name, sizeof(first));
    workdir_recycle(&w);
    cr_assert(workdir_prepare(&w, &err));
    cr_assert_str_eq(w.name, first);

    /* A file that came and went at once leaves no trace but the time. */
    touch(w.fd, "x");
    cr_assert_eq(unlinkat(w.fd, "x", 0), 0);
    workdir_recycle(&w);
    cr_assert(workdir_prepare(&w, &err));
    cr_assert_str_neq(w.name, first);
    cr_assert_neq(faccessat(w.work_fd, first, F_OK, 0), 0, "the first one is gone");
    fixture_remove_dir(dir);
}

Test(proc, a_used_directory_is_removed_with_all_it_holds)
{
    char dir[64];
    char outside[64];
    char used[32];
    struct workdir w;
    struct err err = {0};

    fixture_make_dir(dir);
    fixture_make_dir(outside);
    const int data_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    const int outside_fd = open(outside, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    touch(outside_fd, "precious");
    cr_assert(workdir_init(&w, data_fd, 0, &err));
    cr_assert(workdir_prepare(&w, &err));
    memcpy(used, w.name, sizeof(used));
    cr_assert_eq(symlinkat(outside, w.fd, "link"), 0);
    cr_assert_eq(mkdirat(w.fd, "closed", 0700), 0);
    touch(w.fd, "closed/file");
    cr_assert_eq(fchmodat(w.fd, "closed", 0, 0), 0);
    /* 200 levels: deeper than one pass goes. */
    int at = dup(w.fd);
    for (int i = 0; i < 200; i++) {
        cr_assert_eq(mkdirat(at, "deeper", 0700), 0);
        const int next = openat(at, "deeper", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        cr_assert_geq(next, 0);
        (void)close(at);
        at = next;
    }
    (void)close(at);
    workdir_recycle(&w);
    cr_assert_neq(faccessat(w.work_fd, used, F_OK, 0), 0, "it is gone");
    cr_assert_eq(unlinkat(data_fd, "work", AT_REMOVEDIR), 0, "and nothing was put aside: %s",
                 strerror(errno));
    cr_assert_eq(faccessat(outside_fd, "precious", F_OK, 0), 0, "the link was not followed");
    fixture_remove_dir(dir);
    fixture_remove_dir(outside);
}

/* Sweep. */

static pid_t start_marked(const char *entry)
{
    int fds[2];
    char byte;

    cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
    const pid_t pid = fork();
    if (pid == 0) {
        char *argv[] = {"sleep", "1000", NULL};
        char *envp[] = {"BEFORE=1", NULL, NULL};
        envp[1] = strdup(entry);
        (void)execve("/bin/sleep", argv, envp);
        _exit(127);
    }
    (void)close(fds[1]);
    cr_assert_eq(read(fds[0], &byte, 1), 0, "exec has closed the pipe");
    (void)close(fds[0]);
    return pid;
}

Test(proc, the_sweep_ends_what_bears_the_mark_and_nothing_else)
{
    char dir[64];
    char mark[SWEEP_MARK_SIZE];
    char again[SWEEP_MARK_SIZE];
    char prefix[64];
    char entry[80];
    uint32_t left = 99;
    struct err err = {0};

    fixture_make_dir(dir);
    const int data_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    cr_assert(sweep_mark(data_fd, mark, &err), "%s", err.detail);
    cr_assert(sweep_mark(data_fd, again, &err));
    cr_assert_str_eq(mark, again, "it is kept");
    (void)snprintf(prefix, sizeof(prefix), "GANGER_RUN=%s.", mark);
    (void)snprintf(entry, sizeof(entry), "%s17.1", prefix);
    const pid_t ours = start_marked(entry);
    entry[12] = entry[12] == '0' ? '1' : '0';
    const pid_t foreign = start_marked(entry);
    (void)snprintf(entry, sizeof(entry), "X%s17.1", prefix);
    const pid_t similar = start_marked(entry);

    cr_assert_eq(sweep_marked(prefix, 1000000, &left), 1);
    cr_assert_eq(left, 0);
    const int status = status_of(ours);
    cr_assert(WIFSIGNALED(status));
    cr_assert_eq(waitpid(foreign, NULL, WNOHANG), 0, "another data directory's");
    cr_assert_eq(waitpid(similar, NULL, WNOHANG), 0, "the mark is not at the start of the entry");
    (void)kill(foreign, SIGKILL);
    (void)kill(similar, SIGKILL);
    fixture_remove_dir(dir);
}

Test(proc, tree_end_returns_at_once_without_children)
{
    struct tree tree = {0};
    const uint64_t before = clock_mono_ns();
    cr_assert_eq(tree_end(&tree, 5000000, -1), 0);
    cr_assert_lt(clock_mono_ns() - before, UINT64_C(1000000000));
}
