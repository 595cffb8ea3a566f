/* SPDX-License-Identifier: MIT */
/* What waits and streams read: results of a batch by a cursor, and who of many has ended. Rules and
 * errors as in reader.h. */
#ifndef GANGER_STORAGE_RESULTS_H
#define GANGER_STORAGE_RESULTS_H

#include "service/base/result.h"
#include "storage/reader.h"

/* Appends rows to what `ask->take` makes of them, until that says stop, `max` rows were taken, or
 * there is none. */
MUST_CHECK bool reader_results(struct reader *reader, struct result_ask *ask, struct err *err);
/* One job's. NOT_FOUND when it is gone. Its place in a batch is not told. */
MUST_CHECK bool reader_result(struct reader *reader, int64_t no, const struct result_sink *sink,
                              struct err *err);
/* A job or batch that somebody waits for. NOT_FOUND when it is gone. */
MUST_CHECK bool reader_member(struct reader *reader, const struct job_id *id,
                              struct member_mark *ret, struct err *err);

/* What an event names by number alone. False in *ret_found: it is gone. */
MUST_CHECK bool reader_queue_name(struct reader *reader, uint32_t queue,
                                  char ret[MAX_QUEUE_NAME + 1], bool *ret_found, struct err *err);
MUST_CHECK bool reader_batch_id(struct reader *reader, int64_t no, struct job_id *ret,
                                bool *ret_found, struct err *err);
/* list.c */
MUST_CHECK bool reader_has_label(struct reader *reader, int64_t no, const struct label *label,
                                 bool *ret, struct err *err);

#endif
