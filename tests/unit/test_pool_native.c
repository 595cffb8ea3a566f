/* SPDX-License-Identifier: MIT */
/* Native functions: each way in which a call can go, and that a bad one costs itself alone. */
#include "pool/pool_state.h"
#include "pool_native.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

NATIVE_SUITE(pool_native)

/* A call that returns. The caller releases the place. */
static struct place returns(const char *word, struct task_outcome *ret)
{
    struct call c;
    return fixture_run(&f, call_of(&c, word), ret);
}

static int pid_of_worker(void)
{
    struct task_outcome outcome;
    const struct place place = returns("pid", &outcome);
    const int pid = (int)strtol(outcome.result.inline_bytes.ptr, NULL, 10);
    cr_assert_eq(outcome.end, TASK_EXITED);
    pool_release(f.pool, place);
    return pid;
}

/* A call that ends its worker; afterwards another one does as it should. */
static void dies(const struct task *task, struct task_outcome *ret)
{
    const int before = pid_of_worker();
    const struct place place = fixture_start(&f, task, NULL);
    (void)fixture_await(&f, POOL_LOST, &place);
    pool_outcome(f.pool, place, ret);
    pool_release(f.pool, place);
    cr_assert_neq(pid_of_worker(), before);
}

static void expect_value(const struct task_outcome *o, enum value_type type, struct slice value)
{
    cr_assert_eq(o->end, TASK_EXITED, "end %d: %s", (int)o->end, o->error_text);
    cr_assert(o->result.is_there && !o->result.is_spooled);
    cr_assert_eq(o->result.type, type);
    cr_assert(slice_eq(o->result.inline_bytes, value), "%.*s", (int)o->result.inline_bytes.len,
              o->result.inline_bytes.ptr);
}

/* ---- results ---- */

Test(pool_native, a_call_gets_its_arguments_and_gives_a_result)
{
    struct task_outcome o;
    struct place place = returns("args", &o);
    expect_value(&o, VALUE_JSON, SLICE_LIT("[[\"args\",1],{\"x\":[2]}]"));
    pool_release(f.pool, place);
    place = returns("text", &o);
    expect_value(&o, VALUE_TEXT, SLICE_LIT("h\xc3\xa4"));
    pool_release(f.pool, place);
    place = returns("bytes", &o);
    expect_value(&o, VALUE_BYTES, (struct slice){"\x00\xff\x01", 3});
    pool_release(f.pool, place);
}

Test(pool_native, a_call_runs_in_the_worker_itself)
{
    struct pool_worker worker;
    const int pid = pid_of_worker();
    cr_assert(pool_worker_info(f.pool, 0, &worker));
    cr_assert_eq(pid, worker.pid);
    cr_assert_eq(pid_of_worker(), pid, "the next one as well");
}

Test(pool_native, a_large_result_is_in_a_file)
{
    struct task_outcome o;
    size_t len;
    char path[64];
    const struct place place = returns("large", &o);
    cr_assert(o.result.is_there && o.result.is_spooled);
    cr_assert_eq(o.result.bytes, 300u << 10);
    spool_path(f.next_no, 1, 2, path);
    char *bytes = fixture_read_file(&f, path, &len);
    cr_assert_eq(len, 300u << 10);
    for (size_t i = 0; i < len; i++)
        cr_assert_eq((size_t)(bytes[i] - 'a'), i % 26);
    free(bytes);
    pool_release(f.pool, place);
}

Test(pool_native, a_result_beyond_the_limit_is_an_error)
{
    struct task_outcome o;
    struct call c;
    char path[64], full[160];
    struct task *task = call_of(&c, "large");
    task->limit_output = 200 << 10;
    const struct place place = fixture_run(&f, task, &o);
    cr_assert_eq(o.end, TASK_FUNCTION_FAILED);
    cr_assert_str_eq(o.error_text, "ResultTooLarge: the result passes limits.output");
    spool_path(f.next_no, 1, 2, path);
    (void)snprintf(full, sizeof(full), "%s/%s", f.dir, path);
    cr_assert_neq(access(full, F_OK), 0, "nothing of it is left");
    pool_release(f.pool, place);
}

