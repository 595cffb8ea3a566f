/* SPDX-License-Identifier: MIT */
/* Blobs and who needs them. Owner: the engine thread; reader_blob* are a reader's. Errors as in
 * jobs.h. */
#ifndef GANGER_STORAGE_BLOBS_H
#define GANGER_STORAGE_BLOBS_H

#include "service/base/blob.h"
#include "storage/reader.h"
#include "storage/store.h"

struct blob_new {
    uint64_t file, bytes;
    const uint8_t *sha256; /* SHA256_BYTES */
    int64_t now_us, keep_us;
    uint32_t salt;
    int64_t job; /* that has left it, 0: none; its place among that job's, and its name */
    uint32_t k;
    struct slice name;
};
MUST_CHECK bool blob_insert(struct store *store, const struct blob_new *blob, struct job_id *ret_id,
                            struct err *err);
/* NOT_FOUND. `job` and `name` stay empty. */
MUST_CHECK bool blob_find(struct store *store, const struct job_id *id, struct blob *ret,
                          struct err *err);
MUST_CHECK bool blob_find_by_no(struct store *store, int64_t no, struct blob *ret, struct err *err);
/* Its file goes after the commit. NOT_FOUND; STATE_CONFLICT: a job that has not ended needs it. */
MUST_CHECK bool blob_delete(struct store *store, const struct job_id *id, uint64_t *ret_file,
                            struct err *err);

/* A job or batch needs it until it has ended. Saying so twice is once. */
MUST_CHECK bool blob_use(struct store *store, int64_t blob, int64_t no, struct err *err);
/* It has ended. *ret_gone: a blob of its has outlived its time. */
MUST_CHECK bool blob_unuse(struct store *store, int64_t no, int64_t now_us, bool *ret_gone,
                           struct err *err);
/* The job runs once more: what it has left before is its no more. */
MUST_CHECK bool blobs_disown(struct store *store, int64_t job, struct err *err);

/* Those whose time is over go, except where a job needs them: then they go after it. At most max
 * are looked at. */
struct blob_prune {
    int64_t now_us;
    uint64_t *files; /* to be unlinked after the commit: n */
    size_t n, max;
};
MUST_CHECK bool blobs_prune(struct store *store, struct blob_prune *prune, struct err *err);
/* Lowers *ret_us to the time when the next one goes. */
MUST_CHECK bool blobs_next_gone(struct store *store, int64_t *ret_us, struct err *err);

/* For the sweep at the start. */
MUST_CHECK bool blob_has_row(struct store *store, uint64_t file, bool *ret, struct err *err);

/* As of the open transaction, in memory. */
struct blob_totals {
    int64_t n;
    uint64_t bytes;
};
struct blob_totals store_blobs(const struct store *store);

/* NOT_FOUND. Strings go to the arena. */
MUST_CHECK bool reader_blob(struct reader *reader, const struct job_id *id, struct arena *a,
                            struct blob *ret, struct err *err);
MUST_CHECK bool reader_blob_id(struct reader *reader, int64_t no, struct job_id *ret,
                               struct err *err);
MUST_CHECK bool reader_blobs(struct reader *reader, struct arena *a, struct blob_page *page,
                             struct err *err);
/* What the last attempt of this job has left, in the order of its request. */
MUST_CHECK bool reader_blobs_of(struct reader *reader, int64_t job, struct arena *a,
                                struct blob_page *page, struct err *err);

#endif
