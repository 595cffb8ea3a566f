/* SPDX-License-Identifier: MIT */
/* The head of the ready order, within what the settings of queues allow. */
#include "storage/batches.h"
#include "storage/queue.h"
#include "storage/store_impl.h"

static bool ready_before(const struct ready_job *a, const struct ready_job *b)
{
    return a->priority != b->priority ? a->priority > b->priority : a->no < b->no;
}

/* False when the job comes after all of a full list. */
static bool ready_merge(struct ready_list *list, const struct ready_job *job)
{
    size_t at = list->n;

    if (list->n == list->max && !ready_before(job, &list->jobs[list->max - 1]))
        return false;
    while (at > 0 && ready_before(job, &list->jobs[at - 1]))
        at--;
    if (list->n < list->max)
        list->n++;
    memmove(&list->jobs[at + 1], &list->jobs[at], (list->n - at - 1) * sizeof(*job));
    list->jobs[at] = *job;
    return true;
}

/* What a step of a statement has met. */
struct step {
    bool found;
    int64_t skip; /* the row belongs to a halted batch, which is about to be cancelled: the last
                     number of its neighbours in the batch; else 0 */
};

/* The next row of a statement that selects a number and its priority. Those are in the index, and
 * whoever is near the head was looked at a moment ago as a rule: its row is at hand. */
static bool ready_next(struct store *store, sqlite3_stmt *stmt, struct ready_job *ret,
                       struct step *ret_step, struct err *err)
{
    struct batch_part part;
    struct row row;
    bool halted;

    ret_step->skip = 0;
    if (!db_next(&store->db, stmt, &ret_step->found, err))
        return false;
    if (!ret_step->found)
        return true;
    ret->no = sqlite3_column_int64(stmt, 0);
    ret->priority = sqlite3_column_int(stmt, 1);
    if (!row_load(store, ret->no, &row, err))
        return false;
    ret->attempt = row.attempt;
    ret->flags = row.flags;
    ret->batch = row.batch;
    if (!batch_is_halted(store, ret->batch, &halted, err))
        return false;
    if (!halted)
        return true;
    if (!batch_part_at(store, ret->batch, row.idx, &part, err))
        return false;
    ret_step->skip = part.first_no + part.n - 1;
    return true;
}

/* One row behind `job`, whatever its batch; with job->no = 0, the first of all. */
static bool head_step(struct store *store, const struct ready_list *list, struct ready_job *job,
                      struct step *ret, struct err *err)
{
    AUTO_STMT sqlite3_stmt *beside = store_stmt(store, SQL_READY_BESIDE);
    AUTO_STMT sqlite3_stmt *below = store_stmt(store, SQL_READY_BELOW);

    if (job->no != 0) {
        bind_i64(beside, 1, job->queue);
        bind_i64(beside, 2, job->priority);
        bind_i64(beside, 3, job->no);
        bind_i64(beside, 4, list->without);
        if (!ready_next(store, beside, job, ret, err))
            return false;
        if (ret->found)
            return true;
    }
    bind_i64(below, 1, job->queue);
    bind_i64(below, 2, job->no == 0 ? INT32_MAX : job->priority);
    bind_i64(below, 3, list->without);
    return ready_next(store, below, job, ret, err);
}

/* The first ready job of the queue behind `job`; with job->no = 0, the first of all. Halted batches
 * are passed over a part at a time, so however many elements they have, nothing hides behind them.
 */
static bool head_find(struct store *store, const struct ready_list *list, struct ready_job *job,
                      bool *ret_found, struct err *err)
{
    struct step step;

    while (head_step(store, list, job, &step, err)) {
        *ret_found = step.found;
        if (step.skip == 0)
            return true;
        job->no = step.skip;
    }
    return false;
}

static bool peek_behind(struct store *store, struct ready_list *list, struct ready_job *job,
                        size_t room, struct err *err)
{
    bool found;

    for (; room > 0; room--) {
        if (!head_find(store, list, job, &found, err))
            return false;
        if (!found || !ready_merge(list, job))
            return true;
    }
    return true;
}

/* Whether a list of more than one queue is about jobs of this one. */
static bool list_takes(const struct ready_list *list, uint32_t queue)
{
    for (size_t i = 0; i < list->n_apart; i++) {
        if (list->apart[i] == queue)
            return false;
    }
    return true;
}

/* A job that is not written yet is not in the index. It need not be, if it is all there is. */
static bool is_newborn_alone(const struct store *store, uint32_t queue)
{
    return store->newborn.row.no != 0 && store->newborn.row.queue == queue &&
           store->counts.entries[queue - 1].now.count[JOB_QUEUED] == 1;
}

