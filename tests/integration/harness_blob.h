/* SPDX-License-Identifier: MIT */
/* Blobs by the public API. */
#ifndef GANGER_TESTS_HARNESS_BLOB_H
#define GANGER_TESTS_HARNESS_BLOB_H

#include "integration/harness_job.h"

#include <nettle/sha2.h>

#define BLOB_TYPE "Content-Type: application/octet-stream"

/* A configuration with the functions copy, sum and spoil of tests/native/blob.c. */
extern const char blob_functions[];
/* Bytes that are not the same anywhere. The caller frees them. */
char *blob_bytes(size_t n, uint64_t seed);
/* POST of these bytes, with one more header or NULL. */
struct response *blob_post(struct server *s, const char *path, const char *bytes, size_t n,
                           const char *header);
struct response *blob_put_text(struct server *s, const char *text);
/* The same, which must be taken; `query` may be "". */
struct job_ref blob_put(struct server *s, const char *bytes, size_t n, const char *query);
struct text sha256_hex(struct sha256_ctx *ctx);
struct text sha256_of(const char *bytes, size_t n);
/* Files in the server's directory of blobs. */
size_t blob_files(const struct server *s);

#endif
