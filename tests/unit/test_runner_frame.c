/* SPDX-License-Identifier: MIT */
/* Frames of the runner protocol: what is one, what is none, and in which pieces they may come. */
#include "pool/runner_frame.h"

#include <criterion/criterion.h>

static struct runner_frame frame;

static bool reads(const char *line)
{
    return runner_frame_read(slice_of(line), &frame);
}

Test(runner_frame, a_header_is_verb_id_length_and_keys)
{
    cr_assert(reads("RESULT 0199-a_b.c 12 codec=json shm=/proc/self/fd/6:5 new=1"));
    cr_assert_eq(frame.verb, RUNNER_RESULT);
    cr_assert(slice_is(frame.id, "0199-a_b.c"));
    cr_assert_eq(frame.length, 12);
    char value[RUNNER_VALUE_MAX];
    cr_assert(runner_frame_key(&frame, "shm", value));
    cr_assert_str_eq(value, "/proc/self/fd/6:5");
    cr_assert_not(runner_frame_key(&frame, "cod", value));
    cr_assert(reads("PONG 1 0"));
    cr_assert_not(runner_frame_key(&frame, "codec", value));
}

Test(runner_frame, a_verb_that_is_not_known_is_a_frame_all_the_same)
{
    cr_assert(reads("MARVEL 1 9999999999"));
    cr_assert_eq(frame.verb, RUNNER_UNKNOWN);
    cr_assert(slice_is(frame.word, "MARVEL"));
    cr_assert_eq(frame.length, 9999999999);
}

Test(runner_frame, what_is_no_header)
{
    static const char *const lines[] = {
        "",
        " ",
        "RESULT",
        "RESULT 1",
        "RESULT 1 ",
        "RESULT  1 0",
        " RESULT 1 0",
        "RESULT 1 0 ",
        "RESULT 1 0  a=b",
        "result 1 0",
        "RESULTRESULTS 1 0",
        "RES9 1 0",
        "RESULT a/b 0",
        "RESULT \xc3\xa4 0",
        "RESULT 1 -1",
        "RESULT 1 +1",
        "RESULT 1 0x1",
        "RESULT 1 1.0",
        "RESULT 1 12345678901",
        "RESULT 1 0 a",
        "RESULT 1 0 =b",
        "RESULT 1 0 a=\xc3\xa4",
        "RESULT 1 0 a=b\tc",
        "RESULT 1 0\r",
        "RESULT 12345678901234567890123456789012345678901234567890123456789012345 0",
    };
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        cr_assert_not(reads(lines[i]), "\"%s\" was read", lines[i]);
}

Test(runner_frame, values_are_percent_encoded)
{
    AUTO_BUF struct buf keys = {0};
    char value[RUNNER_VALUE_MAX];
    buf_init(&keys, 1000);
    buf_puts(&keys, "TASK 1 0");
    runner_key_put(&keys, "name", SLICE_LIT("a b%\xc3\xa4="));
    cr_assert(slice_is(buf_slice(&keys), "TASK 1 0 name=a%20b%25%C3%A4="));
    cr_assert(runner_frame_read(buf_slice(&keys), &frame));
    cr_assert(runner_frame_key(&frame, "name", value));
    cr_assert_str_eq(value, "a b%\xc3\xa4=");
    static const char *const damaged[] = {"X 1 0 k=%", "X 1 0 k=%2", "X 1 0 k=%2g", "X 1 0 k=%00"};
    for (size_t i = 0; i < ARRAY_LEN(damaged); i++)
        cr_assert(reads(damaged[i]) && !runner_frame_key(&frame, "k", value), "%s", damaged[i]);
}

/* ---- streams ---- */

/* What a reader makes of a stream, as text, given in pieces of `step` bytes. */
static void tell(const char *stream, size_t step, struct buf *out)
{
    static struct runner_reader r;
    struct slice rest = slice_of(stream);

    buf_clear(out);
    runner_reader_init(&r);
    while (rest.len > 0) {
        struct slice bytes = {rest.ptr, MIN(step, rest.len)}, body;
        rest = (struct slice){rest.ptr + bytes.len, rest.len - bytes.len};
        for (enum runner_event event;
             (event = runner_reader_next(&r, &bytes, &body)) != RUNNER_MORE;) {
            if (event == RUNNER_BROKEN) {
                buf_puts(out, "!");
                return;
            }
            if (event == RUNNER_BEGIN)
                buf_printf(out, "<%.*s ", (int)r.frame.word.len, r.frame.word.ptr);
            else if (event == RUNNER_BODY)
                buf_append(out, body.ptr, body.len);
            else
                buf_puts(out, ">");
        }
    }
}

Test(runner_frame, a_stream_is_the_same_in_pieces_of_any_size)
{
    static const struct {
        const char *stream, *told;
    } cases[] = {
        {"PONG 1 0\nPONG 2 0\n", "<PONG ><PONG >"},
        {"RESULT 1 3 codec=json\n1\n2\nBYE 0 0\n", "<RESULT 1\n2><BYE >"},
        {"RESULT 1 2\nabX", "<RESULT ab!"},
        {"nonsense\nPONG 1 0\n", "!"},
        {"DATA 1 5\nab", "<DATA ab"},
    };
    AUTO_BUF struct buf out = {0};
    buf_init(&out, 1000);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        for (size_t step = 1; step < 40; step++) {
            tell(cases[i].stream, step, &out);
            cr_assert(slice_is(buf_slice(&out), cases[i].told), "%zu by %zu: %.*s", i, step,
                      (int)out.len, out.ptr);
        }
}

Test(runner_frame, a_header_has_at_most_1024_bytes)
{
    char line[RUNNER_LINE_MAX + 3];
    AUTO_BUF struct buf out = {0};
    const size_t head = strlen("LOG 1 0 k=");
    buf_init(&out, 1000);
    memset(line, 'v', sizeof(line));
    memcpy(line, "LOG 1 0 k=", head);
    line[RUNNER_LINE_MAX] = '\n';
    line[RUNNER_LINE_MAX + 1] = '\0';
    tell(line, 100, &out);
    cr_assert(slice_is(buf_slice(&out), "<LOG >"));
    line[RUNNER_LINE_MAX] = 'v';
    line[RUNNER_LINE_MAX + 1] = '\n';
    line[RUNNER_LINE_MAX + 2] = '\0';
    tell(line, 100, &out);
    cr_assert(slice_is(buf_slice(&out), "!"));
}

Test(runner_frame, a_frame_that_is_put_can_be_read)
{
    AUTO_BUF struct buf stream = {0}, out = {0};
    buf_init(&stream, 1000);
    buf_init(&out, 1000);
    runner_frame_put(&stream, "TASK", SLICE_LIT("7"), " codec=raw", SLICE_LIT("a\nb"));
    runner_frame_put(&stream, "CANCEL", SLICE_LIT("7"), "", (struct slice){0});
    buf_putc(&stream, '\0');
    tell(stream.ptr, 3, &out);
    cr_assert(slice_is(buf_slice(&out), "<TASK a\nb><CANCEL >"));
}
