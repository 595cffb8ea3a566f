/* SPDX-License-Identifier: MIT */
/* The batches in memory, for the files of storage/ that write. A batch is read once and written
 * once per transaction, however many of its elements move. */
#ifndef GANGER_STORAGE_BATCHES_IMPL_H
#define GANGER_STORAGE_BATCHES_IMPL_H

#include "service/base/batch.h"
#include "service/base/buf.h"

#include <sqlite3.h>

struct store;
struct row;

/* Neighbours that have ended one after another with the same version; n = 0: none. */
struct ends_run {
    int64_t no, version, n;
};

/* More batches than this in one transaction cost a read and a write each time one is met again. */
#define BATCH_CACHE_SIZE 64
struct batch_cached {
    struct batch batch; /* no = 0: empty */
    bool is_dirty;
    struct batch_part part; /* the last one; n = 0: not read yet, or none */
    bool part_is_dirty;
    struct ends_run ends; /* the last ones, which have no row yet */
};
/* What the elements of the batch that was met last have in common: they start one after another as
 * a rule. Nothing changes it, but after a rollback the number may be another batch's. */
struct batch_texts {
    int64_t batch; /* 0: of none */
    struct arena arena;
    struct slice name, traceparent, task;
};
struct batch_cache {
    struct batch_cached slots[BATCH_CACHE_SIZE]; /* at no % size */
    size_t n_dirty;                              /* of them */
    int64_t *changed;                            /* numbers, for store_changed_batches */
    size_t n_changed, cap_changed;
    struct batch_texts texts;
};
/* After a rollback: nothing in it is known to be true. */
void batch_cache_clear(struct batch_cache *cache);
void batch_cache_release(struct batch_cache *cache);

/* From a statement that stands on a row of TEXT_BATCH. */
MUST_CHECK bool batch_read(sqlite3_stmt *stmt, struct batch *ret, struct err *err);

/* Before a commit or a savepoint: what is dirty becomes rows. */
MUST_CHECK bool batches_write(struct store *store, struct err *err);
/* An element has moved: counts, the place among the ends, the end of the batch. */
MUST_CHECK bool batch_count_move(struct store *store, const struct row *row, enum job_state from,
                                 enum job_state to, struct err *err);
/* The gate has begun (+1) or ceased (-1) to hold an element back. */
MUST_CHECK bool batch_count_gated(struct store *store, int64_t batch, int64_t delta,
                                  struct err *err);
/* Job `no` is the batch's next element. */
MUST_CHECK bool batch_append(struct store *store, int64_t batch, int64_t no, struct err *err);
/* Lowers *ret_us to when the next batch goes. */
MUST_CHECK bool batches_next_gone(struct store *store, int64_t *ret_us, struct err *err);
/* Its row is deleted. */
void batch_drop(struct store *store, int64_t no);
/* It is time for it to go; while rows of its elements are there, it waits for them. */
MUST_CHECK bool batch_wait_for_rows(struct store *store, int64_t no, bool *ret_waits,
                                    struct err *err);
/* Nothing of it begins any more. batch 0: false. */
MUST_CHECK bool batch_is_halted(struct store *store, int64_t batch, bool *ret, struct err *err);
MUST_CHECK bool batch_retry_policy(struct store *store, int64_t batch, struct retry_policy *ret,
                                   struct err *err);

#endif