static void merge_newborn(struct ready_list *list, const struct row *row)
{
    const struct ready_job job = {
        .no = row->no, .priority = row->priority, .queue = row->queue, .flags = row->flags};

    if ((row->flags & list->without) == 0)
        (void)ready_merge(list, &job);
}

/* One queue's head, as long as it comes before what is already there. */
static bool peek_queue(struct store *store, uint32_t queue, struct ready_list *list,
                       struct err *err)
{
    AUTO_STMT sqlite3_stmt *ready = NULL;
    size_t room = list->lanes == NULL ? list->max : MIN(list->max, list->lanes[queue - 1].room);
    struct ready_job job = {.queue = queue};
    struct step step;

    if (room == 0 || store->counts.entries[queue - 1].now.count[JOB_QUEUED] == 0)
        return true;
    if (is_newborn_alone(store, queue)) {
        merge_newborn(list, &store->newborn.row);
        return true;
    }
    if (list->without != 0)
        return peek_behind(store, list, &job, room, err);
    ready = store_stmt(store, SQL_READY);
    bind_i64(ready, 1, queue);
    bind_i64(ready, 2, (int64_t)room);
    for (;; room--) {
        if (!ready_next(store, ready, &job, &step, err))
            return false;
        if (step.skip != 0)
            break;
        if (!step.found || !ready_merge(list, &job))
            return true;
    }
    job.no = step.skip;
    return peek_behind(store, list, &job, room, err);
}

/* ---- the same by weight ---- */

/* A queue that takes part: its next job, and what is left of its room. */
struct head {
    struct ready_job job;
    uint32_t room, weight;
    int64_t pass;
};

static bool heads_find(struct store *store, const struct ready_list *list, struct head *heads,
                       size_t *ret_n, struct err *err)
{
    const struct counts *c = &store->counts;
    size_t n = 0;

    for (uint32_t i = 0; i < c->n; i++) {
        const struct queue_lane *lane = &list->lanes[i];
        bool found;

        if (c->entries[i].now.count[JOB_QUEUED] == 0 || lane->room == 0 || !list_takes(list, i + 1))
            continue;
        heads[n] = (struct head){{.queue = i + 1}, lane->room, MAX(lane->weight, 1), lane->pass};
        if (!head_find(store, list, &heads[n].job, &found, err))
            return false;
        n += found ? 1 : 0;
    }
    *ret_n = n;
    return true;
}

static bool head_before(const struct head *a, const struct head *b)
{
    if (a->job.priority != b->job.priority)
        return a->job.priority > b->job.priority;
    return a->pass != b->pass ? a->pass < b->pass : a->job.no < b->job.no;
}

/* The head whose turn it is. *ret_contested: others of its priority had to stand back. */
static size_t head_choose(const struct head *heads, size_t n, bool *ret_contested)
{
    size_t best = 0, rivals = 0;

    for (size_t i = 1; i < n; i++) {
        if (head_before(&heads[i], &heads[best]))
            best = i;
    }
    for (size_t i = 0; i < n; i++)
        rivals += heads[i].job.priority == heads[best].job.priority ? 1 : 0;
    *ret_contested = rivals > 1;
    return best;
}

static bool peek_by_weight(struct store *store, struct ready_list *list, struct err *err)
{
    AUTO_FREE struct head *heads = must_alloc(MAX(store->counts.n, 1) * sizeof(*heads));
    size_t n = 0;

    if (!heads_find(store, list, heads, &n, err))
        return false;
    while (n > 0 && list->n < list->max) {
        struct head *head;
        bool contested, more = false;
        size_t at = head_choose(heads, n, &contested);

        head = &heads[at];
        head->job.contested = contested;
        list->jobs[list->n++] = head->job;
        head->pass += contested ? LANE_STRIDE / head->weight : 0;
        if (--head->room > 0 && !head_find(store, list, &head->job, &more, err))
            return false;
        if (!more)
            heads[at] = heads[--n];
    }
    return true;
}

bool queue_peek(struct store *store, struct ready_list *list, struct err *err)
{
    const struct counts *c = &store->counts;

    PRE(!list->by_weight || list->lanes != NULL);

    list->n = 0;
    if (list->only != 0)
        return peek_queue(store, list->only, list, err);
    if (list->by_weight)
        return peek_by_weight(store, list, err);
    for (uint32_t i = 0; i < c->n && list->max > 0; i++) {
        if (list_takes(list, i + 1) && !peek_queue(store, i + 1, list, err))
            return false;
    }
    return true;
}
