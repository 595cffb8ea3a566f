/* SPDX-License-Identifier: MIT */
#include "storage/batches.h"

#include "storage/deliveries.h"
#include "storage/store_impl.h"

#define NEVER_US (INT64_MAX / 4) /* sums of two of them do not overflow */

/* ---- in memory ---- */

void batch_cache_clear(struct batch_cache *cache)
{
    for (size_t i = 0; i < BATCH_CACHE_SIZE; i++)
        cache->slots[i] = (struct batch_cached){0};
    cache->n_dirty = 0;
    cache->n_changed = 0;
    cache->texts.batch = 0;
}

void batch_cache_release(struct batch_cache *cache)
{
    arena_release(&cache->texts.arena);
    free(cache->changed);
    cache->changed = NULL;
}

static bool batch_is_sound(const struct batch *b)
{
    bool sound = b->no > 0 && b->kind >= BATCH_ITEMS && b->kind <= BATCH_PIPELINE &&
                 b->phase >= BATCH_UPLOADING && b->phase <= BATCH_HALTED && b->n >= 0 &&
                 b->ended >= 0 && b->gated >= 0 && b->remaining >= 0 && b->chunksize >= 1 &&
                 b->queue > 0;

    for (int s = 0; s < JOB_STATE_COUNT; s++)
        sound = sound && b->count[s] >= 0;
    return sound;
}

bool batch_read(sqlite3_stmt *stmt, struct batch *ret, struct err *err)
{
    bool has_failed = sqlite3_column_type(stmt, 11) != SQLITE_NULL;

    *ret = (struct batch){
        .no = sqlite3_column_int64(stmt, 0),
        .created_us = sqlite3_column_int64(stmt, 1),
        .version = sqlite3_column_int64(stmt, 3),
        .kind = (enum batch_kind)sqlite3_column_int(stmt, 4),
        .phase = (enum batch_phase)sqlite3_column_int(stmt, 5),
        .work = (uint32_t)sqlite3_column_int64(stmt, 6),
        .place = sqlite3_column_int64(stmt, 7),
        .queue = (uint32_t)sqlite3_column_int64(stmt, 8),
        .n = sqlite3_column_int64(stmt, 9),
        .ended = sqlite3_column_int64(stmt, 10),
        .failed_first = has_failed ? sqlite3_column_int64(stmt, 11) : -1,
        .max_parallel = sqlite3_column_int64(stmt, 12),
        .max_failures = sqlite3_column_int64(stmt, 13),
        .chunksize = sqlite3_column_int64(stmt, 14),
        .keep_us = sqlite3_column_int64(stmt, 15),
        .finished_us = sqlite3_column_int64(stmt, 16),
        .flags = (uint32_t)sqlite3_column_int64(stmt, 17),
    };
    for (int s = 0; s < JOB_STATE_COUNT; s++)
        ret->count[s] = sqlite3_column_int64(stmt, 18 + s);
    ret->gated = sqlite3_column_int64(stmt, 18 + JOB_STATE_COUNT);
    ret->gone_us = sqlite3_column_int64(stmt, 19 + JOB_STATE_COUNT);
    ret->remaining = sqlite3_column_int64(stmt, 20 + JOB_STATE_COUNT);
    ret->id = (struct job_id){(uint64_t)ret->created_us / 1000, ret->no,
                              (uint32_t)sqlite3_column_int(stmt, 2)};
    return batch_is_sound(ret)
               ? true
               : err_set(err, ERR_STORAGE, "The stored row of batch %lld is damaged.",
                         (long long)ret->no);
}

static bool part_put(struct store *store, struct batch_cached *slot, struct err *err)
{
    sqlite3_stmt *put = store_stmt(store, SQL_PART_PUT);

    if (!slot->part_is_dirty)
        return true;
    bind_i64(put, 1, slot->batch.no);
    bind_i64(put, 2, slot->part.first_index);
    bind_i64(put, 3, slot->part.first_no);
    bind_i64(put, 4, slot->part.n);
    slot->part_is_dirty = false;
    return store_run(store, put, err);
}

static bool ends_put(struct store *store, struct batch_cached *slot, struct err *err)
{
    sqlite3_stmt *insert = store_stmt(store, SQL_END_INSERT);

    if (slot->ends.n == 0)
        return true;
    bind_i64(insert, 1, slot->batch.no);
    bind_i64(insert, 2, slot->batch.ended);
    bind_i64(insert, 3, slot->ends.no);
    bind_i64(insert, 4, slot->ends.version);
    bind_i64(insert, 5, slot->ends.n);
    slot->ends.n = 0;
    return store_run(store, insert, err);
}

