/* SPDX-License-Identifier: MIT */
/* Verbs on more jobs than one turn can bear: elements of a batch by index, the failed ones once
 * more, all that waits in a queue. The first step belongs to the command; when it leaves something,
 * the rest is stored with it and worked off, one step in each turn. So what has been accepted goes
 * on when the client has left, and after kill -9; and a client that stays hears when all is done.
 * Of several, each has its turn. */
#include "storage/chores.h"

#include "service/engine_state.h"

static bool step(struct engine *e, struct chore *c, struct err *err)
{
    switch (c->kind) {
    case CHORE_CANCEL: return batch_cancel_step(e, c, err);
    case CHORE_RETRY: return batch_retry_step(e, c, err);
    case CHORE_PURGE: return queue_purge_step(e, c, err);
    }
    return err_set(err, ERR_NOT_FOUND, "A stored verb on many jobs is of no known kind");
}

bool chore_begin(struct engine *e, struct command *cmd, struct chore *c, enum verdict *ret,
                 struct err *err)
{
    const struct index_range *all = c->ranges;
    if (!step(e, c, err))
        return false;
    cmd->tally = c->tally;
    if (chore_is_over(c))
        return true;
    if (!chore_insert(e->store, c, all, err))
        return err_wrap(err, "store the rest of a verb on many jobs");
    cmd->tally.id = c->tally.id;
    e->has_chores = true;
    *ret = VERDICT_PARK;
    return true;
}

bool chores_stop_retries(struct engine *e, int64_t batch, struct err *err)
{
    return !e->has_chores || chore_refuse_retries(e->store, batch, err);
}

static bool end_chore(struct engine *e, const struct chore *c, const struct err *why,
                      struct err *err)
{
    e->chore_over.tally = c->tally;
    e->chore_over.err = *why;
    return chore_delete(e->store, c->tally.id, err);
}

/* What its verb refuses now (the batch is being cancelled, or gone) ends it: nobody can say it
 * differently. */
static bool run_step(struct engine *e, const void *arg, struct err *err)
{
    struct chore *c = *(struct chore *const *)arg;
    struct err why = {0};
    const bool refused = !step(e, c, &why);
    if (SEEDED_BUG("chore")) /* a negative control of the guard */
        return err_set(err, ERR_INTERNAL, "a seeded fault");
    if (refused && apply_is_store_failure(&why))
        return err_set(err, why.code, "%s", why.detail);
    if (refused || chore_is_over(c))
        return end_chore(e, c, &why, err);
    return chore_put(e->store, c, err);
}

static bool run_give_up(struct engine *e, const void *arg, struct err *err)
{
    const struct chore *c = *(struct chore *const *)arg;
    struct err why = {0};
    (void)err_set(&why, ERR_INTERNAL,
                  "The rest was given up after an error that the log tells; the same request again "
                  "does the rest");
    return end_chore(e, c, &why, err);
}

static bool work_on(struct engine *e, struct chore *c, struct err *err)
{
    struct guarded guarded = {.name = "a verb on many jobs", .run = run_step, .arg = &c};
    bool dropped;
    if (FAULT("chore-step"))
        return err_set(err, ERR_STORAGE, "Simulated failure of the store.");
    if (!guard(e, &guarded, &dropped, err))
        return false;
    if (!dropped)
        return true;
    guarded.run = run_give_up;
    return guard(e, &guarded, &dropped, err);
}

bool apply_chore_work(struct engine *e, struct err *err)
{
    struct chore c;
    bool found;
    e->chore_over.tally.id = 0; /* of a turn that was not stored */
    if (!e->has_chores)
        return true;
    if (!chore_next(e->store, e->chore_at, &c, &found, err) ||
        (!found && e->chore_at != 0 && !chore_next(e->store, 0, &c, &found, err)))
        return err_wrap(err, "look for verbs on many jobs");
    e->has_chores = found;
    e->chore_at = found ? c.tally.id : 0;
    return !found || work_on(e, &c, err);
}
