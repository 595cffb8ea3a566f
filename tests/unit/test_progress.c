/* SPDX-License-Identifier: MIT */
#include "pool/progress.h"

#include "pool_fixture.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>

static struct bank bank;

static struct progress feed(const char *const *parts)
{
    struct progress_pipe pipe = PROGRESS_PIPE_NONE;
    struct progress ret;

    progress_clear(&bank);
    cr_assert(progress_open(&pipe, &bank));
    for (; *parts != NULL; parts++)
        progress_feed(&pipe, slice_of(*parts));
    progress_get(&bank, &ret);
    progress_close(&pipe);
    return ret;
}
#define FEED(...) feed((const char *const[]){__VA_ARGS__, NULL})

static void expect(struct progress got, uint32_t ppm, const char *text)
{
    cr_assert(got.is_known, "%s", text);
    cr_assert_eq(got.ppm, ppm, "%u, not %u: %s", got.ppm, ppm, text);
    cr_assert_str_eq(got.text, text);
    cr_assert_gt(got.at_us, 0);
}

Test(progress, a_line_is_a_fraction_and_a_text)
{
    expect(FEED("progress 0.6 tile 6 of 10\n"), 600000, "tile 6 of 10");
    expect(FEED("progress 1\n"), 1000000, "");
    expect(FEED("progress 0\n"), 0, "");
    expect(FEED("progress 1.000 done\r\n"), 1000000, "done");
    expect(FEED("progress 0.1234567  two blanks\n"), 123456, "two blanks");
    expect(FEED("progress 0. x\n"), 0, "x");
}

Test(progress, the_newest_line_counts)
{
    expect(FEED("progress 0.1 a\nprogress 0.2 b\nprogress 0.3"), 200000, "b");
    expect(FEED("progress 0.9\nprogress 0.2\n"), 200000, "");
}

Test(progress, a_line_may_come_in_pieces)
{
    expect(FEED("pro", "gress 0", ".2", "5 ha", "lf", "\n"), 250000, "half");
    expect(FEED("", "progress 0.25 x\npr", "ogress 0.5 y\n"), 500000, "y");
}