Test(pool_native, an_error_has_its_type_and_message)
{
    static const char *const ways[][2] = {
        {"fail", "ValueError: this is not right"},
        {"silent", "Error: the function failed"},
        {"no such word", "LookupError: no such way"},
    };
    struct task_outcome o;
    for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
        const struct place place = returns(ways[i][0], &o);
        cr_assert_eq(o.end, TASK_FUNCTION_FAILED);
        cr_assert_str_eq(o.error_text, ways[i][1]);
        cr_assert(!o.result.is_there);
        pool_release(f.pool, place);
    }
    const struct place place = returns("no_json", &o);
    cr_assert_eq(o.end, TASK_FUNCTION_FAILED);
    cr_assert(strncmp(o.error_text, "ResultNotJSON: ", 15) == 0, "%s", o.error_text);
    pool_release(f.pool, place);
}

Test(pool_native, what_it_prints_is_captured)
{
    struct task_outcome o;
    struct place place = returns("print", &o);
    cr_assert(slice_is(o.out[0].inline_bytes, "to stdout\n"));
    cr_assert(slice_is(o.out[1].inline_bytes, "to stderr\n"));
    pool_release(f.pool, place);
    place = returns("pid", &o);
    cr_assert(o.out[0].bytes == 0 && o.out[1].bytes == 0, "nothing of it is left for the next");
    pool_release(f.pool, place);
    place = returns("much", &o);
    cr_assert(o.out[0].spooled && o.out[0].bytes == 178890, "%llu",
              (unsigned long long)o.out[0].bytes);
    pool_release(f.pool, place);
}

Test(pool_native, output_beyond_the_limit_can_fail_the_call)
{
    static const char *const ways[] = {"print", "much"};
    for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
        struct task_outcome o;
        struct call c;
        struct task *task = call_of(&c, ways[i]);
        task->limit_output = 9;
        struct place place = fixture_run(&f, task, &o);
        cr_assert(o.end == TASK_EXITED && o.result.is_there && o.out[0].truncated);
        pool_release(f.pool, place);
        task->output_limit_fails = true;
        place = fixture_run(&f, task, &o);
        cr_assert_eq(o.end, TASK_OUTPUT_LIMIT);
        cr_assert(!o.result.is_there && o.out[0].bytes == 9);
        pool_release(f.pool, place);
    }
}

Test(pool_native, what_it_leaves_running_is_ended)
{
    struct task_outcome o;
    const struct place place = returns("child", &o);
    const int child = (int)strtol(o.result.inline_bytes.ptr, NULL, 10);
    cr_assert_eq(o.processes_killed, 1);
    cr_assert_neq(kill(child, 0), 0, "the child has been reaped");
    pool_release(f.pool, place);
}

Test(pool_native, what_its_threads_leave_running_is_ended)
{
    struct task_outcome o;
    for (int i = 0; i < 2; i++) {
        const struct place place = returns("thread", &o);
        const int child = (int)strtol(o.result.inline_bytes.ptr, NULL, 10);
        cr_assert_eq(o.processes_killed, 1);
        cr_assert_neq(kill(child, 0), 0, "the child has been reaped");
        pool_release(f.pool, place);
    }
}

/* ---- ends that cost the worker ---- */

Test(pool_native, a_signal_costs_one_call)
{
    static const struct {
        const char *word;
        int signal;
    } ways[] = {{"segfault", SIGSEGV}, {"abort", SIGABRT}, {"overflow", SIGSEGV}};
    struct task_outcome o;
    struct call c;
    for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
        dies(call_of(&c, ways[i].word), &o);
        cr_assert_eq(o.end, TASK_SIGNALED);
        cr_assert_eq(o.signal, ways[i].signal, "%s: %d", ways[i].word, o.signal);
        if (i == 0)
            cr_assert(slice_is(o.out[1].inline_bytes, "last words\n"), "what it had said is kept");
    }
}

