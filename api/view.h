/* SPDX-License-Identifier: MIT */
/* A job → JSON, as clients see it. Written by hand: this is the hot path of answers, and payloads
 * go out as they came in. */
#ifndef GANGER_API_VIEW_H
#define GANGER_API_VIEW_H

#include "service/base/callback.h"
#include "service/command.h"

/* The whole job, without a line break behind it. Payloads are byte for byte what the client sent.
 */
void view_write_job(const struct job_view *job, struct buf *out);
/* The same on one line, for NDJSON and SSE: line breaks between the tokens of a payload become
 * spaces. */
void view_write_job_line(const struct job_view *job, struct buf *out);
/* JSON from this place on becomes one line. */
void view_make_line(struct buf *out, size_t from);
/* Its error member alone: an object, or null. */
void view_write_error(const struct job_view *job, struct buf *out);
/* Its progress: an object, or null. */
void view_write_progress(const struct job_view *job, struct buf *out);
/* {"id","bytes","sha256",…}; those that a job has left, as an array. */
void view_write_blob(const struct blob *blob, struct buf *out);
void view_write_outputs(const struct job_view *job, struct buf *out);
/* The callback of a job or batch, without what is secret in its URL; one try. */
void view_write_callback(const struct callback_view *callback, struct buf *out);
/* ,"parent":… of a job or batch; no = 0: null. */
void view_write_parent(const struct job_id *submitter, struct buf *out);
void view_write_try(const struct callback_try *try, struct buf *out);
/* The job at its birth, made from what was submitted and the engine's answer; no read of the store.
 * Texts go to `a`. */
MUST_CHECK bool view_at_birth(const struct submit_item *item, struct arena *a, struct job_view *ret,
                              struct err *err);
/* Any later view as it was at birth: what a replayed submission and a bulk submission answer. */
void view_make_birth(struct job_view *job);

#endif
