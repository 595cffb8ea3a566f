/* SPDX-License-Identifier: MIT */
/* Verbs on queues. Whatever they change, what was reserved under the old settings is settled first:
 * after the commit nothing begins that the new ones do not allow. */
#include "service/engine_state.h"
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

bool apply_empty(struct engine *e, struct command *cmd, struct err *err)
{
    uint32_t queue = settings_find(e->store, cmd->empty.queue);
    cmd->empty.n_cancelled = 0;
    PRE(cmd->empty.n <= MAX_EMPTIED);
    for (uint32_t i = 0; i < cmd->empty.n && queue != 0; i++) {
        bool cancelled;
        if (!empty_one(e, queue, cmd->empty.nos[i], &cancelled, err))
            return err_wrap(err, "purge");
        cmd->empty.n_cancelled += cancelled;
    }
    e->dispatch.dirty = true;
    return true;
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
