/* SPDX-License-Identifier: MIT */
/* How an element of a batch gets its task: the template is stored once, with the batch; the item is
 * put in when the element starts. What cannot work is refused when the item arrives. */
#ifndef GANGER_SERVICE_ELEMENT_H
#define GANGER_SERVICE_ELEMENT_H

#include "service/base/job.h"
#include "service/base/template.h"
#include "service/element_call.h"

/* The stored form of the template that `spec` describes. Bytes go to `a`. */
MUST_CHECK bool element_template(const struct job_spec *spec, bool star, struct arena *a,
                                 struct slice *ret, struct err *err);

/* What an item must keep to, so that its task can be made. */
struct element_rules {
    bool star, appends;
    uint32_t n_args;                 /* of the template */
    size_t widest, widest_holes;     /* the longest text, the most placeholders in one */
    size_t all, all_holes;           /* bytes and placeholders of all texts */
    int64_t highest;                 /* highest n of {n} */
    const struct element_call *call; /* a function is called: this says it all; else NULL */
};
/* What must live as long goes to `a`. */
MUST_CHECK bool element_rules(struct slice template_bytes, struct arena *a,
                              struct element_rules *ret, struct err *err);
/* `item` is validated JSON. INVALID says what is wrong with it, and where inside of it. */
MUST_CHECK bool element_check(const struct element_rules *rules, struct slice item,
                              struct err *err);

#define ELEMENT_MEMORY ((size_t)24 << 20) /* of a template that is read, and of one element */
/* The template, read once for many elements. */
struct element_maker {
    struct template_head head;
    struct task task;
    struct element_call call; /* with head.call_bytes */
    struct slice lead;        /* task_encode_lead, when items differ in the input alone */
};
/* What it points to is in `template_bytes` and `a`, which must live as long; at most
 * ELEMENT_MEMORY. */
MUST_CHECK bool element_read(struct slice template_bytes, struct arena *a,
                             struct element_maker *ret, struct err *err);
/* The template that was read last: neighbours have the same one. Zero: none was. */
struct element_memo {
    struct arena arena;
    struct slice bytes; /* of the template, copied */
    uint64_t brief_key; /* brief.h */
    struct element_maker maker;
};
/* NULL: it cannot be read. The maker is good until the next call. */
const struct element_maker *element_recall(struct element_memo *memo, struct slice template_bytes,
                                           struct err *err);
void element_forget(struct element_memo *memo);
/* The encoded task of one element, in `a`. deadline_us: of its row, absolute. */
struct element {
    struct slice item;
    int64_t index, deadline_us;
};
MUST_CHECK bool element_make(const struct element_maker *maker, const struct element *element,
                             struct arena *a, struct slice *ret, struct err *err);

#endif
