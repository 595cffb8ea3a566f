/* SPDX-License-Identifier: MIT */
#include "service/base/footprint.h"

#include <link.h>
#include <malloc.h>
#include <sys/mman.h>

#define LARGE_BYTES (80 << 10) /* an arena's largest piece, and so most requests, stay below */
#define MAX_PARTS 32

void footprint_limit(void)
{
    (void)mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
}

/* The loader has written into segments that are not writable: what it wrote is in no file. */
static bool has_text_relocations(const struct dl_phdr_info *object)
{
    for (size_t i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        if (part->p_type != PT_DYNAMIC)
            continue;
        const ElfW(Dyn) *entry = (const void *)(object->dlpi_addr + part->p_vaddr);
        for (; entry->d_tag != DT_NULL; entry++)
            if (entry->d_tag == DT_TEXTREL ||
                (entry->d_tag == DT_FLAGS && (entry->d_un.d_val & DF_TEXTREL) != 0))
                return true;
    }
    return false;
}

static int trim_object(struct dl_phdr_info *object, size_t size, void *arg)
{
    (void)size;
    (void)arg;
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    ElfW(Phdr) parts[MAX_PARTS]; /* a copy: the original lies in what is given back */
    /* The program has no name; what the kernel maps has one without a path, and no file. */
    bool is_file = object->dlpi_name[0] == '\0' || strchr(object->dlpi_name, '/') != NULL;
    if (!is_file || object->dlpi_phnum > MAX_PARTS || has_text_relocations(object))
        return 0;
    memcpy(parts, object->dlpi_phdr, object->dlpi_phnum * sizeof(parts[0]));
    for (size_t i = 0; i < object->dlpi_phnum; i++) {
        if (parts[i].p_type != PT_LOAD || (parts[i].p_flags & PF_W) != 0)
            continue;
        uintptr_t begin = (object->dlpi_addr + parts[i].p_vaddr) & ~(page - 1);
        uintptr_t end = object->dlpi_addr + parts[i].p_vaddr + parts[i].p_memsz;
        (void)madvise((void *)begin, end - begin, MADV_DONTNEED);
    }
    return 0;
}

void footprint_trim(void)
{
    (void)dl_iterate_phdr(trim_object, NULL);
    (void)malloc_trim(0);
}

void rest_worked(struct rest *rest, uint64_t now_ns)
{
    if (rest->at_ns == 0)
        (void)atomic_fetch_add(rest->n_awake, 1);
    rest->at_ns = now_ns + REST_NS;
}

void rest_begin(struct rest *rest)
{
    rest->at_ns = 0;
    if (atomic_fetch_sub(rest->n_awake, 1) == 1)
        footprint_trim();
}

int rest_wait_ms(const struct rest *rest, uint64_t now_ns, int ms)
{
    if (rest->at_ns == 0)
        return ms;
    const int rest_ms = rest->at_ns <= now_ns ? 0 : (int)((rest->at_ns - now_ns) / 1000000) + 1;
    return ms < 0 ? rest_ms : MIN(ms, rest_ms);
}
