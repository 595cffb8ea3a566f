/* SPDX-License-Identifier: MIT */
/* What a task takes from others: standard input, files and arguments, from memory and from spool
 * files; and what it must not be able to reach by them. */
#include "pool_fixture.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <sys/stat.h>

static struct fixture f;

static void setup(void)
{
    fixture_open(&f, 1);
}

static void teardown(void)
{
    fixture_close(&f);
}

TestSuite(pool_inputs, .init = setup, .fini = teardown, .timeout = 60);

/* A finished task whose stdout is in a spool file. */
static struct task_input spooled(enum input_kind kind, const char *script)
{
    struct task_outcome outcome;
    TASK_OF(task, "sh", "-c", script);

    task.limit_output = 1 << 30;
    f.n_inputs = 0;
    const struct place place = fixture_run(&f, &task, &outcome);
    cr_assert_eq(outcome.end, TASK_EXITED);
    cr_assert(outcome.out[0].spooled);
    pool_release(f.pool, place);
    return (struct task_input){.kind = kind,
                               .is_spooled = true,
                               .job_no = f.next_no,
                               .attempt = 1,
                               .size = outcome.out[0].bytes};
}

static struct task_outcome run_with(struct task *task, struct task_input *inputs, uint32_t n,
                                    char text[256])
{
    f.inputs = inputs;
    f.n_inputs = n;
    return fixture_run_text(&f, task, text, 256);
}

Test(pool_inputs, bytes_become_stdin_files_and_arguments)
{
    char text[256];
    struct task_file files[] = {{{"own.txt", 7}, {"own\n", 4}}, {{"none", 4}, {NULL, 0}}};
    struct task_input inputs[] = {
        {.kind = INPUT_STDIN, .bytes = {"from a\n", 7}},
        {.kind = INPUT_FILE, .name = {"b.txt", 5}, .bytes = {"from b\n", 7}},
        {.kind = INPUT_ARGUMENT, .argument = 4, .at = 1, .len = 3, .bytes = {"one\n", 4}},
        {.kind = INPUT_ARGUMENT, .argument = 4, .at = 5, .len = 3, .bytes = {"two\n\n", 5}},
        {.kind = INPUT_ARGUMENT, .argument = 5, .at = 0, .len = 1, .bytes = {NULL, 0}},
    };
    TASK_OF(task, "sh", "-c", "cat; cat own.txt b.txt; echo \"$1|$2|\"; stat -c '%a %s' *", "x",
            "<AAA-BBB>", "C");

    task.files = files;
    task.n_files = 2;
    (void)run_with(&task, inputs, 5, text);
    cr_assert_str_eq(text, "from a\nown\nfrom b\n<one-two\n>||\n600 7\n600 0\n600 4\n");
    f.n_inputs = 0;
    TASK_OF(after, "ls", "-A");
    (void)fixture_run_text(&f, &after, text, sizeof(text));
    cr_assert_str_eq(text, "", "the next task finds nothing of it");
}

Test(pool_inputs, spool_files_arrive_whole)
{
    char text[256], want[256];
    struct task_input inputs[3];
    TASK_OF(task, "sh", "-c", "cksum; cksum <copy; echo \"$1\"; printf x >>copy", "x", "@");
    TASK_OF(sum, "cksum");

    inputs[0] = spooled(INPUT_STDIN, "seq 1 700000");
    inputs[1] = inputs[0];
    inputs[1].kind = INPUT_FILE;
    inputs[1].name = SLICE_LIT("copy");
    inputs[2] = spooled(INPUT_ARGUMENT, "head -c 70000 /dev/zero | tr '\\0' a; echo");
    inputs[2].argument = 4;
    inputs[2].len = 1;
    cr_assert_gt(inputs[0].size, 4u << 20);
    (void)run_with(&sum, inputs, 1, want);
    task.argv[2] = slice_of("cksum; cksum <copy; echo ${#1}; printf x >>copy");
    (void)run_with(&task, inputs, 3, text);
    cr_assert_eq(strncmp(text, want, strlen(want)), 0, "%s", text);
    cr_assert_eq(strncmp(text + strlen(want), want, strlen(want)), 0, "%s", text);
    cr_assert_str_eq(text + 2 * strlen(want), "70000\n", "without its line break");
    (void)run_with(&sum, inputs, 1, text);
    cr_assert_str_eq(text, want, "the task has changed its own copy alone");
}

