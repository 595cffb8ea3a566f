/* SPDX-License-Identifier: MIT */
/* Batches inside the turn's transaction: their birth, more items, what lets elements in, what stops
 * them. Work on many elements is done in steps, one in each turn: what is left is a row's `work`
 * and `place`, so that it goes on after kill -9. */
#include "service/engine_state.h"
#include "storage/pools.h"

#define MAX_RELEASED 512   /* elements that one step lets in */
#define MAX_LOOKED 20000   /* … and looks at, to find them in chunks */
#define MAX_CANCELLED 4096 /* … or cancels */
#define BROKEN_OFF "The upload of the batch's items broke off"

/* ------------------------------------------------------------------------------------------------
 * stopping */

/* What was reserved for the batch is taken back; what a worker has taken meanwhile runs. */
static bool settle_flights(struct engine *e, int64_t no, struct err *err)
{
    for (uint32_t k = 0; k < e->dispatch.n; k++) {
        struct flight *f = &e->dispatch.flights[k];
        bool waits = f->state == FLIGHT_RESERVED || f->state == FLIGHT_OFFERED;
        if (f->state > FLIGHT_RESERVED && f->chunk != NULL && f->info.row.batch == no &&
            !chunk_settle_range(&e->dispatch, &e->turn, f, &CHUNK_WHOLE, err))
            return false;
        if (waits && f->info.row.batch == no &&
            !dispatch_settle(&e->dispatch, &e->turn, f->info.row.no, err))
            return false;
    }
    return true;
}

/* From here on nothing of the batch begins (queue_peek), and what waits is cancelled step by step.
 */
bool batch_halt(struct engine *e, const struct batch *b, const char *why, struct err *err)
{
    struct batch halted = *b;
    halted.phase = BATCH_HALTED;
    halted.work = BATCH_WORK_CANCEL;
    halted.place = 0;
    e->has_batch_work = true;
    return chores_stop_retries(e, halted.no, err) && settle_flights(e, halted.no, err) &&
           jobs_put_words(e->store, halted.no, why, err) &&
           batch_put(e->store, &halted, e->turn.now_us, err);
}

static bool cancel_step(struct engine *e, const struct batch *b, struct err *err)
{
    struct batch_range range = {.batch = b->no, .first = b->place, .n = MAX_CANCELLED};
    if (!batch_cancel(e->store, &range, e->turn.now_us, NULL, err) ||
        !batch_get_by_no(e->store, range.batch, &b, err))
        return err_wrap(err, "cancel the rest of a batch");
    struct batch after = *b; /* it may be over by that */
    after.place = range.first + range.n;
    if (after.place >= after.n)
        after.work &= ~(uint32_t)BATCH_WORK_CANCEL;
    apply_due_at(e, e->turn.now_us + after.keep_us);
    return batch_put(e->store, &after, e->turn.now_us, err);
}

/* ------------------------------------------------------------------------------------------------
 * letting in */

/* How many more may be let in now. Stages of a pipeline come in together (gang.c). */
static int64_t room_of(const struct batch *b)
{
    if (b->kind == BATCH_PIPELINE)
        return 0;
    if (b->gated == 0 || b->phase == BATCH_HALTED || (b->flags & JOB_WAITS) != 0)
        return 0;
    return b->max_parallel == 0 ? b->gated : MIN(b->gated, b->max_parallel - batch_active(b));
}

/* By index, as many as fit into one step. */
bool batch_fill(struct engine *e, const struct batch *b, struct err *err)
{
    int64_t nos[MAX_RELEASED], batch = b->no, room = room_of(b);
    struct due_list list = {nos, (size_t)MIN(room, MAX_RELEASED), 0};
    if (room <= 0 || b->chunksize > 1) /* chunks go on by themselves */
        return true;
    if (!batch_gated(e->store, batch, 0, &list, err))
        return err_wrap(err, "find what a batch holds back");
    for (size_t i = 0; i < list.n; i++)
        if (!batch_release(e->store, nos[i], e->turn.now_us, err))
            return err_wrap(err, "let an element in");
    e->dispatch.dirty = true;
    return true;
}

