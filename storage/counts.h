/* SPDX-License-Identifier: MIT */
/* Queues by name and number, how many jobs of each are in which state, and their settings. Kept in
 * memory, written with each commit, and put back by each rollback. Owner: the engine thread's
 * store. */
#ifndef GANGER_STORAGE_COUNTS_H
#define GANGER_STORAGE_COUNTS_H

#include "service/base/queue.h"

struct queue_state {
    char name[MAX_QUEUE_NAME + 1]; /* "" = this number is free */
    int64_t count[JOB_STATE_COUNT];
    struct queue_settings settings;
};

/* `at_begin` and `at_savepoint` are valid while the flag beside them is set: what to return to. */
struct queue_entry {
    struct queue_state now, at_begin, at_savepoint;
    bool in_transaction, in_savepoint;
};

/* Queue numbers are 1 … n; entry i is queue i + 1. */
struct counts {
    struct queue_entry *entries;
    uint32_t n, max;
    int64_t total[JOB_STATE_COUNT];
    uint32_t *touched; /* entries with in_transaction */
    uint32_t n_touched;
    uint32_t *buckets; /* hash of the name → entry + 1, open addressing */
    uint32_t n_buckets;
    uint64_t settings_epoch; /* changes with each change of settings, and with each one taken back
                              */
};

void counts_init(struct counts *c, uint32_t max_queues);
void counts_release(struct counts *c);

/* While loading: queue `number` as it is stored. */
void counts_load(struct counts *c, uint32_t number, struct slice name,
                 const int64_t count[JOB_STATE_COUNT]);
bool counts_has_queue(const struct counts *c, uint32_t number);
/* 0 when there is none. */
uint32_t counts_find(const struct counts *c, struct slice name);
/* A number for a new name: a fresh one, or that of a queue in which no job is left and about which
 * nothing was said. OVERLOADED when all are in use. The caller writes the name to the database. */
MUST_CHECK bool counts_add_queue(struct counts *c, struct slice name, uint32_t *ret_number,
                                 struct err *err);
const char *counts_name(const struct counts *c, uint32_t number);
void counts_change(struct counts *c, uint32_t number, enum job_state state, int64_t delta);
const struct queue_state *counts_state(const struct counts *c, uint32_t number);
int64_t counts_waiting(const struct queue_state *state); /* scheduled + blocked + queued */
/* While loading, and when they change: the caller writes them to the database. */
void counts_set(struct counts *c, uint32_t number, const struct queue_settings *settings);

/* The transaction's changes: kept or taken back. */
void counts_keep(struct counts *c);
void counts_undo(struct counts *c);
void counts_savepoint_keep(struct counts *c);
void counts_savepoint_undo(struct counts *c);

#endif
