/* SPDX-License-Identifier: MIT */
/* A call that leaves a trace: its second argument becomes a line of the file that the first one
 * names, by one write. */
#include "include/ganger/plugin.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

GANGER_PLUGIN

GANGER_FUNCTION(note)
{
    char path[4096], line[64];
    size_t path_len, line_len;
    const char *p = ganger_arg(call, 0, &path_len), *l = ganger_arg(call, 1, &line_len);
    if (p == NULL || l == NULL || path_len < 2 || path_len > sizeof path || line_len >= sizeof line)
        return ganger_error(call, "ValueError", "a path and a line are wanted");
    (void)snprintf(path, sizeof path, "%.*s", (int)path_len - 2, p + 1);
    const int len = snprintf(line, sizeof line, "%.*s\n", (int)line_len, l);
    const int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    const ssize_t n = fd < 0 ? -1 : write(fd, line, (size_t)len);
    if (fd >= 0)
        (void)close(fd);
    return n == len ? ganger_result(call, "0", 1, GANGER_JSON)
                    : ganger_error(call, "OSError", "cannot write the line");
}
