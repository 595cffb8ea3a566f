/* SPDX-License-Identifier: MIT */
#include "service/starts.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define RECORD_SIZE STARTS_NOTE_SIZE
#define READ_AT_ONCE 256 /* records */
#define STARTS_MAGIC 0x53545254u

struct record {
    uint32_t magic, attempt;
    int64_t no;
    uint8_t boot[16];
    uint8_t unused[32];
};
_Static_assert(sizeof(struct record) == RECORD_SIZE,
               "one record is one write that no page boundary cuts");
_Static_assert(offsetof(struct record, no) == STARTS_NOTE_NO_AT, "a worker changes the number");

/* The kernel's id of this boot, proc(5); all zero when there is none, which never equals a
 * record's. */
static bool read_boot_id(uint8_t boot[16])
{
    char text[64];
    AUTO_CLOSE int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text);
    size_t digits = 0;
    for (ssize_t i = 0; i < n && digits < 32; i++) {
        char c = text[i];
        int v = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
        if (v < 0)
            continue;
        boot[digits / 2] = (uint8_t)(digits % 2 == 0 ? v << 4 : boot[digits / 2] | v);
        digits++;
    }
    return digits == 32;
}

bool starts_open(struct starts *starts, const char *data_dir, struct err *err)
{
    char path[4096];
    *starts = (struct starts){.fd = -1};
    if (snprintf(path, sizeof path, "%s/" STARTS_FILE, data_dir) >= (int)sizeof path)
        return err_set(err, ERR_STORAGE, "The path of the data directory is too long");
    if (!read_boot_id(starts->boot))
        random_bytes(starts->boot, sizeof starts->boot); /* nothing to compare with: every restart
                                                            counts as a power cut */
    starts->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (starts->fd < 0)
        return err_sys(err, ERR_STORAGE, "open %s", path);
    return true;
}

void starts_close(struct starts *starts)
{
    auto_close(&starts->fd);
    starts->fd = -1;
}

void starts_note(const struct starts *starts, int64_t no, uint32_t attempt,
                 uint8_t ret_note[STARTS_NOTE_SIZE])
{
    struct record record = {.magic = STARTS_MAGIC, .attempt = attempt, .no = no};
    memcpy(record.boot, starts->boot, sizeof record.boot);
    memcpy(ret_note, &record, sizeof record);
}

bool starts_may_have_run(const struct starts *starts, int64_t no, uint32_t attempt)
{
    return starts_reached(starts, no, 1, attempt) == no;
}

int64_t starts_reached(const struct starts *starts, int64_t no, int64_t n, uint32_t attempt)
{
    struct record records[READ_AT_ONCE];
    int64_t reached = no - 1;
    ssize_t size;
    for (off_t at = 0; (size = pread(starts->fd, records, sizeof records, at)) > 0; at += size)
        for (size_t i = 0; i < (size_t)size / RECORD_SIZE; i++) {
            const struct record *record = &records[i];
            if (record->magic != STARTS_MAGIC)
                continue;
            if (memcmp(record->boot, starts->boot, sizeof record->boot) != 0)
                return no + n - 1; /* written before a restart of the machine: what was lost of it
                                      is unknown */
            if (record->no >= no && record->no - no < n && record->attempt == attempt)
                reached = MAX(reached, record->no);
        }
    /* A file that starts_reset has never prepared was lost with the power, or the machine cannot
     * tell boots apart. */
    struct stat st;
    return fstat(starts->fd, &st) != 0 || st.st_size == 0 ? no + n - 1 : reached;
}

bool starts_reset(const struct starts *starts, uint32_t places, struct err *err)
{
    /* Never empty: the first note carries this boot and no job. */
    uint8_t nobody[STARTS_NOTE_SIZE];
    starts_note(starts, 0, 0, nobody);
    if (ftruncate(starts->fd, 0) != 0 ||
        posix_fallocate(starts->fd, 0, (off_t)places * RECORD_SIZE) != 0 ||
        pwrite(starts->fd, nobody, sizeof nobody, 0) != (ssize_t)sizeof nobody ||
        fdatasync(starts->fd) != 0)
        return err_sys(err, ERR_STORAGE, "prepare the notes of starts");
    return true;
}
