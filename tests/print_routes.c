/* SPDX-License-Identifier: MIT */
/* Prints the table of routes, for docs/api.md. */
#include "api/routes.h"

#include <stdio.h>

#define MAX_TABLE_BYTES (64u << 10)

int main(void)
{
    struct buf out;

    buf_init(&out, MAX_TABLE_BYTES);
    route_write_markdown(&out);
    bool ok = buf_ok(&out) && fwrite(out.ptr, 1, out.len, stdout) == out.len && fflush(stdout) == 0;
    buf_release(&out);
    return ok ? 0 : 1;
}
