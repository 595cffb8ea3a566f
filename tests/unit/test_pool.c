/* SPDX-License-Identifier: MIT */
/* What a task is given, what it gives back, and what thousands of them leave: nothing. */
#include "pool/pool.h"

#include "pool_fixture.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>

#define SECOND INT64_C(1000000)

Test(pool, runs_a_command)
{
    struct fixture f;
    struct task_outcome outcome;
    TASK_OF(task, "sh", "-c", "echo out; echo err >&2; exit 3");

    fixture_open(&f, 1);
    const struct place place = fixture_run(&f, &task, &outcome);
    cr_assert_eq(outcome.end, TASK_EXITED);
    cr_assert_eq(outcome.exit_code, 3);
    cr_assert_eq(outcome.signal, 0);
    cr_assert(slice_is(outcome.out[0].inline_bytes, "out\n"));
    cr_assert(slice_is(outcome.out[1].inline_bytes, "err\n"));
    cr_assert_not(outcome.stop_sent);
    cr_assert_eq(outcome.processes_killed, 0);
    cr_assert_gt(outcome.max_rss_bytes, 100000);
    cr_assert_gt(outcome.wall_us, 0);
    cr_assert_lt(outcome.wall_us, 10 * SECOND);
    cr_assert_geq(outcome.ended_us, outcome.started_us);
    cr_assert_lt(llabs(outcome.ended_us - clock_wall_us()), 10 * SECOND);
    pool_release(f.pool, place);
    fixture_close(&f);
}

Test(pool, tells_a_death_by_signal)
{
    struct fixture f;
    char text[64];
    TASK_OF(task, "sh", "-c", "kill -SEGV $$");

    fixture_open(&f, 1);
    const struct task_outcome outcome = fixture_run_text(&f, &task, text, sizeof(text));
    cr_assert_eq(outcome.end, TASK_SIGNALED);
    cr_assert_eq(outcome.signal, SIGSEGV);
    cr_assert_not(outcome.stop_sent);
    cr_assert_eq(outcome.processes_killed, 0, "we did not end it");
    fixture_close(&f);
}

Test(pool, sums_the_usage_of_the_whole_tree)
{
    struct fixture f;
    char text[64];
    /* Two grandchildren burn at least 0.2 s of CPU each; one of them is left to us to reap. */
    TASK_OF(task, "perl", "-e",
            "sub burn { my @t; do { @t = times; $x = 1 for 1..20000 } while $t[0] < 0.2 } "
            "pipe R, W; if (!fork) { burn(); exit 0 } wait; "
            "if (!fork) { if (!fork) { burn(); print W 'x'; exit 0 } exit 0 } wait; "
            "close W; read R, $x, 1; select undef, undef, undef, 0.05; exit 0");

    fixture_open(&f, 1);
    const struct task_outcome outcome = fixture_run_text(&f, &task, text, sizeof(text));
    cr_assert_eq(outcome.end, TASK_EXITED);
    cr_assert_geq(outcome.user_us + outcome.system_us, 38 * SECOND / 100);
    fixture_close(&f);
}

Test(pool, environment_is_clean)
{
    struct fixture f;
    char text[1024];
    char want[256];
    char mark[64];
    struct slice own[] = {SLICE_LIT("WHO=task"), SLICE_LIT("K=v=w")};
    TASK_OF(task, "env");

    task.env = own;
    task.n_env = 2;
    cr_assert_eq(setenv("LEAKED", "from the server", 1), 0);
    fixture_open(&f, 1);
    fixture_mark(&f, mark);
    (void)fixture_run_text(&f, &task, text, sizeof(text));
    (void)snprintf(want, sizeof(want),
                   "%s.1.1\nWHO=task\nK=v=w\nGANGER_ATTEMPT=1\nPATH=/usr/local/bin:/usr/bin:/bin\n",
                   mark);
    cr_assert_str_eq(text, want);
    fixture_close(&f);
}

