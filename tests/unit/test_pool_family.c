/* SPDX-License-Identifier: MIT */
/* Who belongs to a process. */
#include "pool/family.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

static void fork_sleeper(pid_t *ret)
{
    *ret = fork();
    if (*ret == 0)
        for (;;)
            (void)pause();
    cr_assert_gt(*ret, 0);
}

static void end(pid_t pid)
{
    cr_assert_eq(kill(pid, SIGKILL), 0);
    cr_assert_eq(waitpid(pid, NULL, 0), pid);
}

static const struct family_member *find(const struct family *f, pid_t pid)
{
    for (size_t i = 0; i < f->n; i++)
        if (f->all[i].pid == pid)
            return &f->all[i];
    return NULL;
}

static int told_fd[2];

static void *fork_in_thread(void *arg)
{
    pid_t pid;
    (void)arg;
    fork_sleeper(&pid);
    (void)!write(told_fd[1], &pid, sizeof(pid));
    for (;;)
        (void)pause();
    return NULL;
}

/* A child is its thread's, and the kernel lists it there. Of a descendant all threads count; of the
 * root itself the main thread alone. */
Test(pool_family, children_of_other_threads)
{
    AUTO_FAMILY struct family f;
    pthread_t thread;
    pid_t grandchild, other;

    cr_assert_eq(pipe(told_fd), 0);
    const pid_t child = fork();
    if (child == 0) {
        (void)pthread_create(&thread, NULL, fork_in_thread, NULL);
        for (;;)
            (void)pause();
    }
    cr_assert_eq(read(told_fd[0], &grandchild, sizeof(grandchild)), (ssize_t)sizeof(grandchild));
    cr_assert_eq(pthread_create(&thread, NULL, fork_in_thread, NULL), 0);
    cr_assert_eq(read(told_fd[0], &other, sizeof(other)), (ssize_t)sizeof(other));
    family_init(&f, 100);
    cr_assert(family_look(&f, getpid(), 0));
    cr_assert_not_null(find(&f, child));
    cr_assert_not_null(find(&f, grandchild));
    cr_assert_eq(find(&f, grandchild)->ppid, child);
    cr_assert_null(find(&f, other));
    (void)kill(grandchild, SIGKILL);
    end(child);
    end(other);
}

/* More children than one read of the kernel's list has: none is left out, and no number is cut. */
Test(pool_family, all_children_have_their_size)
{
    enum { N = 600 };
    pid_t pids[N];
    const uint64_t alone = family_resident_bytes(getpid());
    cr_assert_gt(alone, 100000);
    for (int i = 0; i < N; i++)
        fork_sleeper(&pids[i]);
    uint64_t sum = 0;
    for (int i = 0; i < N; i++) {
        struct family_member child;
        cr_assert(family_look_at(pids[i], &child));
        sum += child.rss_pages * (uint64_t)sysconf(_SC_PAGESIZE);
    }
    cr_assert_geq(family_resident_bytes(getpid()), sum + alone / 2);
    for (int i = 0; i < N; i++)
        end(pids[i]);
    cr_assert_eq(family_resident_bytes(pids[0]), 0);
}

Test(pool_family, is_bounded)
{
    AUTO_FAMILY struct family f;
    pid_t pids[3];

    for (int i = 0; i < 3; i++)
        fork_sleeper(&pids[i]);
    family_init(&f, 2);
    cr_assert(family_look(&f, getpid(), 0));
    cr_assert_eq(f.n, 2);
    cr_assert(f.is_cut);
    family_release(&f);
    family_init(&f, 3);
    cr_assert(family_look(&f, getpid(), getppid()));
    cr_assert_eq(f.n, 3);
    cr_assert(!f.is_cut);
    for (int i = 0; i < 3; i++)
        end(pids[i]);
    cr_assert(family_look(&f, getpid(), 0));
    cr_assert_eq(f.n, 0);
}

Test(pool_family, a_root_with_another_parent_is_another_process)
{
    AUTO_FAMILY struct family f;
    pid_t pid;

    fork_sleeper(&pid);
    family_init(&f, 10);
    cr_assert(family_look(&f, pid, getpid()));
    cr_assert(!family_look(&f, pid, 1));
    end(pid);
    cr_assert(!family_look(&f, pid, getpid()));
}

/* Numbers are used again; a signal for the one that has gone must not reach the one that came. */
Test(pool_family, a_signal_is_for_the_process_that_was_looked_at)
{
    AUTO_FAMILY struct family f;
    pid_t pid;

    fork_sleeper(&pid);
    family_init(&f, 10);
    cr_assert(family_look(&f, getpid(), 0));
    struct family_member known = *find(&f, pid);
    struct family_member other = known;
    other.start--; /* as if it had begun earlier */
    cr_assert(!family_signal(&other, SIGKILL));
    cr_assert_eq(waitpid(pid, NULL, WNOHANG), 0, "it lives");
    cr_assert(family_signal(&known, SIGSTOP));
    int status = 0;
    cr_assert_eq(waitpid(pid, &status, WUNTRACED), pid);
    cr_assert(WIFSTOPPED(status));
    cr_assert(family_look_at(pid, &known));
    cr_assert(family_is_halted(&known));
    end(pid);
    cr_assert(!family_signal(&known, SIGKILL));
    char argv[64];
    cr_assert_eq(family_argv(&known, argv, sizeof(argv)), 0);
}
