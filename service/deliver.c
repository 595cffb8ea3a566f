/* SPDX-License-Identifier: MIT */
/* Callbacks, the engine's half: what is owed to a receiver is written down with the end itself, and
 * what became of a try with the next commit. The calls are made elsewhere (callbacks.h). */
#include "service/engine_state.h"

#include <errno.h>
#include <sys/eventfd.h>

#include "storage/deliveries.h"

bool deliver_open(struct engine *e, struct err *err)
{
    if (!callback_is_on(e->parts.cfg))
        return true;
    e->deliver_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return e->deliver_fd >= 0 || err_sys(err, ERR_INTERNAL, "eventfd");
}

bool apply_callback_change(struct engine *e, const struct job_change *change, struct err *err)
{
    bool made = false;
    if ((change->flags & JOB_CALLBACK) == 0 || change->from == change->to ||
        !job_change_is_end(change))
        return true;
    if (!delivery_insert(e->store, change, e->turn.now_us, &made, err))
        return false;
    e->turn.owes |= made;
    return true;
}

bool apply_delivered(struct engine *e, const struct command *cmd, struct err *err)
{
    const struct delivery_try try = {
        .id = cmd->delivered.id,
        .no = cmd->delivered.no,
        .at_us = cmd->delivered.at_us,
        .took_us = cmd->delivered.took_us,
        .again_us = cmd->delivered.again_us,
        .http_status = cmd->delivered.http_status,
        .outcome = cmd->delivered.outcome,
        .error = cmd->delivered.error[0] == '\0' ? NULL : cmd->delivered.error,
    };
    return delivery_record(e->store, &try, err);
}

void deliver_wake(const struct engine *e)
{
    /* EAGAIN means the counter is full, so the reader will wake anyway. */
    if (e->deliver_fd >= 0)
        (void)!write(e->deliver_fd, &(uint64_t){1}, sizeof(uint64_t));
}

void publish_delivered(struct engine *e, const struct command *cmd)
{
    const struct job_id *about = &cmd->delivered.about;
    if (cmd->err.code != ERR_NONE)
        return; /* it comes again */
    atomic_fetch_sub(&e->shared.delivering, 1);
    if (about->no == 0)
        return;
    events_put(e->events, &(struct event){
                              .kind = EVENT_CALLBACK,
                              .no = about->no,
                              .batch = cmd->delivered.is_batch ? about->no : 0,
                              .from = cmd->delivered.state,
                              .to = cmd->delivered.state,
                              .salt = about->salt,
                              .attempt = cmd->delivered.n,
                              .outcome = (uint32_t)MIN(cmd->delivered.http_status, 999),
                              .created_us = (int64_t)about->ms * 1000,
                              .at_us = cmd->delivered.at_us,
                          });
    publish_answers(
        e, waiters_wake(e->waiters, &(struct wake){.topic = TOPIC_ALL, .now_ns = e->turn.now_ns}));
}

bool deliver_is_busy(const struct engine *e)
{
    return atomic_load(&e->shared.delivering) > 0;
}

int engine_delivery_fd(const struct engine *e)
{
    return e->deliver_fd;
}

void engine_delivery_began(struct engine *e)
{
    atomic_fetch_add(&e->shared.delivering, 1);
}
