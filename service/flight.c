/* SPDX-License-Identifier: MIT */
/* The table of flights: a few entries per worker, so looking through all of them is the cheapest
 * index. */
#include "service/dispatch.h"

/* Task bytes of one flight: the largest request with its framing (service/command.c). */
#define MAX_FLIGHT_BYTES (20u << 20)
#define MAX_MEMO_BYTES (64u << 10) /* a larger template is read for each element */

/* However the workers are divided among pools. */
static uint32_t most_flights(const struct dispatch *d)
{
    return (SLOT_BANKS + RESERVED_PER_WORKER) * pool_max(d->pool);
}

void dispatch_fit(struct dispatch *d, uint32_t flights)
{
    d->wanted_n = MIN(flights, most_flights(d));
    for (; d->made_n < d->wanted_n; d->made_n++)
        arena_init_small(&d->flights[d->made_n].arena, MAX_FLIGHT_BYTES);
    d->dirty = true;
}

void flight_trim(struct dispatch *d)
{
    while (d->n > 0 && d->flights[d->n - 1].state == FLIGHT_FREE &&
           (d->stored[d->n - 1].entry.no == 0 || d->stored[d->n - 1].is_over))
        d->n--;
}

/* A power of two; at most half of the buckets are used. */
static size_t bucket_count(size_t n)
{
    size_t count = 16;
    while (count < 2 * n)
        count *= 2;
    return count;
}

bool dispatch_open(struct dispatch *d, const char *data_dir, struct err *err)
{
    size_t max = most_flights(d);
    d->flights = must_alloc(max * sizeof *d->flights);
    d->stored = must_alloc(max * sizeof *d->stored);
    d->committed = must_alloc(max * sizeof *d->committed);
    d->ready = must_alloc(max * sizeof *d->ready);
    d->pairs = must_alloc(max * sizeof *d->pairs);
    d->buckets = must_alloc(bucket_count(max) * sizeof *d->buckets);
    dispatch_fit(d, dispatch_room(pool_size(d->pool)));
    job_token_key_make(&d->token_key);
    return admission_open(d, err) && starts_open(&d->starts, data_dir, err);
}

void dispatch_close(struct dispatch *d)
{
    for (uint32_t k = 0; k < d->made_n && d->flights != NULL; k++) {
        chunk_free(&d->flights[k]);
        feed_free(d->flights[k].feed);
        arena_release(&d->flights[k].arena);
    }
    blob_cache_free(d->blobs);
    element_forget(&d->memo);
    free(d->flights);
    free(d->stored);
    free(d->committed);
    free(d->ready);
    free(d->pairs);
    free(d->buckets);
    admission_close(d);
    starts_close(&d->starts);
    *d = (struct dispatch){.starts.fd = -1};
}

void flight_free(struct flight *f)
{
    chunk_free(f);
    for (uint32_t i = 0; i < f->n_blobs; i++)
        blob_cache_give(f->cache, f->blobs[i], clock_mono_ns());
    struct arena arena = f->arena;
    feed_free(f->feed);
    arena_clear(&arena);
    *f = (struct flight){.arena = arena};
}

struct flight *flight_new(struct dispatch *d)
{
    for (uint32_t k = 0; k < d->wanted_n; k++)
        if (d->flights[k].state == FLIGHT_FREE) {
            d->n = MAX(d->n, k + 1);
            return &d->flights[k];
        }
    return NULL;
}

struct flight *dispatch_find(struct dispatch *d, int64_t no)
{
    for (uint32_t k = 0; k < d->n; k++) {
        struct flight *f = &d->flights[k];
        if (f->state >= FLIGHT_CLAIMED && !f->outcome_applied && f->info.row.no == no)
            return f;
    }
    return NULL;
}

static bool waits(const struct flight *f)
{
    return f->state == FLIGHT_RESERVED || f->state == FLIGHT_OFFERED ||
           (f->unrecorded && !f->outcome_applied); /* else the row may wait anew */
}

struct flight *flight_waiting(struct dispatch *d, int64_t no)
{
    for (uint32_t k = 0; k < d->n; k++)
        if (d->flights[k].info.row.no == no && waits(&d->flights[k]))
            return &d->flights[k];
    return NULL;
}

/* Numbers are neighbours as a rule, so they need no mixing. */
static uint32_t *bucket_of(const struct dispatch *d, size_t count, int64_t no)
{
    size_t at = (size_t)no & (count - 1);
    while (d->buckets[at] != 0 && d->ready[d->buckets[at] - 1].no != no)
        at = (at + 1) & (count - 1);
    return &d->buckets[at];
}

void dispatch_pair(struct dispatch *d, size_t n_ready)
{
    const size_t count = bucket_count(n_ready);
    memset(d->buckets, 0, count * sizeof *d->buckets);
    for (size_t i = 0; i < n_ready; i++) {
        *bucket_of(d, count, d->ready[i].no) = (uint32_t)i + 1;
        d->pairs[i] = NULL;
    }
    for (uint32_t k = 0; k < d->n; k++) {
        struct flight *f = &d->flights[k];
        f->is_ready = false;
        if (f->state == FLIGHT_FREE || f->outcome_applied)
            continue;
        const uint32_t i = *bucket_of(d, count, f->info.row.no);
        if (i == 0)
            continue;
        PRE(waits(f)); /* a row that says `queued` has no recorded attempt under way */
        d->pairs[i - 1] = f;
        f->is_ready = true;
        if (f->state < FLIGHT_CLAIMED) {
            f->rank = i - 1;
            f->contested = d->ready[i - 1].contested;
        }
    }
}

