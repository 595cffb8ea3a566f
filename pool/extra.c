/* SPDX-License-Identifier: MIT */
#include "pool/extra.h"

#include "service/base/wire.h"

#define INPUT_NUMBERS 8 /* at most, of one input */

/* Above the kind's two bits. */
enum input_flag { INPUT_IS_SPOOLED = 4, INPUT_IS_BLOB = 8, INPUT_ALL_FLAGS = 15 };

uint32_t task_extra_blobs(const struct task_extra *extra)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < extra->n_inputs; i++)
        n += extra->inputs[i].is_blob;
    return n;
}

size_t task_extra_size(const struct task_extra *extra)
{
    size_t size = (size_t)2 * WIRE_NUMBER_MAX;
    for (uint32_t i = 0; i < extra->n_env; i++)
        size += wire_string_size(extra->env[i]);
    for (uint32_t i = 0; i < extra->n_inputs; i++)
        size += (size_t)INPUT_NUMBERS * WIRE_NUMBER_MAX + wire_string_size(extra->inputs[i].name) +
                wire_string_size(extra->inputs[i].bytes);
    return size;
}

static size_t write_source(char *out, const struct task_input *input)
{
    char *at = out;

    if (input->is_blob) {
        at += wire_put_number(at, input->blob);
        at += wire_put_number(at, input->size);
        return (size_t)(at - out);
    }
    if (!input->is_spooled) {
        at += wire_put_number(at, (uint64_t)input->job_no);
        return (size_t)(at - out) + wire_put_string(at, input->bytes);
    }
    at += wire_put_number(at, (uint64_t)input->job_no);
    at += wire_put_number(at, input->attempt);
    at += wire_put_number(at, input->stream);
    at += wire_put_number(at, input->size);
    return (size_t)(at - out);
}

static size_t write_input(char *out, const struct task_input *input)
{
    const unsigned head = (unsigned)input->kind | (input->is_spooled ? INPUT_IS_SPOOLED : 0) |
                          (input->is_blob ? INPUT_IS_BLOB : 0);
    char *at = out;

    at += wire_put_number(at, head);
    if (input->kind == INPUT_FILE)
        at += wire_put_string(at, input->name);
    if (input->kind == INPUT_ARGUMENT) {
        at += wire_put_number(at, input->argument);
        at += wire_put_number(at, input->at);
        at += wire_put_number(at, input->len);
    }
    at += write_source(at, input);
    return (size_t)(at - out);
}

size_t task_extra_write(char *out, const struct task_extra *extra)
{
    char *at = out;

    at += wire_put_number(at, extra->n_env);
    for (uint32_t i = 0; i < extra->n_env; i++)
        at += wire_put_string(at, extra->env[i]);
    at += wire_put_number(at, extra->n_inputs);
    for (uint32_t i = 0; i < extra->n_inputs; i++)
        at += write_input(at, &extra->inputs[i]);
    return (size_t)(at - out);
}

/* Bytes with a NUL behind them, which they may also hold. */
static void read_source(struct wire_reader *r, struct task_input *input)
{
    if (input->is_blob) {
        input->blob = (uint64_t)wire_read_i64(r);
        input->size = (uint64_t)wire_read_i64(r);
        r->bad = r->bad || input->kind == INPUT_ARGUMENT || input->is_spooled;
        return;
    }
    input->job_no = wire_read_i64(r);
    if (!input->is_spooled) {
        input->bytes = wire_read_bytes(r, 1);
        r->bad = r->bad || input->bytes.ptr[input->bytes.len] != '\0';
        return;
    }
    input->attempt = wire_read_u32(r, UINT32_MAX);
    input->stream = (uint8_t)wire_read_u32(r, 1);
    input->size = (uint64_t)wire_read_i64(r);
}

static struct task_input read_input(struct wire_reader *r)
{
    const uint32_t head = wire_read_u32(r, INPUT_ALL_FLAGS);
    struct task_input input = {.kind = (enum input_kind)(head & 3),
                               .is_spooled = (head & INPUT_IS_SPOOLED) != 0,
                               .is_blob = (head & INPUT_IS_BLOB) != 0};

    if (input.kind == INPUT_FILE) {
        input.name = wire_read_string(r);
        r->bad = r->bad || !text_is_file_name(input.name);
    } else if (input.kind == INPUT_ARGUMENT) {
        input.argument = wire_read_u32(r, TASK_MAX_ARGS - 1);
        input.at = wire_read_u32(r, UINT32_MAX);
        input.len = wire_read_u32(r, UINT32_MAX);
    } else if (input.kind != INPUT_STDIN) {
        r->bad = true;
    }
    read_source(r, &input);
    return input;
}

static void read_inputs(struct wire_reader *r, struct arena *a, struct task_extra *extra)
{
    const uint32_t n = wire_read_u32(r, TASK_MAX_INPUTS);

    extra->n_inputs = n;
    if (n == 0)
        return;
    extra->inputs = arena_alloc(a, n * sizeof(*extra->inputs));
    r->bad = r->bad || extra->inputs == NULL;
    for (uint32_t i = 0; i < n && !r->bad; i++)
        extra->inputs[i] = read_input(r);
    r->bad = r->bad || task_extra_blobs(extra) > TASK_MAX_BLOBS;
}

bool task_extra_read(struct slice *bytes, struct arena *a, struct task_extra *ret)
{
    struct wire_reader r = {bytes->ptr, bytes->ptr + bytes->len, false};
    struct task_extra extra = {0};

    extra.n_env = wire_read_u32(&r, TASK_MAX_ENV);
    extra.env = wire_read_strings(&r, a, extra.n_env);
    for (uint32_t i = 0; i < extra.n_env && !r.bad; i++)
        r.bad = !task_is_env(extra.env[i]);
    read_inputs(&r, a, &extra);
    if (r.bad)
        return false;
    *bytes = (struct slice){r.at, (size_t)(r.end - r.at)};
    *ret = extra;
    return true;
}
