/* SPDX-License-Identifier: MIT */
/* Callbacks on their way: a row from the end of a job or batch until somebody has answered, and a
 * row for each try. The first half belongs to the engine thread and needs a transaction; errors as
 * in jobs.h. The second half is for readers. */
#ifndef GANGER_STORAGE_DELIVERIES_H
#define GANGER_STORAGE_DELIVERIES_H

#include "service/base/callback.h"
#include "storage/reader.h"
#include "storage/store.h"

/* What a job or batch with JOB_CALLBACK is born with. */
MUST_CHECK bool callback_insert(struct store *store, int64_t no, const struct job_spec *spec,
                                struct err *err);
/* With the row it belongs to: callback, deliveries and tries. */
MUST_CHECK bool callback_forget(struct store *store, int64_t no, struct err *err);

/* The end of a job or batch is to be told, if its callback asks for such ends: *ret_made. */
MUST_CHECK bool delivery_insert(struct store *store, const struct job_change *end, int64_t now_us,
                                bool *ret_made, struct err *err);
struct delivery_try {
    int64_t id, no; /* the delivery and what it is about */
    int64_t at_us, took_us;
    int64_t again_us; /* with TRY_FAILED: when it is due once more */
    int32_t http_status;
    enum try_outcome outcome;
    const char *error; /* or NULL */
};
/* Records it, and the delivery goes or waits. Nothing happens when the delivery is gone already,
 * with its job. */
MUST_CHECK bool delivery_record(struct store *store, const struct delivery_try *try,
                                struct err *err);
/* How many are pending. */
int64_t store_deliveries(const struct store *store);

/* One that is due. */
struct delivery {
    int64_t id, no, version, created_us;
    enum job_state state;
    uint32_t tries;
    bool is_batch;
};
/* The next receiver by name for whom something is pending; false in *ret_found: none behind
 * `after`. */
MUST_CHECK bool reader_receiver(struct reader *reader, const char *after,
                                char ret[CALLBACK_MAX_RECEIVER], bool *ret_found, struct err *err);
struct delivery_line {
    const char *receiver;
    int64_t now_us;
    struct delivery *items; /* room for max; the caller's */
    size_t max, n;
};
/* What is due for one receiver, longest first. */
MUST_CHECK bool reader_line(struct reader *reader, struct delivery_line *line, struct err *err);
/* When something is due next, later than now; INT64_MAX: nothing is. */
MUST_CHECK bool reader_next_due(struct reader *reader, int64_t now_us, int64_t *ret_due_us,
                                struct err *err);
/* Terminated, in the arena. NOT_FOUND when it is gone. */
MUST_CHECK bool reader_callback_url(struct reader *reader, int64_t no, struct arena *a,
                                    const char **ret, struct err *err);

/* The callback as clients see it; NULL when there is none. */
MUST_CHECK bool reader_callback(struct reader *reader, int64_t no, struct arena *a,
                                struct callback_view **ret, struct err *err);
/* The first tries behind page->after. */
MUST_CHECK bool reader_tries(struct reader *reader, int64_t no, struct arena *a,
                             struct try_page *page, struct err *err);

#endif
