/* SPDX-License-Identifier: MIT */
/* Batches as readers see them. Rules and errors as in reader.h. */
#ifndef GANGER_STORAGE_READER_BATCH_H
#define GANGER_STORAGE_READER_BATCH_H

#include "service/base/batch.h"
#include "storage/reader.h"

MUST_CHECK bool reader_batch(struct reader *reader, const struct job_id *id, struct arena *a,
                             struct batch_view *ret, struct err *err);
MUST_CHECK bool reader_batch_by_no(struct reader *reader, int64_t no, struct arena *a,
                                   struct batch_view *ret, struct err *err);
/* The numbers of the newest batches before `before`, newest first. */
MUST_CHECK bool reader_batch_nos(struct reader *reader, int64_t before, struct number_page *page,
                                 struct err *err);
/* The row alone: for whoever waits. */
MUST_CHECK bool reader_batch_mark(struct reader *reader, const struct job_id *id, struct batch *ret,
                                  struct err *err);
/* The part that holds this index, or the last one before it; NOT_FOUND when there is none. */
MUST_CHECK bool reader_part_of(struct reader *reader, int64_t batch, int64_t index,
                               struct batch_part *ret, struct err *err);
/* struct template_head and the task; absent when the batch is not made from a template. */
MUST_CHECK bool reader_template(struct reader *reader, int64_t batch, struct arena *a,
                                struct slice *ret, struct err *err);

#endif
