/* SPDX-License-Identifier: MIT */
#include "api/view.h"

#include "service/base/hex.h"

void view_write_blob(const struct blob *blob, struct buf *out)
{
    char id[37], sha256[2 * SHA256_BYTES];
    job_id_format(&blob->id, id);
    hex_put(sha256, blob->sha256, SHA256_BYTES);
    buf_printf(out, "{\"id\":\"%s\",\"bytes\":%llu,\"sha256\":\"%.*s\",\"name\":", id,
               (unsigned long long)blob->bytes, (int)sizeof sha256, sha256);
    if (blob->name == NULL)
        buf_puts(out, "null");
    else
        buf_json_string(out, slice_of(blob->name));
    if (blob->job.no == 0) {
        buf_puts(out, ",\"job\":null");
    } else {
        char job[37];
        job_id_format(&blob->job, job);
        buf_printf(out, ",\"job\":\"%s\"", job);
    }
    buf_puts(out, ",\"times\":{\"created\":");
    buf_json_time(out, blob->created_us);
    buf_puts(out, ",\"expires\":");
    buf_json_time(out, blob->gone_us);
    buf_printf(out, "},\"links\":{\"self\":\"/v1/blobs/%s\"}}", id);
}

void view_write_outputs(const struct job_view *job, struct buf *out)
{
    buf_putc(out, '[');
    for (uint32_t i = 0; i < job->n_blobs; i++) {
        buf_puts(out, i == 0 ? "" : ",");
        view_write_blob(&job->blobs[i], out);
    }
    buf_putc(out, ']');
}