Test(pool_native, an_exit_costs_one_call)
{
    struct task_outcome o;
    struct call c;
    dies(call_of(&c, "exit3"), &o);
    cr_assert(o.end == TASK_EXITED && o.exit_code == 3);
    dies(call_of(&c, "exit0"), &o);
    cr_assert_eq(o.end, TASK_FUNCTION_FAILED, "exit(0) is no result");
}

Test(pool_native, an_endless_loop_meets_its_timeout)
{
    struct task_outcome o;
    struct call c;
    struct task *task = call_of(&c, "loop");
    task->timeout_us = SECOND_US / 5;
    dies(task, &o);
    cr_assert_eq(o.end, TASK_TIMEOUT);
    cr_assert_eq(o.signal, SIGKILL);
    cr_assert_geq(o.wall_us, SECOND_US / 5);
    task->timeout_us = 0;
    task->deadline_us = clock_wall_us() + SECOND_US / 5;
    dies(task, &o);
    cr_assert_eq(o.end, TASK_DEADLINE);
    task->deadline_us = clock_wall_us() - 1;
    const struct place place = fixture_run(&f, task, &o);
    cr_assert_eq(o.end, TASK_DEADLINE, "nothing is called that is too late");
    pool_release(f.pool, place);
}

/* A timer that was armed for one call must not hit another. */
Test(pool_native, a_timeout_that_was_not_met_is_over)
{
    struct task_outcome o;
    struct call c, until;
    struct task *quick = call_of(&c, "pid"), *slow = call_of(&until, "loop");
    quick->timeout_us = SECOND_US / 4;
    slow->timeout_us = SECOND_US;
    pool_release(f.pool, fixture_run(&f, quick, &o));
    dies(slow, &o);
    cr_assert_geq(o.wall_us, SECOND_US);
}

/* ---- cancel ---- */

static void await_progress(struct place place, int64_t no, const char *text)
{
    const uint64_t until_ns = clock_mono_ns() + UINT64_C(20000000000);
    struct pool_live live = {0};
    while (!pool_live(f.pool, place.slot, no, &live) || strcmp(live.progress.text, text) != 0)
        cr_assert_lt(clock_mono_ns(), until_ns);
}

Test(pool_native, a_cancel_is_seen_by_the_function)
{
    struct task_outcome o;
    struct call c;
    int64_t no;
    const int pid = pid_of_worker();
    const struct place place = fixture_start(&f, call_of(&c, "cancel"), &no);
    await_progress(place, no, "until cancelled");
    pool_stop(f.pool, place, 0, -1);
    (void)fixture_await(&f, POOL_DONE, &place);
    pool_outcome(f.pool, place, &o);
    expect_value(&o, VALUE_JSON, SLICE_LIT("42"));
    cr_assert(o.stop_sent);
    pool_release(f.pool, place);
    cr_assert_eq(pid_of_worker(), pid);
}

Test(pool_native, who_does_not_see_the_cancel_is_killed_after_the_grace)
{
    struct task_outcome o;
    struct call c;
    int64_t no;
    for (int i = 0; i < 2; i++) {
        const struct place place = fixture_start(&f, call_of(&c, "loop"), &no);
        await_progress(place, no, "round and round");
        if (i == 0)
            pool_stop(f.pool, place, 0, SECOND_US / 5);
        else
            pool_stop(f.pool, place, SIGKILL, -1);
        (void)fixture_await(&f, POOL_LOST, &place);
        pool_outcome(f.pool, place, &o);
        cr_assert(o.end == TASK_SIGNALED && o.signal == SIGKILL && o.stop_sent);
        cr_assert(i == 1 || o.wall_us >= SECOND_US / 5);
        pool_release(f.pool, place);
    }
    (void)pid_of_worker();
}

/* As much as its socket takes, for a slot that there is not. */
static void fill_socket_of_zygote(void)
{
    const struct frame nobody = {.type = FRAME_KILL, .slot = UINT32_MAX};
    while (frame_send(f.pool->control, &nobody, -1) == FRAME_OK)
        continue;
}

