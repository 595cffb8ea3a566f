/* SPDX-License-Identifier: MIT */
#include "storage/settings.h"

#include "storage/store_impl.h"

/* ---- loading ---- */

static bool settings_are_sound(const struct store *store, int64_t queue,
                               const struct queue_settings *s)
{
    return queue >= 1 && queue <= store->counts.n && s->version > 0 && s->max_length >= 0 &&
           s->rate_us >= 0 && (s->rate_n == 0 || s->rate_us > 0) && s->weight <= MAX_WEIGHT &&
           s->rate_n <= MAX_RATE;
}

bool settings_load(struct store *store, struct err *err)
{
    AUTO_STMT sqlite3_stmt *all = store_stmt(store, SQL_SETTINGS_ALL);
    bool found;

    while (db_next(&store->db, all, &found, err)) {
        int64_t queue;
        struct queue_settings s;

        if (!found) {
            counts_keep(&store->counts);
            return true;
        }
        queue = sqlite3_column_int64(all, 0);
        s = (struct queue_settings){
            .version = sqlite3_column_int64(all, 1),
            .is_gone = sqlite3_column_int(all, 2) != 0,
            .paused = sqlite3_column_int(all, 3) != 0,
            .concurrency = (uint32_t)sqlite3_column_int64(all, 4),
            .rate_n = (uint32_t)sqlite3_column_int64(all, 5),
            .rate_us = sqlite3_column_int64(all, 6),
            .weight = (uint32_t)sqlite3_column_int64(all, 7),
            .max_length = sqlite3_column_int64(all, 8),
            .has_defaults = sqlite3_column_int(all, 9) != 0,
        };
        if (!settings_are_sound(store, queue, &s))
            return err_set(err, ERR_STORAGE, "The stored settings of queue %lld are damaged.",
                           (long long)queue);
        counts_set(&store->counts, (uint32_t)queue, &s);
    }
    return false;
}

/* ---- looking ---- */

static bool state_is_shown(const struct queue_state *state)
{
    if (!state->settings.is_gone)
        return true;
    for (int s = 0; s < JOB_STATE_COUNT; s++) {
        if (state->count[s] != 0)
            return true;
    }
    return false;
}

uint32_t settings_find(const struct store *store, struct slice name)
{
    uint32_t queue = counts_find(&store->counts, name);

    return queue != 0 && state_is_shown(counts_state(&store->counts, queue)) ? queue : 0;
}

uint32_t settings_queues(const struct store *store)
{
    return store->counts.n;
}

uint32_t settings_max_queues(const struct store *store)
{
    return store->counts.max;
}

const struct queue_settings *settings_of(const struct store *store, uint32_t queue)
{
    return &counts_state(&store->counts, queue)->settings;
}

int64_t settings_queued(const struct store *store, uint32_t queue)
{
    return counts_state(&store->counts, queue)->count[JOB_QUEUED];
}

uint64_t settings_epoch(const struct store *store)
{
    return store->counts.settings_epoch;
}

/* ---- changing ---- */

static bool put(struct store *store, uint32_t queue, const struct queue_settings *s,
                struct err *err)
{
    sqlite3_stmt *stmt = store_stmt(store, SQL_SETTINGS_PUT);

    bind_i64(stmt, 1, queue);
    bind_i64(stmt, 2, s->version);
    bind_i64(stmt, 3, s->is_gone);
    bind_i64(stmt, 4, s->paused);
    bind_i64(stmt, 5, s->concurrency);
    bind_i64(stmt, 6, s->rate_n);
    bind_i64(stmt, 7, s->rate_us);
    bind_i64(stmt, 8, s->weight);
    bind_i64(stmt, 9, s->max_length);
    if (!store_run(store, stmt, err))
        return false;
    counts_set(&store->counts, queue, s);
    return true;
}

static bool put_defaults(struct store *store, uint32_t queue, struct slice defaults,
                         struct err *err)
{
    sqlite3_stmt *stmt = store_stmt(store, SQL_SETTINGS_DEFAULTS);

    bind_i64(stmt, 1, queue);
    bind_text(stmt, 2, defaults);
    return store_run(store, stmt, err);
}

