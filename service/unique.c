/* SPDX-License-Identifier: MIT */
/* Submissions with a unique key. The lock is a row of key_holders, which is written and deleted
 * together with the job's own: a job holds its key by being there and not having come to its end,
 * so nothing can stay locked after a crash. */
#include "service/engine_state.h"
#include "storage/change.h"

static bool duplicate(struct submit_item *item, const struct job_row *holder, const char *why,
                      struct err *err)
{
    char id[37];
    item->id = holder->id;
    job_id_format(&holder->id, id);
    return err_set(err, ERR_DUPLICATE, "Job %s is %s and holds this unique key%s", id,
                   job_state_name(holder->state), why);
}

/* The new job begins when the job `no` has ended, however that ends. codec_unique_end has made
 * room.
 */
static bool wait_for(struct engine *e, struct submit_item *item, int64_t no, struct err *err)
{
    struct job_row row;
    struct job_spec *spec = &item->spec;
    if (!jobs_get_by_no(e->store, no, &row, err))
        return false;
    spec->parents[spec->n_parents++] = (struct job_parent){.id = row.id, .pointer = "/unique"};
    spec->on_parent_failure = PARENT_RUN;
    return true;
}

/* The holder gives its key up: it is cancelled, or begins to stop. A job that replaces one which
 * itself still waited for a stopping one inherits that wait. */
static bool displace(struct engine *e, struct submit_item *item, const struct job_row *holder,
                     struct err *err)
{
    static const char why[] = "Replaced by a newer job with the same unique key";
    const struct job_spec *spec = &item->spec;
    int64_t ending = holder->no;
    enum job_state ignored;
    if (holder->state != JOB_RUNNING && !jobs_key_ending(e->store, holder->no, &ending, err))
        return false;
    if (ending != 0 && spec->n_parents > 0 && spec->on_parent_failure != PARENT_RUN)
        return duplicate(item, holder,
                         "; a job that depends on others can replace it only with "
                         "\"on_parent_failure\": \"run\"",
                         err);
    if (ending != 0 && !wait_for(e, item, ending, err))
        return false;
    return jobs_cancel(e->store, &(struct job_cancel){holder->no, e->turn.now_us, why}, &ignored,
                       err);
}

static bool replace(struct engine *e, struct submit_item *item, int64_t no, struct err *err)
{
    struct job_row holder;
    /* Before the savepoint: what a worker has taken stays recorded, whatever follows. */
    if (!dispatch_settle(&e->dispatch, &e->turn, no, err) ||
        !jobs_get_by_no(e->store, no, &holder, err))
        return false;
    e->dispatch.dirty = true;
    if (!store_savepoint(e->store, err))
        return false;
    if (!displace(e, item, &holder, err) || !apply_birth(e, item, err)) {
        store_savepoint_undo(e->store);
        return false;
    }
    store_savepoint_release(e->store);
    struct flight *f = dispatch_find(&e->dispatch, no);
    if (holder.state == JOB_RUNNING && f != NULL) {
        f->stop_requested = true;
        dispatch_stop(f, 0, -1);
    }
    return true;
}

bool apply_insert(struct engine *e, struct submit_item *item, struct err *err)
{
    struct job_row holder;
    int64_t no;
    if (!item->spec.has_unique)
        return pools_admit(e, &item->spec, err) && apply_birth(e, item, err);
    if (!jobs_key_holder(e->store, item->spec.unique_key, &no, err))
        return false;
    if (no == 0)
        return pools_admit(e, &item->spec, err) && apply_birth(e, item, err);
    if (item->spec.on_conflict == UNIQUE_REPLACE)
        return pools_admit(e, &item->spec, err) && replace(e, item, no, err);
    if (!jobs_get_by_no(e->store, no, &holder, err))
        return false;
    if (item->spec.on_conflict == UNIQUE_REJECT)
        return duplicate(item, &holder, "", err);
    item->id = holder.id;
    item->created_us = holder.created_us;
    item->is_existing = true;
    return true;
}
