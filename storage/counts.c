/* SPDX-License-Identifier: MIT */
#include "storage/counts.h"

void counts_init(struct counts *c, uint32_t max_queues)
{
    PRE(max_queues > 0);

    *c = (struct counts){.max = max_queues, .n_buckets = 16};
    while (c->n_buckets < 2 * (uint64_t)max_queues)
        c->n_buckets *= 2;
    c->entries = must_alloc(max_queues * sizeof(*c->entries));
    c->touched = must_alloc(max_queues * sizeof(*c->touched));
    c->buckets = must_alloc(c->n_buckets * sizeof(*c->buckets));
}

void counts_release(struct counts *c)
{
    free(c->entries);
    free(c->touched);
    free(c->buckets);
    *c = (struct counts){0};
}

/* FNV-1a. Names are chosen by clients with a token, and there are few. */
static uint32_t name_hash(struct slice name)
{
    uint32_t hash = 2166136261u;

    for (size_t i = 0; i < name.len; i++)
        hash = (hash ^ (uint8_t)name.ptr[i]) * 16777619u;
    return hash;
}

/* The bucket of this name, or the free one where it belongs. */
static uint32_t *bucket_of(const struct counts *c, struct slice name)
{
    uint32_t at = name_hash(name) & (c->n_buckets - 1);

    while (c->buckets[at] != 0 && !slice_is(name, c->entries[c->buckets[at] - 1].now.name))
        at = (at + 1) & (c->n_buckets - 1);
    return &c->buckets[at];
}

/* Open addressing cannot delete one name; renames and rollbacks are rare enough to build the table
 * anew. */
static void buckets_rebuild(struct counts *c)
{
    memset(c->buckets, 0, c->n_buckets * sizeof(*c->buckets));
    for (uint32_t i = 0; i < c->n; i++) {
        if (c->entries[i].now.name[0] != '\0')
            *bucket_of(c, slice_of(c->entries[i].now.name)) = i + 1;
    }
}

void counts_load(struct counts *c, uint32_t number, struct slice name,
                 const int64_t count[JOB_STATE_COUNT])
{
    struct queue_entry *entry;

    PRE(number >= 1 && number <= c->max && name.len <= MAX_QUEUE_NAME);

    entry = &c->entries[number - 1];
    memcpy(entry->now.name, name.ptr, name.len);
    memcpy(entry->now.count, count, sizeof(entry->now.count));
    for (int s = 0; s < JOB_STATE_COUNT; s++)
        c->total[s] += count[s];
    c->n = MAX(c->n, number);
    *bucket_of(c, name) = number;
}

uint32_t counts_find(const struct counts *c, struct slice name)
{
    return *bucket_of(c, name);
}

static bool state_is_empty(const struct queue_state *state)
{
    for (int s = 0; s < JOB_STATE_COUNT; s++) {
        if (state->count[s] != 0)
            return false;
    }
    return true;
}

/* Whether another name may take this number. */
static bool state_is_free(const struct queue_state *state)
{
    return state_is_empty(state) && (state->settings.version == 0 || state->settings.is_gone);
}

/* Remembers what the entry was before this transaction, and before its savepoint. */
static struct queue_entry *entry_touch(struct counts *c, uint32_t index)
{
    struct queue_entry *entry = &c->entries[index];

    if (!entry->in_transaction) {
        entry->at_begin = entry->now;
        entry->in_transaction = true;
        c->touched[c->n_touched++] = index;
    }
    if (!entry->in_savepoint) {
        entry->at_savepoint = entry->now;
        entry->in_savepoint = true;
    }
    return entry;
}