Test(pool, a_job_has_four_descriptors)
{
    struct fixture f;
    char text[256];
    TASK_OF(task, "ls", "/proc/self/fd");

    cr_assert_geq(open("/dev/null", O_RDONLY), 0, "one without close-on-exec");
    fixture_open(&f, 2);
    (void)fixture_run_text(&f, &task, text, sizeof(text));
    cr_assert_str_eq(text, "0\n1\n2\n3\n4\n", "4 is the directory that ls reads");
    fixture_close(&f);
}

Test(pool, a_job_has_a_fresh_private_directory)
{
    struct fixture f;
    char text[256];
    char first[256];
    TASK_OF(task, "sh", "-c", "ls -A; stat -c %a .; pwd; echo x > left; umask");

    fixture_open(&f, 1);
    (void)fixture_run_text(&f, &task, first, sizeof(first));
    cr_assert_eq(strncmp(first, "700\n/", 5), 0, "%s", first);
    cr_assert_str_eq(strrchr(first, '/') == NULL ? "" : strstr(first, "0077"), "0077\n");
    (void)fixture_run_text(&f, &task, text, sizeof(text));
    cr_assert_eq(strncmp(text, "700\n/", 5), 0, "nothing of the first is there: %s", text);
    cr_assert_str_neq(text, first, "another directory");
    fixture_close(&f);
}

Test(pool, stdin_and_cwd)
{
    struct fixture f;
    char text[256];
    TASK_OF(task, "sh", "-c", "cat; pwd; cat; exit 0");

    task.cwd = slice_of("/usr");
    fixture_open(&f, 1);
    (void)fixture_run_text(&f, &task, text, sizeof(text));
    cr_assert_str_eq(text, "/usr\n", "no stdin is an empty one");
    task.stdin_bytes = (struct slice){"a\0b\n", 4};
    task.argv[0] = slice_of("od");
    task.argv[1] = slice_of("-c");
    task.n_argv = 2;
    (void)fixture_run_text(&f, &task, text, sizeof(text));
    cr_assert_str_eq(text, "0000000   a  \\0   b  \\n\n0000004\n");
    fixture_close(&f);
}

static char *random_like(size_t len)
{
    char *bytes = malloc(len);
    uint32_t x = 12345;
    cr_assert_not_null(bytes);
    for (size_t i = 0; i < len; i++) {
        x = x * 1664525U + 1013904223U;
        bytes[i] = (char)(unsigned char)(x >> 24);
    }
    return bytes;
}

/* Binary bytes in, the same bytes out: by the slot, at its edges, and by descriptor and file. */
static void run_cat(struct fixture *f, size_t len)
{
    struct task_outcome outcome;
    char path[64];
    TASK_OF(task, "cat");
    char *bytes = random_like(len);

    task.stdin_bytes = (struct slice){bytes, len};
    const struct place place = fixture_run(f, &task, &outcome);
    cr_assert_eq(outcome.end, TASK_EXITED);
    cr_assert_eq(outcome.exit_code, 0);
    cr_assert_eq(outcome.out[0].bytes, len);
    cr_assert_not(outcome.out[0].truncated);
    cr_assert_eq(outcome.out[0].spooled, len > BANK_OUT_SIZE);
    if (outcome.out[0].spooled) {
        size_t got_len;
        spool_path(f->next_no, 1, 0, path);
        char *got = fixture_read_file(f, path, &got_len);
        cr_assert_eq(got_len, len);
        cr_assert_eq(memcmp(got, bytes, len), 0);
        free(got);
    } else {
        cr_assert(slice_eq(outcome.out[0].inline_bytes, task.stdin_bytes));
    }
    pool_release(f->pool, place);
    free(bytes);
}

Test(pool, bytes_pass_unchanged)
{
    struct fixture f;

    fixture_open(&f, 1);
    run_cat(&f, 1);
    run_cat(&f, BANK_OUT_SIZE - 1);
    run_cat(&f, BANK_OUT_SIZE);
    run_cat(&f, BANK_OUT_SIZE + 1);
    run_cat(&f, BANK_IN_SIZE - 200);
    run_cat(&f, BANK_IN_SIZE + 1);
    run_cat(&f, (1 << 20) + 17);
    fixture_close(&f);
}

