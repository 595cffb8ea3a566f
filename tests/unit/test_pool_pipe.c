/* SPDX-License-Identifier: MIT */
/* Tasks that are joined by kernel pipes: the bytes, their end, and that no copy of an end stays
 * anywhere. */
#include "pool/pool.h"

#include "pool_fixture.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>

#define MAX_STAGES 4

/* What became of a pipeline; the text is what its last task wrote. */
struct piped {
    struct task_outcome outcome[MAX_STAGES];
    struct place place[MAX_STAGES];
    char text[256];
    char errors[MAX_STAGES][64];
};

static void copy_text(struct slice from, char *out, size_t size)
{
    const size_t len = MIN(from.len, size - 1);
    if (len > 0)
        memcpy(out, from.ptr, len);
    out[len] = '\0';
}

/* Starts the tasks, each reading what the one before it writes. */
static void start_all(struct fixture *f, const struct task *const *tasks, size_t n,
                      struct piped *ret)
{
    int before = -1;

    *ret = (struct piped){0};
    for (size_t i = 0; i < n; i++) {
        int pipe[2] = {-1, -1};
        struct err err;
        if (i + 1 < n)
            cr_assert(pool_pipe(pipe, &err), "pool_pipe: %s", err.detail);
        const struct pool_ends ends = {before, pipe[1]};
        ret->place[i] = fixture_start_joined(f, tasks[i], &ends, NULL);
        if (before >= 0)
            (void)close(before);
        if (pipe[1] >= 0)
            (void)close(pipe[1]);
        before = pipe[0];
    }
}

static void await_all(struct fixture *f, size_t n, struct piped *p)
{
    for (size_t i = 0; i < n; i++) {
        (void)fixture_await(f, POOL_DONE, &p->place[i]);
        pool_outcome(f->pool, p->place[i], &p->outcome[i]);
        copy_text(p->outcome[i].out[1].inline_bytes, p->errors[i], sizeof(p->errors[i]));
        copy_text(p->outcome[i].out[0].inline_bytes, p->text, sizeof(p->text));
        pool_release(f->pool, p->place[i]);
    }
}

static void run_two(struct fixture *f, const struct task *a, const struct task *b,
                    struct piped *ret)
{
    start_all(f, (const struct task *const[]){a, b}, 2, ret);
    await_all(f, 2, ret);
}

Test(pool_pipe, one_task_reads_what_the_other_writes)
{
    struct fixture f;
    struct piped p;
    TASK_OF(writer, "sh", "-c", "echo first >&2; seq 1 5");
    TASK_OF(reader, "sh", "-c", "echo second >&2; sort -r");

    fixture_open(&f, 2);
    run_two(&f, &writer, &reader, &p);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(p.outcome[i].end, TASK_EXITED);
        cr_assert_eq(p.outcome[i].exit_code, 0);
    }
    cr_assert_str_eq(p.text, "5\n4\n3\n2\n1\n", "and the end of the stream was seen");
    cr_assert_eq(p.outcome[0].out[0].bytes, 0, "what went into the pipe is not captured");
    cr_assert_not(p.outcome[0].out[0].truncated);
    cr_assert_str_eq(p.errors[0], "first\n");
    cr_assert_str_eq(p.errors[1], "second\n");
    fixture_close(&f);
}

Test(pool_pipe, stdin_of_the_first_and_a_middle_one)
{
    struct fixture f;
    struct piped p;
    TASK_OF(first, "cat");
    TASK_OF(middle, "tr", "a-z", "A-Z");
    TASK_OF(last, "rev");

    first.stdin_bytes = slice_of("abc\n");
    fixture_open(&f, 3);
    start_all(&f, (const struct task *const[]){&first, &middle, &last}, 3, &p);
    await_all(&f, 3, &p);
    cr_assert_str_eq(p.text, "CBA\n");
    fixture_close(&f);
}

/* With an input that does not fit into the bank, three descriptors may travel with one frame. */
Test(pool_pipe, beside_a_large_input)
{
    struct fixture f;
    struct piped p;
    const size_t size = (size_t)3 << 20;
    char *bytes = malloc(size);
    TASK_OF(first, "cat");
    TASK_OF(middle, "sh", "-c", "cat \"$0\" - | wc -c", "/dev/null");
    TASK_OF(last, "cat");

    cr_assert_not_null(bytes);
    memset(bytes, 'x', size);
    first.stdin_bytes = (struct slice){bytes, size};
    middle.stdin_bytes = (struct slice){bytes, size}; /* not used: its stdin is the pipe */
    fixture_open(&f, 3);
    start_all(&f, (const struct task *const[]){&first, &middle, &last}, 3, &p);
    await_all(&f, 3, &p);
    cr_assert_str_eq(p.text, "3145728\n");
    fixture_close(&f);
    free(bytes);
}

#define MAKE_64_MIB "seq 1 9000000 | head -c 67108864"

