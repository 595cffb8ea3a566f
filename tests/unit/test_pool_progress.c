/* SPDX-License-Identifier: MIT */
/* Descriptor 3 of a task. */
#include "pool/pool.h"

#include "pool_fixture.h"

#include <criterion/criterion.h>
#include <signal.h>

static struct pool_live look(const struct fixture *f, struct place place, int64_t no)
{
    struct pool_live live = {0};
    cr_assert(pool_live(f->pool, place.slot, no, &live));
    return live;
}

static void release_after_stop(struct fixture *f, struct place place)
{
    pool_stop(f->pool, place, SIGKILL, 0);
    (void)fixture_await(f, POOL_DONE, &place);
    pool_release(f->pool, place);
}

Test(pool, progress_is_heard_while_somebody_listens)
{
    struct fixture f;
    int64_t no;
    TASK_OF(task, "sh", "-c", "echo 'progress 0.5 half' >&3; cat /dev/zero | sleep 1000");

    fixture_open(&f, 1);
    const struct place place = fixture_start(&f, &task, &no);
    cr_assert(pool_listen(f.pool, place.slot, no));
    while (!look(&f, place, no).progress.is_known)
        (void)fixture_await(&f, POOL_OUTPUT, &place);
    const struct pool_live live = look(&f, place, no);
    cr_assert_eq(live.progress.ppm, 500000);
    cr_assert_str_eq(live.progress.text, "half");
    cr_assert_not(live.watched, "the output stays where it is");
    release_after_stop(&f, place);
    cr_assert_not(pool_listen(f.pool, place.slot, no), "it does not run any more");
    fixture_close(&f);
}

Test(pool, progress_belongs_to_one_task)
{
    struct fixture f;
    int64_t no;
    char text[64];
    TASK_OF(first, "sh", "-c", "echo 'progress 0.5' >&3");
    TASK_OF(second, "sleep", "1000");

    fixture_open(&f, 1);
    (void)fixture_run_text(&f, &first, text, sizeof(text));
    const struct place place = fixture_start(&f, &second, &no);
    cr_assert_not(look(&f, place, no).progress.is_known);
    release_after_stop(&f, place);
    fixture_close(&f);
}

/* More than any pipe holds, in lines and without a line break, and the task ends by itself. */
Test(pool, a_flood_of_progress_keeps_nobody_waiting)
{
    struct fixture f;
    char text[64];
    TASK_OF(lines, "sh", "-c", "yes 'progress 0.5 x' | head -c 8000000 >&3; echo done");
    TASK_OF(bytes, "sh", "-c", "head -c 8000000 /dev/zero >&3; echo done");

    fixture_open(&f, 1);
    cr_assert_eq(fixture_run_text(&f, &lines, text, sizeof(text)).end, TASK_EXITED);
    cr_assert_str_eq(text, "done\n");
    cr_assert_eq(fixture_run_text(&f, &bytes, text, sizeof(text)).end, TASK_EXITED);
    cr_assert_str_eq(text, "done\n");
    fixture_close(&f);
}

Test(pool, an_endless_writer_of_progress_can_be_stopped)
{
    struct fixture f;
    struct task_outcome outcome;
    TASK_OF(task, "sh", "-c", "yes 'progress 0.5 x' >&3");

    task.timeout_us = 300000;
    fixture_open(&f, 1);
    const struct place place = fixture_run(&f, &task, &outcome);
    cr_assert_eq(outcome.end, TASK_TIMEOUT);
    pool_release(f.pool, place);
    fixture_close(&f);
}

Test(pool, a_task_that_closes_its_progress_goes_on)
{
    struct fixture f;
    char text[64];
    TASK_OF(task, "sh", "-c", "echo 'progress 0.5' >&3; exec 3>&-; sleep 0.05; echo done");

    fixture_open(&f, 1);
    cr_assert_eq(fixture_run_text(&f, &task, text, sizeof(text)).exit_code, 0);
    cr_assert_str_eq(text, "done\n");
    fixture_close(&f);
}

static void name_pipe(struct fixture *f, char text[64])
{
    TASK_OF(task, "readlink", "/proc/self/fd/3");
    cr_assert_eq(fixture_run_text(f, &task, text, 64).exit_code, 0);
    cr_assert_eq(strncmp(text, "pipe:", 5), 0, "%s", text);
}

/* One pipe serves tasks that do not touch it, one after the other; what a task may have done to it,
 * or may still do, ends with that task. */
Test(pool, a_touched_pipe_of_progress_does_not_go_on)
{
    struct fixture f;
    char before[64], after[64], text[64];
    TASK_OF(writes, "sh", "-c", "echo hello >&3");
    TASK_OF(sets_flags, "perl", "-MFcntl", "-e",
            "open(F, '>&=3'); fcntl(F, F_SETFL, O_WRONLY|O_NONBLOCK)");
    struct task *touch[] = {&writes, &sets_flags};

    fixture_open(&f, 1);
    name_pipe(&f, before);
    name_pipe(&f, after);
    cr_assert_str_eq(after, before, "it was not touched");
    for (size_t i = 0; i < ARRAY_LEN(touch); i++) {
        cr_assert_eq(fixture_run_text(&f, touch[i], text, sizeof(text)).exit_code, 0);
        name_pipe(&f, after);
        cr_assert_str_neq(after, before, "task %zu", i);
        memcpy(before, after, sizeof(before));
    }
    fixture_close(&f);
}
