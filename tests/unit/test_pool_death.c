/* SPDX-License-Identifier: MIT */
/* What is left when a worker, the zygote or the server is killed. */
#include "pool/pool.h"

#include "pool_fixture.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

Test(pool, a_killed_worker_costs_its_task_alone)
{
    struct fixture f;
    struct pool_worker worker;
    struct task_outcome outcome;
    char mark[64];
    int64_t no;
    TASK_OF(task, "sh", "-c", "setsid sleep 1000 & sleep 1000 & echo hi; wait");
    TASK_OF(bystander, "sh", "-c", "echo hi; read x; exit 5");
    TASK_OF(next, "true");

    fixture_open(&f, 2);
    fixture_mark(&f, mark);
    for (uint32_t slot = 0; slot < 2; slot++)
        (void)fixture_await(&f, POOL_READY, &(struct place){slot, 0});
    const struct place victim = fixture_start(&f, &task, &no);
    fixture_await_output(&f, victim, no, 1);
    const struct place other = fixture_start(&f, &bystander, NULL);
    cr_assert_neq(victim.slot, other.slot);

    cr_assert(pool_worker_info(f.pool, victim.slot, &worker));
    const int old_pid = worker.pid;
    cr_assert_eq(worker.job_no, no);
    cr_assert_eq(kill(old_pid, SIGKILL), 0);
    const struct pool_event lost = fixture_await(&f, POOL_LOST, &victim);
    (void)snprintf(mark + strlen(mark), sizeof(mark) - strlen(mark), ".%d.", (int)no);
    const int left = fixture_count_marked(mark);
    cr_assert_eq(left, 0, "LOST means that the tree is gone, but %d are left", left);
    cr_assert_eq(lost.job_no, no);
    pool_outcome(f.pool, victim, &outcome);
    cr_assert_eq(outcome.end, TASK_LOST);
    pool_release(f.pool, victim);
    const struct pool_event gone = fixture_await(&f, POOL_WORKER_GONE, NULL);
    cr_assert(WIFSIGNALED(gone.wait_status));
    cr_assert_eq(gone.place.slot, victim.slot);

    /* A new one takes the slot at once; the other never noticed. */
    (void)fixture_await(&f, POOL_READY, &(struct place){victim.slot, 0});
    cr_assert(pool_worker_info(f.pool, victim.slot, &worker));
    cr_assert_neq(worker.pid, old_pid);
    cr_assert(worker.alive);
    (void)fixture_await(&f, POOL_DONE, &other);
    pool_outcome(f.pool, other, &outcome);
    cr_assert_eq(outcome.exit_code, 5);
    pool_release(f.pool, other);
    const struct place again = fixture_run(&f, &next, &outcome);
    cr_assert_eq(outcome.end, TASK_EXITED);
    pool_release(f.pool, again);
    fixture_close(&f);
}

/* The chain falls to the zygote while it runs away. */
Test(pool, a_fork_chain_does_not_outlive_its_worker)
{
    struct fixture f;
    struct pool_worker worker;
    char mark[64];
    int64_t no;
    TASK_OF(task, "perl", "-e",
            "use POSIX; $| = 1; if (fork) { print 'x'; sleep 1000 } POSIX::setsid();"
            " while (1) { my $p = fork; next unless defined $p; exit if $p; POSIX::setsid() }");

    fixture_open(&f, 1);
    fixture_mark(&f, mark);
    const struct place place = fixture_start(&f, &task, &no);
    fixture_await_output(&f, place, no, 1);
    cr_assert(pool_worker_info(f.pool, 0, &worker));
    cr_assert_eq(kill(worker.pid, SIGKILL), 0);
    (void)fixture_await(&f, POOL_LOST, &place);
    const int left = fixture_count_marked(mark);
    cr_assert_eq(left, 0, "%d are left", left);
    fixture_close(&f);
}

Test(pool, a_job_that_kills_its_worker_is_lost)
{
    struct fixture f;
    struct task_outcome outcome;
    TASK_OF(task, "sh", "-c", "kill -9 $PPID; sleep 1000");
    TASK_OF(next, "true");

    fixture_open(&f, 1);
    for (int i = 0; i < 3; i++) {
        const struct place place = fixture_start(&f, &task, NULL);
        (void)fixture_await(&f, POOL_LOST, &place);
        pool_release(f.pool, place);
        const struct place good = fixture_run(&f, &next, &outcome);
        cr_assert_eq(outcome.end, TASK_EXITED);
        pool_release(f.pool, good);
    }
    fixture_close(&f);
}

/* The result was sent before the worker died: it counts. Two frames are unread when GONE comes, so
 * reading one per look is not enough. The second task shows that the worker has sent them. */