bool counts_add_queue(struct counts *c, struct slice name, uint32_t *ret_number, struct err *err)
{
    uint32_t index = 0;
    struct queue_entry *entry;

    PRE(counts_find(c, name) == 0);

    if (name.len == 0 || name.len > MAX_QUEUE_NAME)
        return err_set(err, ERR_INVALID, "A queue's name has 1 to %d characters.", MAX_QUEUE_NAME);
    while (index < c->n && !state_is_free(&c->entries[index].now))
        index++;
    /* A fresh number first, so that the names of idle queues stay visible as long as there is room.
     */
    if (c->n < c->max)
        index = c->n;
    if (index == c->max)
        return err_set(
            err, ERR_OVERLOADED,
            "There are %u queues with jobs in them, the most that are allowed; use one of them.",
            c->max);
    entry = entry_touch(c, index);
    c->n = MAX(c->n, index + 1);
    memset(entry->now.name, 0, sizeof(entry->now.name));
    memcpy(entry->now.name, name.ptr, name.len);
    buckets_rebuild(c);
    *ret_number = index + 1;
    return true;
}

bool counts_has_queue(const struct counts *c, uint32_t number)
{
    return number >= 1 && number <= c->n && c->entries[number - 1].now.name[0] != '\0';
}

const char *counts_name(const struct counts *c, uint32_t number)
{
    PRE(number >= 1 && number <= c->n);

    return c->entries[number - 1].now.name;
}

void counts_change(struct counts *c, uint32_t number, enum job_state state, int64_t delta)
{
    struct queue_entry *entry;

    PRE(number >= 1 && number <= c->n);

    entry = entry_touch(c, number - 1);
    entry->now.count[state] += delta;
    c->total[state] += delta;
    POST(entry->now.count[state] >= 0);
}

const struct queue_state *counts_state(const struct counts *c, uint32_t number)
{
    PRE(number >= 1 && number <= c->n);

    return &c->entries[number - 1].now;
}

int64_t counts_waiting(const struct queue_state *state)
{
    return state->count[JOB_SCHEDULED] + state->count[JOB_BLOCKED] + state->count[JOB_QUEUED];
}

void counts_set(struct counts *c, uint32_t number, const struct queue_settings *settings)
{
    PRE(number >= 1 && number <= c->n);

    entry_touch(c, number - 1)->now.settings = *settings;
    c->settings_epoch++;
}

/* Puts one entry back to `to`, and the totals with it; true when its name changes by that. */
static bool entry_restore(struct counts *c, struct queue_entry *entry, const struct queue_state *to)
{
    bool renamed = strcmp(entry->now.name, to->name) != 0;

    for (int s = 0; s < JOB_STATE_COUNT; s++)
        c->total[s] += to->count[s] - entry->now.count[s];
    if (entry->now.settings.version != to->settings.version)
        c->settings_epoch++;
    entry->now = *to;
    return renamed;
}

void counts_keep(struct counts *c)
{
    for (uint32_t i = 0; i < c->n_touched; i++) {
        c->entries[c->touched[i]].in_transaction = false;
        c->entries[c->touched[i]].in_savepoint = false;
    }
    c->n_touched = 0;
}

void counts_undo(struct counts *c)
{
    bool renamed = false;

    for (uint32_t i = 0; i < c->n_touched; i++) {
        struct queue_entry *entry = &c->entries[c->touched[i]];

        renamed = entry_restore(c, entry, &entry->at_begin) || renamed;
    }
    counts_keep(c);
    if (renamed)
        buckets_rebuild(c);
}

void counts_savepoint_keep(struct counts *c)
{
    for (uint32_t i = 0; i < c->n_touched; i++)
        c->entries[c->touched[i]].in_savepoint = false;
}

void counts_savepoint_undo(struct counts *c)
{
    bool renamed = false;

    for (uint32_t i = 0; i < c->n_touched; i++) {
        struct queue_entry *entry = &c->entries[c->touched[i]];

        if (entry->in_savepoint)
            renamed = entry_restore(c, entry, &entry->at_savepoint) || renamed;
    }
    counts_savepoint_keep(c);
    if (renamed)
        buckets_rebuild(c);
}
