/* SPDX-License-Identifier: MIT */
/* One step that fails must not keep everything else from being stored. A step that follows from
 * what was stored (a reaction, a due time) comes again in every turn, so an error of its logic
 * would refuse all transactions from then on, for everybody. The first such error refuses one
 * transaction, of which nothing is stored, and makes the engine careful for a while: each step has
 * a savepoint of its own, and one that fails again is undone alone, dropped, and told to the
 * operator. A careless turn, as all are when nothing fails, pays nothing for that. */
#include "service/engine_state.h"

#define CAREFUL_NS UINT64_C(60000000000) /* after the last error */

/* What SQLite itself could not do may work in a moment, and a step that was dropped for it would be
 * lost: then nothing is stored at all, as ever. A statement that the schema or our own checks
 * refuse is refused again. */
static bool is_droppable(const struct engine *e, const struct err *why)
{
    return why->code != ERR_STORAGE && why->code != ERR_DISK_FULL &&
           why->code != ERR_OUTCOME_UNKNOWN && store_can_go_on(e->store);
}

/* Whoever is in the transaction hears that it was not stored, whatever the step's error means. */
static bool refuse(const struct guarded *step, const struct err *why, struct err *err)
{
    const bool is_full = why->code == ERR_DISK_FULL || why->code == ERR_OUTCOME_UNKNOWN;
    return err_set(err, is_full ? why->code : ERR_STORAGE, "%s: %s", step->name, why->detail);
}

static void tell(struct engine *e, const struct guarded *step, const struct err *why)
{
    char id[37] = "";
    if (step->id.no != 0)
        job_id_format(&step->id, id);
    metrics_add(e->parts.metrics, COUNT_STEPS_DROPPED, 1);
    log_event(e->parts.log, LOG_ERROR, "step dropped", LOG_STR("step", step->name),
              LOG_STR("id", id), LOG_STR("detail", why->detail));
}

static bool run_careful(struct engine *e, const struct guarded *step, bool *ret_dropped,
                        struct err *err)
{
    struct err why = {0};
    const struct turn_mark mark = turn_mark(&e->turn);
    if (!store_savepoint(e->store, err))
        return false;
    dispatch_mark(&e->dispatch);
    if (step->run(e, step->arg, &why)) {
        store_savepoint_release(e->store);
        return true;
    }
    store_savepoint_undo(e->store);
    dispatch_back_to_mark(&e->dispatch);
    turn_back(&e->turn, mark);
    e->careful_until_ns = e->turn.now_ns + CAREFUL_NS;
    if (!is_droppable(e, &why))
        return refuse(step, &why, err);
    tell(e, step, &why);
    *ret_dropped = true;
    return true;
}

bool guard(struct engine *e, const struct guarded *step, bool *ret_dropped, struct err *err)
{
    struct err why = {0};
    *ret_dropped = false;
    if (e->turn.now_ns < e->careful_until_ns)
        return run_careful(e, step, ret_dropped, err);
    if (step->run(e, step->arg, &why))
        return true;
    e->careful_until_ns = e->turn.now_ns + CAREFUL_NS;
    return refuse(step, &why, err);
}
