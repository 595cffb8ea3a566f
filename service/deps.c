/* SPDX-License-Identifier: MIT */
/* Jobs that wait for others. Whoever ends tells its children, in the same transaction when they are
 * few; a large family is told over several turns, and what is left to tell is in the store. An end
 * that this brings to a child is a change like any other, so a chain of any length is worked off by
 * the loop of apply_changes and never by recursion. */
#include "service/engine_state.h"

#define MAX_TOLD 500 /* children that hear of an end in one turn: a few milliseconds */

/* ------------------------------------------------------------------------------------------------
 * a child is born */

static bool no_such_parent(const struct job_parent *parent, struct err *err)
{
    char id[37];
    job_id_format(&parent->id, id);
    return err_at(err, ERR_INVALID, parent->pointer, "There is no job or batch %s", id);
}

/* A blob that is gone now would make a job that can never begin. */
static bool look_for_blobs(struct engine *e, const struct job_spec *spec, struct err *err)
{
    for (uint32_t i = 0; i < spec->n_inputs; i++) {
        const struct job_input *input = &spec->inputs[i];
        struct err missing = {0};
        struct blob blob;
        if (input->stream != INPUT_OF_BLOB || blob_find(e->store, &input->blob, &blob, &missing))
            continue;
        return missing.code == ERR_NOT_FOUND
                   ? err_at(err, ERR_INVALID, input->pointer, "There is no blob with this id")
                   : err_set(err, missing.code, "%s", missing.detail);
    }
    return true;
}

bool apply_parents_look(struct engine *e, const struct job_spec *spec, struct family *ret,
                        struct err *err)
{
    *ret = (struct family){0};
    if (!look_for_blobs(e, spec, err))
        return false;
    for (uint32_t i = 0; i < spec->n_parents; i++) {
        struct job_parent *parent = &spec->parents[i];
        struct dep_parent found;
        struct err missing = {0};
        if (parent->is_marked) { /* of the same graph: it is born with this one */
            ret->waits = true;
            continue;
        }
        if (!deps_parent(e->store, &parent->id, &found, &missing))
            return missing.code == ERR_NOT_FOUND ? no_such_parent(parent, err)
                                                 : err_set(err, missing.code, "%s", missing.detail);
        if (found.is_batch && parent->only_job)
            return err_at(err, ERR_INVALID, parent->pointer,
                          "is a batch, which has no output of its own; name one of its jobs");
        parent->is_batch = found.is_batch;
        parent->is_pending = !job_state_is_end(found.state);
        bool is_failure = !parent->is_pending && found.state != JOB_SUCCEEDED;
        if (is_failure && spec->on_parent_failure != PARENT_RUN && !ret->is_doomed) {
            ret->is_doomed = true;
            ret->end = (struct dep_end){found.id, found.state, found.is_batch};
        }
        ret->waits = ret->waits || parent->is_pending;
    }
    ret->waits = ret->waits || ret->is_doomed;
    return true;
}

/* In the words of the child. */
static void say_why(const struct dep_end *end, char out[160])
{
    char id[37];
    job_id_format(&end->id, id);
    (void)snprintf(out, 160, "It depends on %s %s, which %s", end->is_batch ? "batch" : "job", id,
                   end->state == JOB_CANCELLED ? "was cancelled" : "failed");
}

/* Numbers of jobs and of batches come from one sequence. */
static bool is_batch_child(struct engine *e, int64_t child, bool *ret, struct err *err)
{
    struct job_row row;
    struct err missing = {0};
    *ret = !jobs_get_by_no(e->store, child, &row, &missing);
    return !*ret || missing.code == ERR_NOT_FOUND ||
           err_set(err, missing.code, "%s", missing.detail);
}

