/* SPDX-License-Identifier: MIT */
/* The inside of struct query, for its files. */
#ifndef GANGER_SERVICE_QUERY_IMPL_H
#define GANGER_SERVICE_QUERY_IMPL_H

#include "service/query.h"
#include "storage/reader.h"

struct query {
    struct engine *engine;
    struct reader *reader;
    int data_fd;
    long page_bytes;
};

/* A file of the spool, for reading. NOT_FOUND when there is none. */
MUST_CHECK bool query_spool_open(const struct query *query, const struct output_ref *ref,
                                 int *ret_fd, struct err *err);

#endif
