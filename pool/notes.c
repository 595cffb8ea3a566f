/* SPDX-License-Identifier: MIT */
#include "pool/notes.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define NOTE_SIZE sizeof(((struct bank *)NULL)->note)

/* The server has made the file as long as it gets, and its blocks, before the first task. */
static bool map(struct notes *notes, const struct worker_config *cfg)
{
    struct stat st;

    if (notes->mapped != NULL)
        return true;
    AUTO_CLOSE int fd = openat(cfg->data_fd, cfg->starts_file, O_RDWR | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0 || st.st_size <= 0)
        return false;
    void *at = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (at == MAP_FAILED)
        return false;
    notes->mapped = at;
    notes->size = (size_t)st.st_size;
    return true;
}

/* A note that our death cuts in two is not missed: its task begins only after it, and the one of
 * the note before has long been stored. */
bool notes_write(struct notes *notes, const struct worker_config *cfg, const struct bank *bank,
                 uint32_t place)
{
    const size_t at = NOTE_SIZE * place, len = MIN((size_t)bank->note_bytes, NOTE_SIZE);

    if (len == 0 || cfg->starts_file == NULL)
        return true;
    if (FAULT("worker-note") || !map(notes, cfg) || at + len > notes->size)
        return false;
    memcpy(notes->mapped + at, bank->note, len);
    atomic_thread_fence(memory_order_seq_cst);
    return true;
}

bool notes_change(const struct notes *notes, const struct bank *bank, uint32_t place, int64_t no)
{
    const size_t in_note = bank->note_no_at, at = NOTE_SIZE * place + in_note;

    if (bank->note_bytes == 0)
        return true;
    if (in_note % sizeof(no) != 0 || in_note > NOTE_SIZE - sizeof(no) ||
        at + sizeof(no) > notes->size)
        return false;
    atomic_store((_Atomic int64_t *)(void *)&notes->mapped[at], no);
    return !FAULT("worker-note");
}