/* A parent did not succeed, and the child's policy is not to run then. */
static bool give_up(struct engine *e, int64_t child, const struct dep_end *end,
                    enum parent_policy policy, struct err *err)
{
    enum job_state ignored;
    char why[160];
    const struct batch *batch;
    bool is_batch;
    say_why(end, why);
    if (!deps_stop_waiting(e->store, child, err) || !is_batch_child(e, child, &is_batch, err))
        return false;
    if (is_batch)
        return batch_get_by_no(e->store, child, &batch, err) && batch_halt(e, batch, why, err);
    if (policy == PARENT_FAIL)
        return jobs_refuse(
            e->store, &(struct job_refusal){child, REASON_DEPENDENCY, e->turn.now_us, why}, err);
    return jobs_cancel(e->store, &(struct job_cancel){child, e->turn.now_us, why}, &ignored, err);
}

static bool keep_inputs(struct engine *e, const struct job_spec *spec, int64_t child,
                        struct err *err)
{
    for (uint32_t i = 0; i < spec->n_inputs; i++) {
        const struct job_input *input = &spec->inputs[i];
        const bool is_blob = input->stream == INPUT_OF_BLOB;
        struct input_row row = {
            .kind = input->kind,
            .parent = is_blob ? input->blob.no : spec->parents[input->parent].id.no,
            .stream = input->stream,
            .argument = input->argument,
            .at = input->at,
            .len = input->len,
            .name = input->name,
        };
        if (!inputs_put(e->store, child, i, &row, err) ||
            (is_blob && !blob_use(e->store, row.parent, child, err)))
            return false;
    }
    return true;
}

bool apply_parents_enter(struct engine *e, const struct job_spec *spec, int64_t child,
                         const struct family *family, struct err *err)
{
    struct dep_wait wait = {0, spec->on_parent_failure};
    if (!keep_inputs(e, spec, child, err))
        return false;
    if (family->is_doomed)
        return give_up(e, child, &family->end, spec->on_parent_failure, err);
    for (uint32_t i = 0; i < spec->n_parents; i++) {
        const struct job_parent *parent = &spec->parents[i];
        bool is_new;
        if (!parent->is_pending)
            continue;
        if (!deps_add(e->store, parent->id.no, child, &is_new, err) ||
            (!parent->is_marked &&
             !deps_mark_parent(e->store, parent->id.no, parent->is_batch, e->turn.now_us, err)))
            return false;
        wait.n += is_new;
    }
    return wait.n == 0 || deps_wait(e->store, child, &wait, err);
}

/* ------------------------------------------------------------------------------------------------
 * a parent ends */

static bool release(struct engine *e, int64_t child, struct err *err)
{
    enum job_state state;
    bool is_batch;
    if (!is_batch_child(e, child, &is_batch, err))
        return false;
    if (is_batch)
        return deps_stop_waiting(e->store, child, err) && batch_release_begin(e, child, err);
    if (!deps_release(e->store, child, e->turn.now_us, &state, err))
        return false;
    e->dispatch.dirty |= state == JOB_QUEUED;
    return true;
}

/* It may have ended in this very turn, been deleted, or been asked to run nevertheless: then its
 * own change, which is worked off later, takes away that it waits. */
static bool still_waits(struct engine *e, int64_t child, bool *ret, struct err *err)
{
    struct job_row row;
    const struct batch *batch;
    struct err missing = {0};
    bool is_batch;
    *ret = false;
    if (!is_batch_child(e, child, &is_batch, err))
        return false;
    if (is_batch) {
        if (!batch_get_by_no(e->store, child, &batch, &missing))
            return missing.code == ERR_NOT_FOUND ||
                   err_set(err, missing.code, "%s", missing.detail);
        *ret = !batch_is_over(batch) && (batch->flags & JOB_WAITS) != 0;
        return true;
    }
    if (!jobs_get_by_no(e->store, child, &row, err))
        return false;
    *ret = !job_state_is_end(row.state) && (row.flags & JOB_WAITS) != 0;
    return true;
}

static bool tell_one(struct engine *e, const struct dep_end *end, int64_t child, struct err *err)
{
    struct dep_wait wait;
    bool waits;
    e->turn.n_told++;
    if (!deps_tell(e->store, end->id.no, child, &wait, err))
        return false;
    if (wait.n < 0)
        return true;
    if (!still_waits(e, child, &waits, err))
        return false;
    if (!waits)
        return deps_stop_waiting(e->store, child, err);
    if (end->state != JOB_SUCCEEDED && wait.policy != PARENT_RUN)
        return give_up(e, child, end, wait.policy, err);
    return wait.n > 0 || release(e, child, err);
}

