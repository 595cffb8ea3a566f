/* SPDX-License-Identifier: MIT */
#include "api/received.h"

#include "service/base/base64.h"

#include <nettle/sha2.h>

#define LIST_BYTES 6u /* of the digest of the ids: a mix-up is found, nobody is kept out by it */
#define ID_SIZE BASE64_SIZE(LIST_BYTES + (MAX_WAIT_JOBS + 7) / 8)

static void sign(const struct wait_request *asked, uint8_t to[LIST_BYTES])
{
    struct sha256_ctx sha;
    char text[37];
    sha256_init(&sha);
    for (uint32_t i = 0; i < asked->n; i++) {
        job_id_format(&asked->ids[i], text);
        sha256_update(&sha, sizeof text, (const uint8_t *)text);
    }
    sha256_digest(&sha, LIST_BYTES, to);
}

bool received_init(struct received *ret, const struct wait_request *asked, struct arena *a)
{
    *ret = (struct received){.len = LIST_BYTES + (asked->n + 7) / 8, .used = LIST_BYTES};
    ret->bytes = arena_alloc(a, ret->len);
    if (ret->bytes == NULL)
        return false;
    sign(asked, ret->bytes);
    return true;
}

bool received_read(struct received *r, struct slice id)
{
    char bytes[BASE64_MAX_BYTES(ID_SIZE)];
    size_t len;
    if (id.len > ID_SIZE || !base64_decode_url(id, bytes, &len) || len < LIST_BYTES ||
        len > r->len || memcmp(bytes, r->bytes, LIST_BYTES) != 0)
        return false;
    memcpy(r->bytes, bytes, len);
    r->used = len;
    return true;
}

bool received_has(const struct received *r, uint32_t index)
{
    return (r->bytes[LIST_BYTES + index / 8] >> index % 8 & 1) != 0;
}

void received_add(struct received *r, uint32_t index)
{
    r->bytes[LIST_BYTES + index / 8] |= (uint8_t)(1u << index % 8);
    r->used = MAX(r->used, LIST_BYTES + index / 8 + 1);
}

void received_put(const struct received *r, struct buf *out)
{
    base64_put_url(out, (struct slice){(const char *)r->bytes, r->used});
}
