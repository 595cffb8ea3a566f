/* SPDX-License-Identifier: MIT */
/* What the arguments of a function must be. A description is one JSON object a parameter, in their
 * order: {"name": "n", "type": "integer", "minimum": 0, "default": 1}. The names of its members are
 * those of JSON Schema, of which this is a small part. */
#ifndef GANGER_BASE_PARAMETER_H
#define GANGER_BASE_PARAMETER_H

#include "service/base/buf.h"
#include "service/base/error.h"

#define MAX_PARAMETERS 64
#define MAX_PARAMETER_NAME 64

enum parameter_type {
    PARAMETER_ANY,
    PARAMETER_STRING,
    PARAMETER_INTEGER,
    PARAMETER_NUMBER,
    PARAMETER_BOOLEAN,
    PARAMETER_ARRAY,
    PARAMETER_OBJECT,
    PARAMETER_TYPE_COUNT
};

/* Raw JSON where nothing else is said; absent: ptr NULL. */
struct parameter {
    const char *name; /* [A-Za-z_][A-Za-z0-9_]*; without one its place: "1" */
    enum parameter_type type;
    bool is_required;
    bool has_minimum, has_maximum;
    double minimum, maximum;        /* of a number */
    int64_t min_length, max_length; /* of a string, in characters; max < 0: no limit */
    struct slice choices;           /* "enum": an array */
    struct slice fallback;          /* "default" */
};

struct parameter_list {
    struct parameter *items;
    uint32_t n;
};

/* `json` is validated. Everything goes to `a`, slices point into `json`. INVALID with a pointer
 * such as "/0/minimum" says what is wrong. */
MUST_CHECK bool parameters_read(struct slice json, struct arena *a, struct parameter_list *ret,
                                struct err *err);
/* NULL: no parameter has this name. */
const struct parameter *parameter_find(const struct parameter_list *list, struct slice name);
/* INVALID names the parameter and says what it must be, without a pointer. */
MUST_CHECK bool parameter_check(const struct parameter *p, struct slice value, struct err *err);

#endif
