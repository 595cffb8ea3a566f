/* SPDX-License-Identifier: MIT */
#include "api/codec_graph.h"

#include "api/codec_read.h"

/* The body may have 1 MiB, which is at most so many values. */
#define GRAPH_JSON_LIMITS ((struct json_limits){64, 1u << 20})
#define MAX_FAILURES 1000000

/* ------------------------------------------------------------------------------------------------
 * local names */

/* Open addressing; a place holds an index + 1. */
struct graph_names {
    const struct slice *refs;
    uint32_t *places;
    uint32_t mask;
};

static uint32_t place_of(const struct graph_names *names, struct slice name)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a */
    for (size_t i = 0; i < name.len; i++)
        hash = (hash ^ (unsigned char)name.ptr[i]) * 1099511628211u;
    return (uint32_t)(hash >> 32) & names->mask;
}

/* The place of this name, or the empty one where it would be. */
static uint32_t *seek(const struct graph_names *names, struct slice name)
{
    uint32_t at = place_of(names, name);
    while (names->places[at] != 0 && !slice_eq(names->refs[names->places[at] - 1], name))
        at = (at + 1) & names->mask;
    return &names->places[at];
}

bool graph_find_name(const struct graph_names *names, struct slice name, uint32_t *ret_index)
{
    uint32_t found = *seek(names, name);
    *ret_index = found - 1;
    return found != 0;
}

/* A member of the request that its jobs have unless they name it. Kept apart from the text: a walk
 * through that passes over all jobs, and each job wants one. */
struct default_member {
    struct slice key, value;
};

struct graph_reader {
    struct job_source source;
    struct graph_request *ret;
    struct slice template, jobs; /* raw */
    struct default_member *defaults;
    uint32_t n_defaults;
    struct graph_names names;
    struct err *err;
};

static bool read_ref(struct graph_reader *g, struct slice job, uint32_t i)
{
    struct slice value, *ref = &g->ret->refs[i];
    struct job_id ignored;
    char pointer[32];
    (void)snprintf(pointer, sizeof pointer, "/jobs/%u/ref", i);
    if (!json_find(job, "ref", &value))
        return true;
    if (json_type_of(value) == JSON_STRING)
        *ref = (struct slice){json_string_dup(value, g->source.a, &ref->len), 0};
    if (json_type_of(value) == JSON_STRING && ref->ptr == NULL)
        return codec_arena_full(g->err);
    if (ref->ptr != NULL)
        ref->len = strlen(ref->ptr);
    if (ref->ptr == NULL || !text_is_token(*ref, MAX_REF_BYTES) || job_id_parse(*ref, &ignored))
        return err_at(g->err, ERR_INVALID, pointer,
                      "must be 1 to %u letters, digits, \"_\", \".\" or \"-\", and no id",
                      MAX_REF_BYTES);
    uint32_t *place = seek(&g->names, *ref);
    if (*place != 0)
        return err_at(g->err, ERR_INVALID, pointer, "is also the ref of job %u", *place - 1);
    *place = i + 1;
    return true;
}

static bool make_room(struct graph_reader *g)
{
    struct graph_request *ret = g->ret;
    struct arena *a = g->source.a;
    uint32_t size = 16;
    while (size < 2 * ret->n)
        size *= 2;
    ret->items = arena_alloc(a, ret->n * sizeof *ret->items);
    ret->refs = arena_alloc(a, ret->n * sizeof *ret->refs);
    g->names = (struct graph_names){ret->refs, arena_alloc(a, size * sizeof(uint32_t)), size - 1};
    return (ret->items != NULL && ret->refs != NULL && g->names.places != NULL) ||
           codec_arena_full(g->err);
}

