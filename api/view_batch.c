/* SPDX-License-Identifier: MIT */
#include "api/view_batch.h"

#include "api/view.h"

static const char *kind_name(enum batch_kind kind)
{
    static const char *const names[] = {
        [BATCH_ITEMS] = "items", [BATCH_GRAPH] = "graph", [BATCH_PIPELINE] = "pipeline"};
    return names[kind];
}

static const char *phase_name(enum batch_phase phase)
{
    static const char *const names[] = {[BATCH_UPLOADING] = "uploading",
                                        [BATCH_OPEN] = "open",
                                        [BATCH_CLOSED] = "closed",
                                        [BATCH_HALTED] = "halted"};
    return names[phase];
}

static void put_number_or_null(struct buf *out, const char *name, bool known, int64_t v)
{
    buf_printf(out, ",\"%s\":", name);
    if (known)
        buf_put_i64(out, v);
    else
        buf_puts(out, "null");
}

static void put_raw(struct buf *out, const char *name, struct slice raw)
{
    buf_printf(out, ",\"%s\":", name);
    if (raw.ptr == NULL || raw.len == 0)
        buf_puts(out, "{}");
    else
        buf_append(out, raw.ptr, raw.len);
}

static void put_identity(const struct batch_view *view, const char *id, struct buf *out)
{
    const struct batch *b = &view->batch;
    bool is_over = batch_is_over(b);
    buf_printf(out, "{\"id\":\"%s\",\"kind\":\"%s\",\"state\":\"%s\",\"phase\":\"%s\",\"done\":%s",
               id, kind_name(b->kind), job_state_name(is_over ? batch_end_state(b) : JOB_RUNNING),
               phase_name(b->phase), is_over ? "true" : "false");
    buf_puts(out, ",\"name\":");
    if (view->name == NULL)
        buf_puts(out, "null");
    else
        buf_json_string(out, slice_of(view->name));
    buf_puts(out, ",\"queue\":");
    buf_json_string(out, slice_of(view->queue));
    put_raw(out, "labels", view->labels);
    put_raw(out, "metadata", view->metadata);
    view_write_parent(&view->submitter, out);
}

static void put_counts(const struct batch *b, struct buf *out)
{
    int64_t done = batch_done(b);
    double fraction = b->n == 0 ? (batch_is_over(b) ? 1 : 0) : (double)done / (double)b->n;
    put_number_or_null(out, "total", true, b->n);
    buf_puts(out, ",\"counts\":{");
    for (int s = 0; s < JOB_STATE_COUNT; s++) {
        buf_printf(out, "%s\"%s\":", s == 0 ? "" : ",", job_state_name((enum job_state)s));
        buf_put_i64(out, b->count[s]);
    }
    buf_printf(out, "},\"progress\":{\"fraction\":%.6g,\"done\":%lld,\"total\":%lld}", fraction,
               (long long)done, (long long)b->n);
}

static void put_stages(const struct batch_view *view, struct buf *out)
{
    const char *comma = "";
    buf_puts(out, ",\"jobs\":[");
    for (uint32_t i = 0; i < view->n_stages; i++) {
        char id[37];
        if (view->stages[i].no == 0)
            continue;
        job_id_format(&view->stages[i], id);
        buf_printf(out, "%s{\"index\":%u,\"id\":\"%s\"}", comma, (unsigned)i, id);
        comma = ",";
    }
    buf_putc(out, ']');
}

/* The result of a pipeline is what its last stage writes. */
static void put_result_link(const struct batch_view *view, struct buf *out)
{
    char id[37];
    if (view->n_stages == 0 || view->stages[view->n_stages - 1].no == 0)
        return;
    job_id_format(&view->stages[view->n_stages - 1], id);
    buf_printf(out, ",\"result\":\"/v1/jobs/%s/result\"", id);
}

void view_write_batch(const struct batch_view *view, struct buf *out)
{
    const struct batch *b = &view->batch;
    char id[37];
    job_id_format(&b->id, id);
    put_identity(view, id, out);
    put_counts(b, out);
    put_number_or_null(out, "failed_first", b->failed_first >= 0, b->failed_first);
    put_number_or_null(out, "max_parallel", b->max_parallel > 0, b->max_parallel);
    put_number_or_null(out, "max_failures", b->max_failures > 0, b->max_failures);
    put_number_or_null(out, "chunksize", true, b->chunksize);
    if (view->n_stages > 0)
        put_stages(view, out);
    buf_puts(out, ",\"times\":{\"created\":");
    buf_json_time(out, b->created_us);
    buf_puts(out, ",\"finished\":");
    buf_json_time(out, b->finished_us);
    buf_putc(out, '}');
    if (view->callback != NULL) {
        buf_puts(out, ",\"callback\":");
        view_write_callback(view->callback, out);
    }
    buf_printf(out,
               ",\"links\":{\"self\":\"/v1/batches/%s\",\"results\":\"/v1/batches/%s/results\","
               "\"jobs\":\"/v1/jobs?batch=%s\"",
               id, id, id);
    put_result_link(view, out);
    buf_puts(out, "}}");
}
