/* SPDX-License-Identifier: MIT */
/* Who died for want of memory. */
#include "pool/pool_state.h"
#include "pool_fixture.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <inttypes.h>

static struct fixture f;
static char counter[80];

static void setup(void)
{
    fixture_open(&f, 1);
    (void)snprintf(counter, sizeof(counter), "%s/memory.events", f.dir);
}

static void teardown(void)
{
    fixture_close(&f);
}

TestSuite(oom, .init = setup, .fini = teardown, .timeout = 60);

/* As the kernel writes it. */
static void count(uint64_t kills)
{
    FILE *file = fopen(counter, "w");
    cr_assert_not_null(file);
    (void)fprintf(file, "low 0\nhigh 7\nmax 9\noom 3\noom_kill %" PRIu64 "\noom_group_kill 5\n",
                  kills);
    cr_assert_eq(fclose(file), 0);
}

static void watch_counter(uint64_t kills)
{
    count(kills);
    oom_watch_close(&f.pool->oom);
    oom_watch_open(&f.pool->oom, counter);
    cr_assert_eq(f.pool->oom.kills, kills);
}

static enum task_end end_of(const struct task *task)
{
    struct task_outcome o;
    pool_release(f.pool, fixture_run(&f, task, &o));
    return o.end;
}

/* Its own limit: it has touched nearly all of it and dies of a failed allocation. */
Test(oom, a_command_with_its_limit_used_up)
{
    TASK_OF(full, "perl", "-e", "vec($x, 56 << 20, 8) = 1; kill ABRT => $$; sleep 9");
    TASK_OF(other_bug, "perl", "-e", "vec($x, 40 << 20, 8) = 1; kill ABRT => $$; sleep 9");
    TASK_OF(other_signal, "perl", "-e", "vec($x, 56 << 20, 8) = 1; kill USR1 => $$; sleep 9");
    full.limit_memory = other_bug.limit_memory = other_signal.limit_memory = 64 << 20;
    cr_assert_eq(end_of(&full), TASK_OUT_OF_MEMORY);
    cr_assert_eq(end_of(&other_bug), TASK_SIGNALED);
    cr_assert_eq(end_of(&other_signal), TASK_SIGNALED);
    full.limit_memory = 0;
    cr_assert_eq(end_of(&full), TASK_SIGNALED);
}

/* The kernel's: a SIGKILL that we have not sent, and one more victim since the task began. */
Test(oom, a_victim_of_the_kernel)
{
    char kernel[200];
    (void)snprintf(kernel, sizeof(kernel), "echo oom_kill 6 > %s; kill -9 $$", counter);
    TASK_OF(victim, "sh", "-c", kernel);
    TASK_OF(killed, "sh", "-c", "kill -9 $$");
    TASK_OF(ended, "sh", "-c", "kill -15 $$");

    watch_counter(5);
    cr_assert_eq(end_of(&killed), TASK_SIGNALED, "nobody else was counted");
    cr_assert_eq(end_of(&victim), TASK_OUT_OF_MEMORY);
    cr_assert_eq(end_of(&killed), TASK_SIGNALED, "it began after that");
    count(7);
    cr_assert_eq(end_of(&ended), TASK_SIGNALED, "by another signal");
}

Test(oom, who_was_stopped_was_stopped)
{
    struct task_outcome o;
    int64_t no;
    TASK_OF(task, "sleep", "1000");

    watch_counter(5);
    const struct place place = fixture_start(&f, &task, &no);
    count(6);
    pool_stop(f.pool, place, SIGKILL, 0);
    (void)fixture_await(&f, POOL_DONE, &place);
    pool_outcome(f.pool, place, &o);
    cr_assert(o.end == TASK_SIGNALED && o.signal == SIGKILL && o.stop_sent);
    pool_release(f.pool, place);
}

/* Without cgroup v2 nobody counts. */
Test(oom, without_a_counter_it_is_a_signal)
{
    TASK_OF(killed, "sh", "-c", "kill -9 $$");
    oom_watch_close(&f.pool->oom);
    oom_watch_open(&f.pool->oom, "/nowhere/memory.events");
    cr_assert_eq(f.pool->oom.fd, -1);
    cr_assert_eq(end_of(&killed), TASK_SIGNALED);
}
