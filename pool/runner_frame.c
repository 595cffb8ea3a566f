/* SPDX-License-Identifier: MIT */
#include "pool/runner_frame.h"

#include "service/base/hex.h"

static const char *const verbs[RUNNER_VERB_COUNT] = {
    [RUNNER_HELLO] = "HELLO",
    [RUNNER_READY] = "READY",
    [RUNNER_RESULT] = "RESULT",
    [RUNNER_ERROR] = "ERROR",
    [RUNNER_CANCELLED] = "CANCELLED",
    [RUNNER_PROGRESS] = "PROGRESS",
    [RUNNER_DATA] = "DATA",
    [RUNNER_LOG] = "LOG",
    [RUNNER_CALL] = "CALL",
    [RUNNER_PONG] = "PONG",
    [RUNNER_BYE] = "BYE",
    [RUNNER_FORKED] = "FORKED",
    [RUNNER_EXITED] = "EXITED",
};

/* ------------------------------------------------------------------------------------------------
 * one header */

static bool is_verb(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] < 'A' || s.ptr[i] > 'Z')
            return false;
    return s.len > 0 && s.len <= RUNNER_VERB_MAX;
}

static bool is_id(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        const char c = s.ptr[i];
        const bool is_alnum = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                              (c >= '0' && c <= '9');
        if (!is_alnum && c != '-' && c != '_' && c != '.')
            return false;
    }
    return s.len > 0 && s.len <= RUNNER_ID_MAX;
}

static bool read_length(struct slice s, uint64_t *ret)
{
    *ret = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
        *ret = *ret * 10 + (uint64_t)(s.ptr[i] - '0');
    }
    return s.len > 0 && s.len <= RUNNER_LENGTH_DIGITS;
}

/* The next word, up to a blank or the end; takes the blank as well. */
static struct slice take_word(struct slice *rest)
{
    const char *blank = rest->len == 0 ? NULL : memchr(rest->ptr, ' ', rest->len);
    const size_t len = blank == NULL ? rest->len : (size_t)(blank - rest->ptr);
    const struct slice word = {rest->ptr, len};
    const size_t step = blank == NULL ? len : len + 1;
    *rest = (struct slice){rest->ptr + step, rest->len - step};
    return word;
}

/* key=value, of printable characters. */
static bool is_pair(struct slice s)
{
    const char *equals = s.len == 0 ? NULL : memchr(s.ptr, '=', s.len);
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] <= ' ' || s.ptr[i] > '~')
            return false;
    return equals != NULL && equals != s.ptr;
}

static bool are_keys(struct slice keys)
{
    while (keys.len > 0)
        if (!is_pair(take_word(&keys)))
            return false;
    return true;
}

bool runner_frame_read(struct slice line, struct runner_frame *ret)
{
    struct slice rest = line;

    if (line.len == 0 || line.len > RUNNER_LINE_MAX || line.ptr[line.len - 1] == ' ')
        return false;
    *ret = (struct runner_frame){.word = take_word(&rest), .verb = RUNNER_UNKNOWN};
    ret->id = take_word(&rest);
    if (!is_verb(ret->word) || !is_id(ret->id) || !read_length(take_word(&rest), &ret->length))
        return false;
    ret->keys = rest;
    for (int verb = RUNNER_UNKNOWN + 1; verb < RUNNER_VERB_COUNT; verb++)
        if (slice_is(ret->word, verbs[verb]))
            ret->verb = (enum runner_verb)verb;
    return are_keys(rest);
}

