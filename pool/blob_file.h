/* SPDX-License-Identifier: MIT */
/* The file of a blob while it is being written, by an upload or by a worker: hashed on the way, and
 * durable before its row is there. Owner: whoever writes it. All of it may block on the disk. */
#ifndef GANGER_POOL_BLOB_FILE_H
#define GANGER_POOL_BLOB_FILE_H

#include "service/base/blob.h"

#include <nettle/sha2.h>

struct blob_file {
    int fd;        /* -1: not open */
    uint64_t file; /* names it; 0: none was made */
    uint64_t bytes;
    uint64_t synced; /* of them, so many are on their way to the disk */
    struct sha256_ctx sha;
};

/* A new one of this name (blob_random_file), with the directory of blobs if this is the first of
 * all. False: errno, as for all of them; what was made is to be dropped. */
MUST_CHECK bool blob_file_make(struct blob_file *f, int data_fd, uint64_t file);
MUST_CHECK bool blob_file_put(struct blob_file *f, struct slice piece);
/* Its bytes are durable, its name is not yet (blob_file_sync_names). Closes it. */
MUST_CHECK bool blob_file_end(struct blob_file *f, uint8_t ret_sha256[SHA256_BYTES]);
MUST_CHECK bool blob_file_sync_names(int data_fd);
/* Closes it if it is open; forgets it. */
void blob_file_close(struct blob_file *f);
void blob_file_remove(int data_fd, uint64_t file);

#endif
