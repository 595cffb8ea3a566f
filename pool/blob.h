/* SPDX-License-Identifier: MIT */
/* Blobs in the hands of tasks: one memfd per blob, shared by all tasks that use it.
 *
 * The server makes it, empty, and sends it along with each START. Whoever of the workers comes
 * first fills it from the blob's file and seals it (SHRINK, GROW, WRITE, SEAL); so the server waits
 * for no disk, and its memory does not grow. The others wait meanwhile; should the first one die,
 * the next one begins anew. A task sees it sealed only: it cannot be changed under the others, and
 * not be cut under a mapping. The file itself is never given to a task, which could open it again
 * for writing. */
#ifndef GANGER_POOL_BLOB_H
#define GANGER_POOL_BLOB_H

#include "service/base/blob.h"

/* ---- the server's side; owner: the engine thread ---- */

struct blob_cache;
/* Of blobs that no task uses, as many are kept as have `idle_bytes` together, for a while. */
struct blob_cache *blob_cache_new(uint64_t idle_bytes);
void blob_cache_free(struct blob_cache *cache); /* accepts NULL */
/* Who closes what is let go from now on, since that may take a while. */
void blob_cache_close_by(struct blob_cache *cache, void (*close_fd)(void *arg, int fd), void *arg);
/* Its memfd, borrowed until blob_cache_give. OVERLOADED: none can be made. */
MUST_CHECK bool blob_cache_take(struct blob_cache *cache, uint64_t file, uint64_t bytes,
                                int *ret_fd, struct err *err);
void blob_cache_give(struct blob_cache *cache, uint64_t file, uint64_t now_ns);
/* The blob is gone: not kept for tasks to come. */
void blob_cache_forget(struct blob_cache *cache, uint64_t file);
/* When blob_cache_tidy has something to do; UINT64_MAX: never. */
uint64_t blob_cache_next_ns(const struct blob_cache *cache);
void blob_cache_tidy(struct blob_cache *cache, uint64_t now_ns);
/* Bytes of all that there are. */
uint64_t blob_cache_bytes(const struct blob_cache *cache);

/* ---- a worker's side ---- */

/* A descriptor of its own for reading the sealed memfd, at PROC_ABOVE_FDS or above, which the
 * caller closes; -1 with errno. Blocks while another worker fills it. EINVAL: the file is damaged.
 */
MUST_CHECK int blob_open_sealed(int memfd, int data_fd, uint64_t file, uint64_t bytes);

#endif
