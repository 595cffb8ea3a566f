/* SPDX-License-Identifier: MIT */
#include "service/base/template.h"

#include "service/base/json.h"
#include "service/base/text.h"

#define INDEX_WORD "{index}"

bool template_open(struct slice bytes, struct template_head *ret, struct slice *ret_task,
                   struct err *err)
{
    if (bytes.ptr == NULL || bytes.len <= sizeof *ret || bytes.ptr[0] != 1)
        return err_set(err, ERR_STORAGE, "The stored template of a batch is damaged");
    memcpy(ret, bytes.ptr, sizeof *ret);
    size_t lead = sizeof *ret + ret->call_bytes;
    if (bytes.len <= lead)
        return err_set(err, ERR_STORAGE, "The stored template of a batch is damaged");
    if (ret_task != NULL)
        *ret_task = (struct slice){bytes.ptr + lead, bytes.len - lead};
    return true;
}

struct slice template_call(struct slice bytes, const struct template_head *head)
{
    return (struct slice){bytes.ptr + sizeof *head, head->call_bytes};
}

/* What stands at a place of the text. */
enum hole_kind { HOLE_NONE, HOLE_ITEM, HOLE_INDEX, HOLE_ELEMENT, HOLE_ARGUMENT };
struct hole {
    enum hole_kind kind;
    size_t len;
    int64_t number; /* of HOLE_ELEMENT, from 1; of HOLE_ARGUMENT: the parameter, from 0 */
};

/* "{12}", with at most four digits: an item has no more elements than a command has arguments. */
static struct hole element_hole(struct slice at)
{
    int64_t number = 0;
    size_t i = 1;
    for (; i < at.len && i < 5 && at.ptr[i] >= '0' && at.ptr[i] <= '9'; i++)
        number = number * 10 + (at.ptr[i] - '0');
    if (number == 0 || i == at.len || at.ptr[i] != '}' || at.ptr[1] == '0')
        return (struct hole){HOLE_NONE, 1, 0};
    return (struct hole){HOLE_ELEMENT, i + 1, number};
}

/* `at` begins with a brace. */
static struct hole hole_at(struct slice at, bool star)
{
    if (at.len >= 2 && at.ptr[1] == '}')
        return (struct hole){HOLE_ITEM, 2, 0};
    if (at.len >= strlen(INDEX_WORD) && memcmp(at.ptr, INDEX_WORD, strlen(INDEX_WORD)) == 0)
        return (struct hole){HOLE_INDEX, strlen(INDEX_WORD), 0};
    return star ? element_hole(at) : (struct hole){HOLE_NONE, 1, 0};
}

static bool is_name_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* What stands between the brace that `at` begins with and the next one; absent: no name. */
static struct slice name_in(struct slice at)
{
    size_t i = 1;
    bool is_number = at.len > 1 && at.ptr[1] >= '0' && at.ptr[1] <= '9';
    while (i < at.len && is_name_char(at.ptr[i])) {
        if (is_number && (at.ptr[i] < '0' || at.ptr[i] > '9'))
            return (struct slice){0};
        i++;
    }
    if (i == 1 || i == at.len || at.ptr[i] != '}' || i > MAX_PARAMETER_NAME + 1)
        return (struct slice){0};
    return (struct slice){at.ptr + 1, i - 1};
}

uint32_t template_parameter(const struct parameter_list *params, struct slice name)
{
    int64_t number = 0;
    const struct parameter *found = parameter_find(params, name);
    if (found != NULL)
        return (uint32_t)(found - params->items);
    bool is_place = name.ptr[0] != '0' && text_to_i64(name, &number) && number > 0 &&
                    number <= params->n;
    return is_place ? (uint32_t)number - 1 : params->n;
}

static bool is_of_shell(struct slice before)
{
    return before.len > 0 && before.ptr[before.len - 1] == '$';
}

static struct hole argument_hole(struct slice at, struct slice before,
                                 const struct parameter_list *params)
{
    struct slice name = is_of_shell(before) ? (struct slice){0} : name_in(at);
    uint32_t i = name.ptr == NULL ? params->n : template_parameter(params, name);
    if (i == params->n)
        return (struct hole){HOLE_NONE, 1, 0};
    return (struct hole){HOLE_ARGUMENT, name.len + 2, i};
}