Test(progress, other_lines_mean_nothing)
{
    static const char *const lines[] = {
        "\n",
        "progress\n",
        "progress \n",
        "progress  0.5\n",
        "PROGRESS 1\n",
        "progress 1.1\n",
        "progress 2\n",
        "progress -0.5\n",
        "progress .5\n",
        "progress 0.5x\n",
        "progress 50%\n",
        "progress 0,5\n",
        "progress 1e0\n",
        "progress nan\n",
        "xprogress 0.5\n",
        "progress 99999999999999999999\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        cr_assert_not(FEED(lines[i]).is_known, "%s", lines[i]);
    /* Finer than a millionth is cut; without its line break it is no line yet. */
    expect(FEED("progress 1.0000009\n"), 1000000, "");
    cr_assert_not(FEED("progress 0.5").is_known);
    expect(FEED("progress 0.5 a\n", "progress 2 b\n"), 500000, "a");
}

Test(progress, text_is_made_safe)
{
    expect(FEED("progress 0.5 a\tb\x01\x7f\n"), 500000, "a b  ");
    expect(FEED("progress 0.5 \xff\xc3\xa9\xc3\n"), 500000, "?\xc3\xa9?");
    expect(FEED("progress 0.5 \xed\xa0\x80\n"), 500000, "???");
}

Test(progress, a_nul_is_a_blank)
{
    struct progress_pipe pipe = PROGRESS_PIPE_NONE;
    struct progress got;

    cr_assert(progress_open(&pipe, &bank));
    progress_feed(&pipe, (struct slice){"progress 0.5 a\0b\n", 17});
    progress_get(&bank, &got);
    expect(got, 500000, "a b");
}

Test(progress, long_text_is_cut_between_characters)
{
    char line[400] = "progress 0.5 ";
    char want[PROGRESS_TEXT + 1];

    memset(line + 13, 'x', PROGRESS_TEXT - 1);
    memcpy(want, line + 13, PROGRESS_TEXT - 1);
    want[PROGRESS_TEXT - 1] = '\0';
    (void)snprintf(line + 13 + PROGRESS_TEXT - 1, 20, "\xc3\xa9\n");
    expect(FEED(line), 500000, want);
    /* And a line of any length is one line. */
    memset(line + 13, 'y', 380);
    memset(want, 'y', PROGRESS_TEXT);
    want[PROGRESS_TEXT] = '\0';
    line[393] = '\0';
    expect(FEED(line, line, line, "\n"), 500000, want);
    expect(FEED(line, line, "progress 0.1\n", "progress 0.2 z\n"), 200000, "z");
}

/* A pipe that is written without end is taken in bounded pieces. */
Test(progress, a_flood_is_bounded)
{
    int fds[2];
    struct progress_pipe pipe = PROGRESS_PIPE_NONE;
    struct progress got;
    char block[4096];

    cr_assert_eq(pipe2(fds, O_NONBLOCK), 0);
    cr_assert_geq(fcntl(fds[1], F_SETPIPE_SZ, 1 << 20), 0);
    for (size_t i = 0; i < sizeof(block); i += 16)
        memcpy(block + i, "progress 0.5 ab\n", 16);
    for (ssize_t n = 1; n > 0;)
        n = write(fds[1], block, sizeof(block));
    pipe.fd = fds[0];
    cr_assert(progress_open(&pipe, &bank));
    progress_pump(&pipe);
    progress_get(&bank, &got);
    expect(got, 500000, "ab");
    cr_assert_geq(write(fds[1], block, sizeof(block)), 1, "there is room again");
    cr_assert_geq(read(fds[0], block, sizeof(block)), 1, "it has not taken everything");
    (void)close(fds[1]);
    for (int i = 0; i < 10; i++)
        progress_pump(&pipe);
    cr_assert_eq(pipe.fd, -1, "closed at its end");
}

Test(progress, what_a_broken_worker_leaves_is_held_within_limits)
{
    struct progress got;

    memset(&bank.progress, 0xff, sizeof(bank.progress));
    progress_get(&bank, &got);
    cr_assert_not(got.is_known, "an odd turn is never ready");
    atomic_store(&bank.progress.turn, 2);
    progress_get(&bank, &got);
    cr_assert_not(got.is_known, "no such fraction");
    const struct progress_record torn = {11, 1, {(char)0xff}};
    live_write(&bank.progress.turn, bank.progress.words, &torn, sizeof(torn));
    progress_get(&bank, &got);
    expect(got, 10, "");
    atomic_store(&bank.progress.turn, 3);
    progress_clear(&bank);
    progress_get(&bank, &got);
    cr_assert_not(got.is_known);
    progress_put(&bank, 5, slice_of("alive again"));
    progress_get(&bank, &got);
    expect(got, 5, "alive again");
}

#define ROUNDS 200000u

static void *write_rounds(void *arg)
{
    char text[PROGRESS_TEXT];
    (void)arg;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        memset(text, (int)('a' + i % 26), sizeof(text));
        progress_put(&bank, i % 26, (struct slice){text, sizeof(text)});
    }
    return NULL;
}

Test(progress, a_reader_never_sees_half)
{
    pthread_t writer;
    struct progress got;
    uint32_t seen = 0;

    progress_clear(&bank);
    cr_assert_eq(pthread_create(&writer, NULL, write_rounds, NULL), 0);
    while (progress_turn(&bank) < 2 * ROUNDS) {
        progress_get(&bank, &got);
        if (!got.is_known)
            continue;
        seen++;
        for (size_t i = 0; i < PROGRESS_TEXT; i++)
            cr_assert_eq(got.text[i], (char)('a' + got.ppm), "%u: %s", got.ppm, got.text);
    }
    cr_assert_eq(pthread_join(writer, NULL), 0);
    cr_assert_gt(seen, 0);
}
