/* SPDX-License-Identifier: MIT */
#include "service/base/base64.h"

#include <nettle/base64.h>

_Static_assert(BASE64_MAX_BYTES(3) >= BASE64_DECODE_LENGTH(3) &&
                   BASE64_MAX_BYTES(4) >= BASE64_DECODE_LENGTH(4),
               "no less than nettle asks for");

void base64_encode(struct slice bytes, char *to)
{
    base64_encode_raw(to, bytes.len, (const uint8_t *)bytes.ptr);
}

static bool decode(struct base64_decode_ctx *ctx, struct slice text, char *to, size_t *ret_len)
{
    size_t len = BASE64_MAX_BYTES(text.len);
    if (base64_decode_update(ctx, &len, (uint8_t *)to, text.len, text.ptr) != 1 ||
        base64_decode_final(ctx) != 1 || ctx->padding > 2) /* a digit alone, which nettle takes */
        return false;
    *ret_len = len;
    return true;
}

bool base64_decode(struct slice text, char *to, size_t *ret_len)
{
    struct base64_decode_ctx ctx;
    base64_decode_init(&ctx);
    return decode(&ctx, text, to, ret_len);
}

bool base64_decode_url(struct slice text, char *to, size_t *ret_len)
{
    struct base64_decode_ctx ctx;
    base64url_decode_init(&ctx);
    return decode(&ctx, text, to, ret_len);
}

void base64_put_url(struct buf *out, struct slice bytes)
{
    struct base64_encode_ctx ctx;
    char *to = buf_reserve(out, BASE64_SIZE(bytes.len));
    if (to == NULL)
        return;
    base64url_encode_init(&ctx);
    size_t len = base64_encode_update(&ctx, to, bytes.len, (const uint8_t *)bytes.ptr);
    len += base64_encode_final(&ctx, to + len);
    buf_commit(out, len);
}

void base64_put(struct buf *out, struct slice bytes)
{
    char *to = buf_reserve(out, BASE64_SIZE(bytes.len));
    if (to == NULL)
        return;
    base64_encode(bytes, to);
    buf_commit(out, BASE64_SIZE(bytes.len));
}

bool base64_read(struct slice text, struct buf *out)
{
    size_t len;
    char *to = buf_reserve(out, BASE64_MAX_BYTES(text.len));
    if (to == NULL || !base64_decode(text, to, &len))
        return false;
    buf_commit(out, len);
    return true;
}

bool base64_read_bare(struct slice text, struct buf *out)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] == ' ' || (text.ptr[i] >= '\t' && text.ptr[i] <= '\r'))
            return false;
    return base64_read(text, out);
}
