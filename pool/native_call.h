/* SPDX-License-Identifier: MIT */
/* One call of a native function as the function sees it: what stands behind struct ganger_api. */
#ifndef GANGER_POOL_NATIVE_CALL_H
#define GANGER_POOL_NATIVE_CALL_H

#include "include/ganger/plugin.h"
#include "pool/native.h"
#include "pool/teller.h"

struct native_call {
    struct ganger_call seen; /* first: what the function gets is a pointer to it */
    const struct native *native;
    struct bank *bank;
    const struct task *task;
    const struct inputs *inputs;
    const void *mapped[TASK_MAX_BLOBS]; /* its blobs, read-only; NULL: not, or empty */
    struct slice args, kwargs;          /* raw JSON */
    int result_fd;                      /* the spool file of a large result; -1: none */
    bool has_result;
    struct teller teller;
    char error[TASK_ERROR_TEXT]; /* "" until it is set */
};

/* False: the arguments are damaged. */
MUST_CHECK bool native_call_init(struct native_call *call);
/* Before any limit of memory: blobs are not the function's own. False: there is no room. */
MUST_CHECK bool native_call_map(struct native_call *call);
void native_call_unmap(struct native_call *call);
/* A result that was put into a file is forgotten. */
void native_call_drop_result(struct native_call *call);

#endif