struct flight *flight_at(struct dispatch *d, struct place place)
{
    for (uint32_t k = 0; k < d->n; k++) {
        struct flight *f = &d->flights[k];
        bool is_there = f->state == FLIGHT_OFFERED || f->state == FLIGHT_RUNNING;
        if (is_there && f->place.slot == place.slot && f->place.bank == place.bank)
            return f;
    }
    return NULL;
}

uint32_t flight_count(const struct dispatch *d, enum flight_state state)
{
    uint32_t n = 0;
    for (uint32_t k = 0; k < d->n; k++)
        n += d->flights[k].state == state;
    return n;
}

uint32_t flight_spare(const struct dispatch *d)
{
    uint32_t n = d->wanted_n;
    for (uint32_t k = 0; k < MIN(d->n, d->wanted_n); k++)
        n -= d->flights[k].state != FLIGHT_FREE;
    return n;
}

bool dispatch_has_news(const struct dispatch *d)
{
    for (uint32_t k = 0; k < d->n; k++)
        if (d->flights[k].state == FLIGHT_ENDED || d->flights[k].unrecorded ||
            (d->flights[k].chunk != NULL && d->flights[k].chunk->has_part))
            return true;
    return false;
}

size_t dispatch_news(const struct dispatch *d)
{
    size_t n = 0;
    for (uint32_t k = 0; k < d->n; k++) {
        const struct flight *f = &d->flights[k];
        if (f->state == FLIGHT_ENDED)
            n += f->chunk == NULL ? 1 : f->chunk->n + 1 - f->chunk->current;
        else
            n += f->unrecorded;
    }
    return n;
}

bool dispatch_has_ready(struct dispatch *d)
{
    int64_t taken = flight_count(d, FLIGHT_RESERVED) + flight_count(d, FLIGHT_OFFERED);
    for (uint32_t k = 0; k < d->n; k++)
        taken += d->flights[k].unrecorded; /* the row still says `queued` */
    if (d->admission.n_ruled > 0)
        taken += admission_held_back(d);
    return store_count(d->store, JOB_QUEUED) > taken;
}

uint32_t dispatch_ahead(const struct dispatch *d)
{
    return flight_count(d, FLIGHT_RESERVED) + flight_count(d, FLIGHT_OFFERED);
}

bool dispatch_is_urgent(struct dispatch *d)
{
    uint32_t ahead = dispatch_ahead(d);
    if (d->closed)
        return true;
    if (d->starved && (ahead > 0 || dispatch_has_ready(d)))
        return true;
    return ahead < pool_size(d->pool) && dispatch_has_ready(d);
}

uint32_t dispatch_running(const struct dispatch *d)
{
    return flight_count(d, FLIGHT_CLAIMED) + flight_count(d, FLIGHT_RUNNING) +
           flight_count(d, FLIGHT_ENDED);
}

void dispatch_drop_reservations(struct dispatch *d)
{
    for (uint32_t k = 0; k < d->n; k++) {
        struct flight *f = &d->flights[k];
        if (f->state == FLIGHT_OFFERED)
            (void)flight_recall(d, f);
        if (f->state == FLIGHT_RESERVED)
            flight_free(f);
        else if (f->state != FLIGHT_FREE && f->chunk != NULL)
            chunk_cut(d, f);
    }
}

bool flight_read(struct dispatch *d, struct flight *f, int64_t no, struct err *err)
{
    if (!queue_start_info(d->store, no, &f->arena, &f->info, err))
        return false;
    if (SEEDED_BUG("unreadable") && strcmp(f->info.name, "unreadable") == 0)
        return err_set(err, ERR_INTERNAL, "a seeded fault"); /* a negative control of the guard */
    return true;
}

static bool make_own(struct element_memo *memo, struct flight *f, struct err *err)
{
    struct start_info *info = &f->info;
    struct slice name = slice_of(info->name);
    const struct element element = {
        .item = info->item, .index = info->row.idx, .deadline_us = info->row.deadline_us};
    const struct element_maker *maker = element_recall(memo, info->task, err);
    if (maker == NULL || !element_make(maker, &element, &f->arena, &info->task, err))
        return false;
    info->item = (struct slice){0};
    f->brief_key = memo->brief_key;
    if (memchr(name.ptr, '{', name.len) == NULL)
        return true;
    struct template_item item = {
        .raw = element.item, .index = element.index, .star = maker->head.star != 0};
    info->name = template_name(name, &item, &f->arena);
    return info->name != NULL || err_set(err, ERR_TOO_LARGE, "The name takes too much memory");
}

bool flight_make_own(struct dispatch *d, const struct turn *turn, struct flight *f, bool *ret_ok,
                     struct err *err)
{
    struct err why = {0};
    *ret_ok = f->info.item.ptr == NULL || make_own(&d->memo, f, &why);
    if (d->memo.arena.used > MAX_MEMO_BYTES)
        element_forget(&d->memo);
    if (*ret_ok)
        return true;
    d->dirty = true; /* the next in line may have its place */
    return jobs_refuse(d->store,
                       &(struct job_refusal){f->info.row.no, REASON_EXEC, turn->now_us, why.detail},
                       err);
}
