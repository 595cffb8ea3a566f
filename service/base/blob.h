/* SPDX-License-Identifier: MIT */
/* A blob: bytes that are kept as one file of the data directory, until nobody needs them any more.
 */
#ifndef GANGER_BASE_BLOB_H
#define GANGER_BASE_BLOB_H

#include "service/base/job.h"

#define BLOB_DIR "blobs"
#define BLOB_PATH_SIZE 32
#define SHA256_BYTES 32
#define MAX_OUTPUT_NAME 127 /* bytes of the path of a job's file that becomes a blob */

/* Its file is complete and durable before its row is there, and goes after it. */
struct blob {
    struct job_id id;
    uint64_t file; /* random: names the file */
    uint64_t bytes;
    uint8_t sha256[SHA256_BYTES];
    int64_t created_us;
    int64_t gone_us;   /* when it goes; 0: as soon as no job needs it any more */
    struct job_id job; /* that has left it; no = 0: it was uploaded, or the job is gone */
    const char *name;  /* of the job's file, or NULL */
};

/* Newest first, before this number. */
struct blob_page {
    int64_t before;
    struct blob *items;
    size_t n, max;
};

/* A number for a new file: positive also as a signed one. */
uint64_t blob_random_file(void);
/* Below the data directory. */
void blob_path(uint64_t file, char out[BLOB_PATH_SIZE]);
/* The name of a file in BLOB_DIR; false: it is none of ours. */
MUST_CHECK bool blob_parse_name(const char *name, uint64_t *ret_file);
/* Of all blobs together, which have `stored` bytes: whether that many more are allowed. */
MUST_CHECK bool blob_total_allows(uint64_t stored, uint64_t more, uint64_t max_total,
                                  struct err *err);
/* A path below a job's directory: no empty, "." or ".." parts, no control characters. */
bool blob_is_output_name(struct slice name);

#endif
