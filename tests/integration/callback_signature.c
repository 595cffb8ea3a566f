/* SPDX-License-Identifier: MIT */
#include "integration/callback_signature.h"

#include <nettle/base64.h>
#include <nettle/hmac.h>

struct text signature_of(const struct hook *hook, const char *secret)
{
    struct base64_decode_ctx decode;
    struct hmac_sha256_ctx ctx;
    uint8_t key[64], digest[SHA256_DIGEST_SIZE];
    char text[BASE64_ENCODE_RAW_LENGTH(SHA256_DIGEST_SIZE) + 1] = "";
    size_t n = sizeof key;
    struct text head = text_of("%s.%s.", hook_header(hook, "webhook-id").s,
                               hook_header(hook, "webhook-timestamp").s);
    base64_decode_init(&decode);
    CHECK(strncmp(secret, "whsec_", 6) == 0 &&
              base64_decode_update(&decode, &n, key, strcspn(secret, "\n") - 6, secret + 6) == 1,
          "not a secret");
    hmac_sha256_set_key(&ctx, n, key);
    hmac_sha256_update(&ctx, strlen(head.s), (const uint8_t *)head.s);
    hmac_sha256_update(&ctx, hook->len, (const uint8_t *)hook->body);
    hmac_sha256_digest(&ctx, sizeof digest, digest);
    base64_encode_raw(text, sizeof digest, digest);
    return text_of("v1,%s", text);
}