static bool slot_write(struct store *store, struct batch_cached *slot, struct err *err)
{
    sqlite3_stmt *put;
    struct batch *b = &slot->batch;

    if (!slot->is_dirty)
        return true;
    put = store_stmt(store, SQL_BATCH_PUT);
    if (!part_put(store, slot, err) || !ends_put(store, slot, err))
        return false;
    b->version++;
    bind_i64(put, 1, b->no);
    bind_i64(put, 2, b->version);
    bind_i64(put, 3, (int64_t)b->phase);
    bind_i64(put, 4, b->work);
    bind_i64(put, 5, b->place);
    bind_i64(put, 6, b->n);
    bind_i64(put, 7, b->ended);
    if (b->failed_first < 0)
        (void)sqlite3_bind_null(put, 8);
    else
        bind_i64(put, 8, b->failed_first);
    bind_time(put, 9, b->finished_us);
    bind_i64(put, 10, b->flags);
    for (int s = 0; s < JOB_STATE_COUNT; s++)
        bind_i64(put, 11 + s, b->count[s]);
    bind_i64(put, 11 + JOB_STATE_COUNT, b->gated);
    bind_time(put, 12 + JOB_STATE_COUNT, b->gone_us);
    bind_i64(put, 13 + JOB_STATE_COUNT, b->remaining);
    slot->is_dirty = false;
    store->batches.n_dirty--;
    return store_run(store, put, err);
}

bool batches_write(struct store *store, struct err *err)
{
    for (size_t i = 0; i < BATCH_CACHE_SIZE && store->batches.n_dirty > 0; i++) {
        if (!slot_write(store, &store->batches.slots[i], err))
            return false;
    }
    return true;
}

/* The slot that holds the batch, read from the database when it does not yet. */
static bool slot_load(struct store *store, int64_t no, struct batch_cached **ret, struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = NULL;
    struct batch_cached *slot = &store->batches.slots[(uint64_t)no % BATCH_CACHE_SIZE];
    bool found;

    *ret = slot;
    if (slot->batch.no == no && no != 0)
        return true;
    if (!slot_write(store, slot, err))
        return false;
    *slot = (struct batch_cached){0};
    get = store_stmt(store, SQL_BATCH_GET);
    bind_i64(get, 1, no);
    if (!db_next(&store->db, get, &found, err))
        return false;
    if (!found)
        return err_set(err, ERR_NOT_FOUND, "There is no such batch.");
    if (batch_read(get, &slot->batch, err))
        return true;
    slot->batch.no = 0;
    return false;
}

static void slot_change(struct store *store, struct batch_cached *slot)
{
    struct batch_cache *cache = &store->batches;

    if (slot->is_dirty)
        return;
    slot->is_dirty = true;
    store->batches.n_dirty++;
    if (cache->n_changed == cache->cap_changed) {
        cache->cap_changed = MAX(cache->cap_changed * 2, (size_t)16);
        cache->changed = must_realloc(cache->changed, cache->cap_changed * sizeof(*cache->changed));
    }
    cache->changed[cache->n_changed++] = slot->batch.no;
}

const int64_t *store_changed_batches(const struct store *store, size_t *ret_n)
{
    *ret_n = store->batches.n_changed;
    return store->batches.changed;
}

/* It is over since this change, or it is not any more (a retry). */
static void note_end(struct store *store, struct batch *b, int64_t now_us)
{
    bool is_over = batch_is_over(b);

    if (is_over == (b->finished_us != 0))
        return;
    b->finished_us = is_over ? now_us : 0;
    b->gone_us = is_over ? now_us + MIN(b->keep_us, NEVER_US) + MIN(store->row_keep_us, NEVER_US)
                         : 0;
    if (!is_over)
        return;
    changes_add(store, &(struct job_change){
                           .no = b->no,
                           .from = JOB_RUNNING,
                           .to = batch_end_state(b),
                           .queue = b->queue,
                           .flags = b->flags,
                           .salt = b->id.salt,
                           .version = b->version,
                           .created_us = b->created_us,
                           .is_batch = true,
                       });
    b->flags &= ~(uint32_t)JOB_WAITS; /* retried, its elements run without its parents */
}

/* ---- counting ---- */

static bool end_note(struct store *store, struct batch_cached *slot, const struct row *row,
                     struct err *err)
{
    struct ends_run *ends = &slot->ends;
    bool goes_on = ends->n > 0 && row->no == ends->no + ends->n && row->version == ends->version;