Test(pool_pipe, many_bytes_arrive_as_they_are)
{
    struct fixture f;
    struct piped p;
    char want[256];
    TASK_OF(alone, "sh", "-c", MAKE_64_MIB " | md5sum");
    TASK_OF(writer, "sh", "-c", MAKE_64_MIB);
    TASK_OF(reader, "md5sum");

    fixture_open(&f, 2);
    (void)fixture_run_text(&f, &alone, want, sizeof(want));
    run_two(&f, &writer, &reader, &p);
    cr_assert_eq(strlen(want), 36, "%s", want);
    cr_assert_str_eq(p.text, want);
    fixture_close(&f);
}

Test(pool_pipe, a_reader_that_has_enough_ends_the_writer)
{
    struct fixture f;
    struct piped p;
    TASK_OF(writer, "yes");
    TASK_OF(reader, "head", "-n", "1");

    fixture_open(&f, 2);
    run_two(&f, &writer, &reader, &p);
    cr_assert_eq(p.outcome[0].end, TASK_SIGNALED);
    cr_assert_eq(p.outcome[0].signal, SIGPIPE);
    cr_assert_eq(p.outcome[1].exit_code, 0);
    cr_assert_str_eq(p.text, "y\n");
    fixture_close(&f);
}

Test(pool_pipe, a_task_that_cannot_begin_closes_its_ends)
{
    struct fixture f;
    struct piped p;
    TASK_OF(missing, "/nowhere/to/be/found");
    TASK_OF(reader, "cat");
    TASK_OF(writer, "yes");

    fixture_open(&f, 2);
    run_two(&f, &missing, &reader, &p);
    cr_assert_eq(p.outcome[0].end, TASK_EXEC_FAILED);
    cr_assert_eq(p.outcome[1].end, TASK_EXITED, "it saw the end of its input");
    run_two(&f, &writer, &missing, &p);
    cr_assert_eq(p.outcome[0].end, TASK_SIGNALED);
    cr_assert_eq(p.outcome[0].signal, SIGPIPE);
    cr_assert_eq(p.outcome[1].end, TASK_EXEC_FAILED);
    fixture_close(&f);
}

Test(pool_pipe, the_end_comes_although_a_daemon_holds_the_pipe)
{
    struct fixture f;
    struct piped p;
    TASK_OF(writer, "sh", "-c", "setsid sleep 3600 & echo here");
    TASK_OF(reader, "cat");

    fixture_open(&f, 2);
    run_two(&f, &writer, &reader, &p);
    cr_assert_str_eq(p.text, "here\n");
    fixture_close(&f);
}

Test(pool_pipe, a_writer_that_dies_with_its_worker)
{
    struct fixture f;
    struct piped p;
    struct pool_worker worker;
    TASK_OF(writer, "sh", "-c", "echo here; exec sleep 3600");
    TASK_OF(reader, "sh", "-c", "cat; echo over");

    fixture_open(&f, 2);
    start_all(&f, (const struct task *const[]){&writer, &reader}, 2, &p);
    cr_assert(pool_worker_info(f.pool, p.place[0].slot, &worker));
    cr_assert_eq(kill(worker.pid, SIGKILL), 0);
    (void)fixture_await(&f, POOL_LOST, &p.place[0]);
    pool_release(f.pool, p.place[0]);
    (void)fixture_await(&f, POOL_DONE, &p.place[1]);
    pool_outcome(f.pool, p.place[1], &p.outcome[1]);
    copy_text(p.outcome[1].out[0].inline_bytes, p.text, sizeof(p.text));
    cr_assert_not_null(strstr(p.text, "over\n"), "%s", p.text);
    pool_release(f.pool, p.place[1]);
    fixture_close(&f);
}

static int count_open(pid_t pid)
{
    char path[64];
    int n = 0;

    (void)snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    DIR *dir = opendir(path);
    cr_assert_not_null(dir, "%s", path);
    while (readdir(dir) != NULL)
        n++;
    (void)closedir(dir);
    return n;
}

static int count_all(const struct fixture *f)
{
    int n = count_open(getpid());
    for (uint32_t slot = 0; slot < pool_size(f->pool); slot++) {
        struct pool_worker worker;
        cr_assert(pool_worker_info(f->pool, slot, &worker));
        n += count_open(worker.pid);
    }
    return n;
}

Test(pool_pipe, no_descriptor_is_left_behind)
{
    struct fixture f;
    struct piped p;
    TASK_OF(writer, "seq", "1", "1000");
    TASK_OF(reader, "wc", "-l");
    TASK_OF(missing, "/nowhere/to/be/found");
    TASK_OF(lister, "ls", "/proc/self/fd");
    TASK_OF(endless, "yes");
    TASK_OF(first_line, "head", "-n", "1");

    fixture_open(&f, 2);
    run_two(&f, &endless, &first_line, &p); /* each worker has run something: it keeps its own */
    const int before = count_all(&f);
    for (int i = 0; i < 20; i++) {
        run_two(&f, &writer, &reader, &p);
        cr_assert_str_eq(p.text, "1000\n");
        run_two(&f, &missing, &reader, &p);
        run_two(&f, &writer, &missing, &p);
    }
    cr_assert_leq(count_all(&f), before + 8, "each worker may keep the pipes of a silent task");
    run_two(&f, &lister, &reader, &p);
    cr_assert_str_eq(p.text, "5\n", "0, 1, 2, 3 and the directory that ls reads");
    fixture_close(&f);
}
