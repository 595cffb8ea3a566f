/* SPDX-License-Identifier: MIT */
/* Verbs on a job that runs. They change no row: what they do leaves for the worker after the commit
 * that says that the job runs. */
#include "service/engine_state.h"

static bool conflict(const struct job_row *row, const char *what, struct err *err)
{
    return err_set(err, ERR_STATE_CONFLICT, "The job is %s; only a running one can be %s",
                   job_state_name(row->state), what);
}

/* What a function that is no command does happens in a process that serves others as well. */
static bool is_reachable(const struct engine *e, const struct flight *f, struct err *err)
{
    const bool can = f->state == FLIGHT_CLAIMED ? task_is_command(f->info.task)
                                                : pool_can_reach(e->parts.pool, f->place);
    return can || err_set(err, ERR_STATE_CONFLICT,
                          "The job has no process of its own that could be reached: it is no "
                          "command, or it ends just now; it can be cancelled");
}

static void ask(struct flight *f, const struct command *cmd)
{
    const uint32_t bit = UINT32_C(1) << cmd->reach.signal;
    f->reach_due = true;
    switch (cmd->reach.verb) {
    case REACH_SIGNAL:
        if (cmd->reach.is_tree)
            f->reach.tree_signals |= bit;
        else
            f->reach.signals |= bit;
        break;
    case REACH_SUSPEND: f->reach.suspend = 1; break;
    case REACH_RESUME: f->reach.suspend = -1; break;
    }
}

bool apply_reach(struct engine *e, struct command *cmd, struct err *err)
{
    static const char *const words[] = {
        [REACH_SIGNAL] = "signalled", [REACH_SUSPEND] = "suspended", [REACH_RESUME] = "resumed"};
    struct job_row row;
    if (!jobs_get(e->store, &cmd->reach.id, &row, err))
        return false;
    const bool may_stop = cmd->reach.verb == REACH_SIGNAL && row.state == JOB_STOPPING;
    struct flight *f = dispatch_find(&e->dispatch, row.no);
    if ((row.state != JOB_RUNNING && !may_stop) || f == NULL || f->state == FLIGHT_ENDED)
        return conflict(&row, words[cmd->reach.verb], err);
    if (!is_reachable(e, f, err))
        return false;
    ask(f, cmd);
    return true;
}
