/* SPDX-License-Identifier: MIT */
/* A read-only connection: query_only, never checkpoints (wal_autocheckpoint=0, NO_CKPT_ON_CLOSE).
 * Owner: the thread that opened it. No statement stays open when a function returns, so no reader
 * pins the WAL. Reads see the newest commit. */
#ifndef GANGER_STORAGE_READER_H
#define GANGER_STORAGE_READER_H

#include "service/base/queue.h"

struct reader;
/* After store_open. */
MUST_CHECK bool reader_open(const char *data_dir, uint64_t cache_bytes, struct reader **ret,
                            struct err *err);
void reader_rest(struct reader *reader); /* nothing is expected soon: its memory becomes small */
void reader_close(struct reader *reader);

/* NOT_FOUND if there is none. Strings go to the arena. Live members (pids, progress) stay empty. */
MUST_CHECK bool reader_job(struct reader *reader, const struct job_id *id, struct arena *a,
                           struct job_view *ret, struct err *err);
/* The same by the number alone, without the earlier attempts. For answers of bulk submissions,
 * whose numbers are consecutive. */
MUST_CHECK bool reader_job_by_no(struct reader *reader, int64_t no, struct arena *a,
                                 struct job_view *ret, struct err *err);

/* Fills the page, without the earlier attempts. Reads at most 10,000 rows, so a page may be short
 * and yet not the last. */
MUST_CHECK bool reader_list(struct reader *reader, const struct job_filter *filter, struct arena *a,
                            struct job_page *page, struct err *err);

/* A queue's numbers and settings; NOT_FOUND when no job has ever been in it and nothing was set. */
MUST_CHECK bool reader_queue(struct reader *reader, const char *name, struct arena *a,
                             struct queue_view *ret, struct err *err);
/* Queues by name, those behind `after` ("" = from the start); fewer than max: there are no more. */
MUST_CHECK bool reader_queues(struct reader *reader, const char *after, struct arena *a,
                              struct queue_page *page, struct err *err);
/* What jobs of this queue have when they say nothing: a raw JSON object, or absent. */
MUST_CHECK bool reader_defaults(struct reader *reader, struct slice queue, struct arena *a,
                                struct slice *ret, struct err *err);

/* The job's place among the queued ones of its queue, from 1; 0: it is not queued, or not among the
 * first `max`. */
MUST_CHECK bool reader_position(struct reader *reader, int64_t no, int64_t max, int64_t *ret,
                                struct err *err);

/* The parents that a job or a batch waits for; none when it waits for nothing. */
MUST_CHECK bool reader_parents(struct reader *reader, int64_t child, struct parent_list *ret,
                               struct err *err);

/* Bytes of an inline output; none when it is empty or spooled. */
MUST_CHECK bool reader_output(struct reader *reader, const struct output_ref *which,
                              struct chunk *chunk, struct err *err);
/* The job that has submitted this one; no = 0: it was none. Whether the row is there is not asked.
 */
MUST_CHECK bool reader_submitter(struct reader *reader, int64_t no, struct job_id *ret,
                                 struct err *err);
/* NOT_FOUND when the row is gone. Cheap. */
MUST_CHECK bool reader_mark(struct reader *reader, const struct job_id *id, struct job_mark *ret,
                            struct err *err);

#endif
