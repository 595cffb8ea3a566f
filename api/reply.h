/* SPDX-License-Identifier: MIT */
/* The answers. Every request gets exactly one; each carries X-Request-Id, Cache-Control: no-store
 * and nosniff. */
#ifndef GANGER_API_REPLY_H
#define GANGER_API_REPLY_H

#include "api/range.h"
#include "api/request.h"

/* Adds a header to the coming answer, which must be one that the route's row names. The text must
 * live as long as the request (a constant, or in its arena). */
void reply_header(struct request *rq, enum answer_header header, const char *value);
void reply_etag(struct request *rq, int64_t version);

/* rq->out is the body. */
void reply_out(struct request *rq, int status, const char *type);
void reply_json(struct request *rq, int status);
void reply_empty(struct request *rq, int status);
/* rq->out is {"items":[… of a list, to which the end is added. `next` is the cursor of the next
 * page, a word that needs no escapes, or NULL after the last one; a link tells it too. */
void reply_list(struct request *rq, const char *next);
void reply_list_by_number(struct request *rq, int64_t next); /* 0: that was the last one */
/* Headers for bytes that a job has written: nothing in them may run in a browser. */
void reply_as_job_bytes(struct request *rq);
struct content {
    uint64_t bytes;
    const char *tag; /* its entity tag, for If-Range; NULL: it has none */
    bool grows;      /* more bytes may follow */
};
/* Which part the request's Range asks for; adds the headers that say so. False: it lies outside,
 * and 416 has been answered. */
MUST_CHECK bool reply_range(struct request *rq, struct content content, struct range *ret);
struct file_part {
    int take_fd;
    uint64_t offset, len;
};
/* Takes the descriptor; the part is sent without a copy. */
void reply_file(struct request *rq, int status, const char *type, struct file_part part);
/* rq->fill is called for more until it says FILL_END; what it appends to rq->out is sent. */
void reply_stream(struct request *rq, const char *type, fill_fn fill);

/* The only sender of failures: problem+json (RFC 9457). Logs those that are ours. */
void reply_problem(struct request *rq, const struct err *err);
/* While the body is still coming, past the library, which answers complete requests only: the
 * client sees it as soon as it looks, and the connection ends with this request. */
void reply_problem_early(struct request *rq, const struct err *err, struct slice extra);
/* The same with members of its own: `extra` is raw JSON text that begins with a comma. */
void reply_problem_with(struct request *rq, const struct err *err, struct slice extra);

#endif
