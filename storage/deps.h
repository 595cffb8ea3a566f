/* SPDX-License-Identifier: MIT */
/* Who waits for whom: a child (a job or a batch) counts the parents that have not ended, and each
 * parent tells its children when it does. Owner: the engine thread. Errors as in jobs.h.
 *
 * 1. A row of `deps` is an end that has not been told. It is deleted in the transaction that tells
 * it, so each end counts exactly once, whatever dies in between.
 * 2. A row of `waits` is a child that still waits; its n is the number of its rows in `deps`.
 * 3. `telling` holds what has ended and not told all of its children; nothing else must be found
 * after a restart. */
#ifndef GANGER_STORAGE_DEPS_H
#define GANGER_STORAGE_DEPS_H

#include "storage/queue.h"

/* A parent as a child about to be born finds it. */
struct dep_parent {
    struct job_id id;
    enum job_state state; /* of a batch: how it ended; RUNNING: it has not */
    bool is_batch;
};
/* NOT_FOUND: neither a job nor a batch has this id. */
MUST_CHECK bool deps_parent(struct store *store, const struct job_id *id, struct dep_parent *ret,
                            struct err *err);

/* The child waits for this parent, which has not ended. *ret_new is false when it did already. */
MUST_CHECK bool deps_add(struct store *store, int64_t parent, int64_t child, bool *ret_new,
                         struct err *err);
/* The parent has children from now on. */
MUST_CHECK bool deps_mark_parent(struct store *store, int64_t no, bool is_batch, int64_t now_us,
                                 struct err *err);

/* How a child waits. */
struct dep_wait {
    int64_t n; /* parents that have not ended */
    enum parent_policy policy;
};
MUST_CHECK bool deps_wait(struct store *store, int64_t child, const struct dep_wait *wait,
                          struct err *err);
/* It waits no more, whatever its parents do. */
MUST_CHECK bool deps_stop_waiting(struct store *store, int64_t child, struct err *err);
/* The child job's parents have all ended: a blocked one is queued, unless its batch still holds it
 * back; a scheduled one waits for its time alone. *ret_state: what it is now. */
MUST_CHECK bool deps_release(struct store *store, int64_t child, int64_t now_us,
                             enum job_state *ret_state, struct err *err);

/* An end as its children hear of it. */
struct dep_end {
    struct job_id id;
    enum job_state state;
    bool is_batch;
};
/* Children that have not been told, oldest first, at most max. */
MUST_CHECK bool deps_children(struct store *store, int64_t parent, struct due_list *ret,
                              struct err *err);
/* The child has been told of this parent's end. *ret is what it still waits for; n < 0: for
 * nothing, it had ended before. */
MUST_CHECK bool deps_tell(struct store *store, int64_t parent, int64_t child, struct dep_wait *ret,
                          struct err *err);

/* The list of what is still to be told. A second end of the same parent replaces the first. */
MUST_CHECK bool telling_put(struct store *store, const struct dep_end *end, struct err *err);
MUST_CHECK bool telling_first(struct store *store, struct dep_end *ret, bool *ret_found,
                              struct err *err);
MUST_CHECK bool telling_done(struct store *store, int64_t parent, struct err *err);

#endif