    if (!goes_on) {
        if (!ends_put(store, slot, err))
            return false;
        *ends = (struct ends_run){row->no, row->version, 0};
    }
    ends->n++;
    slot->batch.ended++;
    return true;
}

/* The counts tell what happened, also of what is forgotten. */
static bool count_gone(struct store *store, const struct row *row, struct err *err)
{
    struct batch_cached *slot;
    struct batch *b;

    if (!slot_load(store, row->batch, &slot, err))
        return false;
    b = &slot->batch;
    slot_change(store, slot);
    b->remaining--;
    if (b->remaining == 0 && b->finished_us != 0 && b->gone_us == 0)
        b->gone_us = b->finished_us; /* it has waited for this */
    return true;
}

bool batch_count_move(struct store *store, const struct row *row, enum job_state from,
                      enum job_state to, struct err *err)
{
    struct batch_cached *slot;
    struct batch *b;

    if (to == JOB_GONE)
        return count_gone(store, row, err);
    if (!slot_load(store, row->batch, &slot, err))
        return false;
    b = &slot->batch;
    slot_change(store, slot);
    if (from != JOB_BIRTH)
        b->count[from]--;
    else
        b->remaining++;
    b->count[to]++;
    if (from != JOB_BIRTH && b->count[from] < 0)
        return err_set(err, ERR_STORAGE, "The stored counts of batch %lld are damaged.",
                       (long long)b->no);
    if (from == JOB_FAILED && b->count[JOB_FAILED] == 0)
        b->failed_first = -1;
    if (to == JOB_FAILED && b->failed_first < 0)
        b->failed_first = row->idx;
    if (from != to && job_state_is_end(to) && !end_note(store, slot, row, err))
        return false;
    if (from != JOB_BIRTH)
        note_end(store, b, row->finished_us);
    return true;
}

bool batch_count_gated(struct store *store, int64_t batch, int64_t delta, struct err *err)
{
    struct batch_cached *slot;

    if (!slot_load(store, batch, &slot, err))
        return false;
    slot_change(store, slot);
    slot->batch.gated += delta;
    return slot->batch.gated >= 0 ||
           err_set(err, ERR_STORAGE, "The stored counts of batch %lld are damaged.",
                   (long long)batch);
}

/* ---- parts ---- */

static bool part_get(struct store *store, sqlite3_stmt *get, struct batch_part *ret,
                     bool *ret_found, struct err *err)
{
    if (!db_next(&store->db, get, ret_found, err))
        return false;
    if (*ret_found)
        *ret = (struct batch_part){sqlite3_column_int64(get, 0), sqlite3_column_int64(get, 1),
                                   sqlite3_column_int64(get, 2)};
    return true;
}

static bool part_last(struct store *store, int64_t batch, struct batch_part *ret, bool *ret_found,
                      struct err *err)
{
    AUTO_STMT sqlite3_stmt *last = store_stmt(store, SQL_PART_LAST);

    bind_i64(last, 1, batch);
    return part_get(store, last, ret, ret_found, err);
}

bool batch_append(struct store *store, int64_t batch, int64_t no, struct err *err)
{
    struct batch_cached *slot;
    struct batch_part *part;
    bool found;

    if (!slot_load(store, batch, &slot, err))
        return false;
    part = &slot->part;
    if (part->n == 0 && !part_last(store, batch, part, &found, err))
        return false;
    slot_change(store, slot);
    if (part->n == 0 || part->first_no + part->n != no) {
        if (!part_put(store, slot, err))
            return false;
        *part = (struct batch_part){slot->batch.n, no, 0};
    }
    part->n++;
    slot->part_is_dirty = true;
    slot->batch.n++;
    return true;
}

bool batch_part_at(struct store *store, int64_t batch, int64_t index, struct batch_part *ret,
                   struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = store_stmt(store, SQL_PART_OF_INDEX);
    struct batch_cached *slot;
    bool found;

    if (!slot_load(store, batch, &slot, err) || !slot_write(store, slot, err))
        return false;
    bind_i64(get, 1, batch);
    bind_i64(get, 2, index);
    if (!part_get(store, get, ret, &found, err))
        return false;
    return (found && index < ret->first_index + ret->n) ||
           err_set(err, ERR_NOT_FOUND, "The batch has no element %lld.", (long long)index);
}

/* ---- verbs ---- */

static bool spec_insert(struct store *store, int64_t no, const struct batch_new *batch,
                        struct err *err)
{
    sqlite3_stmt *insert = store_stmt(store, SQL_BATCH_SPEC_INSERT);
    const struct job_spec *spec = batch->spec;
    struct slice policy = {NULL, 0};