static bool decode(struct slice value, char ret[RUNNER_VALUE_MAX])
{
    size_t used = 0;
    for (size_t i = 0; i < value.len; i++) {
        char c = value.ptr[i];
        if (c == '%') {
            const int high = i + 2 < value.len ? hex_value(value.ptr[i + 1]) : -1;
            const int low = i + 2 < value.len ? hex_value(value.ptr[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            c = (char)(unsigned char)(high * 16 + low);
            i += 2;
        }
        if (c == '\0' || used + 1 == RUNNER_VALUE_MAX)
            return false;
        ret[used++] = c;
    }
    ret[used] = '\0';
    return true;
}

bool runner_frame_key(const struct runner_frame *frame, const char *key, char ret[RUNNER_VALUE_MAX])
{
    const size_t len = strlen(key);
    struct slice rest = frame->keys;

    while (rest.len > 0) {
        const struct slice pair = take_word(&rest);
        if (pair.len > len && memcmp(pair.ptr, key, len) == 0 && pair.ptr[len] == '=')
            return decode((struct slice){pair.ptr + len + 1, pair.len - len - 1}, ret);
    }
    return false;
}

void runner_frame_put(struct buf *out, const char *verb, struct slice id, const char *keys,
                      struct slice body)
{
    buf_printf(out, "%s %.*s %zu%s\n", verb, (int)id.len, id.ptr, body.len, keys);
    if (body.len == 0)
        return;
    buf_append(out, body.ptr, body.len);
    buf_putc(out, '\n');
}

void runner_key_put(struct buf *out, const char *key, struct slice value)
{
    buf_printf(out, " %s=", key);
    for (size_t i = 0; i < value.len; i++) {
        const unsigned char c = (unsigned char)value.ptr[i];
        if (c <= ' ' || c > '~' || c == '%')
            buf_printf(out, "%%%02X", c);
        else
            buf_putc(out, (char)c);
    }
}

/* ------------------------------------------------------------------------------------------------
 * a stream of them */

void runner_reader_init(struct runner_reader *r)
{
    r->state = READ_LINE;
    r->used = 0;
    r->left = 0;
}

static void take(struct slice *bytes, size_t n)
{
    bytes->ptr += n;
    bytes->len -= n;
}

static enum runner_event broken(struct runner_reader *r)
{
    r->state = READ_BROKEN;
    return RUNNER_BROKEN;
}

static enum runner_event read_line(struct runner_reader *r, struct slice *bytes)
{
    const char *end = bytes->len == 0 ? NULL : memchr(bytes->ptr, '\n', bytes->len);
    const size_t len = end == NULL ? bytes->len : (size_t)(end - bytes->ptr);

    if (len > RUNNER_LINE_MAX - r->used)
        return broken(r);
    if (len > 0)
        memcpy(r->line + r->used, bytes->ptr, len);
    r->used += (uint32_t)len;
    take(bytes, end == NULL ? len : len + 1);
    if (end == NULL)
        return RUNNER_MORE;
    if (!runner_frame_read((struct slice){r->line, r->used}, &r->frame))
        return broken(r);
    r->left = r->frame.length;
    r->state = r->left > 0 ? READ_BODY : READ_END;
    return RUNNER_BEGIN;
}

static enum runner_event read_body(struct runner_reader *r, struct slice *bytes,
                                   struct slice *ret_body)
{
    const size_t len = (size_t)MIN((uint64_t)bytes->len, r->left);
    *ret_body = (struct slice){bytes->ptr, len};
    take(bytes, len);
    r->left -= len;
    if (r->left == 0)
        r->state = READ_BREAK;
    return RUNNER_BODY;
}

static enum runner_event end_frame(struct runner_reader *r)
{
    r->state = READ_LINE;
    r->used = 0;
    return RUNNER_END;
}

enum runner_event runner_reader_next(struct runner_reader *r, struct slice *bytes,
                                     struct slice *ret_body)
{
    *ret_body = (struct slice){NULL, 0};
    if (r->state == READ_BROKEN)
        return RUNNER_BROKEN;
    if (r->state == READ_END)
        return end_frame(r);
    if (bytes->len == 0)
        return RUNNER_MORE;
    if (r->state == READ_LINE)
        return read_line(r, bytes);
    if (r->state == READ_BODY)
        return read_body(r, bytes, ret_body);
    if (bytes->ptr[0] != '\n')
        return broken(r);
    take(bytes, 1);
    return end_frame(r);
}
