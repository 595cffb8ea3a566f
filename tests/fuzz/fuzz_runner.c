/* SPDX-License-Identifier: MIT */
/* What comes from a runner, in pieces: read the same way whatever the pieces are, within bounds,
 * and a header that was read says the same when it is written again. */
#include "pool/runner_frame.h"

#define MAX_BODY 4096

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

/* As the service writes it, with a body of so many blanks. */
static void write_again(const struct runner_frame *frame, struct buf *out)
{
    char verb[RUNNER_VERB_MAX + 1], keys[RUNNER_LINE_MAX + 2] = "";
    AUTO_BUF struct buf body = {0};

    buf_init(&body, MAX_BODY);
    char *blanks = buf_reserve(&body, (size_t)frame->length);
    memset(blanks, ' ', (size_t)frame->length);
    buf_commit(&body, (size_t)frame->length);
    (void)snprintf(verb, sizeof(verb), "%.*s", (int)frame->word.len, frame->word.ptr);
    if (frame->keys.len > 0)
        (void)snprintf(keys, sizeof(keys), " %.*s", (int)frame->keys.len, frame->keys.ptr);
    runner_frame_put(out, verb, frame->id, keys, buf_slice(&body));
}

static void check_header(const struct runner_frame *frame)
{
    char value[RUNNER_VALUE_MAX], again_value[RUNNER_VALUE_MAX];
    struct runner_frame again;
    AUTO_BUF struct buf text = {0};

    PRE(frame->id.len <= RUNNER_ID_MAX && frame->word.len <= RUNNER_VERB_MAX);
    if (frame->length == 0 || frame->length > MAX_BODY)
        return;
    buf_init(&text, SIZE_MAX / 4);
    write_again(frame, &text);
    const char *end = memchr(text.ptr, '\n', text.len);
    PRE(runner_frame_read((struct slice){text.ptr, (size_t)(end - text.ptr)}, &again));
    PRE(again.verb == frame->verb && slice_eq(again.id, frame->id));
    PRE(again.length == frame->length && text.len == (size_t)(end - text.ptr) + again.length + 2);
    const bool has_key = runner_frame_key(frame, "shm", value);
    PRE(runner_frame_key(&again, "shm", again_value) == has_key);
    PRE(!has_key || strcmp(value, again_value) == 0);
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
