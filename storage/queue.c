/* SPDX-License-Identifier: MIT */
#include "storage/queue.h"

#include "storage/items.h"
#include "storage/store_impl.h"

#define MAX_TEXTS (20u << 20)  /* of a template: the largest request with its framing */
#define KEPT_TEXTS (64u << 10) /* for the next element */

/* ---- what a start needs ---- */

static bool arena_full(struct err *err)
{
    return err_set(err, ERR_OVERLOADED, "There is not enough memory for this request now.");
}

/* A copy; what is absent stays so. */
static bool slice_keep(struct slice s, struct arena *a, struct slice *ret)
{
    *ret = s;
    if (s.ptr == NULL)
        return true;
    ret->ptr = arena_dup(a, s);
    return ret->ptr != NULL;
}

static bool column_keep(sqlite3_stmt *stmt, int column, struct arena *a, struct slice *ret)
{
    return slice_keep(column_slice(stmt, column), a, ret);
}

static bool texts_find(struct store *store, sqlite3_stmt *get, const struct job_row *row,
                       struct spec_texts *ret, struct err *err)
{
    bool is_there;

    *ret = (struct spec_texts){0};
    if ((row->flags & JOB_ITEM) != 0)
        return item_read(&store->db, get, row->no, &ret->task, err);
    bind_i64(get, 1, row->no);
    if (!db_next(&store->db, get, &is_there, err))
        return false;
    if (!is_there)
        return err_set(err, ERR_INTERNAL, "The specification of job %lld is missing.",
                       (long long)row->no);
    *ret = (struct spec_texts){column_slice(get, 0), column_slice(get, 1), column_slice(get, 2)};
    return true;
}

/* The slices live in `a`. */
static bool spec_read(struct store *store, const struct job_row *row, struct arena *a,
                      struct spec_texts *ret, struct err *err)
{
    AUTO_STMT sqlite3_stmt *get = NULL;
    struct spec_texts found;

    if (!spec_at_hand(&store->specs, row->no, &found)) {
        get = store_stmt(store, (row->flags & JOB_ITEM) != 0 ? SQL_ITEM_GET : SQL_SPEC_START);
        if (!texts_find(store, get, row, &found, err))
            return false;
    }
    return (slice_keep(found.name, a, &ret->name) &&
            slice_keep(found.traceparent, a, &ret->traceparent) &&
            slice_keep(found.task, a, &ret->task)) ||
           arena_full(err);
}

static bool texts_read(struct store *store, int64_t batch, struct batch_texts *texts,
                       struct err *err)
{
    AUTO_STMT sqlite3_stmt *spec = store_stmt(store, SQL_BATCH_SPEC);
    bool found;

    texts->batch = 0;
    arena_release(&texts->arena);
    arena_init_small(&texts->arena, MAX_TEXTS);
    bind_i64(spec, 1, batch);
    if (!db_next(&store->db, spec, &found, err))
        return false;
    if (!found)
        return err_set(err, ERR_INTERNAL, "The template of batch %lld is missing.",
                       (long long)batch);
    if (!column_keep(spec, 0, &texts->arena, &texts->name) ||
        !column_keep(spec, 1, &texts->arena, &texts->traceparent) ||
        !column_keep(spec, 3, &texts->arena, &texts->task))
        return arena_full(err);
    texts->batch = batch;
    return true;
}

/* What the element that ret->row is has in common with its batch. */
static bool template_read(struct store *store, struct arena *a, struct start_info *ret,
                          struct slice *ret_name, struct err *err)
{
    struct batch_texts *texts = &store->batches.texts;
    bool copied;

    if (texts->batch != ret->row.batch && !texts_read(store, ret->row.batch, texts, err))
        return false;
    copied = slice_keep(texts->name, a, ret_name) &&
             slice_keep(texts->traceparent, a, &ret->traceparent) &&
             slice_keep(texts->task, a, &ret->task);
    if (texts->arena.used > KEPT_TEXTS) {
        texts->batch = 0;
        arena_release(&texts->arena);
    }
    return copied ? true : arena_full(err);
}

bool queue_start_info(struct store *store, int64_t no, struct arena *a, struct start_info *ret,
                      struct err *err)
{
    struct spec_texts spec = {0};
    struct slice name;

    if (!jobs_get_by_no(store, no, &ret->row, err) || !spec_read(store, &ret->row, a, &spec, err))
        return false;
    name = spec.name;
    ret->traceparent = spec.traceparent;
    ret->task = spec.task;
    if ((ret->row.flags & JOB_ITEM) != 0) {
        ret->item = ret->task;
        if (!template_read(store, a, ret, &name, err))
            return false;
    }
    ret->queue = arena_dup(a, slice_of(counts_name(&store->counts, ret->row.queue)));
    if (name.ptr == NULL) {
        char text[JOB_OWN_NAME_SIZE];

        job_own_name(no, text);
        name.ptr = arena_dup(a, slice_of(text));
    }
    ret->name = name.ptr;
    return ret->name != NULL && ret->queue != NULL ? true : arena_full(err);
}

/* ---- timers ---- */

/* The numbers of the rows whose timer of this kind has run out, earliest first. Collected before
 * any of them is changed, since a change takes the row out of the index that is being read. */
static bool timers_due(struct store *store, enum row_timer timer, int64_t now_us,
                       struct due_list *list, struct err *err)
{
    AUTO_STMT sqlite3_stmt *due = store_stmt(store, SQL_TIMERS);
    bool found;

