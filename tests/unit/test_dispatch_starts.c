/* SPDX-License-Identifier: MIT */
/* service/starts.c: which attempts may have run, as a recovering server must see it. */
#include "service/starts.h"

#include <criterion/criterion.h>
#include <fcntl.h>

struct fixture {
    char dir[64];
    char file[80];
    struct starts starts;
};

static void open_fixture(struct fixture *f)
{
    struct err err = {0};
    strncpy(f->dir, "/tmp/ganger-starts-XXXXXX", sizeof f->dir);
    cr_assert_not_null(mkdtemp(f->dir));
    (void)snprintf(f->file, sizeof f->file, "%s/starts", f->dir);
    cr_assert(starts_open(&f->starts, f->dir, &err), "%s", err.detail);
}

static void reopen(struct fixture *f)
{
    struct err err = {0};
    starts_close(&f->starts);
    cr_assert(starts_open(&f->starts, f->dir, &err), "%s", err.detail);
}

/* As a worker does it. */
static void note(const struct fixture *f, int place, int64_t no, uint32_t attempt)
{
    uint8_t bytes[STARTS_NOTE_SIZE];
    starts_note(&f->starts, no, attempt, bytes);
    cr_assert_eq(pwrite(f->starts.fd, bytes, sizeof bytes, (off_t)place * STARTS_NOTE_SIZE),
                 (ssize_t)sizeof bytes);
}

static void close_fixture(struct fixture *f)
{
    starts_close(&f->starts);
    (void)unlink(f->file);
    (void)rmdir(f->dir);
}

Test(starts, a_start_is_seen_by_the_next_server_and_nothing_else_is)
{
    struct fixture f;
    struct err err = {0};
    open_fixture(&f);
    cr_assert(starts_reset(&f.starts, 16, &err));
    cr_assert_not(starts_may_have_run(&f.starts, 41, 1), "nothing was started");
    note(&f, 13, 41, 1);
    note(&f, 0, 42, 2);
    reopen(&f);
    cr_assert(starts_may_have_run(&f.starts, 41, 1));
    cr_assert(starts_may_have_run(&f.starts, 42, 2));
    cr_assert_not(starts_may_have_run(&f.starts, 42, 3), "a reserved attempt that never left");
    cr_assert_not(starts_may_have_run(&f.starts, 43, 1));
    cr_assert(starts_reset(&f.starts, 16, &err));
    cr_assert_not(starts_may_have_run(&f.starts, 42, 2), "recovery is over");
    close_fixture(&f);
}

Test(starts, after_a_restart_of_the_machine_everything_counts_as_started)
{
    struct fixture f;
    struct err err = {0};
    open_fixture(&f);
    cr_assert(starts_reset(&f.starts, 16, &err));
    note(&f, 0, 7, 1);
    f.starts.boot[5] ^= 0xff; /* as the next boot's server would see it */
    cr_assert(starts_may_have_run(&f.starts, 7, 1));
    cr_assert(starts_may_have_run(&f.starts, 8, 1), "its record may not have reached the disk");
    close_fixture(&f);
}

Test(starts, a_file_that_was_never_prepared_proves_nothing)
{
    struct fixture f;
    open_fixture(&f);
    cr_assert(starts_may_have_run(&f.starts, 1, 1),
              "an empty file may have lost its records with the power");
    close_fixture(&f);
}