Test(pool, a_finished_result_outlives_its_worker)
{
    struct fixture f;
    struct pool_worker worker;
    struct task_outcome outcome;
    struct place taken;
    struct buf wire;
    struct err err;
    char path[128];
    char mark[64];
    TASK_OF(first, "sh", "-c", "sleep 0.1; echo kept");

    fixture_open(&f, 1);
    (void)snprintf(path, sizeof(path), "%s/begun", f.dir);
    TASK_OF(second, "sh", "-c", "touch $0; sleep 1000", path);
    (void)fixture_await(&f, POOL_READY, NULL);
    const struct place place = fixture_start(&f, &first, NULL);
    pool_watch(f.pool, place);
    buf_init(&wire, 4096);
    cr_assert(task_encode(&second, &wire, &err));
    cr_assert(pool_find_offer(f.pool, 0, &taken));
    const struct pool_task offered = {
        .place = taken, .job_no = 99, .attempt = 1, .wire = buf_slice(&wire)};
    cr_assert(pool_offer(f.pool, &offered));
    for (int i = 0; access(path, F_OK) != 0; i++) {
        cr_assert_lt(i, FIXTURE_WAIT_MS);
        (void)poll(NULL, 0, 1);
    }
    cr_assert(pool_worker_info(f.pool, 0, &worker));
    cr_assert_eq(kill(worker.pid, SIGKILL), 0);
    fixture_mark(&f, mark);
    cr_assert_eq(fixture_await_none_marked(mark), 0);
    (void)poll(NULL, 0, 20); /* for GONE, which may then be read first; any order must do */
    (void)fixture_await(&f, POOL_DONE, &place);
    pool_outcome(f.pool, place, &outcome);
    cr_assert_eq(outcome.end, TASK_EXITED);
    cr_assert_eq(outcome.out[0].bytes, 5);
    (void)fixture_await(&f, POOL_STARTED, &taken);
    (void)fixture_await(&f, POOL_LOST, &taken);
    buf_release(&wire);
    fixture_close(&f);
}

static pid_t parent_of(pid_t pid)
{
    char path[64];
    int parent = -1;
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    FILE *file = fopen(path, "re");
    cr_assert_not_null(file);
    cr_assert_eq(fscanf(file, "%*d (%*[^)]) %*c %d", &parent), 1);
    (void)fclose(file);
    return parent;
}

static void kill_zygote(bool workers_too)
{
    struct fixture f;
    struct pool_worker worker;
    char mark[64];
    int64_t no;
    TASK_OF(task, "sh", "-c", "setsid sleep 1000 & sleep 1000 & echo hi; wait");

    fixture_open(&f, 2);
    fixture_mark(&f, mark);
    const struct place a = fixture_start(&f, &task, &no);
    fixture_await_output(&f, a, no, 1);
    const struct place b = fixture_start(&f, &task, &no);
    fixture_await_output(&f, b, no, 1);
    cr_assert(pool_worker_info(f.pool, 0, &worker));
    const pid_t first = worker.pid;
    cr_assert(pool_worker_info(f.pool, 1, &worker));
    const pid_t zygote = parent_of(first);
    cr_assert_eq(parent_of(zygote), getpid());
    cr_assert_eq(kill(zygote, SIGKILL), 0);
    if (workers_too) {
        (void)kill(first, SIGKILL);
        (void)kill(worker.pid, SIGKILL);
    }
    (void)fixture_await(&f, POOL_ZYGOTE_GONE, NULL);
    if (!workers_too)
        cr_assert_eq(fixture_await_none_marked(mark), 0, "the workers end their trees themselves");
    fixture_close(&f);
    cr_assert_eq(waitpid(-1, NULL, WNOHANG), -1);
    cr_assert_eq(errno, ECHILD, "all of them were reaped");
}

Test(pool, a_killed_zygote_leaves_nothing)
{
    kill_zygote(false);
}

Test(pool, a_zygote_killed_with_its_workers_leaves_nothing)
{
    kill_zygote(true);
}

/* The server is killed -9: zygote and workers see their sockets end. */
Test(pool, a_killed_server_leaves_nothing)
{
    struct fixture f;
    int fds[2];
    char dir[64] = "";
    char mark[64];
    size_t len;

    cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
    const pid_t server = fork();
    if (server == 0) {
        int64_t no;
        TASK_OF(task, "sh", "-c",
                "trap '' TERM; setsid sleep 1000 & sleep 1000 & echo hi; wait; wait");
        fixture_open(&f, 2);
        const struct place a = fixture_start(&f, &task, &no);
        fixture_await_output(&f, a, no, 1);
        const struct place b = fixture_start(&f, &task, &no);
        fixture_await_output(&f, b, no, 1);
        (void)!write(fds[1], f.dir, sizeof(f.dir));
        for (;;)
            (void)pause();
    }
    cr_assert_eq(read(fds[0], dir, sizeof(dir)), (ssize_t)sizeof(dir));
    memcpy(f.dir, dir, sizeof(dir));
    char *text = fixture_read_file(&f, "mark", &len);
    (void)snprintf(mark, sizeof(mark), "GANGER_RUN=%s", text);
    free(text);
    cr_assert_geq(fixture_count_marked(mark), 4);
    cr_assert_eq(kill(server, SIGKILL), 0);
    cr_assert_eq(waitpid(server, NULL, 0), server);
    cr_assert_eq(fixture_await_none_marked(mark), 0);
    fixture_remove_dir(dir);
}