struct telling {
    const struct dep_end *end;
    int64_t child;
};

static bool run_tell(struct engine *e, const void *arg, struct err *err)
{
    const struct telling *t = arg;
    if (SEEDED_BUG("tell") && t->child % 2 == 0) /* a negative control of the guard */
        return err_set(err, ERR_INTERNAL, "a seeded fault");
    return tell_one(e, t->end, t->child, err) ||
           err_wrap(err, "tell job %lld of an end", (long long)t->child);
}

/* A child that cannot hear of it waits for ever, but its siblings do not wait with it. */
static bool run_give_up_telling(struct engine *e, const void *arg, struct err *err)
{
    const struct telling *t = arg;
    struct dep_wait ignored;
    return deps_tell(e->store, t->end->id.no, t->child, &ignored, err);
}

static bool tell_guarded(struct engine *e, const struct telling *t, struct err *err)
{
    struct guarded step = {
        .name = "tell a child of an end", .id = t->end->id, .run = run_tell, .arg = t};
    bool dropped;
    if (!guard(e, &step, &dropped, err))
        return false;
    step.run = run_give_up_telling;
    return !dropped || guard(e, &step, &dropped, err);
}

/* As many children as this turn may still tell. */
static bool tell(struct engine *e, const struct dep_end *end, bool is_guarded, bool *ret_done,
                 struct err *err)
{
    int64_t children[MAX_TOLD];
    struct due_list list = {children, MAX_TOLD - MIN(e->turn.n_told, (size_t)MAX_TOLD), 0};
    *ret_done = false;
    if (list.max == 0)
        return true;
    if (!deps_children(e->store, end->id.no, &list, err))
        return false;
    for (size_t i = 0; i < list.n; i++) {
        const struct telling t = {end, children[i]};
        if (is_guarded ? !tell_guarded(e, &t, err) : !run_tell(e, &t, err))
            return false;
    }
    *ret_done = list.n < list.max;
    return true;
}

bool apply_telling_left(struct engine *e, struct err *err)
{
    struct dep_end ignored;
    return telling_first(e->store, &ignored, &e->is_telling, err);
}

bool apply_telling(struct engine *e, struct err *err)
{
    while (e->is_telling && e->turn.n_told < MAX_TOLD) {
        struct dep_end end;
        bool done;
        if (!telling_first(e->store, &end, &e->is_telling, err))
            return err_wrap(err, "find what is to be told");
        if (!e->is_telling)
            return true;
        if (!tell(e, &end, true, &done, err) || (done && !telling_done(e->store, end.id.no, err)))
            return false;
    }
    return !e->is_telling || apply_telling_left(e, err);
}

static struct dep_end end_of(const struct job_change *change)
{
    return (struct dep_end){
        .id = {(uint64_t)change->created_us / 1000, change->no, change->salt},
        .state = change->to,
        .is_batch = change->is_batch,
    };
}

static bool is_end(const struct job_change *change)
{
    return change->from != change->to && job_change_is_end(change);
}

bool apply_family_later(struct engine *e, const struct job_change *change, struct err *err)
{
    const struct dep_end end = end_of(change);
    if (!is_end(change) || (change->flags & JOB_PARENT) == 0)
        return true;
    e->is_telling = true;
    return telling_put(e->store, &end, err);
}

static bool has_ended(struct engine *e, const struct job_change *change, struct err *err)
{
    const struct dep_end end = end_of(change);
    bool done;
    return tell(e, &end, false, &done, err) && (done || apply_family_later(e, change, err));
}

bool apply_family_change(struct engine *e, const struct job_change *change, struct err *err)
{
    if (!is_end(change))
        return true;
    if ((change->flags & JOB_PARENT) != 0 && !has_ended(e, change, err))
        return false;
    return (change->flags & JOB_WAITS) == 0 || deps_stop_waiting(e->store, change->no, err);
}
