/* SPDX-License-Identifier: MIT */
/* Ending what a job leaves behind. Processes are found by the mark in their environment, from
 * outside the pool. */
#include "pool/pool.h"

#include "pool_fixture.h"

#include <criterion/criterion.h>

static void leave_behind(const char *script, uint32_t at_least)
{
    struct fixture f;
    char text[64];
    char mark[64];
    TASK_OF(task, "sh", "-c", script);

    fixture_open(&f, 1);
    fixture_mark(&f, mark);
    const uint64_t before = clock_mono_ns();
    const struct task_outcome outcome = fixture_run_text(&f, &task, text, sizeof(text));
    const uint64_t took_ns = clock_mono_ns() - before;
    const int left = fixture_count_marked(mark);
    cr_assert_eq(outcome.end, TASK_EXITED, "%s: end %d", script, (int)outcome.end);
    cr_assert_eq(outcome.exit_code, 0, "%s: %d", script, outcome.exit_code);
    cr_assert_eq(left, 0, "%s: %d are left when DONE is heard", script, left);
    cr_assert_geq(outcome.processes_killed, at_least, "%s: killed %u", script,
                  outcome.processes_killed);
    cr_assert_lt(took_ns, UINT64_C(5000000000), "%s", script);
    fixture_close(&f);
}

Test(pool, ends_a_background_process)
{
    leave_behind("sleep 1000 & exit 0", 1);
}

Test(pool, ends_a_session_of_its_own)
{
    leave_behind("setsid sleep 1000 > /dev/null 2>&1 & exit 0", 1);
}

Test(pool, ends_a_double_forked_daemon)
{
    leave_behind(
        "( setsid sh -c 'sleep 1000 & sleep 1000' < /dev/null > /dev/null 2>&1 & ); exit 0", 1);
}

Test(pool, ends_one_that_ignores_signals)
{
    leave_behind("(trap '' TERM HUP INT; setsid sh -c 'while :; do sleep 1000; done') & exit 0", 1);
}

Test(pool, ends_a_stopped_process)
{
    leave_behind("sleep 1000 & kill -STOP $!; exit 0", 1);
}

Test(pool, ends_one_that_holds_stdout)
{
    leave_behind("nohup setsid sleep 1000 2>/dev/null & exit 0", 1);
}

Test(pool, ends_a_broad_and_deep_tree)
{
    leave_behind(
        "for i in 1 2 3 4 5 6 7 8; do"
        " setsid sh -c 'setsid sh -c \"sleep 1000 & sleep 1000\" & sleep 1000' & done; exit 0",
        8);
}

/* Each link forks the next in a new session and exits: a race that the sweep must win. */
Test(pool, ends_a_fork_chain)
{
    leave_behind(
        "perl -e 'use POSIX; fork and exit; for (1..2) { fork }"
        " while (1) { my $p = fork; next unless defined $p; exit if $p; POSIX::setsid() }'; exit 0",
        0);
}

Test(pool, reaps_orphans_while_the_job_runs)
{
    struct fixture f;
    char text[64];
    /* Orphans that end by themselves are reaped at once: the number of zombies under the worker
     * stays small. */
    TASK_OF(task, "perl", "-e",
            "for (1..50) { my $p = fork; if (!$p) { fork; exit } waitpid $p, 0;"
            " select undef, undef, undef, 0.005 } "
            "for (1..400) { my $n = 0; open F, '/proc/'.getppid().'/task/'.getppid().'/children';"
            " for (split ' ', <F>) { open S, \"/proc/$_/stat\"; $n++ if <S> =~ /\\) Z /; }"
            " if ($n == 0) { print 'clean'; exit 0 } select undef, undef, undef, 0.01 } exit 1");

    fixture_open(&f, 1);
    const struct task_outcome outcome = fixture_run_text(&f, &task, text, sizeof(text));
    cr_assert_str_eq(text, "clean");
    cr_assert_eq(outcome.exit_code, 0);
    fixture_close(&f);
}
