/* SPDX-License-Identifier: MIT */
/* A batch that calls a function: what its template says about the call is stored with it, so that
 * another configuration after a restart cannot change what its items mean. */
#ifndef GANGER_SERVICE_ELEMENT_CALL_H
#define GANGER_SERVICE_ELEMENT_CALL_H

#include "pool/task.h"
#include "service/base/call.h"

/* Of all elements. */
struct element_call {
    struct parameter_list params;
    struct slice args, kwargs; /* as in struct call */
    bool star;
    bool takes_json; /* it is no command */
    bool has_params;
    struct call_command command; /* the template */
};

/* As it is stored. */
MUST_CHECK bool element_call_write(const struct element_call *call, struct slice params,
                                   struct arena *a, struct slice *ret, struct err *err);
/* From stored bytes, which must live as long; `task` is the template's. */
MUST_CHECK bool element_call_read(struct slice json, const struct task *task, struct arena *a,
                                  struct element_call *ret, struct err *err);
/* INVALID with the place inside of the item. */
MUST_CHECK bool element_call_check(const struct element_call *call, struct slice item,
                                   struct err *err);
/* The JSON of a call that takes it. */
MUST_CHECK bool element_call_json(const struct element_call *call, struct slice item,
                                  struct buf *out, struct err *err);
/* Puts the item into the task. */
MUST_CHECK bool element_call_fill(const struct element_call *call, struct slice item,
                                  struct arena *a, struct task *task, struct err *err);

#endif
