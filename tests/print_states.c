/* SPDX-License-Identifier: MIT */
/* Prints the diagram of a job's states from the table of job.h, for docs/architecture.md. */
#include "service/base/job.h"

#include <stdio.h>

#define MAX_DIAGRAM_BYTES (16u << 10)

int main(void)
{
    struct buf out;

    buf_init(&out, MAX_DIAGRAM_BYTES);
    job_state_diagram(&out);
    bool ok = fwrite(out.ptr, 1, out.len, stdout) == out.len && fflush(stdout) == 0;
    buf_release(&out);
    return ok ? 0 : 1;
}