static void take_members(struct queue_settings *s, const struct queue_change *change)
{
    const struct queue_settings *to = &change->to;

    if ((change->members & QUEUE_PAUSED) != 0)
        s->paused = to->paused;
    if ((change->members & QUEUE_CONCURRENCY) != 0)
        s->concurrency = to->concurrency;
    if ((change->members & QUEUE_RATE) != 0) {
        s->rate_n = to->rate_n;
        s->rate_us = to->rate_us;
    }
    if ((change->members & QUEUE_WEIGHT) != 0)
        s->weight = to->weight;
    if ((change->members & QUEUE_MAX_LENGTH) != 0)
        s->max_length = to->max_length;
    if ((change->members & QUEUE_DEFAULTS) != 0)
        s->has_defaults = change->defaults.ptr != NULL;
}

/* `queue` 0: it does not exist. */
static bool check_version(const struct store *store, uint32_t queue, int64_t if_version,
                          struct err *err)
{
    int64_t version = queue == 0 ? 0 : settings_of(store, queue)->version;

    if (if_version == QUEUE_ANY_VERSION || (if_version == QUEUE_IS_NEW && queue == 0) ||
        (if_version == version && queue != 0))
        return true;
    if (queue == 0)
        return err_set(err, ERR_VERSION_MISMATCH, "There is no such queue");
    return err_set(err, ERR_VERSION_MISMATCH, "The queue's entity tag is \"%lld\"",
                   (long long)version);
}

static bool not_found(struct err *err)
{
    return err_set(err, ERR_NOT_FOUND,
                   "There is no queue with this name; its first job or PUT makes it");
}

bool settings_apply(struct store *store, struct settings_change *change, struct err *err)
{
    struct queue_settings s;

    change->queue = settings_find(store, change->name);
    change->is_new = change->queue == 0;
    if (change->is_new && !change->may_make)
        return not_found(err);
    if (!check_version(store, change->queue, change->change->if_version, err))
        return false;
    if (change->is_new && !queue_number(store, change->name, &change->queue, err))
        return false;
    s = *settings_of(store, change->queue);
    take_members(&s, change->change);
    s.is_gone = false;
    s.version++;
    return put(store, change->queue, &s, err) &&
           ((change->change->members & QUEUE_DEFAULTS) == 0 ||
            put_defaults(store, change->queue, change->change->defaults, err));
}

bool settings_delete(struct store *store, struct slice name, int64_t if_version, struct err *err)
{
    uint32_t queue = settings_find(store, name);
    const struct queue_state *state;
    struct queue_settings none = {.is_gone = true};
    int64_t living;

    if (queue == 0)
        return not_found(err);
    if (!check_version(store, queue, if_version, err))
        return false;
    state = counts_state(&store->counts, queue);
    living = counts_waiting(state) + state->count[JOB_RUNNING] + state->count[JOB_STOPPING];
    if (living > 0)
        return err_set(err, ERR_STATE_CONFLICT,
                       "%lld jobs of this queue have not ended; cancel or purge them first",
                       (long long)living);
    none.version = state->settings.version + 1;
    return put(store, queue, &none, err) &&
           put_defaults(store, queue, (struct slice){NULL, 0}, err);
}

bool queue_has_room(const struct store *store, uint32_t queue, struct err *err)
{
    const struct queue_state *state = counts_state(&store->counts, queue);
    int64_t max = state->settings.max_length;

    if (max == 0 || counts_waiting(state) < max)
        return true;
    return err_set(err, ERR_QUEUE_LIMIT,
                   "%lld jobs of queue %s are waiting, as many as its max_length allows",
                   (long long)counts_waiting(state), state->name);
}

/* ---- starts ---- */

bool settings_put_starts(struct store *store, uint32_t queue, struct slice starts, struct err *err)
{
    sqlite3_stmt *stmt = store_stmt(store, SQL_SETTINGS_STARTS);

    bind_i64(stmt, 1, queue);
    bind_blob(stmt, 2, starts);
    return store_run(store, stmt, err);
}

bool settings_get_starts(struct store *store, uint32_t queue, struct buf *ret, struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = store_stmt(store, SQL_SETTINGS_STARTED);
    struct slice starts;
    bool found;

    bind_i64(get, 1, queue);
    if (!db_next(&store->db, get, &found, err))
        return false;
    starts = found ? column_slice(get, 0) : (struct slice){NULL, 0};
    if (starts.ptr != NULL)
        buf_append(ret, starts.ptr, starts.len);
    return true;
}
