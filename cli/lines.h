/* SPDX-License-Identifier: MIT */
/* Lines of a descriptor, read in pieces of any size, without waiting where the caller wants that.
 */
#ifndef GANGER_CLI_LINES_H
#define GANGER_CLI_LINES_H

#include "service/base/buf.h"
#include "service/base/error.h"

struct lines {
    int fd;
    char delimiter;   /* '\n' or '\0' */
    struct buf input; /* read, not yet taken; the first `taken` bytes are */
    size_t taken, searched;
    bool at_end;    /* the descriptor has nothing more */
    uint64_t count; /* lines taken */
};
/* The descriptor stays the caller's. */
void lines_init(struct lines *l, int fd, char delimiter);
void lines_release(struct lines *l); /* accepts a zeroed one */

enum lines_state { LINES_LINE, LINES_WANTED, LINES_END };
/* LINES_LINE: *ret is the next one without its end, valid until the next call. LINES_WANTED: read
 * more by lines_fill. The last line needs no delimiter. */
enum lines_state lines_take(struct lines *l, struct slice *ret);
/* One read(2), which blocks unless the descriptor is readable. */
MUST_CHECK bool lines_fill(struct lines *l, struct err *err);
/* The next line, however long that takes; absent at the end. */
MUST_CHECK bool lines_next(struct lines *l, struct slice *ret, struct err *err);

#endif
