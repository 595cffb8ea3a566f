/* SPDX-License-Identifier: MIT */
/* A request target and header block, one per line: the gate and the matcher never read beyond them,
 * and what passes is well-formed. */
#include "api/range.h"
#include "api/routes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct slice cut_line(struct slice *rest)
{
    const char *end = rest->len == 0 ? NULL : memchr(rest->ptr, '\n', rest->len);
    size_t len = end == NULL ? rest->len : (size_t)(end - rest->ptr);
    struct slice line = {rest->ptr, len};
    size_t used = end == NULL ? len : len + 1;
    *rest = (struct slice){rest->ptr + used, rest->len - used};
    return line;
}

static void check_match(const struct head *head)
{
    struct route_match match;
    route_match(head->method, head->path, &match);
    if (match.route == NULL)
        return;
    PRE(match.methods != 0);
    for (size_t i = 0; i < MAX_ROUTE_ARGS; i++)
        PRE(match.args[i].ptr == NULL || text_is_token(match.args[i], 64));
}

/* Who is refused hears why, and that it is the client's doing. */
static void check_refusal(bool passes, struct err *err)
{
    PRE(passes == (err->code == ERR_NONE));
    PRE(passes || (err->detail[0] != '\0' && err_status(err->code) < 500));
    *err = (struct err){0};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_FREE char *copy = must_alloc(size + (size == 0));
    struct slice rest = {copy, size};
    static const struct text_list none;
    struct head head;
    struct err err = {0};
    if (size > 0)
        memcpy(copy, data, size);
    gate_begin(&head, METHOD_GET, "HTTP/1.1", cut_line(&rest));
    while (rest.len > 0) {
        struct slice line = cut_line(&rest);
        const char *colon = line.len == 0 ? NULL : memchr(line.ptr, ':', line.len);
        size_t len = colon == NULL ? line.len : (size_t)(colon - line.ptr);
        gate_add_header(&head, (struct slice){line.ptr, len},
                        colon == NULL ? SLICE_LIT("")
                                      : (struct slice){colon + 1, line.len - len - 1});
    }
    if (gate_check_syntax(&head, &err)) {
        PRE(head.target.len > 0 && head.target.ptr[0] == '/');
        PRE(!(head.is_chunked && head.content_length > 0));
        check_refusal(gate_check_host(&head, &none, &err), &err);
        check_refusal(gate_check_origin(&head, &none, &err), &err);
        check_refusal(gate_check_body(&head, BODY_JSON, 1000, &err), &err);
        struct range range = range_parse(head.header[HEADER_RANGE], 1000);
        PRE(range.first <= 1000 && range.len <= 1000 - range.first);
        check_match(&head);
    } else {
        PRE(err.code == ERR_BAD_REQUEST || err.code == ERR_TOO_LARGE);
    }
    return 0;
}
