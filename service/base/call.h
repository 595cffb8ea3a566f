/* SPDX-License-Identifier: MIT */
/* One call of a function: its arguments, as a client gives them by place and by name; which
 * parameter each of them is; and the command that they make of a template. */
#ifndef GANGER_BASE_CALL_H
#define GANGER_BASE_CALL_H

#include "service/base/parameter.h"

/* Raw, validated JSON; absent: ptr NULL. */
struct call {
    struct slice args, kwargs; /* an array, an object */
    /* Of an element of a batch: its first argument, or with `star` its first arguments if it is an
     * array, arguments by name if it is an object. */
    struct slice item;
    bool star;
};

/* Room for one value for each parameter; ptr NULL: it has none. */
struct call_values {
    struct slice of[MAX_PARAMETERS];
};
/* INVALID with the pointer of the argument ("/args/0", "/kwargs/n"); with an item the pointer is
 * inside of that ("", "/0", "/n"). */
MUST_CHECK bool call_bind(const struct call *call, const struct parameter_list *params,
                          struct call_values *ret, struct err *err);

struct call_command {
    struct slice *argv;
    uint32_t n_argv;
};
/* Replaces the template by a new array in `a`, with each {name} and {1} put in. An argument that is
 * nothing but the placeholder of what has no value is left out. INVALID when no system would accept
 * what comes out. */
MUST_CHECK bool call_expand(struct call_command *command, const struct parameter_list *params,
                            const struct call_values *values, struct arena *a, struct err *err);

/* Appends {"args":[…],"kwargs":{…}} with each argument as it was given, and the defaults of those
 * that were not. Without `params` (NULL) the function takes whatever it gets. Errors as call_bind;
 * TOO_LARGE when `out` is full. */
MUST_CHECK bool call_json(const struct call *call, const struct parameter_list *params,
                          struct buf *out, struct err *err);

#endif