/* The first of each chunk that is held back; `place` is where the next step begins. */
static bool release_chunks(struct engine *e, const struct batch *b, struct err *err)
{
    struct batch after = *b;
    const int64_t steps = MIN(MAX_RELEASED, MAX_LOOKED / after.chunksize + 1);
    for (int64_t i = 0; i < steps && (after.work & BATCH_WORK_RELEASE) != 0; i++)
        if (!chunk_begin(e, &after, err))
            return false;
    return batch_put(e->store, &after, e->turn.now_us, err);
}

static bool release_step(struct engine *e, const struct batch *b, struct err *err)
{
    int64_t no = b->no;
    if (b->chunksize > 1)
        return release_chunks(e, b, err);
    if (!batch_fill(e, b, err) || !batch_get_by_no(e->store, no, &b, err))
        return false;
    if (room_of(b) > 0)
        return true; /* the rest in the next turn */
    struct batch after = *b;
    after.work &= ~(uint32_t)BATCH_WORK_RELEASE;
    return batch_put(e->store, &after, e->turn.now_us, err);
}

bool batch_release_begin(struct engine *e, int64_t no, struct err *err)
{
    const struct batch *b;
    if (!batch_get_by_no(e->store, no, &b, err))
        return false;
    struct batch after = *b;
    after.flags &= ~(uint32_t)JOB_WAITS;
    after.work |= BATCH_WORK_RELEASE;
    after.place = 0;
    e->has_batch_work = true;
    return batch_put(e->store, &after, e->turn.now_us, err);
}

/* ------------------------------------------------------------------------------------------------
 * what clients ask */

static bool set_phase(struct engine *e, int64_t no, enum batch_phase phase, struct err *err)
{
    const struct batch *b;
    if (!batch_get_by_no(e->store, no, &b, err))
        return false;
    struct batch after = *b;
    after.phase = phase;
    if (phase != BATCH_UPLOADING)
        after.work &= ~(uint32_t)BATCH_WORK_UPLOAD;
    apply_due_at(e, e->turn.now_us + after.keep_us);
    return batch_put(e->store, &after, e->turn.now_us, err);
}

/* Nobody has said how many neighbours are to share a turn. They may when their calls are brief, all
 * of them are there and could begin now, and nothing counts turns or must see each of them alone.
 * There is a turn for every worker even so, and another one for who is done first. */
static int64_t choose_chunksize(const struct engine *e, const struct batch_ask *ask,
                                const struct family *family)
{
    const struct job_spec *spec = ask->spec;
    const struct dispatch *d = &e->dispatch;
    const struct pool_entry *pool = pools_of(e, spec);
    const uint32_t queue = settings_find(e->store, spec->queue); /* 0: this is its first job */
    const uint32_t workers = MAX(pool_group_size(d->pool, pools_number(&e->pools, pool)), 1u);
    if (ask->phase != BATCH_CLOSED || ask->max_parallel > 0 || ask->max_failures > 0 ||
        family->waits || spec->n_inputs > 0 || spec->n_outputs > 0 || spec->delay_us > 0 ||
        spec->run_at_us > 0 || spec->queue_timeout_us > 0 || pool->settings.max_jobs > 0 ||
        pool->settings.max_rss > 0 || (queue != 0 && admission_has_rate(d, queue)))
        return 1;
    const int64_t together = brief_together(&d->brief, brief_key(ask->template_bytes));
    return MAX(MIN(together, (int64_t)ask->n_items / (2 * workers)), (int64_t)1);
}

static bool make_batch(struct engine *e, struct command *cmd, struct err *err)
{
    struct batch_ask *ask = &cmd->batch;
    struct family family;
    if (!apply_parents_look(e, ask->spec, &family, err))
        return false;
    const bool is_free = ask->chunksize == 0;
    const int64_t chunksize = is_free ? choose_chunksize(e, ask, &family) : ask->chunksize;
    struct batch_new batch = {
        .kind = BATCH_ITEMS,
        .phase = BATCH_UPLOADING,
        .work = BATCH_WORK_UPLOAD,
        .spec = ask->spec,
        .task = ask->template_bytes,
        .now_us = e->turn.now_us,
        .max_parallel = ask->max_parallel,
        .max_failures = ask->max_failures,
        .chunksize = chunksize,
        .salt = apply_salt(e),
        .flags = (family.waits ? JOB_WAITS : 0) | (ask->spec->n_inputs > 0 ? JOB_INPUTS : 0) |
                 (ask->spec->n_outputs > 0 ? JOB_OUTPUTS : 0) |
                 (is_free && chunksize > 1 ? JOB_FREE_CHUNKS : 0),
    };
    return batch_insert(e->store, &batch, &ask->id, err) &&
           batch_add_items(e, ask->id.no, ask, err) && set_phase(e, ask->id.no, ask->phase, err) &&
           apply_parents_enter(e, ask->spec, ask->id.no, &family, err) &&
           key_keep_batch(e, cmd, ask->id.no, err);
}

