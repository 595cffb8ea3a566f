/* SPDX-License-Identifier: MIT */
/* Pipes of stdout and stderr that one task after the other gets, and what must not get with them.
 */
#include "pool/pipe.h"
#include "pool/pool.h"

#include "pool_fixture.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>

/* Which pipe is stdout of the next task, which tells it by stderr. */
static void look(struct fixture *f, char out[64])
{
    struct task_outcome outcome;
    TASK_OF(task, "sh", "-c", "x=$(readlink /proc/$$/fd/1); echo $x >&2");
    const struct place place = fixture_run(f, &task, &outcome);
    const struct slice text = outcome.out[1].inline_bytes;

    cr_assert_eq(outcome.end, TASK_EXITED);
    (void)snprintf(out, 64, "%.*s", (int)MIN(text.len, (size_t)63), text.ptr);
    cr_assert_eq(strncmp(out, "pipe:", 5), 0, "%s", out);
    pool_release(f->pool, place);
}

static void expect_new_after(struct fixture *f, const char *script)
{
    char before[64], after[64], text[64];
    TASK_OF(task, "sh", "-c", script);

    look(f, before);
    (void)fixture_run_text(f, &task, text, sizeof(text));
    look(f, after);
    cr_assert_str_neq(before, after, "%s", script);
}

Test(pool, a_pipe_in_which_nothing_was_goes_on_to_the_next_task)
{
    struct fixture f;
    char before[64], after[64], text[64];
    TASK_OF(task, "true");

    fixture_open(&f, 1);
    look(&f, before);
    cr_assert_eq(fixture_run_text(&f, &task, text, sizeof(text)).end, TASK_EXITED);
    look(&f, after);
    cr_assert_str_eq(before, after);
    fixture_close(&f);
}

Test(pool, a_pipe_does_not_go_on_when_somebody_may_hold_it)
{
    struct fixture f;

    fixture_open(&f, 1);
    expect_new_after(&f, "echo something");
    expect_new_after(&f, "exit 1");
    expect_new_after(&f, "kill -9 $$");
    expect_new_after(&f, "sleep 1000 & exit 0");
    expect_new_after(&f, "setsid sleep 1000 & exit 0");
    fixture_close(&f);
}

Test(pool, a_pipe_of_a_stopped_task_does_not_go_on)
{
    struct fixture f;
    char before[64], after[64];
    int64_t no;
    TASK_OF(task, "sh", "-c", "trap 'exit 0' TERM; echo up >&2; while :; do sleep 0.01; done");

    fixture_open(&f, 1);
    look(&f, before);
    const struct place place = fixture_start(&f, &task, &no);
    struct pool_live live = {0};
    pool_watch(f.pool, place);
    while (!pool_live(f.pool, place.slot, no, &live) || live.bytes[1] < 3)
        (void)fixture_await(&f, POOL_OUTPUT, &place);
    pool_stop(f.pool, place, SIGTERM, 10000000);
    (void)fixture_await(&f, POOL_DONE, &place);
    pool_release(f.pool, place);
    look(&f, after);
    cr_assert_str_neq(before, after);
    fixture_close(&f);
}

/* ------------------------------------------------------------------------------------------------
 * what a task does to a pipe without a byte */

static ino_t inode_of(const struct task_pipe *p)
{
    struct stat st;
    cr_assert_eq(fstat(p->task_fd, &st), 0);
    return st.st_ino;
}

static void leave_bytes(int fd)
{
    cr_assert_eq(write(fd, "x", 1), 1);
}

static void make_it_non_blocking(int fd)
{
    cr_assert_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
}

static void enlarge(int fd)
{
    cr_assert_gt(fcntl(fd, F_SETPIPE_SZ, 1 << 18), 0);
}

static void close_it_for_others(int fd)
{
    cr_assert_eq(fchmod(fd, 0), 0);
}

Test(pipe, what_a_task_has_done_to_it_does_not_go_on)
{
    void (*const deeds[])(int fd) = {leave_bytes, make_it_non_blocking, enlarge,
                                     close_it_for_others};
    struct task_pipe pipe = TASK_PIPE_NONE;

    for (size_t i = 0; i < ARRAY_LEN(deeds); i++) {
        cr_assert(task_pipe_open(&pipe));
        const ino_t first = inode_of(&pipe);
        cr_assert(task_pipe_open(&pipe));
        cr_assert_eq(inode_of(&pipe), first);
        deeds[i](pipe.task_fd);
        cr_assert(task_pipe_open(&pipe));
        cr_assert_neq(inode_of(&pipe), first, "deed %zu", i);
    }
    task_pipe_close(&pipe);
}

Test(pipe, no_lock_of_a_task_stays)
{
    struct task_pipe pipe = TASK_PIPE_NONE;
    char path[64];

    cr_assert(task_pipe_open(&pipe));
    cr_assert_eq(flock(pipe.task_fd, LOCK_EX), 0);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", pipe.task_fd);
    AUTO_CLOSE int other = open(path, O_WRONLY | O_CLOEXEC);
    cr_assert_neq(flock(other, LOCK_EX | LOCK_NB), 0);
    cr_assert(task_pipe_open(&pipe));
    cr_assert_eq(flock(other, LOCK_EX | LOCK_NB), 0);
    task_pipe_close(&pipe);
}
