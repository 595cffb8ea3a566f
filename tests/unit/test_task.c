/* SPDX-License-Identifier: MIT */
#include "pool/extra.h"

#include <criterion/criterion.h>
#include <signal.h>

#define ARENA ((size_t)1 << 20)

static struct slice argv_3[] = {{"/bin/echo", 9}, {"", 0}, {"a b", 3}};
static struct slice env_2[] = {{"A=1", 3}, {"EMPTY=", 6}};

static struct task full_task(void)
{
    return (struct task){.kind = TASK_COMMAND,
                         .argv = argv_3,
                         .n_argv = 3,
                         .env = env_2,
                         .n_env = 2,
                         .cwd = SLICE_LIT("/srv/x"),
                         .stdin_bytes = {"in\0put", 6},
                         .timeout_us = INT64_C(3600) * 1000000,
                         .deadline_us = INT64_C(1792000000000000),
                         .stop_signal = SIGINT,
                         .stop_grace_us = INT64_MAX,
                         .limit_output = 10 << 20,
                         .limit_memory = INT64_MAX,
                         .limit_file_size = 1,
                         .limit_cpu_us = 127,
                         .limit_processes = UINT32_MAX,
                         .limit_open_files = 128,
                         .output_limit_fails = true};
}

static void encode(const struct task *task, struct buf *out)
{
    struct err err = {0};
    buf_init(out, 1 << 20);
    cr_assert(task_encode(task, out, &err), "%s", err.detail);
}

static void assert_strings(const struct slice *got, const struct slice *want, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        cr_assert(slice_eq(got[i], want[i]));
        cr_assert_eq(got[i].ptr[got[i].len], '\0', "exec uses it where it lies");
    }
}

Test(task, round_trip)
{
    struct buf wire;
    struct arena a;
    struct err err = {0};
    const struct task in = full_task();
    struct task out = {0};

    encode(&in, &wire);
    arena_init(&a, ARENA);
    cr_assert(task_decode(buf_slice(&wire), &a, &out, &err), "%s", err.detail);
    cr_assert_eq(out.kind, TASK_COMMAND);
    cr_assert_eq(out.n_argv, 3);
    cr_assert_eq(out.n_env, 2);
    assert_strings(out.argv, in.argv, 3);
    assert_strings(out.env, in.env, 2);
    cr_assert(slice_eq(out.cwd, in.cwd));
    cr_assert(slice_eq(out.stdin_bytes, in.stdin_bytes));
    cr_assert_eq(out.timeout_us, in.timeout_us);
    cr_assert_eq(out.deadline_us, in.deadline_us);
    cr_assert_eq(out.stop_signal, SIGINT);
    cr_assert_eq(out.stop_grace_us, INT64_MAX);
    cr_assert_eq(out.limit_output, in.limit_output);
    cr_assert_eq(out.limit_memory, in.limit_memory);
    cr_assert_eq(out.limit_file_size, 1);
    cr_assert_eq(out.limit_cpu_us, 127);
    cr_assert_eq(out.limit_processes, UINT32_MAX);
    cr_assert_eq(out.limit_open_files, 128);
    cr_assert(out.output_limit_fails);
    buf_release(&wire);
    arena_release(&a);
}

Test(task, of_many_is_made_from_what_they_share_and_their_input)
{
    const struct slice inputs[] = {SLICE_LIT(""), SLICE_LIT("7"), {NULL, 300}};
    char long_input[300], made[1024];
    struct buf lead, whole;
    struct err err = {0};
    struct task task = full_task();

    memset(long_input, 'x', sizeof long_input);
    task.stdin_bytes = (struct slice){0};
    buf_init(&lead, 1 << 20);
    cr_assert(task_encode_lead(&task, &lead, &err), "%s", err.detail);
    for (size_t i = 0; i < ARRAY_LEN(inputs); i++) {
        task.stdin_bytes = inputs[i].ptr == NULL ? (struct slice){long_input, 300} : inputs[i];
        encode(&task, &whole);
        const size_t len = task_put_input(made, buf_slice(&lead), task.stdin_bytes);
        cr_assert(slice_eq((struct slice){made, len}, buf_slice(&whole)), "input %zu", i);
        buf_release(&whole);
    }
    buf_release(&lead);
}

Test(task, is_small)
{
    struct buf wire;
    struct slice program = SLICE_LIT("/bin/true");
    const struct task in = {.kind = TASK_COMMAND,
                            .argv = &program,
                            .n_argv = 1,
                            .timeout_us = INT64_C(3600) * 1000000,
                            .stop_grace_us = 5000000,
                            .limit_output = 10 << 20};
    encode(&in, &wire);
    cr_assert_leq(wire.len, 48, "%zu bytes are stored with every job", wire.len);
    buf_release(&wire);
}

