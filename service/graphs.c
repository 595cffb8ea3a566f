/* SPDX-License-Identifier: MIT */
/* A graph: jobs that depend on each other, born together in one transaction or not at all. That
 * there is no cycle, the codec has seen to. */
#include "service/engine_state.h"

/* The place of the error is inside job i. */
static bool fail_at(uint32_t i, const struct err *why, struct err *err)
{
    return err_at(err, why->code, "", "%s", why->detail) ||
           (err != NULL &&
            snprintf(err->pointer, sizeof err->pointer, "/jobs/%u%s", i, why->pointer) < 0);
}

/* The rows first: who names a later one needs its number. */
static bool insert_jobs(struct engine *e, struct graph_ask *ask, struct family *families,
                        struct err *err)
{
    for (uint32_t i = 0; i < ask->n; i++) {
        struct submit_item *item = &ask->items[i];
        struct err why = {0};
        item->batch = ask->id.no;
        item->index = i;
        if (!apply_parents_look(e, &item->spec, &families[i], &why) ||
            !apply_row(e, item, &families[i], &why))
            return fail_at(i, &why, err);
    }
    return true;
}

static bool link_jobs(struct engine *e, struct graph_ask *ask, const struct family *families,
                      struct err *err)
{
    for (uint32_t i = 0; i < ask->n; i++) {
        struct submit_item *item = &ask->items[i];
        struct job_spec *spec = &item->spec;
        for (uint32_t k = 0; k < spec->n_parents; k++) {
            struct job_parent *parent = &spec->parents[k];
            if (!parent->is_marked)
                continue;
            parent->id = ask->items[parent->index].id;
            parent->is_pending = true;
        }
        if (!apply_parents_enter(e, spec, item->id.no, &families[i], err))
            return false;
    }
    return true;
}

/* While its jobs are being born, the batch is not complete; so it cannot be over before the last.
 */
static bool close_graph(struct engine *e, int64_t no, struct err *err)
{
    const struct batch *b;
    if (!batch_get_by_no(e->store, no, &b, err))
        return false;
    struct batch after = *b;
    after.phase = BATCH_CLOSED;
    return batch_put(e->store, &after, e->turn.now_us, err);
}

static bool make_graph(struct engine *e, struct command *cmd, struct err *err)
{
    struct graph_ask *ask = &cmd->graph;
    AUTO_FREE struct family *families = must_alloc(ask->n * sizeof *families);
    const struct batch_new batch = {
        .kind = BATCH_GRAPH,
        .phase = BATCH_UPLOADING,
        .spec = ask->spec,
        .now_us = e->turn.now_us,
        .max_failures = ask->max_failures,
        .chunksize = 1,
        .salt = apply_salt(e),
    };
    return batch_insert(e->store, &batch, &ask->id, err) && insert_jobs(e, ask, families, err) &&
           link_jobs(e, ask, families, err) && close_graph(e, ask->id.no, err) &&
           key_keep(e, &cmd->key, ask->id.no, 1, err);
}

static bool are_admitted(const struct engine *e, const struct graph_ask *ask, struct err *err)
{
    for (uint32_t i = 0; i < ask->n; i++)
        if (!pools_admit(e, &ask->items[i].spec, err))
            return false;
    return true;
}

bool apply_graph(struct engine *e, struct command *cmd, struct err *err)
{
    bool is_new = true;
    if (!key_check(e, cmd, &is_new, err))
        return false;
    if (!is_new)
        return true;
    if (!apply_admits(e, err) || !are_admitted(e, &cmd->graph, err) ||
        !store_savepoint(e->store, err))
        return false;
    if (make_graph(e, cmd, err)) {
        store_savepoint_release(e->store);
        return true;
    }
    if (!apply_is_store_failure(err))
        store_savepoint_undo(e->store);
    return false;
}