static bool read_refs(struct graph_reader *g)
{
    struct json_iter it;
    struct slice job;
    uint32_t n = 0;
    if (json_type_of(g->jobs) != JSON_ARRAY)
        return codec_wrong_type(g->err, "/jobs", "an array of jobs");
    json_iter_init(&it, g->jobs);
    while (json_next_element(&it, &job))
        n++;
    if (n == 0 || n > MAX_GRAPH_JOBS)
        return err_at(g->err, ERR_INVALID, "/jobs", "must have 1 to %u elements", MAX_GRAPH_JOBS);
    g->ret->n = n;
    if (!make_room(g))
        return false;
    json_iter_init(&it, g->jobs);
    for (uint32_t i = 0; i < n && json_next_element(&it, &job); i++) {
        char pointer[32];
        (void)snprintf(pointer, sizeof pointer, "/jobs/%u", i);
        if (json_type_of(job) != JSON_OBJECT)
            return codec_wrong_type(g->err, pointer, "a job");
        if (!read_ref(g, job, i))
            return false;
    }
    return true;
}

/* ------------------------------------------------------------------------------------------------
 * the batch */

static bool read_max_failures(struct graph_reader *g, struct slice value)
{
    int64_t *n = &g->ret->max_failures;
    return (json_type_of(value) == JSON_NUMBER && json_to_i64(value, n) && *n >= 1 &&
            *n <= MAX_FAILURES) ||
           codec_wrong_type(g->err, "/max_failures", "a whole number from 1 to 1000000");
}

static bool is_of_batch(struct slice key)
{
    return json_string_eq(key, "jobs") || json_string_eq(key, "max_failures");
}

static bool refuse_member(struct graph_reader *g, struct slice key)
{
    static const char *const other[] = {"items", "star",         "open",  "chunksize",
                                        "ref",   "max_parallel", "unique"};
    char pointer[80];
    for (size_t i = 0; i < ARRAY_LEN(other); i++) {
        codec_pointer("", key, pointer);
        if (json_string_eq(key, other[i]))
            return err_at(g->err, ERR_INVALID, pointer, "does not go with \"jobs\"");
    }
    return true;
}

/* The batch's name and callback are its own. */
static bool is_default(struct slice key)
{
    return !is_of_batch(key) && !json_string_eq(key, "name") && !json_string_eq(key, "callback");
}

static bool make_defaults(struct graph_reader *g)
{
    struct json_iter it;
    struct slice key, value;
    uint32_t n = 0;
    json_iter_init(&it, g->template);
    while (json_next_member(&it, &key, &value))
        n++;
    g->defaults = arena_alloc(g->source.a, n * sizeof *g->defaults);
    return g->defaults != NULL || codec_arena_full(g->err);
}

/* Its texts, and whether the defaults are members of a job at all. */
static bool read_template(struct graph_reader *g)
{
    struct job_reader r = {.cfg = g->source.cfg,
                           .a = g->source.a,
                           .spec = &g->ret->spec,
                           .err = g->err,
                           .names = &g->names};
    struct json_iter it;
    struct slice key, value;
    if (!make_defaults(g))
        return false;
    codec_job_begin(&r);
    json_iter_init(&it, g->template);
    while (json_next_member(&it, &key, &value)) {
        if (!refuse_member(g, key))
            return false;
        if (is_default(key))
            g->defaults[g->n_defaults++] = (struct default_member){key, value};
        if (json_string_eq(key, "max_failures") && !read_max_failures(g, value))
            return false;
        if (!is_of_batch(key) && !codec_job_member(&r, key, value))
            return false;
    }
    return true;
}

/* ------------------------------------------------------------------------------------------------
 * its jobs */

/* Of these a job has at most one, so its own one takes the place of the template's. */
static const char *const groups[][3] = {{"stdin", "stdin_base64", "stdin_from"},
                                        {"delay", "run_at", "run_at"},
                                        {"files", "cwd", "cwd"},
                                        {"command", "function", "function"}};

static bool is_named(const struct job_reader *r, struct slice key)
{
    for (size_t i = 0; i < ARRAY_LEN(groups); i++) {
        bool is_in = false, is_taken = false;
        for (size_t k = 0; k < ARRAY_LEN(groups[i]); k++) {
            is_in = is_in || json_string_eq(key, groups[i][k]);
            is_taken = is_taken || codec_job_names(r, slice_of(groups[i][k]));
        }
        if (is_in && is_taken)
            return true;
    }
    return codec_job_names(r, key);
}

/* What the job has not named. */
static bool take_template(const struct graph_reader *g, struct job_reader *r)
{
    for (uint32_t i = 0; i < g->n_defaults; i++) {
        const struct default_member *member = &g->defaults[i];
        if (!is_named(r, member->key) && !codec_job_member(r, member->key, member->value))
            return false;
    }
    return true;
}

