/* SPDX-License-Identifier: MIT */
/* What a person sees: stdout carries data, stderr carries messages and, on a terminal only, one
 * progress line. Text that comes from jobs or from the service is cleaned before a terminal gets it
 * (a job must not be able to operate the terminal of who looks at it). */
#ifndef GANGER_CLI_OUTPUT_H
#define GANGER_CLI_OUTPUT_H

#include "service/base/buf.h"

struct output {
    bool quiet;    /* no notes, no progress */
    bool raw;      /* --raw: a terminal gets the job's bytes as they are */
    bool progress; /* stderr is a terminal that can rewrite a line */
    bool progress_shown;
    uint64_t progress_ns; /* of the last progress line, clock_mono_ns */
};

void output_init(struct output *out, bool quiet, bool raw);

/* "ganger: <text>" on stderr; text is cleaned. Notes are left out when quiet. */
void output_error(struct output *out, const char *fmt, ...) PRINTF_LIKE(2, 3);
void output_note(struct output *out, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Asks on the terminal, and is true for an answer that begins with y; false off a terminal. */
MUST_CHECK bool output_confirm(struct output *out, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* Rewrites the progress line, ten times a second at most; nothing off a terminal. */
void output_progress(struct output *out, const char *fmt, ...) PRINTF_LIKE(2, 3);
void output_progress_end(struct output *out);

/* Writes everything; false when the descriptor takes no more (errno is kept). */
MUST_CHECK bool output_write(int fd, struct slice bytes);
/* To stdout, cleaned when it is a terminal. False as above. */
MUST_CHECK bool output_text(struct slice text);

/* The same for JSON, on one line: newlines between its tokens become spaces. */
MUST_CHECK bool output_json(struct slice json);

/* Removes terminal escape sequences (ECMA-48), control characters but tab, newline and carriage
 * return, and bidirectional controls; bytes that are not UTF-8 become U+FFFD. Works on a stream: a
 * sequence may be cut anywhere between two feeds. */
struct cleaner {
    enum { CLEAN_TEXT, CLEAN_ESCAPE, CLEAN_CSI, CLEAN_STRING } state;
    char held[4]; /* begin of a UTF-8 character */
    size_t n_held;
};
void cleaner_feed(struct cleaner *c, struct slice bytes, struct buf *out);
/* Nothing more comes: a character that has only begun is not UTF-8. */
void cleaner_end(struct cleaner *c, struct buf *out);

#endif
