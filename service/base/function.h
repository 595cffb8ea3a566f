/* SPDX-License-Identifier: MIT */
/* Registered functions: what may be called by name. Declared in the configuration, one section
 * `[function NAME]` each; never changed while the service runs, so any thread and any worker may
 * read them. */
#ifndef GANGER_BASE_FUNCTION_H
#define GANGER_BASE_FUNCTION_H

#include "service/base/parameter.h"

#define MAX_FUNCTIONS 256
#define MAX_FUNCTION_NAME 40 /* libinih keeps 49 bytes of a section's name */

enum function_kind {
    FUNCTION_COMMAND, /* an argument template: a process per call */
    FUNCTION_NATIVE,  /* a symbol of a shared object that workers have loaded */
    FUNCTION_RUNNER,  /* a program that stays warm and speaks the runner protocol */
    FUNCTION_KIND_COUNT
};

struct runner_word; /* pool_runner.h */

/* Texts are terminated and live as long as the list. Raw JSON is validated JSON without white space
 * around it; absent: ptr NULL. */
struct function {
    const char *name;
    enum function_kind kind;
    struct slice *argv; /* command: the template; runner: the program, or none: its pool's */
    uint32_t n_argv;
    const char *module, *symbol; /* native */
    const char *call;            /* runner: what it gets as `fn`; NULL: the name */
    struct slice init;           /* runner: the body of its INIT; absent: it gets none */
    struct slice preload; /* runner of a pool: names with commas between, also for its INIT */
    const struct runner_word *codec; /* runner of a pool: that of its calls; NULL: any */
    int64_t start_timeout_us;        /* runner: until it must have said HELLO; 0: the default */
    int64_t ping_us;                 /* runner: how often it is pinged while idle; 0: the default */
    struct slice *env;               /* "K=V" */
    uint32_t n_env;
    const char *cwd, *pool, *queue, *doc; /* NULL: not given */
    struct slice timeout, retry, limits;  /* raw JSON, as a job's members of these names */
    struct slice args; /* raw JSON: what the arguments must be; of a command that does not say it:
                          what its placeholders ask for */
    struct parameter_list params; /* the same, read */
    uint32_t line;                /* of its section, for messages */
    bool is_pure;  /* a call has no effect but its result: it may begin before its submission is on
                      disk, and once more when that is lost with the server */
    uint32_t keys; /* that were given: a bit for each row of their table */
};

struct function_list {
    struct function *items;
    uint32_t n;
    struct arena arena;
};
void function_list_init(struct function_list *list);
void function_list_release(struct function_list *list);
/* NULL: there is none. */
const struct function *function_find(const struct function_list *list, struct slice name);
const char *function_kind_name(enum function_kind kind);

/* While the configuration is read. A new section: INVALID when the name is not
 * [A-Za-z0-9_.-]{1,40}, is there already, or there are too many. */
MUST_CHECK bool function_begin(struct function_list *list, struct slice name, uint32_t line,
                               struct err *err);
/* A key of the newest section. INVALID says what is allowed. */
MUST_CHECK bool function_set(struct function_list *list, const char *key, struct slice value,
                             struct err *err);
/* All sections are read: what each kind needs is there, and its parameters are known. INVALID names
 * function and line. */
MUST_CHECK bool function_list_finish(struct function_list *list, struct err *err);

/* function_params.c, a part of it: reads `args`, or finds out from the command. */
MUST_CHECK bool function_read_params(struct function *f, struct arena *a, struct err *err);

#endif
