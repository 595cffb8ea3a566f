/* SPDX-License-Identifier: MIT */
#include "cli/lines.h"

#include <errno.h>

#define LINE_MAX_BYTES ((size_t)32 << 20) /* memory only; the service has its own limit */
#define READ_BYTES ((size_t)64 << 10)

void lines_init(struct lines *l, int fd, char delimiter)
{
    *l = (struct lines){.fd = fd, .delimiter = delimiter};
    buf_init(&l->input, LINE_MAX_BYTES);
}

void lines_release(struct lines *l)
{
    buf_release(&l->input);
    *l = (struct lines){.fd = -1};
}

enum lines_state lines_take(struct lines *l, struct slice *ret)
{
    size_t left = l->input.len - l->taken;
    const char *start = left > 0 ? l->input.ptr + l->taken : NULL;
    const char *end = left > l->searched
                          ? memchr(start + l->searched, l->delimiter, left - l->searched)
                          : NULL;
    *ret = (struct slice){0};
    if (end == NULL && (!l->at_end || left == 0)) {
        l->searched = left;
        return l->at_end ? LINES_END : LINES_WANTED;
    }
    size_t len = end != NULL ? (size_t)(end - start) : left;
    l->taken += end != NULL ? len + 1 : len;
    l->searched = 0;
    l->count++;
    *ret = (struct slice){start, len};
    return LINES_LINE;
}

bool lines_fill(struct lines *l, struct err *err)
{
    if (l->taken > 0) {
        memmove(l->input.ptr, l->input.ptr + l->taken, l->input.len - l->taken);
        l->input.len -= l->taken;
        l->taken = 0;
    }
    char *room = buf_reserve(&l->input, READ_BYTES);
    if (room == NULL)
        return err_set(err, ERR_TOO_LARGE, "line %llu is larger than 32 MiB",
                       (unsigned long long)l->count + 1);
    ssize_t n = read(l->fd, room, READ_BYTES);
    if (n < 0 && errno != EINTR && errno != EAGAIN && errno != EBADF)
        return err_sys(err, ERR_BAD_REQUEST, "cannot read the lines");
    if (n == 0 || (n < 0 && errno == EBADF)) /* closed by the caller: `<&-` */
        l->at_end = true;
    else if (n > 0)
        buf_commit(&l->input, (size_t)n);
    return true;
}

bool lines_next(struct lines *l, struct slice *ret, struct err *err)
{
    for (;;) {
        enum lines_state state = lines_take(l, ret);
        if (state != LINES_WANTED)
            return true;
        if (!lines_fill(l, err))
            return false;
    }
}
