/* SPDX-License-Identifier: MIT */
/* Any body either is refused with a reason or becomes a spec whose parts lie within their limits
 * and can be encoded as a task. */
#include "api/codec.h"
#include "service/command.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct config cfg = {.job_cwd = (char[]){""},
                               .job_timeout_us = 1,
                               .job_output = 1,
                               .job_keep_us = 1,
                               .job_max_attempts = 20};
    /* An exact copy: reading one byte behind the body is seen. */
    AUTO_FREE char *copy = must_alloc(size + (size == 0));
    struct submit_item item = {0};
    struct cancel_request cancel;
    struct arena a;
    struct err err = {0};
    if (size > 0)
        memcpy(copy, data, size);
    arena_init(&a, 8u << 20);
    if (codec_read_job((struct slice){copy, size}, &cfg, &a, &item.spec, &err)) {
        PRE(item.spec.n_argv >= 1 && item.spec.argv[0].len > 0);
        PRE(item.spec.priority >= -100 && item.spec.priority <= 100);
        PRE(item.spec.max_attempts >= 1 && item.spec.max_attempts <= cfg.job_max_attempts);
        for (uint32_t i = 0; i < item.spec.n_argv; i++)
            PRE(strlen(item.spec.argv[i].ptr) == item.spec.argv[i].len);
        PRE(command_prepare(&item, 1, &a, &err) || err.code == ERR_TOO_LARGE);
    } else {
        PRE(err.code != ERR_NONE && err.detail[0] != '\0' && err_status(err.code) < 500);
    }
    err = (struct err){0};
    if (!codec_read_cancel((struct slice){copy, size}, &cancel, &err))
        PRE(err.code == ERR_INVALID || err.code == ERR_INVALID_JSON);
    arena_release(&a);
    return 0;
}
