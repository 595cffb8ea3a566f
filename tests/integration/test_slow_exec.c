/* SPDX-License-Identifier: MIT */
/* A program whose file is slow to open, as on a disk of the network that does not answer: its
 * process hangs in execve(2), and must not hold up more than its own job. Here a lease (fcntl(2))
 * holds it. */
#include "integration/harness_test.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#define HELD_S 45 /* then the kernel lets it go: /proc/sys/fs/lease-break-time */

struct slow_program {
    struct text path;
    int fd;
};

static void program_make(const struct server *s, struct slow_program *ret)
{
    ret->path = text_of("%s/program", s->scratch);
    FILE *file = fopen(ret->path.s, "we");
    CHECK(file != NULL && fputs("#!/bin/sh\necho ran\n", file) >= 0 && fclose(file) == 0 &&
              chmod(ret->path.s, 0700) == 0,
          "cannot write %s", ret->path.s);
    (void)signal(SIGIO, SIG_IGN); /* somebody wants to open it */
    ret->fd = open(ret->path.s, O_RDONLY | O_CLOEXEC);
    if (fcntl(ret->fd, F_SETLEASE, F_WRLCK) != 0)
        cr_skip_test("no leases here: a program that hangs before exec is NOT tested");
}

/* One whose lease is being broken has to become a lease for reading. */
static bool program_is_wanted(const struct slow_program *p)
{
    return fcntl(p->fd, F_GETLEASE) == F_RDLCK;
}

static struct job_ref submit_hanging(struct server *s, const struct slow_program *p,
                                     const char *more)
{
    struct job_ref job = job_submit(s, "{'command':['%s']%s}", p->path.s, more);
    AWAIT(program_is_wanted(p), 20);
    return job;
}

SERVER_TEST(slow_exec, a_program_that_hangs_before_exec_can_be_cancelled)
{
    struct slow_program program;
    program_make(s, &program);
    struct job_ref job = submit_hanging(s, &program, "");
    AUTO_RESPONSE other = job_run(s, "{'command':['true']}");
    expect_outcome(other, "succeeded", NULL);
    AUTO_RESPONSE r = job_cancel(s, job, "{'grace':'60s'}", 20);
    expect_status(r, 200);
    expect_text(r, "job.state", "cancelled");
    expect_text(r, "job.signal", "SIGTERM");
    expect_int(r, "receipt.survivors", 0);
    AUTO_RESPONSE end = job_show(s, job);
    cr_assert_lt(json_number(end, "usage.wall"), HELD_S / 2, "it was let go");
}

SERVER_TEST_WITH(slow_exec, its_timeout_ends_it, .workers = 1)
{
    struct slow_program program;
    program_make(s, &program);
    struct job_ref job = submit_hanging(s, &program, ",'timeout':'500ms'");
    AUTO_RESPONSE end = job_await(s, job);
    expect_outcome(end, "failed", "timeout");
    cr_assert_lt(json_number(end, "usage.wall"), HELD_S / 2, "it was let go");
    AUTO_RESPONSE next = job_run(s, "{'command':['true']}");
    expect_outcome(next, "succeeded", NULL);
}

SERVER_TEST(slow_exec, it_runs_once_its_file_is_there)
{
    struct slow_program program;
    program_make(s, &program);
    struct job_ref job = submit_hanging(s, &program, "");
    AUTO_RESPONSE running = job_show(s, job);
    expect_text(running, "state", "running");
    cr_assert_eq(fcntl(program.fd, F_SETLEASE, F_UNLCK), 0);
    AUTO_RESPONSE end = job_await(s, job);
    expect_outcome(end, "succeeded", NULL);
    expect_output(s, job, "stdout", "ran\n");
}