Test(pool, stdin_that_nobody_reads)
{
    struct fixture f;
    struct task_outcome outcome;
    TASK_OF(task, "true");
    char *bytes = random_like(2 << 20);

    task.stdin_bytes = (struct slice){bytes, 2 << 20};
    fixture_open(&f, 1);
    const struct place place = fixture_run(&f, &task, &outcome);
    cr_assert_eq(outcome.end, TASK_EXITED);
    cr_assert_eq(outcome.exit_code, 0);
    pool_release(f.pool, place);
    free(bytes);
    fixture_close(&f);
}

Test(pool, output_beyond_the_limit_is_cut_to_the_byte)
{
    struct fixture f;
    struct task_outcome outcome;
    TASK_OF(task, "sh", "-c", "head -c 1000000 /dev/zero; echo done >&2");

    fixture_open(&f, 1);
    task.limit_output = 100001;
    struct place place = fixture_run(&f, &task, &outcome);
    cr_assert_eq(outcome.end, TASK_EXITED, "it is drained, not blocked or ended");
    cr_assert_eq(outcome.exit_code, 0);
    cr_assert_eq(outcome.out[0].bytes, 100001);
    cr_assert(outcome.out[0].truncated);
    cr_assert_not(outcome.out[1].truncated);
    cr_assert(slice_is(outcome.out[1].inline_bytes, "done\n"));
    pool_release(f.pool, place);

    task.limit_output = 1000000;
    place = fixture_run(&f, &task, &outcome);
    cr_assert_eq(outcome.out[0].bytes, 1000000);
    cr_assert_not(outcome.out[0].truncated);
    pool_release(f.pool, place);
    fixture_close(&f);
}

Test(pool, output_limit_can_end_the_task)
{
    struct fixture f;
    char text[64];
    TASK_OF(task, "sh", "-c", "yes & yes & wait");

    task.limit_output = 1000;
    task.output_limit_fails = true;
    fixture_open(&f, 1);
    const struct task_outcome outcome = fixture_run_text(&f, &task, text, sizeof(text));
    cr_assert_eq(outcome.end, TASK_OUTPUT_LIMIT);
    cr_assert_eq(outcome.out[0].bytes, 1000);
    cr_assert_not(outcome.stop_sent, "nobody asked");
    cr_assert_geq(outcome.processes_killed, 1);
    fixture_close(&f);
}

Test(pool, output_limit_counts_for_the_fastest_job_too)
{
    struct fixture f;
    char text[64];
    TASK_OF(task, "echo", "0123456789");

    task.limit_output = 10;
    task.output_limit_fails = true;
    fixture_open(&f, 1);
    const struct task_outcome outcome = fixture_run_text(&f, &task, text, sizeof(text));
    cr_assert_eq(outcome.end, TASK_OUTPUT_LIMIT);
    cr_assert_str_eq(text, "0123456789");
    fixture_close(&f);
}

Test(pool, start_errors_are_told_apart)
{
    struct fixture f;
    char text[8];
    TASK_OF(missing, "no-such-program");
    TASK_OF(elsewhere, "true");
    elsewhere.cwd = slice_of("/no/where");

    fixture_open(&f, 1);
    struct task_outcome outcome = fixture_run_text(&f, &missing, text, sizeof(text));
    cr_assert_eq(outcome.end, TASK_EXEC_FAILED);
    cr_assert_eq(outcome.exec_errno, ENOENT);
    cr_assert_str_eq(outcome.error_text, "No such file or directory: no-such-program");
    outcome = fixture_run_text(&f, &elsewhere, text, sizeof(text));
    cr_assert_eq(outcome.end, TASK_EXEC_FAILED);
    cr_assert_str_eq(outcome.error_text,
                     "cannot enter directory /no/where: No such file or directory");
    fixture_close(&f);
}

