/* SPDX-License-Identifier: MIT */
/* Bodies about batches → structs; rules as in codec.h. */
#ifndef GANGER_API_CODEC_BATCH_H
#define GANGER_API_CODEC_BATCH_H

#include "api/codec.h"
#include "service/base/chore.h"
#include "service/element.h"

/* Values in the body of a batch: a million small items are a larger body than any is. */
#define BATCH_JSON_LIMITS ((struct json_limits){64, 1u << 20})

struct batch_request {
    struct job_spec spec; /* the template */
    struct slice template_bytes;
    struct element_rules rules;
    struct slice *items; /* each validated JSON, checked against the rules */
    uint32_t n_items;
    int64_t max_parallel, max_failures; /* 0: no limit */
    int64_t chunksize;                  /* 0: not given */
    bool has_items, star, is_open;
};
/* A batch as in POST /v1/batches. `items` must be there with JSON and must not with NDJSON, whose
 * other lines they are: `is_upload`. */
MUST_CHECK bool codec_read_batch(const struct job_source *source, bool is_upload,
                                 struct batch_request *ret, struct err *err);

/* The body of POST /v1/batches/{id}/cancel and /retry; an empty one means all defaults. */
struct pick_request {
    struct index_range *ranges; /* of "indexes", which has at least one if it is there */
    uint32_t n_ranges;
    int64_t last; /* the highest index named */
    char why[120];
};
MUST_CHECK bool codec_read_pick(struct slice body, bool is_cancel, struct arena *a,
                                struct pick_request *ret, struct err *err);

/* One line of NDJSON. */
MUST_CHECK bool codec_read_item(struct slice line, const struct element_rules *rules,
                                struct slice *ret, struct err *err);
/* {"items": […]} */
MUST_CHECK bool codec_read_items(struct slice body, struct arena *a, struct batch_request *ret,
                                 struct err *err);

#endif
