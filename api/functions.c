/* SPDX-License-Identifier: MIT */
/* GET /v1/functions: what the configuration has registered, in its order. */
#include "api/codec.h"
#include "api/handlers.h"
#include "api/reply.h"

static void put_text(struct buf *out, const char *name, const char *value)
{
    buf_printf(out, ",\"%s\":", name);
    if (value == NULL)
        buf_puts(out, "null");
    else
        buf_json_string(out, slice_of(value));
}

static void put_function(struct buf *out, const struct function *f)
{
    buf_puts(out, "{\"name\":");
    buf_json_string(out, slice_of(f->name));
    put_text(out, "kind", function_kind_name(f->kind));
    buf_puts(out, ",\"args\":");
    if (f->args.ptr == NULL)
        buf_puts(out, "null");
    else
        buf_append(out, f->args.ptr, f->args.len);
    put_text(out, "doc", f->doc);
    put_text(out, "queue", codec_queue_of(f));
    put_text(out, "pool", f->pool == NULL ? "default" : f->pool);
    buf_printf(out, ",\"pure\":%s}", f->is_pure ? "true" : "false");
}

static void write_page(struct request *rq, uint32_t from, uint32_t n)
{
    const struct function_list *list = &rq->thread->shared->cfg->functions;
    buf_puts(&rq->out, "{\"items\":[");
    for (uint32_t i = from; i < from + n; i++) {
        if (i > from)
            buf_putc(&rq->out, ',');
        put_function(&rq->out, &list->items[i]);
    }
    reply_list(rq, from + n == list->n ? NULL : list->items[from + n - 1].name);
}

void function_list(struct request *rq)
{
    const struct function_list *list = &rq->thread->shared->cfg->functions;
    struct err err = {0};
    struct slice after = {0};
    int64_t limit;
    uint32_t from = 0;
    if (!request_limit(rq, &limit, &err)) {
        reply_problem(rq, &err);
        return;
    }
    if (request_param(rq, "cursor", &after)) {
        const struct function *last = function_find(list, after);
        if (last == NULL) {
            (void)request_bad_param(&err, "cursor", "not one of this list");
            reply_problem(rq, &err);
            return;
        }
        from = (uint32_t)(last - list->items) + 1;
    }
    write_page(rq, from, (uint32_t)MIN((int64_t)(list->n - from), limit));
}