Test(pool, opening_ends_what_an_earlier_run_left)
{
    struct fixture f;
    struct fixture again;
    struct err err = {0};
    char entry[80];
    size_t len;
    int fds[2];
    char byte;

    fixture_open(&f, 1);
    char *mark = fixture_read_file(&f, "mark", &len);
    (void)snprintf(entry, sizeof(entry), "GANGER_RUN=%s.1.1", mark);
    free(mark);
    pool_close(f.pool);
    cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
    const pid_t left = fork();
    if (left == 0) {
        char *argv[] = {"sleep", "1000", NULL};
        char *envp[] = {entry, NULL};
        (void)execve("/bin/sleep", argv, envp);
        _exit(127);
    }
    (void)close(fds[1]);
    cr_assert_eq(read(fds[0], &byte, 1), 0);
    again = f;
    const struct pool_config cfg = {.workers = 1,
                                    .max_workers = 1,
                                    .kill_deadline_us = 5000000,
                                    .path = "/bin",
                                    .data_dir = f.dir,
                                    .log = &f.log};
    cr_assert(pool_open(&cfg, &again.pool, &err), "%s", err.detail);
    int status = 0;
    cr_assert_eq(waitpid(left, &status, 0), left);
    cr_assert(WIFSIGNALED(status));
    cr_assert_eq(WTERMSIG(status), SIGKILL);
    fixture_close(&again);
}

/* Uninterruptible sleep cannot be made at will; a deadline that is over before the first look is
 * the same to the pool. */
Test(pool, what_cannot_be_killed_keeps_the_worker)
{
    struct fixture f;
    struct task_outcome outcome;
    struct place place;
    struct buf wire;
    struct err err;
    TASK_OF(stuck, "sh", "-c", "setsid sleep 1000 & sleep 0.1; exit 0");
    TASK_OF(next, "true");

    fixture_open_deadline(&f, 1, 1);
    (void)fixture_await(&f, POOL_READY, NULL);
    const struct place a = fixture_start(&f, &stuck, NULL);
    buf_init(&wire, 4096);
    cr_assert(task_encode(&next, &wire, &err));
    cr_assert(pool_find_offer(f.pool, 0, &place));
    const struct pool_task offered = {
        .place = place, .job_no = 77, .attempt = 1, .wire = buf_slice(&wire)};
    cr_assert(pool_offer(f.pool, &offered));
    (void)fixture_await(&f, POOL_DONE, &a);
    pool_outcome(f.pool, a, &outcome);
    cr_assert_eq(outcome.end, TASK_UNKILLABLE);
    cr_assert_geq(outcome.survivors, 1);
    cr_assert_eq(outcome.exit_code, 0, "what is known of its main process is told");
    (void)fixture_await(&f, POOL_RETURNED, &place);
    pool_release(f.pool, place);
    pool_release(f.pool, a);
    /* READY again once it is gone after all. */
    (void)fixture_await(&f, POOL_READY, NULL);
    fixture_run(&f, &next, &outcome);
    buf_release(&wire);
    fixture_close(&f);
}

#ifdef GANGER_FAILPOINTS
static struct task_outcome run_with_fault(const char *fault, const char *script)
{
    struct fixture f;
    struct task_outcome outcome;
    TASK_OF(task, "sh", "-c", script);

    cr_assert_eq(setenv("GANGER_FP", fault, 1), 0);
    fixture_open(&f, 1);
    const struct place place = fixture_start(&f, &task, NULL);
    const bool is_lost = strstr(fault, "exit") != NULL;
    (void)fixture_await(&f, is_lost ? POOL_LOST : POOL_DONE, &place);
    pool_outcome(f.pool, place, &outcome);
    pool_release(f.pool, place);
    fixture_close(&f);
    return outcome;
}

Test(pool, a_failed_fork_is_not_an_attempt)
{
    const struct task_outcome outcome = run_with_fault("proc-clone:error", "exit 0");
    cr_assert_eq(outcome.end, TASK_START_FAILED);
    cr_assert_eq(outcome.exec_errno, EAGAIN);
    cr_assert_str_eq(outcome.error_text,
                     "cannot start a process: Resource temporarily unavailable");
}

Test(pool, a_full_disk_truncates)
{
    const struct task_outcome outcome = run_with_fault("capture-spool:error",
                                                       "head -c 100000 /dev/zero");
    cr_assert_eq(outcome.end, TASK_EXITED);
    cr_assert_eq(outcome.exit_code, 0);
    cr_assert(outcome.out[0].truncated);
    cr_assert_eq(outcome.out[0].bytes, BANK_OUT_SIZE);
}

Test(pool, a_worker_that_dies_before_its_report_loses_the_task)
{
    const struct task_outcome outcome = run_with_fault("worker-before-done:exit",
                                                       "setsid sleep 1000 & exit 0");
    cr_assert_eq(outcome.end, TASK_LOST);
}

Test(pool, a_worker_that_dies_after_exec_loses_the_task)
{
    const struct task_outcome outcome = run_with_fault("worker-after-exec:exit",
                                                       "setsid sleep 1000 & sleep 1000");
    cr_assert_eq(outcome.end, TASK_LOST);
}
#endif