Test(task, defaults_of_absent_members)
{
    struct buf wire;
    struct arena a;
    struct err err;
    struct slice program = SLICE_LIT("x");
    const struct task in = {.kind = TASK_COMMAND, .argv = &program, .n_argv = 1};
    struct task out;

    encode(&in, &wire);
    arena_init(&a, ARENA);
    cr_assert(task_decode(buf_slice(&wire), &a, &out, &err));
    cr_assert_null(out.cwd.ptr);
    cr_assert_eq(out.stdin_bytes.len, 0);
    cr_assert_eq(out.n_env, 0);
    cr_assert_eq(out.stop_signal, SIGTERM);
    buf_release(&wire);
    arena_release(&a);
}

static bool decodes(struct slice bytes)
{
    struct arena a;
    struct err err;
    struct task out;
    /* An exact copy, so that a sanitizer sees a read past its end. */
    char *copy = malloc(bytes.len + (bytes.len == 0));
    cr_assert_not_null(copy);
    if (bytes.len > 0)
        memcpy(copy, bytes.ptr, bytes.len);
    arena_init(&a, ARENA);
    const bool ok = task_decode((struct slice){copy, bytes.len}, &a, &out, &err);
    arena_release(&a);
    free(copy);
    return ok;
}

Test(task, refuses_every_cut)
{
    struct buf wire;
    const struct task in = full_task();

    encode(&in, &wire);
    cr_assert(decodes(buf_slice(&wire)));
    for (size_t len = 0; len < wire.len; len++)
        cr_assert_not(decodes((struct slice){wire.ptr, len}), "cut to %zu bytes", len);
    buf_putc(&wire, '\0');
    cr_assert_not(decodes(buf_slice(&wire)), "a byte too many");
    buf_release(&wire);
}

/* Any single byte may change: the decoder may accept what is still a task, but must neither crash
 * nor read outside. */
Test(task, survives_every_flip)
{
    struct buf wire;
    const struct task in = full_task();
    size_t accepted = 0;

    encode(&in, &wire);
    for (size_t at = 0; at < wire.len; at++) {
        for (int bit = 0; bit < 8; bit++) {
            wire.ptr[at] = (char)(wire.ptr[at] ^ (1 << bit));
            accepted += decodes(buf_slice(&wire));
            wire.ptr[at] = (char)(wire.ptr[at] ^ (1 << bit));
        }
    }
    cr_assert_lt(accepted, wire.len * 8);
    wire.ptr[0] = 2;
    cr_assert_not(decodes(buf_slice(&wire)), "another version");
    buf_release(&wire);
}