static bool read_job(const struct graph_reader *g, struct slice job, uint32_t i, struct err *err)
{
    struct submit_item *item = &g->ret->items[i];
    struct job_reader r = {.cfg = g->source.cfg,
                           .defaults = g->source.defaults,
                           .a = g->source.a,
                           .spec = &item->spec,
                           .err = err,
                           .no_exec = g->source.no_exec,
                           .names = &g->names};
    struct json_iter it;
    struct slice key, value;
    codec_job_begin(&r);
    json_iter_init(&it, job);
    while (json_next_member(&it, &key, &value)) {
        if (json_string_eq(key, "unique"))
            return err_at(err, ERR_INVALID, "/unique", "is for a job that is submitted alone");
        if (!json_string_eq(key, "ref") && !codec_job_member(&r, key, value))
            return false;
    }
    if (!take_template(g, &r) || !codec_job_end(&r))
        return false;
    if (item->spec.name.ptr == NULL)
        item->spec.name = g->ret->refs[i];
    for (uint32_t k = 0; k < item->spec.n_parents; k++) {
        const struct job_parent *parent = &item->spec.parents[k];
        if (parent->is_marked)
            g->ret->items[parent->index].is_parent = true;
    }
    return true;
}

static bool count_edges(struct graph_reader *g, uint32_t i, uint32_t *n_edges)
{
    char pointer[48];
    *n_edges += g->ret->items[i].spec.n_parents;
    if (*n_edges <= MAX_GRAPH_EDGES)
        return true;
    (void)snprintf(pointer, sizeof pointer, "/jobs/%u/depends_on", i);
    return err_at(g->err, ERR_INVALID, pointer,
                  "makes more than %u dependencies in one request, which is the limit "
                  "graph.max_edges; a job between two groups needs only one for each of theirs",
                  MAX_GRAPH_EDGES);
}

bool codec_err_in_job(struct err *err, const struct err *why, uint32_t i)
{
    char pointer[sizeof why->pointer];
    (void)snprintf(pointer, sizeof pointer, "/jobs/%u%.100s", i, why->pointer);
    return err_at(err, why->code, pointer, "%s", why->detail);
}

static bool read_jobs(struct graph_reader *g)
{
    struct json_iter it;
    struct slice job;
    uint32_t n_edges = 0;
    json_iter_init(&it, g->jobs);
    for (uint32_t i = 0; i < g->ret->n && json_next_element(&it, &job); i++) {
        struct err why = {0};
        if (!read_job(g, job, i, &why))
            return codec_err_in_job(g->err, &why, i);
        if (!count_edges(g, i, &n_edges))
            return false;
    }
    return true;
}

/* ------------------------------------------------------------------------------------------------
 * cycles */

/* A parent in the graph that could not be taken away either. */
static uint32_t next_stuck(const struct graph_request *graph, const uint32_t *n_waits, uint32_t i)
{
    const struct job_spec *spec = &graph->items[i].spec;
    for (uint32_t k = 0; k < spec->n_parents; k++)
        if (spec->parents[k].is_marked && n_waits[spec->parents[k].index] > 0)
            return spec->parents[k].index;
    PRE(false); /* it waits for nobody: then it would have been taken away */
    return i;
}

/* From any job that is stuck, parent by parent, until one is met again. */
static void find_cycle(struct graph_request *graph, const uint32_t *n_waits, uint32_t *step)
{
    uint32_t i = 0, n = 0;
    while (n_waits[i] == 0)
        i++;
    for (; step[i] == 0; i = next_stuck(graph, n_waits, i)) {
        graph->cycle[n] = i;
        step[i] = ++n;
    }
    graph->n_cycle = n - (step[i] - 1);
    memmove(graph->cycle, graph->cycle + step[i] - 1, graph->n_cycle * sizeof *graph->cycle);
}

