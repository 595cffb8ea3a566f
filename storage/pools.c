/* SPDX-License-Identifier: MIT */
#include "storage/pools.h"

#include "storage/store_impl.h"

/* In the order of TEXT_POOL. */
#define SETTINGS_AT 8
#define N_SETTINGS 9
#define BASE_AT (SETTINGS_AT + N_SETTINGS)

static void settings_values(const struct pool_settings *s, int64_t ret[N_SETTINGS])
{
    const int64_t values[N_SETTINGS] = {
        s->size,
        s->min,
        s->idle_us,
        s->max_jobs,
        s->start_failures,
        s->start_timeout_us,
        (int64_t)s->max_rss,
        s->on_death,
        s->isolation,
    };
    memcpy(ret, values, sizeof(values));
}

static void settings_bind(sqlite3_stmt *put, int column, const struct pool_settings *s)
{
    int64_t values[N_SETTINGS];

    settings_values(s, values);
    for (int i = 0; i < N_SETTINGS; i++)
        bind_i64(put, column + i + 1, values[i]);
}

static bool settings_read(sqlite3_stmt *stmt, int column, struct pool_settings *ret)
{
    int64_t v[N_SETTINGS], same[N_SETTINGS];

    for (int i = 0; i < N_SETTINGS; i++)
        v[i] = sqlite3_column_int64(stmt, column + i);
    *ret = (struct pool_settings){
        .size = (uint32_t)v[0],
        .min = (uint32_t)v[1],
        .idle_us = v[2],
        .max_jobs = (uint32_t)v[3],
        .start_failures = (uint32_t)v[4],
        .start_timeout_us = v[5],
        .max_rss = (uint64_t)v[6],
        .on_death = (uint32_t)v[7],
        .isolation = (uint32_t)v[8],
    };
    settings_values(ret, same);
    return memcmp(v, same, sizeof(v)) == 0 && ret->size >= 1 && ret->idle_us >= 0 &&
           ret->on_death < DEATH_KINDS && ret->isolation < POOL_ISOLATIONS;
}

static bool entry_read(sqlite3_stmt *stmt, struct pool_entry *ret)
{
    struct slice name = column_slice(stmt, 0), why = column_slice(stmt, 6);
    struct slice runner = column_slice(stmt, 7);

    *ret = (struct pool_entry){.version = sqlite3_column_int64(stmt, 1),
                               .is_made = (uint32_t)sqlite3_column_int(stmt, 2),
                               .phase = (uint32_t)sqlite3_column_int(stmt, 3),
                               .place = sqlite3_column_int64(stmt, 4),
                               .up_to = sqlite3_column_int64(stmt, 5)};
    if (name.len < 1 || name.len > MAX_POOL_NAME || ret->phase >= POOL_PHASE_COUNT ||
        why.len >= sizeof(ret->why) || runner.len >= sizeof(ret->runner))
        return false;
    memcpy(ret->name, name.ptr, name.len);
    if (why.len > 0)
        memcpy(ret->why, why.ptr, why.len);
    if (runner.len > 0)
        memcpy(ret->runner, runner.ptr, runner.len);
    return settings_read(stmt, SETTINGS_AT, &ret->settings) &&
           settings_read(stmt, BASE_AT, &ret->base);
}

bool pools_load(struct store *store, struct pool_entry *ret, size_t max, size_t *ret_n,
                struct err *err)
{
    AUTO_STMT sqlite3_stmt *all = store_stmt(store, SQL_POOLS_ALL);
    size_t n = 0;
    bool found;

    while (db_next(&store->db, all, &found, err)) {
        if (!found) {
            *ret_n = n;
            return true;
        }
        if (n == max || !entry_read(all, &ret[n]))
            return err_set(err, ERR_STORAGE, "The stored pools are damaged.");
        n++;
    }
    return false;
}

/* "": NULL. */
static void bind_words(sqlite3_stmt *put, int at, const char *words)
{
    bind_text(put, at, words[0] == '\0' ? (struct slice){NULL, 0} : slice_of(words));
}

bool pools_put(struct store *store, const struct pool_entry *pool, struct err *err)
{
    sqlite3_stmt *put = store_stmt(store, SQL_POOL_PUT);

    bind_text(put, 1, slice_of(pool->name));
    bind_i64(put, 2, pool->version);
    bind_i64(put, 3, pool->is_made);
    bind_i64(put, 4, pool->phase);
    bind_i64(put, 5, pool->place);
    bind_i64(put, 6, pool->up_to);
    bind_words(put, 7, pool->why);
    bind_words(put, 8, pool->is_made ? pool->runner : "");
    settings_bind(put, SETTINGS_AT, &pool->settings);
    settings_bind(put, BASE_AT, &pool->base);
    return store_run(store, put, err);
}

bool pools_delete(struct store *store, const char *name, struct err *err)
{
    sqlite3_stmt *stmt = store_stmt(store, SQL_POOL_DELETE);

    bind_text(stmt, 1, slice_of(name));
    return store_run(store, stmt, err);
}

bool pools_walk(struct store *store, struct job_walk *walk, struct err *err)
{
    AUTO_STMT sqlite3_stmt *next = store_stmt(store, SQL_JOBS_WALK);
    bool found;

    bind_i64(next, 1, walk->after);
    bind_i64(next, 2, walk->up_to);
    bind_i64(next, 3, (int64_t)walk->max);
    walk->n = 0;
    while (db_next(&store->db, next, &found, err)) {
        if (!found)
            return true;
        walk->jobs[walk->n++] = (struct walked_job){
            .no = sqlite3_column_int64(next, 0),
            .state = (enum job_state)sqlite3_column_int(next, 1),
            .queue = (uint32_t)sqlite3_column_int64(next, 2),
        };
    }
    return false;
}

bool pools_queue(struct store *store, const char *name, uint32_t *ret, struct err *err)
{
    return queue_number(store, slice_of(name), ret, err);
}

void pools_count(const struct store *store, uint32_t queue, struct pool_counts *ret)
{
    const struct queue_state *state = counts_state(&store->counts, queue);

    *ret = (struct pool_counts){.queued = state->count[JOB_QUEUED]};
    for (int s = 0; s < JOB_STATE_COUNT; s++)
        ret->unfinished += job_state_is_end((enum job_state)s) ? 0 : state->count[s];
}

int64_t pools_newest(const struct store *store)
{
    return store->newest.no;
}
