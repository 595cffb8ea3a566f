/* SPDX-License-Identifier: MIT */
/* Whom a job waits for. */
#include "api/codec_read.h"

#define MAX_PARENTS 10000u

struct job_parent *codec_add_parents(struct job_reader *r, uint32_t n)
{
    struct job_spec *spec = r->spec;
    if (spec->n_parents + n > r->cap_parents) {
        uint32_t cap = MAX(spec->n_parents + n, r->cap_parents * 2);
        struct job_parent *more = arena_alloc(r->a, cap * sizeof *more);
        if (more == NULL) {
            (void)codec_arena_full(r->err);
            return NULL;
        }
        if (spec->n_parents > 0)
            memcpy(more, spec->parents, spec->n_parents * sizeof *more);
        spec->parents = more;
        r->cap_parents = cap;
    }
    struct job_parent *added = &spec->parents[spec->n_parents];
    spec->n_parents += n;
    return added;
}

bool codec_parent_named(struct job_reader *r, struct slice name, struct job_parent *ret)
{
    if (r->names != NULL && graph_find_name(r->names, name, &ret->index)) {
        ret->is_marked = true;
        return true;
    }
    return job_id_parse(name, &ret->id);
}

bool codec_parent(struct job_reader *r, struct slice value, const char *pointer,
                  struct job_parent *ret)
{
    struct slice text = {0};
    if (!codec_text(r, value, pointer, &text))
        return false;
    *ret = (struct job_parent){.pointer = arena_dup(r->a, slice_of(pointer))};
    if (ret->pointer == NULL)
        return codec_arena_full(r->err);
    return codec_parent_named(r, text, ret) ||
           err_at(r->err, ERR_INVALID, pointer,
                  r->names == NULL ? "must be the id of a job or of a batch"
                                   : "must be the ref of a job of this request, or the id of a "
                                     "job or of a batch");
}

bool codec_depends_on(struct job_reader *r, struct slice value, const char *pointer)
{
    struct json_iter it;
    struct slice element;
    uint32_t n = 0;
    if (json_type_of(value) != JSON_ARRAY)
        return codec_wrong_type(r->err, pointer, "an array of ids of jobs or batches");
    json_iter_init(&it, value);
    while (json_next_element(&it, &element))
        n++;
    if (n > MAX_PARENTS)
        return err_at(r->err, ERR_INVALID, pointer, "has more than %u elements", MAX_PARENTS);
    if (n == 0)
        return true;
    struct job_parent *parents = codec_add_parents(r, n);
    if (parents == NULL)
        return false;
    json_iter_init(&it, value);
    for (uint32_t i = 0; i < n && json_next_element(&it, &element); i++) {
        char place[128];
        (void)snprintf(place, sizeof place, "%s/%u", pointer, i);
        if (!codec_parent(r, element, place, &parents[i]))
            return false;
    }
    return true;
}

bool codec_on_parent_failure(struct job_reader *r, struct slice value, const char *pointer)
{
    static const char *const names[PARENT_POLICY_COUNT] = {
        [PARENT_CANCEL] = "cancel", [PARENT_RUN] = "run", [PARENT_FAIL] = "fail"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (json_type_of(value) == JSON_STRING && json_string_eq(value, names[i])) {
            r->spec->on_parent_failure = (enum parent_policy)i;
            return true;
        }
    }
    return codec_wrong_type(r->err, pointer, "\"cancel\", \"run\" or \"fail\"");
}
