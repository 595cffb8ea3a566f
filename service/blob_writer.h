/* SPDX-License-Identifier: MIT */
/* The thread that writes uploads to the disk. HTTP threads never do, so a stalled disk stops
 * uploads and not answers; and the engine waits for no disk but its own commit.
 *
 * An upload belongs to the request that makes it; while a CMD_BLOB_WRITE of it is on its way, to
 * the thread. */
#ifndef GANGER_SERVICE_BLOB_WRITER_H
#define GANGER_SERVICE_BLOB_WRITER_H

#include "service/engine.h"

struct blob_writer;
MUST_CHECK bool blob_writer_start(struct engine *engine, struct blob_writer **ret, struct err *err);
/* When all requests have ended. Accepts NULL. */
void blob_writer_stop(struct blob_writer *w);

/* Any thread: cmd->blob.upload is made with the first piece. The answer to the last one names the
 * file, its size and its hash; the file and its name are durable then. DISK_FULL, STORAGE: the
 * upload is of no use any more. */
MUST_CHECK bool blob_writer_reserve(struct blob_writer *w, struct err *err);
void blob_writer_post(struct blob_writer *w, struct command *cmd);
/* Any thread: the upload is over. Its file stays when it `has_row`, or may have one. */
void blob_writer_drop(struct blob_writer *w, struct blob_upload *upload, bool has_row);

#endif
