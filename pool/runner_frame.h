/* SPDX-License-Identifier: MIT */
/* Frames of the runner protocol (docs/runner-protocol.md): a header line, and a body of so many
 * bytes. No input or output happens here.
 *
 *     VERB id length key=value …\n
 *     body\n                          when length > 0 */
#ifndef GANGER_POOL_RUNNER_FRAME_H
#define GANGER_POOL_RUNNER_FRAME_H

#include "service/base/buf.h"

#define RUNNER_LINE_MAX 1024 /* of a header, without its line break */
#define RUNNER_ID_MAX 64
#define RUNNER_VERB_MAX 12
#define RUNNER_LENGTH_DIGITS 10
#define RUNNER_VALUE_MAX 256 /* of a key, percent-decoded */

/* What a runner says. */
enum runner_verb {
    RUNNER_UNKNOWN,
    RUNNER_HELLO,
    RUNNER_READY,
    RUNNER_RESULT,
    RUNNER_ERROR,
    RUNNER_CANCELLED,
    RUNNER_PROGRESS,
    RUNNER_DATA,
    RUNNER_LOG,
    RUNNER_CALL,
    RUNNER_PONG,
    RUNNER_BYE,
    RUNNER_FORKED,
    RUNNER_EXITED,
    RUNNER_VERB_COUNT
};

struct runner_frame {
    enum runner_verb verb;
    struct slice word; /* the verb as it was written */
    struct slice id;
    uint64_t length;
    struct slice keys; /* "key=value key=value" */
};

/* Reads a header without its line break; slices of ret point into it. False: it is none. */
MUST_CHECK bool runner_frame_read(struct slice line, struct runner_frame *ret);
/* The decoded and terminated value; false: there is no such key, or its value is damaged. */
bool runner_frame_key(const struct runner_frame *frame, const char *key,
                      char ret[RUNNER_VALUE_MAX]);

/* Appends a frame. `keys` is "" or begins with a blank. */
void runner_frame_put(struct buf *out, const char *verb, struct slice id, const char *keys,
                      struct slice body);
/* Appends " key=value" with the value percent-encoded. */
void runner_key_put(struct buf *out, const char *key, struct slice value);

/* Bytes as they come from a pipe. */
enum runner_event {
    RUNNER_MORE,  /* all bytes are used up */
    RUNNER_BEGIN, /* a header: reader->frame, valid until the frame's END */
    RUNNER_BODY,  /* ret_body: the next bytes of its body */
    RUNNER_END,   /* the frame is complete */
    RUNNER_BROKEN /* these are no frames; it stays so */
};

struct runner_reader {
    struct runner_frame frame;
    enum { READ_LINE, READ_BODY, READ_BREAK, READ_END, READ_BROKEN } state;
    uint64_t left; /* bytes of the body that have not come */
    uint32_t used;
    char line[RUNNER_LINE_MAX];
};
void runner_reader_init(struct runner_reader *r);
/* Takes what the event needs off the front of `bytes`. */
enum runner_event runner_reader_next(struct runner_reader *r, struct slice *bytes,
                                     struct slice *ret_body);

#endif