    if (spec->has_retry)
        policy = (struct slice){(const char *)&spec->retry, sizeof(spec->retry)};
    bind_i64(insert, 1, no);
    bind_text(insert, 2, spec->name);
    bind_text(insert, 3, spec->labels);
    bind_text(insert, 4, spec->metadata);
    bind_text(insert, 5, spec->traceparent);
    bind_blob(insert, 6, policy);
    bind_blob(insert, 7, batch->task);
    return store_run(store, insert, err);
}

bool batch_insert(struct store *store, const struct batch_new *batch, struct job_id *ret_id,
                  struct err *err)
{
    sqlite3_stmt *insert = store_stmt(store, SQL_BATCH_INSERT);
    const struct job_spec *spec = batch->spec;
    struct slice queue = spec->queue.ptr == NULL ? SLICE_LIT("default") : spec->queue;
    struct newest next = {store->newest.no + 1, MAX(batch->now_us, store->newest.created_us)};
    uint32_t number;

    PRE(batch->chunksize >= 1);

    if (!queue_number(store, queue, &number, err))
        return false;
    bind_i64(insert, 1, next.no);
    bind_i64(insert, 2, next.created_us);
    bind_i64(insert, 3, (int32_t)batch->salt);
    bind_i64(insert, 4, (int64_t)batch->kind);
    bind_i64(insert, 5, (int64_t)batch->phase);
    bind_i64(insert, 6, batch->work);
    bind_i64(insert, 7, number);
    bind_i64(insert, 8, batch->max_parallel);
    bind_i64(insert, 9, batch->max_failures);
    bind_i64(insert, 10, batch->chunksize);
    bind_i64(insert, 11, spec->keep_us);
    bind_i64(insert, 12,
             batch->flags | (spec->callback_url.ptr != NULL ? JOB_CALLBACK : 0) |
                 (spec->submitter.no != 0 ? JOB_OFFSPRING : 0));
    if (!store_run(store, insert, err) || !spec_insert(store, next.no, batch, err) ||
        (spec->callback_url.ptr != NULL && !callback_insert(store, next.no, spec, err)) ||
        (spec->submitter.no != 0 && !offspring_insert(store, next.no, &spec->submitter, err)))
        return false;
    store->newest = next;
    *ret_id = (struct job_id){(uint64_t)next.created_us / 1000, next.no, batch->salt};
    return true;
}

void batch_drop(struct store *store, int64_t no)
{
    struct batch_cached *slot = &store->batches.slots[(uint64_t)no % BATCH_CACHE_SIZE];

    if (slot->batch.no != no)
        return;
    store->batches.n_dirty -= slot->is_dirty ? 1 : 0;
    *slot = (struct batch_cached){0};
}

bool batch_wait_for_rows(struct store *store, int64_t no, bool *ret_waits, struct err *err)
{
    struct batch_cached *slot;

    if (!slot_load(store, no, &slot, err))
        return false;
    *ret_waits = slot->batch.remaining > 0;
    if (!*ret_waits)
        return true;
    slot_change(store, slot);
    slot->batch.gone_us = 0;
    return true;
}

bool batch_get_by_no(struct store *store, int64_t no, const struct batch **ret, struct err *err)
{
    struct batch_cached *slot;

    if (!slot_load(store, no, &slot, err))
        return false;
    *ret = &slot->batch;
    return true;
}

bool batch_get(struct store *store, const struct job_id *id, const struct batch **ret,
               struct err *err)
{
    if (!batch_get_by_no(store, id->no, ret, err))
        return false;
    return job_id_eq(&(*ret)->id, id) || err_set(err, ERR_NOT_FOUND, "There is no such batch.");
}

bool batch_put(struct store *store, const struct batch *changed, int64_t now_us, struct err *err)
{
    struct batch copy = *changed; /* may be the store's own */
    struct batch_cached *slot;

    if (!slot_load(store, copy.no, &slot, err))
        return false;
    slot_change(store, slot);
    slot->batch.phase = copy.phase;
    slot->batch.work = copy.work;
    slot->batch.place = copy.place;
    slot->batch.flags = copy.flags;
    slot->batch.failed_first = copy.failed_first;
    note_end(store, &slot->batch, now_us);
    return true;
}

bool batch_is_halted(struct store *store, int64_t batch, bool *ret, struct err *err)
{
    struct batch_cached *slot;

    *ret = false;
    if (batch == 0)
        return true;
    if (!slot_load(store, batch, &slot, err))
        return false;
    *ret = slot->batch.phase == BATCH_HALTED;
    return true;
}