static bool tell_cycle(const struct graph_request *graph, struct err *err)
{
    char text[180];
    size_t len = 0;
    for (uint32_t k = 0; k <= graph->n_cycle; k++) {
        const char *ref = graph->refs[graph->cycle[k % graph->n_cycle]].ptr;
        if (len + strlen(ref) + 12 > sizeof text) {
            (void)snprintf(text + len, sizeof text - len, " → …");
            break;
        }
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%s", k == 0 ? "" : " → ", ref);
    }
    return err_at(err, ERR_DEPENDENCY_CYCLE, "/jobs", "These jobs wait for each other: %s", text);
}

/* Who waits for whom, turned round: children of job i are kids[first[i]] to kids[first[i + 1]]. */
struct turned {
    uint32_t *first, *kids, *n_waits;
};

static bool turn_round(const struct graph_request *graph, struct arena *a, struct turned *ret)
{
    uint32_t n_edges = 0;
    ret->first = arena_alloc(a, (graph->n + 2) * sizeof(uint32_t));
    ret->n_waits = arena_alloc(a, graph->n * sizeof(uint32_t));
    if (ret->first == NULL || ret->n_waits == NULL)
        return false;
    for (uint32_t i = 0; i < graph->n; i++) {
        const struct job_spec *spec = &graph->items[i].spec;
        for (uint32_t k = 0; k < spec->n_parents; k++) {
            if (!spec->parents[k].is_marked)
                continue;
            ret->first[spec->parents[k].index + 2]++;
            ret->n_waits[i]++;
            n_edges++;
        }
    }
    for (uint32_t i = 2; i < graph->n + 2; i++)
        ret->first[i] += ret->first[i - 1];
    ret->kids = arena_alloc(a, (n_edges + 1) * sizeof(uint32_t));
    for (uint32_t i = 0; i < graph->n && ret->kids != NULL; i++) {
        const struct job_spec *spec = &graph->items[i].spec;
        for (uint32_t k = 0; k < spec->n_parents; k++)
            if (spec->parents[k].is_marked)
                ret->kids[ret->first[spec->parents[k].index + 1]++] = i;
    }
    return ret->kids != NULL;
}

/* Takes away whoever waits for nobody, again and again (Kahn 1962); what is left is in a cycle, or
 * waits for one. */
static bool check_cycles(struct graph_request *graph, struct arena *a, struct err *err)
{
    struct turned turned;
    uint32_t *order = arena_alloc(a, (graph->n + 1) * sizeof *order);
    uint32_t n = 0;
    if (order == NULL || !turn_round(graph, a, &turned))
        return codec_arena_full(err);
    for (uint32_t i = 0; i < graph->n; i++)
        if (turned.n_waits[i] == 0)
            order[n++] = i;
    for (uint32_t at = 0; at < n; at++)
        for (uint32_t k = turned.first[order[at]]; k < turned.first[order[at] + 1]; k++)
            if (--turned.n_waits[turned.kids[k]] == 0)
                order[n++] = turned.kids[k];
    if (n == graph->n)
        return true;
    graph->cycle = order;
    uint32_t *step = arena_alloc(a, graph->n * sizeof *step);
    if (step == NULL)
        return codec_arena_full(err);
    find_cycle(graph, turned.n_waits, step);
    return tell_cycle(graph, err);
}

/* ------------------------------------------------------------------------------------------------
 * all of it */

bool codec_is_graph(struct slice body)
{
    struct slice ignored;
    struct err err = {0};
    if (memmem(body.ptr, body.len, "\"jobs\"", 6) == NULL ||
        !json_validate(body, GRAPH_JSON_LIMITS, &err))
        return false;
    body = json_trim(body);
    return json_type_of(body) == JSON_OBJECT && json_find(body, "jobs", &ignored);
}

bool codec_read_graph(const struct job_source *source, struct graph_request *ret, struct err *err)
{
    struct graph_reader g = {.source = *source, .ret = ret, .err = err};
    *ret = (struct graph_request){0};
    if (!json_validate(source->body, GRAPH_JSON_LIMITS, err))
        return false;
    g.template = json_trim(source->body);
    if (json_type_of(g.template) != JSON_OBJECT || !json_find(g.template, "jobs", &g.jobs))
        return err_at(err, ERR_INVALID, "/jobs", "is missing");
    return read_refs(&g) && read_template(&g) && read_jobs(&g) && check_cycles(ret, source->a, err);
}
