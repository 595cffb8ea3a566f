/* SPDX-License-Identifier: MIT */
/* What comes from a runner, in pieces: read the same way whatever the pieces are, within bounds,
 * and a header that was read says the same when it is written again. */
#include "pool/runner_frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Everything that the reader tells, in an order that does not depend on the pieces. */
static void listen(struct slice bytes, size_t step, struct buf *told)
{
    static struct runner_reader r;
    struct slice body;

    runner_reader_init(&r);
    while (bytes.len > 0) {
        AUTO_FREE char *copy = must_alloc(step);
        struct slice piece = {copy, MIN(step, bytes.len)};
        memcpy(copy, bytes.ptr, piece.len);
        bytes = (struct slice){bytes.ptr + piece.len, bytes.len - piece.len};
        for (enum runner_event event;
             (event = runner_reader_next(&r, &piece, &body)) != RUNNER_MORE;) {
            if (event == RUNNER_BODY) {
                buf_append(told, body.ptr, body.len);
                continue;
            }
            buf_printf(told, "[%d]", (int)event);
            if (event == RUNNER_BROKEN)
                return;
            if (event == RUNNER_BEGIN)
                buf_append(told, r.line, r.used);
        }
    }
}

static void check_header(const struct runner_frame *frame)
{
    char value[RUNNER_VALUE_MAX];
    PRE(frame->id.len > 0 && frame->id.len <= RUNNER_ID_MAX);
    PRE(frame->word.len > 0 && frame->word.len <= RUNNER_VERB_MAX);
    PRE(frame->length <= 9999999999);
    if (runner_frame_key(frame, "shm", value))
        PRE(strlen(value) < RUNNER_VALUE_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_BUF struct buf whole = {0}, pieces = {0};
    struct runner_frame frame;
    const struct slice bytes = {(const char *)data, size};

    if (size == 0)
        return 0;
    buf_init(&whole, SIZE_MAX / 4);
    buf_init(&pieces, SIZE_MAX / 4);
    listen(bytes, size, &whole);
    listen(bytes, 1 + data[0] % 7, &pieces);
    PRE(slice_eq(buf_slice(&whole), buf_slice(&pieces)));
    if (runner_frame_read(bytes, &frame))
        check_header(&frame);
    return 0;
}
