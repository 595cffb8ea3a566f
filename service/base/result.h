/* SPDX-License-Identifier: MIT */
/* How a job went, for whoever reads many: an item of a stream of results. */
#ifndef GANGER_BASE_RESULT_H
#define GANGER_BASE_RESULT_H

#include "service/base/batch.h"

/* Bytes are borrowed for the time of the call that gets the row. */
struct result_row {
    struct job_id id;
    int64_t seq; /* where a reader that has seen this goes on: BY_END its place, BY_INDEX index + 1
                  */
    int64_t index; /* its place in the batch */
    enum job_state state;
    enum job_reason reason;
    bool has_exit_code;
    int32_t exit_code, signal;
    enum job_result result;
    uint32_t attempt;
    bool is_truncated, is_spooled, is_expired; /* of the standard output, or the value */
    uint64_t stdout_bytes, stderr_bytes;
    struct slice stdout_inline; /* of a job that succeeded; absent: none, or spooled */
    enum value_type value_type; /* of a job with RESULT_VALUE, as the two that follow */
    uint64_t value_bytes;
    struct slice value_inline;
    struct slice error_detail; /* or absent */
};

struct result_sink {
    bool (*take)(void *target, const struct result_row *row); /* false: no more in this piece */
    void *target;
};

enum result_order { RESULTS_BY_END, RESULTS_BY_INDEX };

/* A piece of the results of a batch. */
struct result_ask {
    int64_t batch;
    enum result_order order;
    int64_t after; /* in: 0 = from the start; out: after what was taken, or is gone */
    int64_t max;
    struct result_sink sink;
    /* Answer: the walk has met what is the end at this moment: there is no later row, or BY_INDEX
     * the next element has not ended. */
    bool is_at_end;
    int64_t next_no; /* BY_INDEX: the element that is waited for; 0: it does not exist yet */
};

/* One that a job must have. Both are terminated. */
struct label {
    const char *key, *value; /* key NULL: any */
};

/* What a wait wants to know of a job or batch. */
struct member_mark {
    bool is_batch, is_done;
    enum job_state state; /* of a batch that is done: how it went */
    int64_t finished_us;
};

#endif