    bind_i64(due, 1, (int64_t)timer);
    bind_i64(due, 2, now_us);
    bind_i64(due, 3, (int64_t)list->max);
    list->n = 0;
    while (db_next(&store->db, due, &found, err)) {
        if (!found)
            return true;
        list->nos[list->n++] = sqlite3_column_int64(due, 0);
    }
    return false;
}

bool queue_promote(struct store *store, int64_t now_us, struct due_list *ret, struct err *err)
{
    if (!timers_due(store, TIMER_PROMOTE, now_us, ret, err))
        return false;
    for (size_t i = 0; i < ret->n; i++) {
        struct row row;

        if (!row_load(store, ret->nos[i], &row, err))
            return false;
        if ((row.flags & (JOB_WAITS | JOB_GATED)) == 0)
            row.queued_us = now_us;
        if (!row_move(store, &row, row.queued_us == 0 ? JOB_BLOCKED : JOB_QUEUED, err))
            return false;
    }
    return true;
}

bool queue_expired(struct store *store, int64_t now_us, struct expired_list *ret, struct err *err)
{
    AUTO_FREE int64_t *nos = must_alloc(MAX(ret->max, 1) * sizeof(*nos));
    struct due_list due = {nos, ret->max, 0};

    if (!timers_due(store, TIMER_EXPIRE, now_us, &due, err))
        return false;
    for (size_t i = 0; i < due.n; i++) {
        struct row row;
        bool queue_first;

        if (!row_load(store, nos[i], &row, err))
            return false;
        queue_first = row.attempt == 0 && row.queue_deadline_us != 0 &&
                      (row.deadline_us == 0 || row.queue_deadline_us <= row.deadline_us);
        ret->jobs[i] = (struct expired_job){nos[i],
                                            queue_first ? REASON_QUEUE_TIMEOUT : REASON_DEADLINE};
    }
    ret->n = due.n;
    return true;
}

bool queue_next_due(struct store *store, int64_t *ret_us, struct err *err)
{
    int64_t earliest_us = INT64_MAX;

    for (int timer = TIMER_NONE + 1; timer < TIMER_COUNT; timer++) {
        AUTO_STMT sqlite3_stmt *next = store_stmt(store, SQL_TIMER_NEXT);
        bool found;

        bind_i64(next, 1, timer);
        if (!db_next(&store->db, next, &found, err))
            return false;
        if (found)
            earliest_us = MIN(earliest_us, sqlite3_column_int64(next, 0));
    }
    *ret_us = earliest_us;
    return batches_next_gone(store, ret_us, err) && blobs_next_gone(store, ret_us, err);
}

/* ---- in flight ---- */

_Static_assert(sizeof(struct inflight) == 16, "groups are stored as they lie in memory");

bool inflight_put(struct store *store, uint32_t group, const struct inflight *entries, size_t n,
                  struct err *err)
{
    sqlite3_stmt *put = store_stmt(store, SQL_INFLIGHT_PUT);

    PRE(n <= INFLIGHT_GROUP);

    bind_i64(put, 1, group);
    bind_blob(put, 2, (struct slice){(const char *)entries, n * sizeof(*entries)});
    return store_run(store, put, err);
}

bool inflight_clear(struct store *store, struct err *err)
{
    return store_run(store, store_stmt(store, SQL_INFLIGHT_DELETE), err) &&
           store_run(store, store_stmt(store, SQL_INFLIGHT_DELETE_OLD), err);
}

struct inflight_list {
    struct inflight *entries;
    size_t n, max;
};

static bool inflight_add(struct inflight_list *list, const struct inflight *entry, struct err *err)
{
    if (entry->no == 0)
        return true;
    if (list->n == list->max)
        return err_set(err, ERR_INTERNAL, "More than %zu attempts are in flight.", list->max);
    list->entries[list->n++] = *entry;
    return true;
}

static bool inflight_read(sqlite3_stmt *group, struct inflight_list *list, struct err *err)
{
    const struct slice bytes = column_slice(group, 0);
    struct inflight entry;

    if (bytes.len % sizeof(entry) != 0)
        return err_set(err, ERR_STORAGE, "The stored list of what is in flight is damaged.");
    for (size_t at = 0; at < bytes.len; at += sizeof(entry)) {
        memcpy(&entry, bytes.ptr + at, sizeof(entry));
        if (!inflight_add(list, &entry, err))
            return false;
    }
    return true;
}

/* Those that a server of version 1 has left. */
static bool inflight_old(struct store *store, struct inflight_list *list, struct err *err)
{
    AUTO_STMT sqlite3_stmt *old = store_stmt(store, SQL_INFLIGHT_OLD);
    bool found;

    while (db_next(&store->db, old, &found, err)) {
        const struct inflight entry = {sqlite3_column_int64(old, 0),
                                       (uint32_t)sqlite3_column_int64(old, 1), 1};

        if (!found)
            return true;
        if (!inflight_add(list, &entry, err))
            return false;
    }
    return false;
}

bool inflight_all(struct store *store, struct inflight *ret, size_t max, size_t *ret_n,
                  struct err *err)
{
    AUTO_STMT sqlite3_stmt *all = store_stmt(store, SQL_INFLIGHT_ALL);
    struct inflight_list list = {ret, 0, max};
    bool found = true;

    while (found) {
        if (!db_next(&store->db, all, &found, err) || (found && !inflight_read(all, &list, err)))
            return false;
    }
    if (!inflight_old(store, &list, err))
        return false;
    *ret_n = list.n;
    return true;
}