bool apply_batch(struct engine *e, struct command *cmd, struct err *err)
{
    bool is_new = true;
    if (!key_check_batch(e, &cmd->key, &is_new, err))
        return false;
    if (!is_new)
        return true;
    return apply_admits(e, err) && pools_admit(e, cmd->batch.spec, err) &&
           store_savepoint(e->store, err) && apply_savepoint_leave(e, make_batch(e, cmd, err), err);
}

static bool takes_more(const struct batch *b, const struct batch_ask *ask, struct err *err)
{
    if (b->kind != BATCH_ITEMS)
        return err_set(err, ERR_STATE_CONFLICT, "Only a batch of items takes more of them");
    if (b->phase == BATCH_HALTED)
        return err_set(err, ERR_STATE_CONFLICT,
                       "The batch takes no more items: it was %s after %lld of them",
                       b->max_failures > 0 && b->count[JOB_FAILED] >= b->max_failures
                           ? "halted by max_failures"
                           : "cancelled",
                       (long long)b->n);
    if (b->phase == BATCH_CLOSED)
        return err_set(err, ERR_STATE_CONFLICT,
                       "The batch is closed; one made with \"open\": true takes more items");
    return b->phase == BATCH_OPEN || ask->uploads ||
           err_set(err, ERR_STATE_CONFLICT, "The first items of the batch are still coming");
}

static bool add_to_batch(struct engine *e, const struct command *cmd, struct err *err)
{
    const struct batch_ask *ask = &cmd->batch;
    bool completes = ask->uploads && ask->phase != BATCH_UPLOADING;
    return batch_add_items(e, ask->id.no, ask, err) && set_phase(e, ask->id.no, ask->phase, err) &&
           (!completes || key_keep_batch(e, cmd, ask->id.no, err)) &&
           (ask->uploads || key_keep_items(e, cmd, err));
}

bool apply_batch_add(struct engine *e, struct command *cmd, struct err *err)
{
    const struct batch_ask *ask = &cmd->batch;
    const struct batch *b;
    bool is_new = true;
    if (!batch_get(e->store, &ask->id, &b, err) ||
        (!ask->uploads && !key_check_items(e, cmd, &is_new, err)))
        return false;
    if (!is_new)
        return true;
    bool only_closes = ask->phase == BATCH_CLOSED && !ask->uploads;
    if (only_closes && b->phase >= BATCH_CLOSED)
        return true;
    /* The rest of an upload is part of what has been accepted. */
    if (!only_closes && !ask->uploads && !pools_admit_queue(e, b->queue, err))
        return false;
    const uint32_t queue = b->queue;
    const int64_t newest = pools_newest(e->store);
    if (!takes_more(b, ask, err) || !(only_closes || apply_admits(e, err)) ||
        !store_savepoint(e->store, err) ||
        !apply_savepoint_leave(e, add_to_batch(e, cmd, err), err))
        return false;
    pools_came_late(e, queue, newest);
    return true;
}

bool apply_batch_break(struct engine *e, const struct command *cmd, struct err *err)
{
    const struct batch *b;
    struct err missing = {0};
    if (FAULT("batch-break"))
        return err_set(err, ERR_STORAGE, "Simulated failure of the store.");
    if (!batch_get(e->store, &cmd->batch.id, &b, &missing))
        return !apply_is_store_failure(&missing) ||
               err_set(err, missing.code, "%s", missing.detail);
    return b->phase != BATCH_UPLOADING || batch_halt(e, b, BROKEN_OFF, err);
}

/* ------------------------------------------------------------------------------------------------
 * what happens by itself */

static bool halt_failed(struct engine *e, const struct batch *b, struct err *err)
{
    char why[120];
    (void)snprintf(why, sizeof why, "The batch was halted: max_failures is %lld",
                   (long long)b->max_failures);
    return batch_halt(e, b, why, err);
}

