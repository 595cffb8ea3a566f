/* SPDX-License-Identifier: MIT */
#include "pool/spool.h"

#include "pool/capture.h"
#include "pool_fixture.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define INLINE BANK_OUT_SIZE

struct rig {
    char dir[64];
    int data_fd, null_fd, write_fd;
    struct slots slots;
    struct bank *bank;
    struct capture capture;
};

static void rig_open(struct rig *r, uint64_t limit)
{
    struct err err;
    int fds[2];

    fixture_make_dir(r->dir);
    r->data_fd = open(r->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    r->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    cr_assert(slots_map(&r->slots, 1, &err));
    r->bank = slots_bank(&r->slots, 0, 0);
    r->bank->job_no = 0x1ff;
    r->bank->attempt = 2;
    cr_assert_eq(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    (void)fcntl(fds[1], F_SETPIPE_SZ, 1 << 20);
    r->write_fd = fds[1];
    r->capture = (struct capture){.null_fd = r->null_fd, .data_fd = r->data_fd};
    capture_init(&r->capture, r->bank, 0, fds[0], limit);
}

static void rig_close(struct rig *r)
{
    if (r->write_fd >= 0)
        (void)close(r->write_fd);
    (void)close(r->data_fd);
    (void)close(r->null_fd);
    slots_unmap(&r->slots);
    fixture_remove_dir(r->dir);
}

/* Every byte depends on its place, so that a shift or a gap shows. */
static char byte_at(uint64_t place)
{
    return (char)(unsigned char)((place * 131 + place / 251) & 0xff);
}

static void talk(struct rig *r, uint64_t from, uint64_t to)
{
    static char bytes[65536];
    while (from < to) {
        const size_t len = (size_t)MIN((uint64_t)sizeof(bytes), to - from);
        for (size_t i = 0; i < len; i++)
            bytes[i] = byte_at(from + i);
        const ssize_t n = write(r->write_fd, bytes, len);
        if (n < 0) {
            cr_assert_eq(errno, EAGAIN, "write: %s", strerror(errno));
            (void)capture_pump(&r->capture, 1 << 20);
            continue;
        }
        from += (uint64_t)n;
    }
}

static void hang_up(struct rig *r)
{
    (void)close(steal_fd(&r->write_fd));
}

static void assert_spooled(struct rig *r, uint64_t want)
{
    char path[64];
    struct stat st;
    static char bytes[65536];

    spool_path(0x1ff, 2, 0, path);
    cr_assert_str_eq(path, "spool/ff/511.2.out");
    const int fd = openat(r->data_fd, path, O_RDONLY | O_CLOEXEC);
    cr_assert_geq(fd, 0);
    cr_assert_eq(fstat(fd, &st), 0);
    cr_assert_eq((uint64_t)st.st_size, want);
    cr_assert_eq(st.st_mode & 0777, 0600);
    uint64_t at = 0;
    for (ssize_t n; (n = read(fd, bytes, sizeof(bytes))) > 0; at += (uint64_t)n)
        for (ssize_t i = 0; i < n; i++)
            if (bytes[i] != byte_at(at + (uint64_t)i))
                cr_assert_fail("byte %lld differs", (long long)(at + (uint64_t)i));
    (void)close(fd);
}

static void assert_inline(struct rig *r, uint64_t want)
{
    cr_assert_eq(r->bank->report.spooled[0], 0);
    cr_assert_eq(r->bank->report.out_bytes[0], want);
    for (uint64_t i = 0; i < want; i++)
        if (r->bank->out[0][i] != byte_at(i))
            cr_assert_fail("byte %lld differs", (long long)i);
    cr_assert_neq(faccessat(r->data_fd, "spool/ff/511.2.out", F_OK, 0), 0, "there is no file");
}

static void run_inline(uint64_t bytes)
{
    struct rig r;
    rig_open(&r, 10 << 20);
    talk(&r, 0, bytes);
    hang_up(&r);
    capture_finish(&r.capture);
    assert_inline(&r, bytes);
    cr_assert_eq(r.bank->report.truncated[0], 0);
    rig_close(&r);
}

static void run_spooled(uint64_t bytes)
{
    struct rig r;
    rig_open(&r, 10 << 20);
    talk(&r, 0, bytes);
    hang_up(&r);
    capture_finish(&r.capture);
    cr_assert_eq(r.bank->report.spooled[0], 1);
    cr_assert_eq(r.bank->report.truncated[0], 0);
    cr_assert_eq(r.bank->report.out_bytes[0], bytes);
    assert_spooled(&r, bytes);
    rig_close(&r);
}

Test(spool, small_output_stays_in_the_slot)
{
    run_inline(0);
    run_inline(1);
    run_inline(INLINE - 1);
}

Test(spool, exactly_the_slot_needs_no_file)
{
    run_inline(INLINE);
}

Test(spool, one_byte_more_goes_to_the_file)
{
    run_spooled(INLINE + 1);
}

Test(spool, megabytes_arrive_byte_for_byte)
{
    run_spooled(5000011);
}

static void run_limited(uint64_t limit, uint64_t bytes)
{
    struct rig r;
    rig_open(&r, limit);
    talk(&r, 0, bytes);
    hang_up(&r);
    capture_finish(&r.capture);
    cr_assert_eq(r.bank->report.out_bytes[0], MIN(limit, bytes), "limit %lld of %lld",
                 (long long)limit, (long long)bytes);
    cr_assert_eq(r.bank->report.truncated[0], bytes > limit);
    if (r.bank->report.spooled[0] != 0)
        assert_spooled(&r, MIN(limit, bytes));
    else
        assert_inline(&r, MIN(limit, bytes));
    cr_assert_eq(r.bank->report.spooled[0], limit > INLINE && bytes > INLINE);
    rig_close(&r);
}

Test(spool, truncates_to_the_byte)
{
    const uint64_t limits[] = {1, 10, INLINE - 1, INLINE, INLINE + 1, 300000};
    for (size_t i = 0; i < ARRAY_LEN(limits); i++) {
        run_limited(limits[i], limits[i] - 1);
        run_limited(limits[i], limits[i]);
        run_limited(limits[i], limits[i] + 1);
        run_limited(limits[i], limits[i] + 3000000);
    }
}

Test(spool, a_watched_stream_moves_at_once)
{
    struct rig r;
    rig_open(&r, 10 << 20);
    talk(&r, 0, 100);
    (void)capture_pump(&r.capture, 1 << 20);
    cr_assert_eq(atomic_load(&r.bank->live_bytes[0]), 0, "nothing to read in the file yet");
    cr_assert(capture_spool(&r.capture));
    cr_assert(capture_spool(&r.capture), "twice is no harm");
    cr_assert_eq(atomic_load(&r.bank->live_bytes[0]), 100);
    assert_spooled(&r, 100);
    talk(&r, 100, 250);
    (void)capture_pump(&r.capture, 1 << 20);
    cr_assert_eq(atomic_load(&r.bank->live_bytes[0]), 250);
    hang_up(&r);
    capture_finish(&r.capture);
    cr_assert_eq(r.bank->report.spooled[0], 1);
    assert_spooled(&r, 250);
    rig_close(&r);
}

Test(spool, no_file_means_truncated_not_lost)
{
    struct rig r;
    rig_open(&r, 10 << 20);
    /* Something in the way of the directory: as good as a full disk, also for root. */
    const int fd = openat(r.data_fd, "spool", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    cr_assert_geq(fd, 0);
    (void)close(fd);
    talk(&r, 0, INLINE + 5000);
    hang_up(&r);
    capture_finish(&r.capture);
    cr_assert_eq(r.bank->report.spooled[0], 0);
    cr_assert_eq(r.bank->report.out_bytes[0], INLINE);
    cr_assert_eq(r.bank->report.truncated[0], 1);
    rig_close(&r);
}

/* Somebody outside the tree holds the pipe and never ends: the drain must. */
Test(spool, a_foreign_writer_does_not_hold_the_task)
{
    struct rig r;
    rig_open(&r, 10 << 20);
    talk(&r, 0, 500);
    capture_finish(&r.capture);
    assert_inline(&r, 500);
    cr_assert_eq(r.capture.pipe_fd, -1);
    rig_close(&r);
}

Test(spool, a_symbolic_link_is_not_followed)
{
    struct rig r;
    struct err err;

    rig_open(&r, 100);
    cr_assert_eq(mkdirat(r.data_fd, "spool", 0700), 0);
    cr_assert_eq(mkdirat(r.data_fd, "spool/ff", 0700), 0);
    cr_assert_eq(symlinkat("/dev/null", r.data_fd, "spool/ff/511.2.out"), 0);
    cr_assert_lt(spool_open(r.data_fd, 0x1ff, 2, 0, &err), 0);
    spool_remove(r.data_fd, 0x1ff, 2, 0);
    const int fd = spool_open(r.data_fd, 0x1ff, 2, 0, &err);
    cr_assert_geq(fd, 0);
    cr_assert(spool_sync(r.data_fd, 0x1ff, fd, &err));
    (void)close(fd);
    rig_close(&r);
}
