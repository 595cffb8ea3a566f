/* SPDX-License-Identifier: MIT */
#include "pool/native_call.h"

#include "pool/progress.h"
#include "pool/spool.h"
#include "service/base/json.h"

#include <sys/mman.h>

static struct native_call *call_of(struct ganger_call *seen)
{
    return (struct native_call *)seen;
}

/* ---- arguments ---- */

static const char *give(struct slice value, size_t *ret_len)
{
    *ret_len = value.len;
    return value.ptr;
}

static const char *api_args(struct ganger_call *seen, size_t *ret_len)
{
    return give(call_of(seen)->args, ret_len);
}

static const char *api_kwargs(struct ganger_call *seen, size_t *ret_len)
{
    return give(call_of(seen)->kwargs, ret_len);
}

static const char *api_arg(struct ganger_call *seen, size_t index, size_t *ret_len)
{
    struct json_iter it;
    struct slice value = {0};

    *ret_len = 0;
    json_iter_init(&it, call_of(seen)->args);
    for (size_t i = 0; i <= index; i++)
        if (!json_next_element(&it, &value))
            return NULL;
    return give(value, ret_len);
}

static const char *api_kwarg(struct ganger_call *seen, const char *name, size_t *ret_len)
{
    struct slice value;

    *ret_len = 0;
    return json_find(call_of(seen)->kwargs, name, &value) ? give(value, ret_len) : NULL;
}

/* ---- blobs ---- */

/* They are sealed: nobody can cut them, so a read never ends in SIGBUS. MAP_PRIVATE, since older
 * kernels map nothing as shared that cannot be written to. */
bool native_call_map(struct native_call *call)
{
    for (uint32_t i = 0; i < call->inputs->n_blobs; i++) {
        const struct input_blob *blob = &call->inputs->blobs[i];
        if (blob->size == 0)
            continue;
        void *at = mmap(NULL, blob->size, PROT_READ, MAP_PRIVATE, blob->fd, 0);
        if (at == MAP_FAILED)
            return false;
        call->mapped[i] = at;
    }
    return true;
}

void native_call_unmap(struct native_call *call)
{
    for (uint32_t i = 0; i < call->inputs->n_blobs; i++)
        if (call->mapped[i] != NULL)
            (void)munmap((void *)(uintptr_t)call->mapped[i], call->inputs->blobs[i].size);
}

static const void *api_input(struct ganger_call *seen, const char *name, size_t *ret_len)
{
    const struct native_call *call = call_of(seen);

    *ret_len = 0;
    for (uint32_t i = 0; i < call->inputs->n_blobs; i++) {
        const struct input_blob *blob = &call->inputs->blobs[i];
        if (!slice_is(blob->name, name))
            continue;
        *ret_len = blob->size;
        return call->mapped[i] == NULL ? "" : call->mapped[i];
    }
    return NULL;
}

/* ---- result and error ---- */

static int api_error(struct ganger_call *seen, const char *type, const char *message)
{
    struct native_call *call = call_of(seen);

    (void)snprintf(call->error, sizeof(call->error), "%s: %s", type == NULL ? "Error" : type,
                   message == NULL ? "no message" : message);
    return 1;
}

void native_call_drop_result(struct native_call *call)
{
    call->has_result = false;
    if (call->result_fd < 0)
        return;
    (void)close(steal_fd(&call->result_fd));
    spool_remove(call->native->data_fd, call->bank->job_no, call->bank->attempt, STREAM_VALUE);
}

static bool spool_result(struct native_call *call, const char *bytes, size_t len)
{
    struct err err;
    AUTO_CLOSE int fd = spool_open(call->native->data_fd, call->bank->job_no, call->bank->attempt,
                                   STREAM_VALUE, &err);
    if (fd < 0)
        return false;
    call->result_fd = steal_fd(&fd);
    return fd_write_all(call->result_fd, (struct slice){bytes, len});
}

static int api_result(struct ganger_call *seen, const void *bytes, size_t len, int type)
{
    struct native_call *call = call_of(seen);
    struct bank *bank = call->bank;
    const struct slice text = {bytes, len};

    native_call_drop_result(call);
    if (type < 0 || type >= VALUE_TYPE_COUNT)
        return api_error(seen, "TypeError", "a result is JSON, text or bytes");
    if (call->task->limit_output != 0 && len > call->task->limit_output)
        return api_error(seen, "ResultTooLarge", "the result passes limits.output");
    struct err why = {0};
    if (type == VALUE_JSON && !json_validate(text, JSON_LIMITS_RESULT, &why))
        return api_error(seen, "ResultNotJSON", why.detail);
    if (len <= BANK_RESULT_SIZE) {
        if (len > 0)
            memcpy(bank->result, bytes, len);
    } else if (!spool_result(call, bytes, len)) {
        native_call_drop_result(call);
        return api_error(seen, "ResultLost", "the result cannot be written to the disk");
    }
    bank->report.result_type = (uint8_t)type;
    bank->report.result_bytes = len;
    call->has_result = true;
    return 0;
}

/* ---- while it runs ---- */

static void api_progress(struct ganger_call *seen, double fraction, const char *text)
{
    struct native_call *call = call_of(seen);

    if (!(fraction >= 0))
        return;
    progress_put(call->bank, (uint32_t)(MIN(fraction, 1.0) * 1e6),
                 slice_of(text == NULL ? "" : text));
    /* What it says within the period after this is not told: nobody comes by here then. A stream
     * looks once more when that is over (api/streams.c). */
    if (atomic_load(&call->bank->listened) != 0)
        teller_tell(&call->teller, 0, clock_mono_ns());
}

static int api_is_cancelled(struct ganger_call *seen)
{
    const struct bank *bank = call_of(seen)->bank;
    return atomic_load_explicit(&bank->cancel, memory_order_relaxed) == bank->mate + 1;
}

static void api_log(struct ganger_call *seen, int level, const char *text)
{
    const struct native_call *call = call_of(seen);
    const enum log_level as = level == GANGER_LOG_ERROR  ? LOG_ERROR
                              : level == GANGER_LOG_WARN ? LOG_WARN
                                                         : LOG_INFO;
    log_event(&call->native->log, as, "function says", LOG_STR("function", call->task->argv[0].ptr),
              LOG_INT("job_no", call->bank->job_no), LOG_STR("text", text == NULL ? "" : text));
}

static const struct ganger_api api = {.abi = GANGER_PLUGIN_ABI,
                                      .size = sizeof(api),
                                      .args = api_args,
                                      .kwargs = api_kwargs,
                                      .arg = api_arg,
                                      .kwarg = api_kwarg,
                                      .result = api_result,
                                      .error = api_error,
                                      .progress = api_progress,
                                      .is_cancelled = api_is_cancelled,
                                      .log = api_log,
                                      .input = api_input};

bool native_call_init(struct native_call *call)
{
    const struct slice in = json_trim(call->task->stdin_bytes);

    call->seen.api = &api;
    call->result_fd = -1;
    teller_init(&call->teller, call->native->sock, call->bank);
    if (in.len == 0 || json_type_of(in) != JSON_OBJECT)
        return false;
    if (!json_find(in, "args", &call->args))
        call->args = SLICE_LIT("[]");
    if (!json_find(in, "kwargs", &call->kwargs))
        call->kwargs = SLICE_LIT("{}");
    return json_type_of(call->args) == JSON_ARRAY && json_type_of(call->kwargs) == JSON_OBJECT;
}
