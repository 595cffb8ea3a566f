/* SPDX-License-Identifier: MIT */
#include "service/base/util.h"

#include "service/base/hex.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>

Test(util, slices_compare_by_content)
{
    const char bytes[] = {'a', '\0', 'b'};
    cr_assert(slice_eq((struct slice){bytes, 3}, (struct slice){"a\0b", 3}));
    cr_assert_not(slice_eq((struct slice){bytes, 3}, (struct slice){"a\0c", 3}));
    cr_assert_not(slice_is((struct slice){bytes, 3}, "a"));
    cr_assert(slice_is(SLICE_LIT("abc"), "abc"));
    cr_assert(slice_eq(slice_of(NULL), slice_of("")), "an absent slice has no bytes");
}

Test(util, hexadecimal_digits_are_lower_case_and_read_in_either)
{
    char text[16 + 1] = "";
    hex_put(text, "\x00\x7f\xff", 3);
    cr_assert_str_eq(text, "007fff");
    hex_put_number(text, UINT64_C(0x123456789abcdef0), 16);
    cr_assert_str_eq(text, "123456789abcdef0");
    hex_put_number(text, 0xabc, 2);
    cr_assert_str_eq(text, "bc3456789abcdef0");
    for (int c = 0; c < 256; c++) {
        const char *digit = c == 0 ? NULL : strchr("0123456789abcdefABCDEF", c);
        const int value = digit == NULL ? -1 : (int)(digit - "0123456789abcdefABCDEF");
        cr_assert_eq(hex_value((char)c), value > 15 ? value - 6 : value, "%d", c);
    }
}

Test(util, steal_disarms_the_owner)
{
    char *text = must_alloc(8);
    char *owner = text;
    char *taken = steal_ptr(&owner);
    cr_assert_eq(taken, text);
    cr_assert_null(owner);
    free(taken);
    int fd = 7;
    cr_assert_eq(steal_fd(&fd), 7);
    cr_assert_eq(fd, -1);
}

Test(util, auto_close_closes_at_the_end_of_the_scope)
{
    int seen = -1;
    {
        AUTO_CLOSE int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
        cr_assert_geq(fd, 0);
        seen = fd;
    }
    cr_assert_eq(fcntl(seen, F_GETFD), -1);
}

Test(util, allocations_are_zeroed)
{
    AUTO_FREE unsigned char *bytes = must_alloc(64);
    for (size_t i = 0; i < 64; i++)
        cr_assert_eq(bytes[i], 0);
    bytes = must_realloc(bytes, 4096);
    cr_assert_eq(bytes[63], 0);
}

Test(util, clocks_run)
{
    uint64_t before = clock_mono_ns();
    uint64_t after = clock_mono_ns();
    cr_assert_leq(before, after);
    cr_assert_gt(clock_wall_us(), 1600000000LL * 1000000, "microseconds since 1970, after 2020");
}

Test(util, random_bytes_fill_the_whole_range)
{
    unsigned char bytes[600] = {0};
    random_bytes(bytes + 1, sizeof(bytes) - 2);
    cr_assert_eq(bytes[0], 0);
    cr_assert_eq(bytes[sizeof(bytes) - 1], 0);
    bool seen[256] = {false};
    for (size_t i = 1; i < sizeof(bytes) - 1; i++)
        seen[bytes[i]] = true;
    int n_different = 0;
    for (int i = 0; i < 256; i++)
        n_different += seen[i];
    cr_assert_gt(n_different, 150, "598 random bytes hit about 231 of 256 values, not %d",
                 n_different);
}

static int three(void)
{
    return 3;
}

Test(util, a_broken_precondition_ends_the_process, .signal = SIGABRT)
{
    PRE(three() == 4);
}

Test(util, a_kept_precondition_does_not)
{
    PRE(three() == 3);
    POST(ERGO(three() == 3, three() != 4));
}

#ifdef GANGER_FAILPOINTS

Test(fault, error_comes_at_the_named_hit_only)
{
    cr_assert_not(FAULT("here"));
    (void)setenv("GANGER_FP", "here:error:2", 1);
    cr_assert_not(FAULT("her"), "a prefix is another name");
    cr_assert_not(FAULT("here_too"));
    cr_assert_not(FAULT("here"));
    cr_assert(FAULT("here"));
    cr_assert_not(FAULT("here"));
}

Test(fault, exit_ends_the_process, .exit_code = 86)
{
    (void)setenv("GANGER_FP", "here:exit", 1);
    (void)FAULT("here");
}

Test(fault, kill_ends_the_process, .signal = SIGKILL)
{
    (void)setenv("GANGER_FP", "here:kill:1", 1);
    (void)FAULT("here");
}

Test(fault, seeded_bugs_have_exact_names)
{
    cr_assert_not(SEEDED_BUG("ack_early"));
    (void)setenv("GANGER_BUG", "ack_early", 1);
    cr_assert(SEEDED_BUG("ack_early"));
    cr_assert_not(SEEDED_BUG("ack"));
}

#endif

static int memory_of(const char *text)
{
    const int fd = memfd_create("test", MFD_CLOEXEC);
    cr_assert(fd >= 0 && fd_write_all(fd, slice_of(text)));
    return fd;
}

/* Always from the beginning, wherever the source stands; behind what is there. */
Test(util, copies_the_beginning_of_a_file)
{
    char got[16] = "";
    const int from = memory_of("abcdef"), to = memory_of("0");

    cr_assert(fd_copy(to, from, 3));
    cr_assert(fd_copy(to, from, 2));
    cr_assert_eq(pread(to, got, sizeof(got), 0), 6);
    cr_assert_str_eq(got, "0abcab");
    cr_assert_not(fd_copy(to, from, 7));
    cr_assert_eq(errno, ENODATA);
    (void)close(from);
    (void)close(to);
    cr_assert_not(fd_copy(to, from, 1));
    cr_assert_eq(errno, EBADF);
}
