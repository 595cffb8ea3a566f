/* SPDX-License-Identifier: MIT */
#include "pool/blob.h"

#include "pool/proc.h"
#include "pool/sealed.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#define IDLE_NS UINT64_C(30000000000) /* a pause between two jobs of the same kind */

/* ---- the server's side ---- */

struct entry {
    uint64_t file, bytes;
    int fd;
    uint32_t n_users;
    uint64_t idle_ns; /* since when nobody uses it */
    bool is_gone;
};

/* A few: what the running tasks use, and what fits beside it. */
struct blob_cache {
    struct entry *entries;
    size_t n, cap;
    uint64_t max_idle_bytes, idle_bytes;
    void (*close_fd)(void *arg, int fd);
    void *close_arg;
};

static void close_here(void *arg, int fd)
{
    (void)arg;
    (void)close(fd);
}

struct blob_cache *blob_cache_new(uint64_t idle_bytes)
{
    struct blob_cache *cache = must_alloc(sizeof(*cache));

    *cache = (struct blob_cache){.max_idle_bytes = idle_bytes, .close_fd = close_here};
    return cache;
}

void blob_cache_close_by(struct blob_cache *cache, void (*close_fd)(void *arg, int fd), void *arg)
{
    cache->close_fd = close_fd;
    cache->close_arg = arg;
}

void blob_cache_free(struct blob_cache *cache)
{
    if (cache == NULL)
        return;
    for (size_t i = 0; i < cache->n; i++)
        (void)close(cache->entries[i].fd);
    free(cache->entries);
    free(cache);
}

static struct entry *find(const struct blob_cache *cache, uint64_t file)
{
    for (size_t i = 0; i < cache->n; i++)
        if (cache->entries[i].file == file)
            return &cache->entries[i];
    return NULL;
}

/* Which nobody uses. The memory itself goes when the last worker has closed it. */
static void drop(struct blob_cache *cache, struct entry *entry)
{
    cache->idle_bytes -= entry->bytes;
    cache->close_fd(cache->close_arg, entry->fd);
    *entry = cache->entries[--cache->n];
}

static struct entry *oldest_idle(const struct blob_cache *cache)
{
    struct entry *oldest = NULL;

    for (size_t i = 0; i < cache->n; i++) {
        struct entry *entry = &cache->entries[i];
        if (entry->n_users == 0 && (oldest == NULL || entry->idle_ns < oldest->idle_ns))
            oldest = entry;
    }
    return oldest;
}

uint64_t blob_cache_next_ns(const struct blob_cache *cache)
{
    const struct entry *oldest = oldest_idle(cache);
    return oldest == NULL ? UINT64_MAX : oldest->idle_ns + IDLE_NS;
}

void blob_cache_tidy(struct blob_cache *cache, uint64_t now_ns)
{
    struct entry *oldest;

    while ((oldest = oldest_idle(cache)) != NULL &&
           (cache->idle_bytes > cache->max_idle_bytes || oldest->idle_ns + IDLE_NS <= now_ns))
        drop(cache, oldest);
}

static struct entry *add(struct blob_cache *cache, uint64_t file, uint64_t bytes)
{
    const int fd = FAULT("blob-memfd") ? -1 : sealed_make("ganger-blob");

    if (fd < 0)
        return NULL;
    if (cache->n == cache->cap) {
        cache->cap = MAX(2 * cache->cap, (size_t)8);
        cache->entries = must_realloc(cache->entries, cache->cap * sizeof(*cache->entries));
    }
    struct entry *entry = &cache->entries[cache->n++];
    *entry = (struct entry){.file = file, .bytes = bytes, .fd = fd};
    cache->idle_bytes += bytes;
    return entry;
}

bool blob_cache_take(struct blob_cache *cache, uint64_t file, uint64_t bytes, int *ret_fd,
                     struct err *err)
{
    struct entry *entry = find(cache, file);

    if (entry == NULL)
        entry = add(cache, file, bytes);
    if (entry == NULL)
        return err_sys(err, ERR_OVERLOADED, "no memory for a blob");
    if (entry->n_users++ == 0)
        cache->idle_bytes -= entry->bytes;
    *ret_fd = entry->fd;
    return true;
}

void blob_cache_give(struct blob_cache *cache, uint64_t file, uint64_t now_ns)
{
    struct entry *entry = find(cache, file);

    PRE(entry != NULL && entry->n_users > 0);
    if (--entry->n_users > 0)
        return;
    entry->idle_ns = now_ns;
    cache->idle_bytes += entry->bytes;
    if (entry->is_gone)
        drop(cache, entry);
    else
        blob_cache_tidy(cache, now_ns);
}

void blob_cache_forget(struct blob_cache *cache, uint64_t file)
{
    struct entry *entry = find(cache, file);

    if (entry != NULL && entry->n_users == 0)
        drop(cache, entry);
    else if (entry != NULL)
        entry->is_gone = true;
}

uint64_t blob_cache_bytes(const struct blob_cache *cache)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < cache->n; i++)
        bytes += cache->entries[i].bytes;
    return bytes;
}

/* ---- a worker's side ---- */

/* An open file of its own: the position and the lock of the one that was sent belong to all. */
static int reopen(int fd, int flags)
{
    char path[32];

    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return open(path, flags | O_CLOEXEC);
}

/* What a worker that died has begun is overwritten. */
static bool fill(int to_fd, int data_fd, uint64_t file, uint64_t bytes)
{
    char path[BLOB_PATH_SIZE];
    struct stat st;

    blob_path(file, path);
    AUTO_CLOSE int from_fd = openat(data_fd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (from_fd < 0 || ftruncate(to_fd, 0) != 0)
        return false;
    errno = EINVAL;
    if (fstat(from_fd, &st) != 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size != bytes)
        return false;
    if (!fd_copy(to_fd, from_fd, bytes))
        return false;
    (void)FAULT("blob-filled");
    return true;
}

static bool fill_and_seal(int fd, int data_fd, uint64_t file, uint64_t bytes)
{
    int got;

    while ((got = flock(fd, LOCK_EX)) != 0 && errno == EINTR)
        continue;
    if (got != 0)
        return false;
    /* The lock goes with the descriptor, also when this process dies. */
    return sealed_is_closed(fd) || (fill(fd, data_fd, file, bytes) && sealed_close(fd));
}

int blob_open_sealed(int memfd, int data_fd, uint64_t file, uint64_t bytes)
{
    if (!sealed_is_closed(memfd)) {
        AUTO_CLOSE int fd = reopen(memfd, O_RDWR);
        if (fd < 0 || !fill_and_seal(fd, data_fd, file, bytes))
            return -1;
    }
    AUTO_CLOSE int own = reopen(memfd, O_RDONLY);
    return own < 0 ? -1 : fcntl(own, F_DUPFD_CLOEXEC, PROC_ABOVE_FDS);
}
