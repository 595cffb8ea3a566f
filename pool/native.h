/* SPDX-License-Identifier: MIT */
/* Native functions in a worker: loaded once, called in its own process (include/ganger/plugin.h).
 * Owner: the worker. A call that does not return costs the worker; what then becomes of the job is
 * decided where its death is seen (pool_calls.c). */
#ifndef GANGER_POOL_NATIVE_H
#define GANGER_POOL_NATIVE_H

#include "pool/inputs.h"
#include "pool/slot.h"
#include "service/base/function.h"
#include "service/base/log.h"

#include <sys/resource.h>
#include <time.h>

struct native_symbol;

struct native {
    struct native_symbol *symbols; /* NULL: no native function is configured */
    uint32_t n;
    /* What a call writes to stdout and stderr: memory that the server holds as well, so that it
     * outlives the worker. */
    int out_fd[2];
    timer_t timer; /* its signal is SIGKILL */
    /* What calls that follow each other need not do for each of them; 0, false: not done now. */
    uint64_t armed_at_ns; /* when the timer kills */
    bool dies_with_zygote;
    bool goes_on;       /* since the call before ended, its worker has only gone to the next one */
    struct rusage used; /* when that call ended */
    struct log log;
    int data_fd;
    int sock;     /* to the server */
    int child_fd; /* signalfd of SIGCHLD */
    int64_t kill_deadline_us;
    pid_t nursery; /* the thread whose children are no function's; 0: there is none */
};

bool native_has_any(const struct function_list *functions);
/* Loads all of them in a child and tells whether that went well, and else why. Must be called while
 * the process has one thread. */
MUST_CHECK bool native_probe(const struct function_list *functions, struct err *err);

/* Loads the modules and takes descriptors 1 and 2 of the process for the functions; `n` is zeroed
 * but for sock, data_fd, child_fd, kill_deadline_us and log. */
MUST_CHECK bool native_open(struct native *n, const struct function_list *functions,
                            struct err *err);
/* Calls the function; the bank holds the outcome. Returns only when nothing that it has forked is
 * left, or the outcome is TASK_UNKILLABLE; or not at all. */
void native_run(struct native *n, struct bank *bank, const struct inputs *inputs);
/* No call follows at once. */
void native_turn_over(struct native *n);
/* A task of another kind begins: its processes need this one when the zygote dies. Until then a
 * worker that has made a call dies with the zygote. */
void native_make_way(struct native *n);

#endif
