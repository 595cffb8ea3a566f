/* SPDX-License-Identifier: MIT */
/* A graph as in POST /v1/batches {"jobs": […]}; rules as in codec.h. */
#ifndef GANGER_API_CODEC_GRAPH_H
#define GANGER_API_CODEC_GRAPH_H

#include "api/codec.h"
#include "service/command.h"

#define MAX_GRAPH_JOBS 10000u
#define MAX_GRAPH_EDGES 32768u /* they are stored in one turn of the engine: about 40 ms */

struct graph_request {
    struct job_spec spec;      /* the texts of the batch */
    struct submit_item *items; /* n, with spec and is_parent */
    struct slice *refs;        /* of each job; absent: it has none */
    uint32_t n;
    int64_t max_failures; /* 0: no limit */
    /* After DEPENDENCY_CYCLE: jobs by index, each waiting for the next, the last for the first. */
    uint32_t *cycle;
    uint32_t n_cycle;
};

/* Whether the body is one; the text need not be valid. */
bool codec_is_graph(struct slice body);
MUST_CHECK bool codec_read_graph(const struct job_source *source, struct graph_request *ret,
                                 struct err *err);
/* What is wrong is in the i-th job. Returns false. */
bool codec_err_in_job(struct err *err, const struct err *why, uint32_t i);

#endif
