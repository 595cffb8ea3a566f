/* SPDX-License-Identifier: MIT */
/* The template of a batch: what its elements have in common, and how one element's item is put into
 * it. Used where items are read, where an element starts, and where its name is shown.
 *
 * In a text `{}` is the item (a string as it is, anything else as its JSON text), `{index}` its
 * number in the batch, and with `star`, where an item is an array, `{1}` `{2}` … are its elements.
 * Other braces are left alone.
 *
 * In the command of a function `{name}` is the argument of that name and `{1}` the first one; a
 * brace behind a dollar sign belongs to a shell and is left alone. */
#ifndef GANGER_BASE_TEMPLATE_H
#define GANGER_BASE_TEMPLATE_H

#include "service/base/parameter.h"

/* Stored in front of the task (POD, version byte first): what a row of an element is made from. */
struct template_head {
    uint8_t version; /* 1 */
    uint8_t star;    /* an item is an array */
    uint8_t appends; /* the command has no placeholder: the item becomes its last argument */
    uint8_t has_retry, result; /* enum job_result */
    int32_t priority;
    uint32_t max_attempts;
    uint32_t call_bytes; /* a function is called: so much JSON stands in front of the task */
    int64_t delay_us, run_at_us, queue_timeout_us, deadline_us, keep_us; /* as in struct job_spec */
};
/* Splits the stored bytes. ret_task may be NULL. STORAGE when they are damaged. */
MUST_CHECK bool template_open(struct slice bytes, struct template_head *ret, struct slice *ret_task,
                              struct err *err);
/* The JSON of an opened one that calls a function. */
struct slice template_call(struct slice bytes, const struct template_head *head);

/* The arguments of a call: one value for each parameter, ptr NULL when it has none. */
struct template_values {
    const struct parameter_list *params;
    const struct slice *of;
};
struct template_item {
    struct slice raw; /* validated JSON without white space around it */
    int64_t index;
    bool star;
    const struct template_values *call; /* NULL, or what alone is put in */
};
/* Appends the text with its placeholders replaced. A placeholder of an element that the item does
 * not have becomes nothing. */
void template_put(struct slice text, const struct template_item *item, struct buf *out);
/* How many placeholders the text has; ret_highest is raised to the highest number in {n}. */
size_t template_holes(struct slice text, bool star, int64_t *ret_highest);
/* The next placeholder in the command of a function: its name, or its number. Cuts the text behind
 * it off; false when there is none any more. */
bool template_next_name(struct slice *text, struct slice *ret_name);
/* Which parameter that is; params->n: none. */
uint32_t template_parameter(const struct parameter_list *params, struct slice name);
/* Whether the text is one placeholder of an argument that has no value, and nothing else. */
bool template_is_absent(struct slice text, const struct template_values *call);
/* A JSON value as the text that a placeholder becomes. */
void template_put_value(struct slice value, struct buf *out);

#define TEMPLATE_MAX_NAME 255u
/* The name of an element: at most TEMPLATE_MAX_NAME bytes, without control characters. Terminated,
 * in the arena; NULL when that is full. */
MUST_CHECK char *template_name(struct slice name, const struct template_item *item,
                               struct arena *a);

#endif