Test(pool_inputs, a_job_with_inputs_has_four_descriptors)
{
    char text[256];
    struct task_input inputs[2];
    TASK_OF(task, "ls", "/proc/self/fd");

    inputs[0] = spooled(INPUT_STDIN, "seq 1 30000");
    inputs[1] = inputs[0];
    inputs[1].kind = INPUT_FILE;
    inputs[1].name = SLICE_LIT("f");
    (void)run_with(&task, inputs, 2, text);
    cr_assert_str_eq(text, "0\n1\n2\n3\n4\n", "4 is the directory that ls reads");
}

static void refused(struct task *task, const struct task_input *input, const char *why)
{
    char text[256];
    struct task_input copy = *input;
    const struct task_outcome outcome = run_with(task, &copy, 1, text);

    cr_assert_eq(outcome.end, TASK_INPUT_FAILED, "%d", (int)outcome.end);
    cr_assert_not_null(strstr(outcome.error_text, why), "%s", outcome.error_text);
    cr_assert_str_eq(text, "");
}

Test(pool_inputs, what_is_gone_or_damaged_is_told)
{
    char path[128], name[64];
    struct task_input input = spooled(INPUT_STDIN, "seq 1 30000");
    struct task_input other = input;
    TASK_OF(task, "cat");

    other.attempt = 2;
    refused(&task, &other, "is not there any more");
    other = input;
    other.size++;
    refused(&task, &other, "is damaged");
    spool_path(input.job_no, 1, 0, name);
    (void)snprintf(path, sizeof(path), "%s/%s", f.dir, name);
    cr_assert_eq(unlink(path), 0);
    refused(&task, &input, "is not there any more");
    cr_assert_eq(symlink("/etc/passwd", path), 0);
    refused(&task, &input, "is not there any more");
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(mkdir(path, 0700), 0);
    refused(&task, &input, "is damaged");
    cr_assert_eq(rmdir(path), 0);
}

Test(pool_inputs, what_cannot_be_an_argument_is_told)
{
    struct task_input input = spooled(INPUT_ARGUMENT, "head -c 140000 /dev/zero | tr '\\0' a");
    TASK_OF(task, "true", "@");

    input.argument = 1;
    input.len = 1;
    refused(&task, &input, "too long for an argument");
    input = (struct task_input){
        .kind = INPUT_ARGUMENT, .argument = 1, .len = 1, .bytes = {"a\0b", 3}, .job_no = 12};
    refused(&task, &input, "the output of job-12 has a NUL byte");
    input = (struct task_input){.kind = INPUT_ARGUMENT, .argument = 2, .bytes = {"a", 1}};
    refused(&task, &input, "damaged");
    input = (struct task_input){.kind = INPUT_ARGUMENT, .argument = 1, .at = 2, .bytes = {"a", 1}};
    refused(&task, &input, "damaged");
}

Test(pool_inputs, two_files_of_one_name_are_refused)
{
    char text[256];
    struct task_input inputs[] = {{.kind = INPUT_FILE, .name = {"a", 1}, .bytes = {"1", 1}},
                                  {.kind = INPUT_FILE, .name = {"a", 1}, .bytes = {"2", 1}}};
    TASK_OF(task, "cat", "a");

    cr_assert_eq(run_with(&task, inputs, 2, text).end, TASK_INPUT_FAILED);
    cr_assert_eq(run_with(&task, inputs, 1, text).end, TASK_EXITED);
    cr_assert_str_eq(text, "1");
}

Test(pool_inputs, much_inline_input_travels_beside_the_bank)
{
    static char bytes[64 << 10], want[16];
    struct task_input inputs[10];
    char names[10][8], text[256];
    TASK_OF(task, "sh", "-c", "cat * | wc -c");

    memset(bytes, 'b', sizeof(bytes));
    for (uint32_t i = 0; i < 10; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "f%u", i);
        inputs[i] = (struct task_input){
            .kind = INPUT_FILE, .name = slice_of(names[i]), .bytes = {bytes, sizeof(bytes)}};
    }
    (void)run_with(&task, inputs, 10, text);
    (void)snprintf(want, sizeof(want), "%zu\n", 10 * sizeof(bytes));
    cr_assert_str_eq(text, want);
}