Test(pool, the_next_task_does_not_wait_for_the_release)
{
    struct fixture f;
    struct task_outcome outcome;
    struct place places[SLOT_BANKS];
    struct place none;

    fixture_open(&f, 1);
    for (int i = 0; i < SLOT_BANKS; i++) {
        const char word[2] = {(char)('a' + i), '\0'};
        TASK_OF(task, "echo", word);
        places[i] = fixture_run(&f, &task, &outcome);
        for (int k = 0; k < i; k++)
            cr_assert_neq(places[k].bank, places[i].bank);
    }
    cr_assert_not(pool_find_idle(f.pool, &none), "all banks are held");
    cr_assert_not(pool_idle_bank(f.pool, 0, &none));
    for (int i = 0; i < SLOT_BANKS; i++) {
        const char want[3] = {(char)('a' + i), '\n', '\0'};
        pool_outcome(f.pool, places[i], &outcome);
        cr_assert(slice_is(outcome.out[0].inline_bytes, want), "untouched by the later ones");
    }
    pool_release(f.pool, places[1]);
    cr_assert(pool_find_idle(f.pool, &none));
    cr_assert_eq(none.bank, places[1].bank);
    fixture_close(&f);
}

static int count_fds(pid_t pid)
{
    char path[64];
    int n = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/fd", pid);
    DIR *dir = opendir(path);
    cr_assert_not_null(dir, "%s", path);
    while (readdir(dir) != NULL)
        n++;
    (void)closedir(dir);
    return n;
}

static int count_children(pid_t pid)
{
    char path[64];
    char text[4096];
    int n = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
    FILE *file = fopen(path, "re");
    cr_assert_not_null(file);
    const size_t len = fread(text, 1, sizeof(text) - 1, file);
    (void)fclose(file);
    for (size_t i = 0; i < len; i++)
        n += text[i] == ' ';
    return n;
}

Test(pool, thousands_of_jobs_leave_no_trace)
{
    struct fixture f;
    struct pool_worker before[2];
    struct pool_worker after;
    int fds[2];
    int done = 0;
    int started = 0;
    const int total = 2000;
    TASK_OF(task, "/bin/true");
    struct buf wire;
    struct err err;

    fixture_open(&f, 2);
    buf_init(&wire, 4096);
    cr_assert(task_encode(&task, &wire, &err));
    for (uint32_t slot = 0; slot < 2; slot++)
        (void)fixture_await(&f, POOL_READY, &(struct place){slot, 0});
    for (uint32_t slot = 0; slot < 2; slot++) {
        cr_assert(pool_worker_info(f.pool, slot, &before[slot]));
        fds[slot] = count_fds(before[slot].pid);
    }
    const int own_fds = count_fds(getpid());
    while (done < total) {
        struct pool_event events[8];
        struct place place;
        while (started < total && pool_find_idle(f.pool, &place)) {
            const struct pool_task start = {
                .place = place, .job_no = ++started, .attempt = 1, .wire = buf_slice(&wire)};
            cr_assert(pool_start(f.pool, &start, &err), "%s", err.detail);
        }
        struct pollfd ready = {.fd = pool_fd(f.pool), .events = POLLIN};
        cr_assert_eq(poll(&ready, 1, FIXTURE_WAIT_MS), 1);
        const size_t n = pool_collect(f.pool, events, ARRAY_LEN(events));
        for (size_t i = 0; i < n; i++) {
            struct task_outcome outcome;
            cr_assert_eq(events[i].type, POOL_DONE);
            pool_outcome(f.pool, events[i].place, &outcome);
            cr_assert_eq(outcome.end, TASK_EXITED);
            cr_assert_eq(outcome.exit_code, 0);
            pool_release(f.pool, events[i].place);
            done++;
        }
    }
    uint64_t counted = 0;
    for (uint32_t slot = 0; slot < 2; slot++) {
        cr_assert(pool_worker_info(f.pool, slot, &after));
        cr_assert_eq(after.pid, before[slot].pid, "the same worker");
        cr_assert_leq(count_fds(after.pid), fds[slot] + 7,
                      "one for the directory of tasks, two for each of their three pipes");
        cr_assert_eq(count_children(after.pid), 0);
        cr_assert_not(after.busy);
        counted += after.tasks_done;
    }
    cr_assert_eq(counted, (uint64_t)total);
    cr_assert_eq(count_fds(getpid()), own_fds);
    buf_release(&wire);
    fixture_close(&f);
}
