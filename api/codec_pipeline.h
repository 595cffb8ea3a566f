/* SPDX-License-Identifier: MIT */
/* The body of POST /v1/pipelines → structs; rules as in codec.h. */
#ifndef GANGER_API_CODEC_PIPELINE_H
#define GANGER_API_CODEC_PIPELINE_H

#include "api/codec.h"
#include "service/command.h"

struct pipeline_request {
    struct job_spec spec;       /* of the whole, and what stages have when they say nothing else */
    struct submit_item *stages; /* only `spec` is filled */
    uint32_t n;
};
MUST_CHECK bool codec_read_pipeline(const struct job_source *source, struct pipeline_request *ret,
                                    struct err *err);

#endif
