/* SPDX-License-Identifier: MIT */
#include "service/unlinker.h"

#include "pool/pool.h"
#include "service/base/blob.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <time.h>

#define MAX_PENDING (1u << 16)

/* What one turn has given. */
struct load {
    struct load *next;
    int fd; /* to be closed; -1: none */
    size_t n_blobs, n_files;
    uint64_t *blobs;
    struct output_ref *files;
};

_Static_assert(BLOB_PATH_SIZE <= 64, "as long as the path of a spool file");

struct unlinker {
    _Atomic(struct load *) head; /* newest first: the order does not matter */
    _Atomic size_t n_pending;
    _Atomic bool stop;
    int data_dir, event_fd;
    pthread_t thread;
    bool has_thread;
};

/* ------------------------------------------------------------------------------------------------
 * the thread */

static void unlink_all(int data_dir, const struct load *load)
{
    char path[64];
    for (size_t i = 0; i < load->n_files; i++) {
        spool_path(load->files[i].no, load->files[i].attempt, load->files[i].stream, path);
        (void)unlinkat(data_dir, path, 0);
    }
    for (size_t i = 0; i < load->n_blobs; i++) {
        blob_path(load->blobs[i], path);
        (void)unlinkat(data_dir, path, 0);
    }
    if (load->fd >= 0)
        (void)close(load->fd);
}

/* Stands for a file without end: tests/integration/test_blobs.c. */
static void stand_still(const struct unlinker *u)
{
    const struct timespec pause = {.tv_nsec = 10000000};
    while (SEEDED_BUG("stuck-unlink") && !atomic_load(&u->stop))
        (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
}

static void serve(struct unlinker *u)
{
    struct load *load = atomic_exchange(&u->head, NULL);
    for (struct load *next; load != NULL; load = next) {
        next = load->next;
        stand_still(u);
        unlink_all(u->data_dir, load);
        atomic_fetch_sub(&u->n_pending, load->n_files + load->n_blobs);
        free(load);
    }
}

static void *run(void *arg)
{
    struct unlinker *u = arg;
    uint64_t ignored;
    (void)prctl(PR_SET_NAME, "unlinks");
    while (!atomic_load(&u->stop)) {
        (void)!read(u->event_fd, &ignored, sizeof ignored);
        serve(u);
    }
    serve(u);
    return NULL;
}

/* ------------------------------------------------------------------------------------------------
 * the engine's side */

static void push(struct unlinker *u, struct load *load)
{
    atomic_fetch_add(&u->n_pending, load->n_files + load->n_blobs);
    load->next = atomic_load(&u->head);
    while (!atomic_compare_exchange_weak(&u->head, &load->next, load))
        continue;
    (void)!write(u->event_fd, &(uint64_t){1}, sizeof(uint64_t));
}

static struct load *load_of(const struct turn *turn)
{
    const size_t blob_bytes = turn->n_blobs * sizeof *turn->blobs;
    const size_t file_bytes = turn->n_files * sizeof *turn->files;
    struct load *load = must_alloc(sizeof *load + blob_bytes + file_bytes);
    *load = (struct load){.fd = -1, .n_blobs = turn->n_blobs, .n_files = turn->n_files};
    load->blobs = (uint64_t *)(load + 1);
    load->files = (struct output_ref *)(load->blobs + load->n_blobs);
    memcpy(load->blobs, turn->blobs, blob_bytes);
    memcpy(load->files, turn->files, file_bytes);
    return load;
}
_Static_assert(_Alignof(struct output_ref) <= sizeof(uint64_t), "they lie behind each other");

void unlinker_give(struct unlinker *u, const struct turn *turn)
{
    if (turn->n_files + turn->n_blobs == 0)
        return;
    struct load *load = load_of(turn);
    if (atomic_load(&u->n_pending) < MAX_PENDING) {
        push(u, load);
        return;
    }
    unlink_all(u->data_dir, load);
    free(load);
}

void unlinker_give_fd(struct unlinker *u, int fd)
{
    struct load *load = must_alloc(sizeof *load);
    *load = (struct load){.fd = fd};
    push(u, load);
}

/* ------------------------------------------------------------------------------------------------
 * life */

bool unlinker_start(int data_dir, struct unlinker **ret, struct err *err)
{
    struct unlinker *u = must_alloc(sizeof *u);
    *ret = u;
    *u = (struct unlinker){.data_dir = data_dir, .event_fd = eventfd(0, EFD_CLOEXEC)};
    if (u->event_fd < 0)
        return err_sys(err, ERR_INTERNAL, "eventfd");
    int error = pthread_create(&u->thread, NULL, run, u);
    u->has_thread = error == 0;
    return u->has_thread ||
           err_set(err, ERR_INTERNAL, "cannot start the thread of unlinks: %s", strerror(error));
}

void unlinker_stop(struct unlinker *u)
{
    if (u == NULL)
        return;
    atomic_store(&u->stop, true);
    if (u->has_thread) {
        (void)!write(u->event_fd, &(uint64_t){1}, sizeof(uint64_t));
        (void)pthread_join(u->thread, NULL);
    }
    auto_close(&u->event_fd);
    free(u);
}