Test(task, refuses_hostile_numbers)
{
    /* version 1, command, no flags, TERM; then timeout. */
    cr_assert_not(decodes((struct slice){"\1\1\0\17\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 14}),
                  "more than 64 bits");
    cr_assert_not(decodes((struct slice){"\1\1\0\17\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 14}),
                  "a negative duration");
    /* 9 zeros, then n_argv = 4096 and n_env = 4096 with nothing behind: no large allocation, no
     * success. */
    cr_assert_not(decodes((struct slice){"\1\1\0\17\0\0\0\0\0\0\0\0\0\x80\x20\x80\x20", 17}));
    /* The same number in a longer form. */
    cr_assert_not(decodes((struct slice){"\1\1\0\17\0\0\0\0\0\0\0\0\0\x81\0\0\1x\0\0", 20}));
    cr_assert(decodes((struct slice){"\1\1\0\17\0\0\0\0\0\0\0\0\0\1\0\1x\0\0", 19}));
}

static enum err_code refusal(const struct task *task, size_t max)
{
    struct buf wire;
    struct err err = {0};
    buf_init(&wire, max);
    cr_assert_not(task_encode(task, &wire, &err));
    buf_release(&wire);
    return err.code;
}

Test(task, encode_refuses_what_cannot_run)
{
    struct task task = full_task();
    struct slice bad_arg[] = {SLICE_LIT("x"), {"a\0b", 3}};
    struct slice bad_env[] = {SLICE_LIT("=x")};
    struct slice empty[] = {SLICE_LIT("")};
    static struct slice many[TASK_MAX_ARGS + 1];

    cr_assert_eq(refusal(&task, 40), ERR_TOO_LARGE);
    task.n_argv = 0;
    cr_assert_eq(refusal(&task, 4096), ERR_INVALID);
    task = full_task();
    task.argv = bad_arg;
    task.n_argv = 2;
    cr_assert_eq(refusal(&task, 4096), ERR_INVALID);
    task = full_task();
    task.env = bad_env;
    task.n_env = 1;
    cr_assert_eq(refusal(&task, 4096), ERR_INVALID);
    task = full_task();
    task.argv = empty;
    task.n_argv = 1;
    cr_assert_eq(refusal(&task, 4096), ERR_INVALID);
    for (size_t i = 0; i < ARRAY_LEN(many); i++)
        many[i] = slice_of("x");
    task = full_task();
    task.argv = many;
    task.n_argv = TASK_MAX_ARGS + 1;
    cr_assert_eq(refusal(&task, 1 << 20), ERR_INVALID);
    task = full_task();
    task.timeout_us = -1;
    cr_assert_eq(refusal(&task, 4096), ERR_INVALID);
    task = full_task();
    task.stop_signal = 65;
    cr_assert_eq(refusal(&task, 4096), ERR_INVALID);
}

static struct task_input inputs_4[] = {
    {.kind = INPUT_STDIN, .bytes = {"in\0put", 6}, .job_no = 7},
    {.kind = INPUT_FILE,
     .name = {"a.txt", 5},
     .is_spooled = true,
     .job_no = INT64_MAX,
     .attempt = UINT32_MAX,
     .stream = 1,
     .size = INT64_MAX},
    {.kind = INPUT_ARGUMENT, .argument = 2, .at = 1, .len = 9, .bytes = {"x", 1}, .job_no = 8},
    {.kind = INPUT_FILE, .name = {"empty", 5}, .job_no = 9},
};

Test(task, what_an_attempt_gets_besides_precedes_the_wire)
{
    struct task_extra in = {.env = env_2, .n_env = 2, .inputs = inputs_4, .n_inputs = 4};
    struct task_extra out = {0};
    struct arena a;
    char bytes[512];

    arena_init(&a, ARENA);
    cr_assert_leq(task_extra_size(&in), sizeof(bytes));
    const size_t len = task_extra_write(bytes, &in);
    cr_assert_leq(len, task_extra_size(&in));
    memcpy(bytes + len, "wire", 4);
    struct slice all = {bytes, len + 4};
    cr_assert(task_extra_read(&all, &a, &out));
    cr_assert_eq(out.n_env, 2);
    assert_strings(out.env, env_2, 2);
    cr_assert_eq(out.n_inputs, 4);
    for (uint32_t i = 0; i < 4; i++) {
        const struct task_input *got = &out.inputs[i], *want = &inputs_4[i];
        cr_assert_eq(got->kind, want->kind);
        cr_assert(slice_eq(got->name, want->name) && slice_eq(got->bytes, want->bytes));
        cr_assert(got->argument == want->argument && got->at == want->at && got->len == want->len);
        cr_assert(got->job_no == want->job_no && got->attempt == want->attempt);
        cr_assert(got->stream == want->stream && got->size == want->size);
        cr_assert_eq(got->is_spooled, want->is_spooled);
    }
    cr_assert(slice_is(all, "wire"));
    for (size_t cut = 0; cut < len; cut++) {
        struct slice part = {bytes, cut};
        cr_assert_not(task_extra_read(&part, &a, &out));
    }
    arena_release(&a);
}

Test(task, blobs_are_named_by_numbers)
{
    struct task_input inputs[] = {
        {.kind = INPUT_FILE, .name = {"data", 4}, .is_blob = true, .blob = INT64_MAX, .size = 7},
        {.kind = INPUT_STDIN, .is_blob = true, .blob = 1},
    };
    struct task_extra in = {.inputs = inputs, .n_inputs = 2}, out = {0};
    char bytes[256];
    struct arena a;

    cr_assert_eq(task_extra_blobs(&in), 2);
    cr_assert_leq(task_extra_size(&in), sizeof(bytes));
    const size_t len = task_extra_write(bytes, &in);
    struct slice all = {bytes, len};
    arena_init(&a, ARENA);
    cr_assert(task_extra_read(&all, &a, &out));
    cr_assert(out.n_inputs == 2 && all.len == 0);
    cr_assert(out.inputs[0].is_blob && out.inputs[0].blob == INT64_MAX && out.inputs[0].size == 7);
    cr_assert(slice_is(out.inputs[0].name, "data"));
    cr_assert(out.inputs[1].is_blob && out.inputs[1].kind == INPUT_STDIN);
    for (size_t cut = 0; cut < len; cut++) {
        struct slice part = {bytes, cut};
        cr_assert_not(task_extra_read(&part, &a, &out));
    }
    arena_release(&a);
}

/* The kind is in the low bits of the first number of an input. */
Test(task, hostile_inputs_are_refused)
{
    static const struct {
        const char *bytes;
        size_t len;
    } rows[] = {
        {"\0\1\3\0\0\0", 6},      /* no such kind */
        {"\0\1\20\0\0\0", 6},     /* no such flag */
        {"\0\1\12\0\0\0\0\0", 8}, /* an argument that is a blob */
        {"\0\1\14\0\0\0\0", 7},   /* a blob in the spool */
        {"\0\1\11\2..\0\0\0", 8}, /* a blob above the directory */
        {"\0\11\10\1\1\10\1\1\10\1\1\10\1\1\10\1\1\10\1\1\10\1\1\10\1\1\10\1\1", 29}, /* nine */
        {"\0\1\1\4../x\0\0\0\0", 11},                                                 /* a path */
        {"\0\1\1\2..\0\0\0\0", 9},     /* the directory above */
        {"\0\1\1\0\0\0\0\0", 8},       /* no name */
        {"\0\1\4\1\1\2\1", 7},         /* the third stream */
        {"\0\1\2\377\377\3\0\0\0", 9}, /* argument 65535 */
        {"\0\351\7", 3},               /* 1001 of them */
        {"\0\350\7\0", 4},             /* 1000, of which none is there */
        {"\0\1\0\10\1xy", 7},          /* bytes that are not terminated */
    };
    struct task_extra out;
    struct arena a;

    arena_init(&a, ARENA);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct slice all = {rows[i].bytes, rows[i].len};
        cr_assert_not(task_extra_read(&all, &a, &out), "%zu", i);
    }
    arena_release(&a);
}

Test(task, files_are_part_of_the_wire)
{
    struct task_file files[] = {{{"in.txt", 6}, {"te\0xt", 5}}, {{"empty", 5}, {NULL, 0}}};
    struct task in = full_task(), out = {0};
    struct buf wire;
    struct arena a;
    struct err err = {0};

    in.files = files;
    in.n_files = 2;
    encode(&in, &wire);
    arena_init(&a, ARENA);
    cr_assert(task_decode(buf_slice(&wire), &a, &out, &err), "%s", err.detail);
    cr_assert_eq(out.n_files, 2);
    for (uint32_t i = 0; i < 2; i++) {
        cr_assert(slice_eq(out.files[i].name, files[i].name));
        cr_assert(slice_eq(out.files[i].bytes, files[i].bytes));
        cr_assert_eq(out.files[i].name.ptr[out.files[i].name.len], '\0');
    }
    for (size_t cut = 4; cut < wire.len; cut++)
        cr_assert_not(task_decode((struct slice){wire.ptr, cut}, &a, &out, &err));
    files[0].name = SLICE_LIT("a/b");
    cr_assert_eq(refusal(&in, 1 << 20), ERR_INVALID);
    arena_release(&a);
    buf_release(&wire);
}

/* One input, and only what has an input of its own. */
Test(task, an_open_stdin_is_part_of_the_wire)
{
    struct buf wire;
    struct arena a;
    struct err err = {0};
    struct task in = full_task(), out = {0};

    arena_init(&a, ARENA);
    in.stdin_open = true;
    buf_init(&wire, 1 << 20);
    cr_assert(!task_encode(&in, &wire, &err), "there are bytes as well");
    in.stdin_bytes = (struct slice){0};
    in.kind = TASK_NATIVE;
    buf_clear(&wire);
    cr_assert(!task_encode(&in, &wire, &err));
    in.kind = TASK_COMMAND;
    buf_clear(&wire);
    cr_assert(task_encode(&in, &wire, &err), "%s", err.detail);
    cr_assert(task_stdin_is_open(buf_slice(&wire)));
    cr_assert(task_decode(buf_slice(&wire), &a, &out, &err), "%s", err.detail);
    cr_assert(out.stdin_open);
    in.stdin_open = false;
    buf_clear(&wire);
    cr_assert(task_encode(&in, &wire, &err));
    cr_assert(!task_stdin_is_open(buf_slice(&wire)));
    buf_release(&wire);
    arena_release(&a);
}

Test(task, what_is_pure_is_seen_without_decoding)
{
    struct buf wire;
    struct arena a;
    struct err err = {0};
    struct task in = full_task(), out = {0};

    arena_init(&a, ARENA);
    in.is_pure = true;
    buf_init(&wire, 1 << 20);
    in.kind = TASK_COMMAND;
    cr_assert(!task_encode(&in, &wire, &err), "a command is never");
    for (enum task_kind kind = TASK_NATIVE; kind <= TASK_RUNNER; kind++) {
        in.kind = kind;
        in.is_pure = true;
        buf_clear(&wire);
        cr_assert(task_encode(&in, &wire, &err), "%s", err.detail);
        cr_assert(task_is_pure(buf_slice(&wire)));
        cr_assert(task_decode(buf_slice(&wire), &a, &out, &err), "%s", err.detail);
        cr_assert(out.is_pure);
        in.is_pure = false;
        buf_clear(&wire);
        cr_assert(task_encode(&in, &wire, &err), "%s", err.detail);
        cr_assert(!task_is_pure(buf_slice(&wire)));
    }
    buf_release(&wire);
    arena_release(&a);
}
