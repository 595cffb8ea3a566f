/* SPDX-License-Identifier: MIT */
/* A read-only connection: query_only, never checkpoints (wal_autocheckpoint=0, NO_CKPT_ON_CLOSE).
 * Owner: the thread that opened it. No statement stays open when a function returns, so no reader
 * pins the WAL. Reads see the newest commit. */
#ifndef GANGER_STORAGE_READER_H
#define GANGER_STORAGE_READER_H

#include "service/base/job.h"

struct reader;
/* After store_open. */
MUST_CHECK bool reader_open(const char *data_dir, uint64_t cache_bytes, struct reader **ret,
                            struct err *err);
void reader_close(struct reader *reader);

/* NOT_FOUND if there is none. Strings go to the arena. Live members (pids, progress) stay empty.
 * attempts only when asked for. */
MUST_CHECK bool reader_job(struct reader *reader, const struct job_id *id, bool with_attempts,
                           struct arena *a, struct job_view *ret, struct err *err);
/* The job with this number; *ret_found is false when it is gone. For answers of bulk submissions,
 * whose numbers are consecutive. */
MUST_CHECK bool reader_job_by_no(struct reader *reader, int64_t no, struct arena *a,
                                 struct job_view *ret, bool *ret_found, struct err *err);

struct job_filter {
    uint32_t states;          /* bit mask, 0 = any */
    const char *queue, *name; /* NULL = any */
    const char *label_key, *label_value;
    int64_t created_after_us; /* 0 = any */
    bool oldest_first;
};
/* Up to `limit` jobs after the cursor (a row number; 0 = from the start). Reads at most 10,000
 * rows; *ret_cursor is 0 when the end was reached. */
MUST_CHECK bool reader_list(struct reader *reader, const struct job_filter *filter, int64_t cursor,
                            size_t limit, struct arena *a, struct job_view *ret, size_t *ret_n,
                            int64_t *ret_cursor, struct err *err);

/* Bytes of an inline output: up to max from offset into out; *ret_n; nothing when it is empty or
 * spooled. */
MUST_CHECK bool reader_output(struct reader *reader, int64_t no, uint32_t attempt, int stream,
                              uint64_t offset, void *out, size_t max, size_t *ret_n,
                              struct err *err);
/* Only what a parked reader compares: false + NOT_FOUND when the row is gone. Cheap. */
struct job_mark {
    enum job_state state;
    uint32_t attempt;
    int64_t version;
};
MUST_CHECK bool reader_mark(struct reader *reader, const struct job_id *id, struct job_mark *ret,
                            struct err *err);

#endif
