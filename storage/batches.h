/* SPDX-License-Identifier: MIT */
/* Batches: what many jobs share, how they are counted, and in which order they have ended. Owner:
 * the engine thread. Elements are inserted and moved by jobs.h and queue.h; the counts follow by
 * themselves. Errors as in jobs.h. */
#ifndef GANGER_STORAGE_BATCHES_H
#define GANGER_STORAGE_BATCHES_H

#include "service/base/batch.h"
#include "service/base/template.h"
#include "storage/queue.h"

/* A batch about to be born, without elements. Bytes are borrowed. */
struct batch_new {
    enum batch_kind kind;
    enum batch_phase phase;
    const struct job_spec *spec; /* the template: name, queue, labels, metadata, traceparent, retry,
                                    keep, callback, submitter */
    struct slice task; /* struct template_head and the task; absent: BATCH_GRAPH, BATCH_PIPELINE */
    int64_t now_us;
    int64_t max_parallel, max_failures, chunksize;
    uint32_t salt, work;
    uint32_t flags; /* enum job_flag: WAITS; CALLBACK and OFFSPRING follow from the spec */
};
/* Its number comes from the same sequence as those of jobs. */
MUST_CHECK bool batch_insert(struct store *store, const struct batch_new *batch,
                             struct job_id *ret_id, struct err *err);

/* NOT_FOUND when there is none. What is returned is the store's own, current until the next verb of
 * this layer; change it by batch_put alone. */
MUST_CHECK bool batch_get_by_no(struct store *store, int64_t no, const struct batch **ret,
                                struct err *err);
MUST_CHECK bool batch_get(struct store *store, const struct job_id *id, const struct batch **ret,
                          struct err *err);
/* Takes phase, work, place, flags and failed_first of `changed`; counts are the store's. A batch
 * that is over by that is among the changes (store_changes). */
MUST_CHECK bool batch_put(struct store *store, const struct batch *changed, int64_t now_us,
                          struct err *err);

/* Its next elements, which differ in nothing but item and salt: as jobs_insert does it with each
 * item as the task of `like`, idx being that of the first. Nothing but a batch and items (and no
 * unique key, callback or submitter) belongs to them. */
struct element_new {
    struct slice item;
    uint32_t salt;
};
MUST_CHECK bool batch_insert_elements(struct store *store, const struct job_new *like,
                                      const struct element_new *elements, size_t n,
                                      struct err *err);

/* What its elements are made from. */
MUST_CHECK bool batch_head(struct store *store, int64_t batch, struct template_head *ret,
                           struct err *err);

/* The first elements from an index on that the gate holds back; not those of chunks. */
MUST_CHECK bool batch_gated(struct store *store, int64_t batch, int64_t from, struct due_list *ret,
                            struct err *err);
/* Elements that the gate holds back and that may run behind `head` in the same turn of a worker:
 * those of the next `max` indexes below `end` with the same queue, priority and attempt, and
 * nothing that needs a look elsewhere. Between their numbers there are only elements of the same
 * batch. Items go to `a`. */
struct mate {
    struct job_row row;
    struct slice item;
};
struct mate_list {
    struct mate *mates; /* room for max; the caller's */
    size_t max, n;
    size_t max_bytes; /* of all items, which lie in the arena */
    struct arena *arena;
};
MUST_CHECK bool batch_mates(struct store *store, const struct job_row *head, int64_t end,
                            struct mate_list *ret, struct err *err);
/* Lets one of them in: into the queue, unless it waits for something else. */
MUST_CHECK bool batch_release(struct store *store, int64_t no, int64_t now_us, struct err *err);

/* The next batch with work after `after`; 0: none. */
MUST_CHECK bool batch_with_work(struct store *store, int64_t after, int64_t *ret_no,
                                struct err *err);

/* Elements [first, first + n) by index. */
struct batch_range {
    int64_t batch, first, n;
};
/* Those of them that wait become CANCELLED, as jobs_cancel does it one by one; n becomes less when
 * they lie in several parts: go on behind it. `why` as there. */
MUST_CHECK bool batch_cancel(struct store *store, struct batch_range *range, int64_t now_us,
                             const char *why, struct err *err);

/* The numbers of those that are in one of the states (bits of TO), in the order of indexes; n
 * becomes less when the list is full or they lie in several parts: go on behind it. */
MUST_CHECK bool batch_find(struct store *store, struct batch_range *range, uint32_t states,
                           struct due_list *ret, struct err *err);

/* The number of the first of them that the gate holds back, also of a chunk; 0: none. n becomes
 * less when they lie in several parts: go on behind it. */
MUST_CHECK bool batch_gated_in(struct store *store, struct batch_range *range, int64_t *ret_no,
                               struct err *err);

/* Retention: a batch goes when it would as a job, but not before its elements. At most so many rows
 * of all kinds are deleted. */
MUST_CHECK bool batches_prune(struct store *store, int64_t now_us, uint32_t limit, struct err *err);

/* The part that holds this index; NOT_FOUND beyond the last element. */
MUST_CHECK bool batch_part_at(struct store *store, int64_t batch, int64_t index,
                              struct batch_part *ret, struct err *err);
/* The batches that this transaction has changed, each at least once, in no order. Emptied by
 * store_begin. */
const int64_t *store_changed_batches(const struct store *store, size_t *ret_n);

#endif
