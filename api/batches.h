/* SPDX-License-Identifier: MIT */
/* What the handlers of batches share. */
#ifndef GANGER_API_BATCHES_H
#define GANGER_API_BATCHES_H

#include "api/codec_batch.h"
#include "api/request.h"

#include <nettle/sha2.h>

void batch_reply(struct request *rq, int status, const struct batch_view *view);
void batch_add_location(struct request *rq, const struct job_id *id);
/* The batch as it is now; with 202 and its Location. */
void batch_answer(struct request *rq, int64_t no, int status);
/* The {id} of the path. NOT_FOUND when it is no id. */
MUST_CHECK bool batch_request_id(struct request *rq, struct job_id *ret, struct err *err);
/* The command that makes the batch, without items. `req` must live as long. */
void batch_ask_from(const struct batch_request *req, struct request *rq, struct batch_ask *ret);
/* Items for a batch that is there, piece by piece, by one request. With an Idempotency-Key each
 * piece says which it is, so that a repeated request goes on where the first one ended: called when
 * the items of the command are set and it is about to be sent. */
struct added {
    int64_t n;             /* items that were sent */
    struct sha256_ctx sha; /* of them */
};
MUST_CHECK bool batch_key_piece(struct request *rq, struct added *added, struct err *err);
/* Whether who asks may add items to a batch with these rules. FORBIDDEN. */
MUST_CHECK bool batch_may_add(const struct request *rq, const struct element_rules *rules,
                              struct err *err);

#endif
