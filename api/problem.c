/* SPDX-License-Identifier: MIT */
#include "api/problem.h"

static void put_text(struct buf *out, const char *member, const char *text)
{
    buf_puts(out, member);
    buf_json_string(out, slice_of(text));
}

/* Failures of the request's content name the place; the others have none. */
static void put_errors(const struct err *err, struct buf *out)
{
    if (err->code != ERR_INVALID && err->pointer[0] == '\0')
        return;
    put_text(out, ",\"errors\":[{\"pointer\":", err->pointer);
    put_text(out, ",\"detail\":", err->detail[0] != '\0' ? err->detail : err_title(err->code));
    buf_puts(out, "}]");
}

void problem_write(const struct problem *problem, struct buf *out)
{
    const struct err *err = problem->err;
    PRE(err->code != ERR_NONE);
    buf_puts(out, "{\"type\":\"/problems/");
    buf_puts(out, err_slug(err->code));
    put_text(out, "\",\"title\":", err_title(err->code));
    buf_puts(out, ",\"status\":");
    buf_put_i64(out, err_status(err->code));
    put_text(out, ",\"detail\":", err->detail[0] != '\0' ? err->detail : err_advice(err->code));
    if (problem->instance.ptr != NULL) {
        buf_puts(out, ",\"instance\":");
        buf_json_string(out, problem->instance);
    }
    if (problem->request_id != NULL)
        put_text(out, ",\"request_id\":", problem->request_id);
    put_errors(err, out);
    if (problem->extra.ptr != NULL)
        buf_append(out, problem->extra.ptr, problem->extra.len);
    buf_putc(out, '}');
}

int problem_retry_after_s(enum err_code code)
{
    int status = err_status(code);
    return status == 429 || status == 503 ? 1 : 0;
}

void problem_write_page(enum err_code code, struct buf *out)
{
    buf_puts(out, "{\"type\":\"/problems/");
    buf_puts(out, err_slug(code));
    put_text(out, "\",\"title\":", err_title(code));
    buf_puts(out, ",\"status\":");
    buf_put_i64(out, err_status(code));
    put_text(out, ",\"advice\":", err_advice(code));
    buf_puts(out, "}\n");
}
