/* SPDX-License-Identifier: MIT */
/* Functions in C or C++ that a ganger service calls: a shared object, named in the configuration by
 *
 *     [function fib]
 *     kind = native
 *     module = /usr/lib/ganger/fib.so
 *     symbol = fib
 *
 * and written as
 *
 *     #include <ganger/plugin.h>
 *     GANGER_PLUGIN
 *     GANGER_FUNCTION(fib)
 *     {
 *         …
 *         return ganger_result(call, text, length, GANGER_JSON);
 *     }
 *
 * built with `cc -shared -fPIC`. This header is all that is needed: it asks for no symbol of the
 * service.
 *
 * Each worker process loads the module once, before it takes work (dlopen with RTLD_NOW and
 * RTLD_LOCAL), and then calls the function as often as it is asked to, in that same process: what a
 * call leaves in static memory is there in the next one of that worker, and each worker has its
 * own. A module that cannot be loaded keeps the service from starting.
 *
 * Threads: a worker makes one call at a time, on its main thread. A function may start threads if
 * they have ended when it returns; the functions below belong to the thread that was called.
 *
 * Ownership: `call` and whatever is read through it is valid until the function returns. What is
 * given to ganger_result, ganger_error, ganger_progress and ganger_log is copied.
 *
 * Allowed: to block, to allocate, to open files, to start processes (those that are left when the
 * function returns are killed), to write to stdout and stderr (they are the job's), to crash: a
 * signal, abort(), exit() or a stack overflow ends the worker, and so this one job; a fresh worker
 * takes the next. An exception of C++ must not leave the function; it would end the worker as well.
 * Not allowed: to change signal handlers or the signal mask, the working directory, or descriptors
 * that the function has not opened.
 *
 * Timeouts and deadlines end the worker by SIGKILL, without a warning. A cancelled job is first
 * told through ganger_is_cancelled; when its grace is over, the worker is killed. */
#ifndef GANGER_PLUGIN_H
#define GANGER_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define GANGER_EXTERN extern "C"
#else
#define GANGER_EXTERN extern
#endif

/* A module works with services of the same number. New members come at the end of struct ganger_api
 * and do not change it. */
#define GANGER_PLUGIN_ABI 1

/* The content type of a result. */
enum ganger_type {
    GANGER_JSON = 0, /* application/json; must be one JSON value */
    GANGER_TEXT = 1, /* text/plain; charset=utf-8 */
    GANGER_BYTES = 2 /* application/octet-stream */
};

enum ganger_log_level { GANGER_LOG_ERROR = 0, GANGER_LOG_WARN = 1, GANGER_LOG_INFO = 2 };

struct ganger_call;

/* Filled in by the service. */
struct ganger_api {
    uint32_t abi;
    uint32_t size; /* of this struct: members beyond it are not there */
    const char *(*args)(struct ganger_call *call, size_t *ret_len);
    const char *(*kwargs)(struct ganger_call *call, size_t *ret_len);
    const char *(*arg)(struct ganger_call *call, size_t index, size_t *ret_len);
    const char *(*kwarg)(struct ganger_call *call, const char *name, size_t *ret_len);
    int (*result)(struct ganger_call *call, const void *bytes, size_t len, int type);
    int (*error)(struct ganger_call *call, const char *type, const char *message);
    void (*progress)(struct ganger_call *call, double fraction, const char *text);
    int (*is_cancelled)(struct ganger_call *call);
    void (*log)(struct ganger_call *call, int level, const char *text);
    const void *(*input)(struct ganger_call *call, const char *name, size_t *ret_len);
};

struct ganger_call {
    const struct ganger_api *api;
};

/* Once per module. */
#define GANGER_PLUGIN                                                                      \
    GANGER_EXTERN __attribute__((visibility("default"))) const uint32_t ganger_plugin_abi; \
    const uint32_t ganger_plugin_abi = GANGER_PLUGIN_ABI;

/* 0: the job succeeds with the result that was set, or null without one. Anything else: it fails
 * with `function_error`, and what ganger_error has said. */
typedef int (*ganger_function)(struct ganger_call *call);

/* Declares and begins a function: its argument is `struct ganger_call *call`. */
#define GANGER_FUNCTION(name)                                                                \
    GANGER_EXTERN __attribute__((visibility("default"))) int name(struct ganger_call *call); \
    int name(struct ganger_call *call)

/* All positional arguments as one JSON array, all named ones as one JSON object; valid JSON,
 * not terminated. */
static inline const char *ganger_args(struct ganger_call *call, size_t *ret_len)
{
    return call->api->args(call, ret_len);
}
static inline const char *ganger_kwargs(struct ganger_call *call, size_t *ret_len)
{
    return call->api->kwargs(call, ret_len);
}

/* One argument: the text of its JSON value without white space around it, not terminated; NULL when
 * there is none. */
static inline const char *ganger_arg(struct ganger_call *call, size_t index, size_t *ret_len)
{
    return call->api->arg(call, index, ret_len);
}
static inline const char *ganger_kwarg(struct ganger_call *call, const char *name, size_t *ret_len)
{
    return call->api->kwarg(call, name, ret_len);
}

/* The bytes of a blob that the job names among its `inputs`: mapped for reading, the same memory
 * for all jobs with this blob, valid until the function returns. NULL: there is none of this name,
 * or the service is too old to have any. */
static inline const void *ganger_input(struct ganger_call *call, const char *name, size_t *ret_len)
{
    *ret_len = 0;
    if (call->api->size < offsetof(struct ganger_api, input) + sizeof call->api->input)
        return NULL;
    return call->api->input(call, name, ret_len);
}

/* Sets the result; the last one counts. Returns what the function may return at once: 0, or 1 when
 * the bytes cannot be kept (they pass the job's limits.output, or the disk is full), which is an
 * error that is set already. */
static inline int ganger_result(struct ganger_call *call, const void *bytes, size_t len, int type)
{
    return call->api->result(call, bytes, len, type);
}

/* Sets the error: a short type ("ValueError") and one sentence, both terminated. Returns 1, which
 * the function may return at once. */
static inline int ganger_error(struct ganger_call *call, const char *type, const char *message)
{
    return call->api->error(call, type, message);
}

/* How far it has come, 0 to 1, and a few words (terminated, or NULL). Costs two writes to memory:
 * call it as often as you like. */
static inline void ganger_progress(struct ganger_call *call, double fraction, const char *text)
{
    call->api->progress(call, fraction, text);
}

/* Not 0: the job was cancelled; clean up and return. One read of memory. */
static inline int ganger_is_cancelled(struct ganger_call *call)
{
    return call->api->is_cancelled(call);
}

/* One line in the log of the service, beside the function's name and the job's number. */
static inline void ganger_log(struct ganger_call *call, int level, const char *text)
{
    call->api->log(call, level, text);
}

#endif
