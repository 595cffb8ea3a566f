/* SPDX-License-Identifier: MIT */
/* NDJSON, line by line, as it comes. What of a line has come so far lies in the request's body. */
#ifndef GANGER_API_NDJSON_H
#define GANGER_API_NDJSON_H

#include "api/request.h"

struct line_reader {
    uint32_t n;       /* lines seen so far, blank ones included */
    bool is_skipping; /* the rest of a line that is too long */
};
struct line_sink {
    /* A line that is not blank; valid during the call. */
    void (*take)(struct request *rq, uint32_t number, struct slice line);
    /* A line that is longer than http.max_body. */
    void (*refuse)(struct request *rq, uint32_t number, const struct err *err);
};
/* One piece of the body, up to a line's end or its own. Returns how much was used. */
size_t ndjson_take(struct request *rq, struct line_reader *reader, const struct line_sink *sink,
                   struct slice bytes);
/* The body is complete: its last line may have no line break. */
void ndjson_end(struct request *rq, struct line_reader *reader, const struct line_sink *sink);

#endif