bool apply_batch_change(struct engine *e, const struct job_change *change, struct err *err)
{
    const struct batch *b;
    if (change->is_batch) {
        if (!batch_get_by_no(e->store, change->no, &b, err))
            return false;
        apply_due_at(e, b->gone_us);
        return true;
    }
    if (change->batch != 0 && change->to == JOB_GONE)
        apply_due_at(e, e->turn.now_us); /* perhaps it was the last one, and the batch goes now */
    if (change->batch == 0 || change->to == JOB_GONE || change->from == JOB_BIRTH ||
        change->to == JOB_RUNNING || change->to == JOB_STOPPING)
        return true;
    if (!batch_get_by_no(e->store, change->batch, &b, err))
        return false;
    if (job_state_is_end(change->to)) {
        if (b->phase != BATCH_HALTED && b->max_failures > 0 && change->to == JOB_FAILED &&
            b->count[JOB_FAILED] >= b->max_failures)
            return halt_failed(e, b, err);
        if (b->chunksize == 1)
            return batch_fill(e, b, err);
        /* Who ended behind the gate was none of the begun, or its flight lets the next one in. */
        return (change->flags & JOB_GATED) != 0 || chunk_next(e, b, change->idx, err);
    }
    if (b->phase != BATCH_HALTED)
        return true;
    /* It waits again: by the retry verb, then the batch goes on; or since its start failed or it
     * would be tried again, then it is cancelled with the rest. */
    struct batch after = *b;
    bool goes_on = job_state_is_end(change->from) && (b->work & BATCH_WORK_CANCEL) == 0;
    if (goes_on) {
        after.phase = BATCH_CLOSED;
    } else {
        after.work |= BATCH_WORK_CANCEL;
        after.place = 0;
        e->has_batch_work = true;
    }
    return batch_put(e->store, &after, e->turn.now_us, err) &&
           (!goes_on ||
            (batch_get_by_no(e->store, change->batch, &b, err) && batch_fill(e, b, err)));
}

#define STEPS ((uint32_t)(BATCH_WORK_CANCEL | BATCH_WORK_RELEASE))

static bool run_step(struct engine *e, const void *arg, struct err *err)
{
    const struct batch *b;
    if (!batch_get_by_no(e->store, *(const int64_t *)arg, &b, err))
        return false;
    return (b->work & BATCH_WORK_CANCEL) != 0 ? cancel_step(e, b, err) : release_step(e, b, err);
}

static bool run_give_up(struct engine *e, const void *arg, struct err *err)
{
    const struct batch *b;
    if (!batch_get_by_no(e->store, *(const int64_t *)arg, &b, err))
        return false;
    struct batch after = *b;
    after.work &= ~STEPS;
    return batch_put(e->store, &after, e->turn.now_us, err);
}

static bool work_on(struct engine *e, const struct batch *b, struct err *err)
{
    const int64_t no = b->no;
    struct guarded step = {.name = "work on a batch", .id = b->id, .run = run_step, .arg = &no};
    bool dropped;
    if (!guard(e, &step, &dropped, err))
        return false;
    if (!dropped)
        return true;
    step.run = run_give_up;
    if (!guard(e, &step, &dropped, err))
        return false;
    e->has_batch_work = !dropped; /* else it is found again at the next start */
    return true;
}

bool apply_batch_work(struct engine *e, struct err *err)
{
    const struct batch *b = NULL;
    int64_t no = 0;
    if (!e->has_batch_work)
        return true;
    do {
        if (!batch_with_work(e->store, no, &no, err))
            return err_wrap(err, "look for work on batches");
        if (no != 0 && !batch_get_by_no(e->store, no, &b, err))
            return false;
    } while (no != 0 && (b->work & STEPS) == 0);
    e->has_batch_work = no != 0;
    return no == 0 || work_on(e, b, err);
}

bool batches_recover(struct engine *e, struct err *err)
{
    const struct batch *b;
    int64_t no = 0;
    e->has_batch_work = true;
    for (;;) {
        if (!batch_with_work(e->store, no, &no, err))
            return false;
        if (no == 0)
            return true;
        if (!batch_get_by_no(e->store, no, &b, err) ||
            (b->phase == BATCH_UPLOADING && !batch_halt(e, b, BROKEN_OFF, err)))
            return false;
    }
}
