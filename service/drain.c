/* SPDX-License-Identifier: MIT */
/* How the service ends: refuse, let running jobs end, stop the rest, answer everybody. */
#include "service/engine_state.h"

#include <signal.h>
#include <sys/epoll.h>

#define DRAIN_GRACE_US 1000000 /* TERM, one second, KILL when the drain budget is used up */
#define DRAIN_KILL_NS UINT64_C(2000000000) /* then the service leaves all the same */

void drain_begin(struct engine *e)
{
    log_event(e->parts.log, LOG_INFO, "draining", LOG_SECONDS_US("budget", e->parts.cfg->drain_us),
              LOG_INT("running", dispatch_running(&e->dispatch)));
    atomic_store(&e->shared.phase, PHASE_DRAINING);
    pools_drain(e);
    dispatch_drop_reservations(&e->dispatch);
    e->drain_deadline_ns = clock_mono_ns() + (uint64_t)e->parts.cfg->drain_us * 1000;
    deliver_wake(e);
}

void drain_hurry(struct engine *e)
{
    e->drain_hurried = true;
    e->drain_deadline_ns = 0;
    e->drain_kill_ns = 0;
}

/* Drain: nothing new starts, running jobs may end; when the budget is used up they are stopped, and
 * are tried again if their policy has attempts left. */
void drain_drive(struct engine *e)
{
    uint64_t now_ns = clock_mono_ns();
    bool is_over = now_ns >= e->drain_deadline_ns;
    /* A callback that is not recorded would be made once more. */
    if (dispatch_running(&e->dispatch) == 0 && !dispatch_has_news(&e->dispatch) &&
        (is_over || !deliver_is_busy(e))) {
        e->exit_code = 0;
        return;
    }
    if (!is_over)
        return;
    if (e->drain_kill_ns == 0) {
        e->drain_kill_ns = now_ns + DRAIN_KILL_NS +
                           (uint64_t)e->parts.cfg->pool_kill_deadline_us * 1000;
        for (uint32_t k = 0; k < e->dispatch.n; k++) {
            struct flight *f = &e->dispatch.flights[k];
            if (f->state != FLIGHT_RUNNING)
                continue;
            f->drain_stop = true;
            pool_stop(e->parts.pool, f->place, e->drain_hurried ? SIGKILL : 0,
                      e->drain_hurried ? 0 : DRAIN_GRACE_US);
        }
    } else if (now_ns >= e->drain_kill_ns) {
        e->exit_code = 0; /* what is left is killed with the pool, and found by the next start */
    }
}

/* Answers everybody and lets nobody in any more. */
void drain_close_inbox(struct engine *e)
{
    atomic_store(&e->shared.phase, PHASE_STOPPED);
    atomic_store(&e->inbox.closed, true);
    publish_answers(e, waiters_all(e->waiters));
    publish_notify(e);
    while (atomic_load(&e->inbox.reserved) != 0 || e->pending != NULL) {
        struct epoll_event event;
        (void)epoll_wait(e->epoll_fd, &event, 1, 1); /* somebody has reserved and will post within
                                                        microseconds */
        inbox_heard(&e->inbox);
        collect_commands(e);
        for (size_t i = 0; i < e->n_batch; i++) {
            struct command *cmd = e->batch[i];
            e->verdicts[i] = cmd->kind == CMD_UNPARK ? VERDICT_PARK : VERDICT_ANSWER;
            cmd->timed_out = true;
            if (command_writes(cmd))
                (void)err_set(&cmd->err, ERR_DRAINING,
                              "The service has stopped; send the request to its successor");
        }
        publish_commands(e);
        publish_notify(e);
    }
    publish_answers(e, waiters_all(e->waiters));
    publish_notify(e);
}
