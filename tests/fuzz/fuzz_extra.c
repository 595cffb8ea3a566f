/* SPDX-License-Identifier: MIT */
/* What a worker gets before its task: hostile bytes are refused or are the only form of what they
 * say, and lie inside what was given. */
#include "pool/extra.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_inside(struct slice s, const char *from, size_t size)
{
    if (s.ptr != NULL)
        PRE(s.ptr >= from && s.len <= size && (size_t)(s.ptr - from) <= size - s.len);
}

static void check_extra(const struct task_extra *extra, const char *from, size_t size)
{
    AUTO_FREE char *again = must_alloc(task_extra_size(extra) + 1);
    for (uint32_t i = 0; i < extra->n_env; i++)
        check_inside(extra->env[i], from, size);
    for (uint32_t i = 0; i < extra->n_inputs; i++) {
        check_inside(extra->inputs[i].name, from, size);
        check_inside(extra->inputs[i].bytes, from, size);
        PRE(extra->inputs[i].stream <= 1 && extra->inputs[i].job_no >= 0);
    }
    PRE(task_extra_write(again, extra) == size);
    PRE(memcmp(again, from, size) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* An exact copy: reading one byte behind the bytes is seen. */
    AUTO_FREE char *copy = must_alloc(size + (size == 0));
    struct slice rest = {copy, size};
    struct task_extra extra;
    struct arena a;
    if (size > 0)
        memcpy(copy, data, size);
    arena_init(&a, 8u << 20);
    if (task_extra_read(&rest, &a, &extra)) {
        PRE(rest.len <= size && rest.ptr == copy + (size - rest.len));
        check_extra(&extra, copy, size - rest.len);
    }
    arena_release(&a);
    return 0;
}