Test(pool_native, a_kill_that_does_not_fit_is_not_lost)
{
    struct task_outcome o;
    struct call c;
    int64_t no;
    const struct place place = fixture_start(&f, call_of(&c, "loop"), &no);
    await_progress(place, no, "round and round");
    cr_assert_eq(kill(f.pool->zygote_pid, SIGSTOP), 0);
    fill_socket_of_zygote();
    pool_stop(f.pool, place, SIGKILL, -1);
    cr_assert(f.pool->seats[0].has_waiting_kill);
    cr_assert_lt(pool_next_deadline_ns(f.pool), UINT64_MAX, "it is sent again");
    cr_assert_eq(kill(f.pool->zygote_pid, SIGCONT), 0);
    (void)fixture_await(&f, POOL_LOST, &place);
    pool_outcome(f.pool, place, &o);
    cr_assert(o.end == TASK_SIGNALED && o.signal == SIGKILL && o.stop_sent);
    pool_release(f.pool, place);
    (void)pid_of_worker();
}

/* ---- memory ---- */

#ifndef WITH_ASAN /* it cannot live with a limit of the address space */
Test(pool_native, memory_is_limited_for_the_call_alone)
{
    struct task_outcome o;
    struct call c;
    struct task *task = call_of(&c, "hog");
    task->limit_memory = 64 << 20;
    struct place place = fixture_run(&f, task, &o);
    cr_assert_eq(o.end, TASK_FUNCTION_FAILED);
    cr_assert_str_eq(o.error_text, "MemoryError: malloc says no");
    pool_release(f.pool, place);
    place = returns("hog", &o);
    expect_value(&o, VALUE_JSON, SLICE_LIT("1"));
    pool_release(f.pool, place);
}

/* A death with the limit used up is told from one without. */
Test(pool_native, who_dies_of_the_limit_is_out_of_memory)
{
    static const struct {
        char *word;
        enum task_end end;
        int signal;
    } ways[] = {
        {"eat", TASK_OUT_OF_MEMORY, SIGABRT},
        {"abort", TASK_SIGNALED, SIGABRT},
        {"segfault", TASK_SIGNALED, SIGSEGV},
        {"eat", TASK_OUT_OF_MEMORY, SIGABRT},
    };
    for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
        struct task_outcome o;
        struct call c;
        struct task *task = call_of(&c, ways[i].word);
        task->limit_memory = 32 << 20;
        dies(task, &o);
        cr_assert_eq(o.end, ways[i].end, "%s: %d", ways[i].word, o.end);
        cr_assert_eq(o.signal, ways[i].signal);
        if (o.end == TASK_OUT_OF_MEMORY)
            cr_assert_gt(o.max_rss_bytes, 28 << 20);
    }
}
#endif

/* ---- beside others ---- */

/* Its maximum begins with that of the worker, which holds more than the limit. */
Test(pool_native, a_command_is_not_charged_for_what_its_worker_holds)
{
    struct task_outcome o;
    TASK_OF(command, "sh", "-c", "kill -SEGV $$");
    command.limit_memory = 64 << 20;
    pool_release(f.pool, returns("keep", &o));
    cr_assert_eq(o.end, TASK_EXITED);
    pool_release(f.pool, fixture_run(&f, &command, &o));
    cr_assert_eq(o.end, TASK_SIGNALED, "end %d", (int)o.end);
    cr_assert_eq(o.signal, SIGSEGV);
}

Test(pool_native, commands_run_in_the_same_worker)
{
    char text[32];
    TASK_OF(command, "echo", "hi");
    (void)pid_of_worker();
    const struct task_outcome o = fixture_run_text(&f, &command, text, sizeof(text));
    cr_assert_eq(o.end, TASK_EXITED);
    cr_assert_str_eq(text, "hi\n");
    cr_assert(!o.result.is_there, "a command has no value");
    (void)pid_of_worker();
}

Test(pool_native, what_belongs_to_a_process_is_refused)
{
    struct task_outcome o;
    struct call c;
    struct task *task = call_of(&c, "pid");
    struct slice env[] = {SLICE_LIT("A=1")};
    task->env = env;
    task->n_env = 1;
    const struct place place = fixture_run(&f, task, &o);
    cr_assert_eq(o.end, TASK_EXEC_FAILED);
    pool_release(f.pool, place);
}
