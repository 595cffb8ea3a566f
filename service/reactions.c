/* SPDX-License-Identifier: MIT */
/* What follows from a change, in the transaction that makes it. */
#include "service/engine_state.h"

typedef bool reaction_fn(struct engine *e, const struct job_change *change, struct err *err);

/* The negative control of the guard: a reaction with a bug. */
static bool seeded_fault(struct engine *e, const struct job_change *change, struct err *err)
{
    (void)e;
    return !SEEDED_BUG("reaction") || change->to != JOB_FAILED ||
           err_set(err, ERR_INTERNAL, "a seeded fault");
}

static bool react_batch(struct engine *e, const struct job_change *change, struct err *err)
{
    return seeded_fault(e, change, err) && apply_batch_change(e, change, err);
}

static const struct reaction {
    const char *name;
    reaction_fn *run, *instead; /* of one that fails; or NULL */
    uint32_t flags;             /* whom it is for: who has one of them; 0: everybody */
} reactions[] = {
    {"tell the children of an end", apply_family_change, apply_family_later,
     JOB_PARENT | JOB_WAITS},
    {"let a batch go on", react_batch, NULL, 0},
    {"end a pipeline", apply_stage_change, NULL, JOB_GANG},
    {"owe a callback", apply_callback_change, NULL, JOB_CALLBACK},
    {"let blobs go", apply_blob_change, NULL, JOB_INPUTS | JOB_OUTPUTS},
};

static bool is_for(const struct reaction *reaction, const struct job_change *change)
{
    return reaction->flags == 0 || (reaction->flags & change->flags) != 0;
}

struct cause {
    reaction_fn *run;
    const struct job_change *change;
};

static bool run(struct engine *e, const void *arg, struct err *err)
{
    const struct cause *cause = arg;
    return cause->run(e, cause->change, err);
}

static bool react(struct engine *e, const struct reaction *reaction,
                  const struct job_change *change, struct err *err)
{
    struct cause cause = {reaction->run, change};
    const struct guarded step = {
        .name = reaction->name,
        .id = {(uint64_t)change->created_us / 1000, change->no, change->salt},
        .run = run,
        .arg = &cause,
    };
    bool dropped;
    if (!guard(e, &step, &dropped, err))
        return false;
    cause.run = reaction->instead;
    return !dropped || cause.run == NULL || guard(e, &step, &dropped, err);
}

bool apply_changes(struct engine *e, struct err *err)
{
    for (;;) {
        size_t n;
        const struct job_change *changes = store_changes(e->store, &n);
        if (e->turn.n_seen == n)
            return true;
        struct job_change change = changes[e->turn.n_seen++]; /* the list may grow and move */
        for (size_t i = 0; i < ARRAY_LEN(reactions); i++)
            if (is_for(&reactions[i], &change) && !react(e, &reactions[i], &change, err))
                return false;
    }
}
