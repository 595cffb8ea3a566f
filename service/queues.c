/* SPDX-License-Identifier: MIT */
/* Verbs on queues. Whatever they change, what was reserved under the old settings is settled first:
 * after the commit nothing begins that the new ones do not allow. */
#include "service/engine_state.h"
#include "storage/chores.h"
#include "storage/pools.h"
#include "storage/settings.h"

bool apply_queue(struct engine *e, struct command *cmd, struct err *err)
{
    struct settings_change change = {
        .name = cmd->queue.name, .change = &cmd->queue.change, .may_make = cmd->queue.may_make};
    uint32_t queue = settings_find(e->store, cmd->queue.name);
    if (queue != 0 && !dispatch_settle_queue(&e->dispatch, &e->turn, queue, err))
        return err_wrap(err, "settle what is in flight");
    if (cmd->queue.is_delete)
        return settings_delete(e->store, cmd->queue.name, cmd->queue.change.if_version, err);
    if (!settings_apply(e->store, &change, err))
        return false;
    cmd->queue.is_new = change.is_new;
    return true;
}

static bool empty_one(struct engine *e, uint32_t queue, int64_t no, bool *ret_cancelled,
                      struct err *err)
{
    static const char why[] = "The queue was purged.";
    struct err missing = {0};
    struct job_row row;
    enum job_state state;
    *ret_cancelled = false;
    if (!dispatch_settle(&e->dispatch, &e->turn, no, err))
        return false;
    if (!jobs_get_by_no(e->store, no, &row, &missing))
        return missing.code == ERR_NOT_FOUND || err_set(err, missing.code, "%s", missing.detail);
    bool waits = row.state == JOB_SCHEDULED || row.state == JOB_BLOCKED || row.state == JOB_QUEUED;
    if (!waits || row.queue != queue)
        return true;
    *ret_cancelled = true;
    return jobs_cancel(e->store, &(struct job_cancel){no, e->turn.now_us, why}, &state, err);
}

/* What is queued, and then a piece of the walk over all others. */
bool queue_purge_step(struct engine *e, struct chore *c, struct err *err)
{
    int64_t nos[MAX_PURGED];
    size_t n_left = MAX_PURGED;
    e->dispatch.dirty = true;
    for (bool is_walk = false; n_left > 0 && !is_walk && !chore_is_over(c);) {
        struct purge_list list = {nos, n_left, 0};
        if (!chore_purged(e->store, c, &list, err))
            return err_wrap(err, "find what waits in a queue");
        for (size_t i = 0; i < list.n; i++) {
            bool cancelled;
            if (!empty_one(e, (uint32_t)c->target, nos[i], &cancelled, err))
                return err_wrap(err, "purge");
            c->tally.changed += cancelled;
        }
        n_left -= list.n;
        is_walk = c->range > 0;
    }
    return true;
}

/* What comes after this moment stays. */
bool apply_purge(struct engine *e, struct command *cmd, enum verdict *ret, struct err *err)
{
    struct chore c = {.kind = CHORE_PURGE,
                      .target = settings_find(e->store, cmd->purge.queue),
                      .all_ranges = 2,
                      .up_to = pools_newest(e->store)};
    if (c.target == 0)
        return err_set(err, ERR_NOT_FOUND,
                       "There is no queue with this name; its first job or PUT makes it.");
    return chore_begin(e, cmd, &c, ret, err);
}

void publish_queues(struct engine *e)
{
    bool has_defaults = false;
    if (e->settings_epoch == settings_epoch(e->store))
        return;
    e->settings_epoch = settings_epoch(e->store);
    for (uint32_t queue = 1; queue <= settings_queues(e->store) && !has_defaults; queue++)
        has_defaults = settings_of(e->store, queue)->has_defaults;
    atomic_store_explicit(&e->shared.has_defaults, has_defaults, memory_order_release);
}
