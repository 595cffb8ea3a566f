/* SPDX-License-Identifier: MIT */
#include "api/item.h"

#include "api/view.h"
#include "service/base/base64.h"
#include "service/base/json.h"

#define PUT(out, literal) buf_append(out, literal, sizeof(literal) - 1)
#define MAX_VALUE_BYTES (1u << 20) /* a larger one is read by itself */
#define JSON_LIMITS_VALUE ((struct json_limits){64, 1u << 20})

bool item_is_text(struct slice bytes)
{
    return memchr(bytes.ptr, '\0', bytes.len) == NULL && text_is_utf8(bytes);
}

static void put_place(const struct item_place *place, const struct job_id *id, const char *state,
                      struct buf *out)
{
    char text[37];
    job_id_format(id, text);
    PUT(out, "{\"seq\":");
    buf_put_i64(out, place->seq);
    PUT(out, ",\"index\":");
    buf_put_i64(out, place->index);
    PUT(out, ",\"id\":\"");
    buf_append(out, text, 36);
    PUT(out, "\",\"state\":\"");
    buf_puts(out, state);
    buf_putc(out, '"');
}

static void put_link(const char *collection, const struct job_id *id, const char *member,
                     struct buf *out)
{
    char text[37];
    job_id_format(id, text);
    PUT(out, ",\"value\":null,\"result\":\"/v1/");
    buf_puts(out, collection);
    buf_putc(out, '/');
    buf_append(out, text, 36);
    buf_puts(out, member);
    buf_putc(out, '"');
}

static void put_bytes(struct slice bytes, struct buf *out)
{
    PUT(out, ",\"value\":");
    if (bytes.len == 0) {
        PUT(out, "\"\"");
    } else if (item_is_text(bytes)) {
        buf_json_string(out, bytes);
    } else {
        PUT(out, "{\"$bytes\":\"");
        base64_put(out, bytes);
        PUT(out, "\"}");
    }
}

/* `result: json` promises one JSON value: what the command wrote is checked when it is asked for.
 */
static void put_json(struct slice bytes, struct buf *out)
{
    struct err err = {0};
    if (!json_validate(bytes, JSON_LIMITS_VALUE, &err)) {
        PUT(out,
            ",\"value\":null,\"error\":{\"type\":\"result\",\"title\":\"The standard output is "
            "not one JSON value\",\"detail\":");
        buf_json_string(out, slice_of(err.detail));
        buf_putc(out, '}');
        return;
    }
    struct slice value = json_trim(bytes);
    PUT(out, ",\"value\":");
    size_t from = out->len;
    buf_append(out, value.ptr, value.len);
    view_make_line(out, from);
}

static void put_value(const struct result_row *row, struct slice bytes, struct buf *out)
{
    if (row->result == RESULT_JSON ||
        (row->result == RESULT_VALUE && row->value_type == VALUE_JSON))
        put_json(bytes, out);
    else
        put_bytes(bytes, out);
    if (row->is_truncated)
        PUT(out, ",\"truncated\":true");
}

static void put_file(struct query *query, const struct result_row *row, struct buf *out)
{
    AUTO_BUF struct buf bytes = {0};
    struct err err = {0};
    buf_init(&bytes, MAX_VALUE_BYTES);
    if (query_result_file(query, row, &bytes, &err))
        put_value(row, buf_slice(&bytes), out);
    else
        put_link("jobs", &row->id, "/result", out); /* there the reason is told */
}

static void put_success(struct query *query, const struct result_row *row, struct buf *out)
{
    const bool is_value = row->result == RESULT_VALUE;
    uint64_t bytes = is_value ? row->value_bytes : row->stdout_bytes;
    bool is_broken = row->result == RESULT_JSON && row->is_truncated;
    if (row->result == RESULT_NONE)
        PUT(out, ",\"value\":null");
    else if (row->is_expired || is_broken || bytes > MAX_VALUE_BYTES)
        put_link("jobs", &row->id, "/result", out);
    else if (row->is_spooled)
        put_file(query, row, out);
    else
        put_value(row, is_value ? row->value_inline : row->stdout_inline, out);
}

static void put_failure(const struct result_row *row, struct buf *out)
{
    AUTO_BUF struct buf detail = {0};
    struct job_view job = {.state = row->state, .reason = row->reason};
    buf_init(&detail, 4096);
    buf_append(&detail, row->error_detail.ptr, row->error_detail.len);
    buf_putc(&detail, '\0');
    if (row->error_detail.len > 0 && buf_ok(&detail))
        job.error_detail = detail.ptr;
    PUT(out, ",\"reason\":");
    if (row->reason == REASON_NONE)
        PUT(out, "null");
    else
        buf_json_string(out, slice_of(job_reason_name(row->reason)));
    PUT(out, ",\"exit_code\":");
    if (row->has_exit_code)
        buf_put_i64(out, row->exit_code);
    else
        PUT(out, "null");
    PUT(out, ",\"error\":");
    view_write_error(&job, out);
}

static void put_cancelled(const struct result_row *row, struct buf *out)
{
    PUT(out, ",\"error\":{\"type\":\"cancelled\",\"title\":\"The job was cancelled\",\"detail\":");
    if (row->error_detail.ptr == NULL)
        PUT(out, "null");
    else
        buf_json_string(out, row->error_detail);
    buf_putc(out, '}');
}

void item_write(struct query *query, const struct result_row *row, struct buf *out)
{
    put_place(&(struct item_place){row->seq, row->index}, &row->id, job_state_name(row->state),
              out);
    PUT(out, ",\"stdout_bytes\":");
    buf_put_i64(out, (int64_t)row->stdout_bytes);
    PUT(out, ",\"stderr_bytes\":");
    buf_put_i64(out, (int64_t)row->stderr_bytes);
    if (row->state == JOB_SUCCEEDED)
        put_success(query, row, out);
    else if (row->state == JOB_CANCELLED)
        put_cancelled(row, out);
    else
        put_failure(row, out);
    buf_putc(out, '}');
}

void item_write_batch(const struct item_place *place, const struct job_id *id, enum job_state state,
                      struct buf *out)
{
    put_place(place, id, job_state_name(state), out);
    put_link("batches", id, "/results", out);
    buf_putc(out, '}');
}

void item_write_gone(const struct item_place *place, const struct job_id *id, struct buf *out)
{
    put_place(place, id, "deleted", out);
    PUT(out, ",\"value\":null}");
}