void template_put_value(struct slice value, struct buf *out)
{
    if (json_type_of(value) != JSON_STRING) {
        buf_append(out, value.ptr, value.len);
        return;
    }
    char *room = buf_reserve(out, value.len);
    if (room != NULL)
        buf_commit(out, json_string_unescape(value, room));
}

static void put_element(const struct template_item *item, int64_t number, struct buf *out)
{
    struct json_iter it;
    struct slice element;
    if (json_type_of(item->raw) != JSON_ARRAY)
        return; /* arguments of a function by their names */
    json_iter_init(&it, item->raw);
    for (int64_t i = 1; json_next_element(&it, &element); i++) {
        if (i == number) {
            template_put_value(element, out);
            return;
        }
    }
}

static void put_argument(const struct template_values *call, int64_t number, struct buf *out)
{
    PRE(call != NULL); /* only then there are such holes */
    if (call->of[number].ptr != NULL)
        template_put_value(call->of[number], out);
}

static void put_hole(const struct hole *hole, const struct template_item *item, struct buf *out)
{
    switch (hole->kind) {
    case HOLE_ITEM: template_put_value(item->raw, out); break;
    case HOLE_INDEX: buf_put_i64(out, item->index); break;
    case HOLE_ELEMENT: put_element(item, hole->number, out); break;
    case HOLE_ARGUMENT: put_argument(item->call, hole->number, out); break;
    case HOLE_NONE: buf_putc(out, '{'); break;
    }
}

/* Cuts the text up to the next brace off. False: there is none any more. */
static bool next_brace(struct slice *text, struct slice *ret_before)
{
    const char *brace = text->len == 0 ? NULL : memchr(text->ptr, '{', text->len);
    size_t len = brace == NULL ? text->len : (size_t)(brace - text->ptr);
    *ret_before = (struct slice){text->ptr, len};
    *text = (struct slice){text->ptr + len, text->len - len};
    return brace != NULL;
}

void template_put(struct slice text, const struct template_item *item, struct buf *out)
{
    struct slice before;
    while (next_brace(&text, &before)) {
        struct hole hole = item->call != NULL ? argument_hole(text, before, item->call->params)
                                              : hole_at(text, item->star);
        buf_append(out, before.ptr, before.len);
        put_hole(&hole, item, out);
        text = (struct slice){text.ptr + hole.len, text.len - hole.len};
    }
    buf_append(out, before.ptr, before.len);
}

bool template_next_name(struct slice *text, struct slice *ret_name)
{
    struct slice before;
    while (next_brace(text, &before)) {
        *ret_name = is_of_shell(before) ? (struct slice){0} : name_in(*text);
        size_t len = ret_name->ptr == NULL ? 1 : ret_name->len + 2;
        *text = (struct slice){text->ptr + len, text->len - len};
        if (ret_name->ptr != NULL)
            return true;
    }
    return false;
}

bool template_is_absent(struct slice text, const struct template_values *call)
{
    if (text.len == 0 || text.ptr[0] != '{')
        return false;
    struct hole hole = argument_hole(text, (struct slice){0}, call->params);
    return hole.kind == HOLE_ARGUMENT && hole.len == text.len && call->of[hole.number].ptr == NULL;
}

size_t template_holes(struct slice text, bool star, int64_t *ret_highest)
{
    struct slice before;
    size_t n = 0;
    while (next_brace(&text, &before)) {
        struct hole hole = hole_at(text, star);
        n += hole.kind != HOLE_NONE;
        *ret_highest = MAX(*ret_highest, hole.number);
        text = (struct slice){text.ptr + hole.len, text.len - hole.len};
    }
    return n;
}

char *template_name(struct slice name, const struct template_item *item, struct arena *a)
{
    AUTO_BUF struct buf out = {0};
    buf_init(&out, (size_t)8 << 20);
    template_put(name, item, &out);
    size_t len = buf_ok(&out) ? MIN(out.len, TEMPLATE_MAX_NAME) : 0;
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)out.ptr[i] < 0x20 || out.ptr[i] == 0x7F)
            out.ptr[i] = ' ';
    }
    while (len > 0 && !text_is_utf8((struct slice){out.ptr, len}))
        len--; /* the cut went through a character */
    return arena_dup(a, (struct slice){len == 0 ? "" : out.ptr, len});
}
