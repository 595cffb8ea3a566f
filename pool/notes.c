/* SPDX-License-Identifier: MIT */
#include "pool/notes.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>

#define NOTE_SIZE sizeof(((struct bank *)NULL)->note)

bool notes_write(struct notes *notes, const struct worker_config *cfg, const struct bank *bank,
                 uint32_t place)
{
    const off_t at = (off_t)NOTE_SIZE * (off_t)place;
    const size_t len = MIN((size_t)bank->note_bytes, NOTE_SIZE);

    if (len == 0 || cfg->starts_file == NULL)
        return true;
    if (notes->fd < 0)
        notes->fd = openat(cfg->data_fd, cfg->starts_file, O_RDWR | O_CLOEXEC);
    return notes->fd >= 0 && !FAULT("worker-note") &&
           pwrite(notes->fd, bank->note, len, at) == (ssize_t)len;
}

/* The server has made the file as long as it gets before the first task. */
void notes_map(struct notes *notes)
{
    struct stat st;

    if (notes->mapped != NULL || notes->fd < 0 || fstat(notes->fd, &st) != 0 || st.st_size <= 0)
        return;
    void *at = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, notes->fd, 0);
    if (at == MAP_FAILED)
        return;
    notes->mapped = at;
    notes->size = (size_t)st.st_size;
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
