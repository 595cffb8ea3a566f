/* SPDX-License-Identifier: MIT */
#include "service/job_token.h"

#include "service/base/hex.h"

#include <nettle/hmac.h>

#define ID_CHARS 36u
#define MAC_CHARS (2 * SHA256_DIGEST_SIZE)

void job_token_key_make(struct job_token_key *ret)
{
    random_bytes(ret->bytes, sizeof ret->bytes);
}

static void mac_of(const struct job_token_key *key, struct slice text, char out[MAC_CHARS])
{
    struct hmac_sha256_ctx ctx;
    uint8_t mac[SHA256_DIGEST_SIZE];
    hmac_sha256_set_key(&ctx, sizeof key->bytes, key->bytes);
    hmac_sha256_update(&ctx, text.len, (const uint8_t *)text.ptr);
    hmac_sha256_digest(&ctx, sizeof mac, mac);
    hex_put(out, mac, sizeof mac);
}

void job_token_write(const struct job_token_key *key, const struct job_id *job, uint32_t attempt,
                     char out[JOB_TOKEN_SIZE])
{
    char id[37];
    job_id_format(job, id);
    const int len = snprintf(out, JOB_TOKEN_SIZE, "%s.%u", id, attempt);
    _Static_assert(ID_CHARS + 1 + 10 + 1 + MAC_CHARS < JOB_TOKEN_SIZE, "it fits");
    out[len] = '.';
    mac_of(key, (struct slice){out, (size_t)len}, out + len + 1);
    out[(size_t)len + 1 + MAC_CHARS] = '\0';
}

/* Written anew and compared whole: so there is one form of each, and one comparison of secrets. */
bool job_token_read(const struct job_token_key *key, struct slice text, struct job_id *ret_job,
                    uint32_t *ret_attempt)
{
    char whole[JOB_TOKEN_SIZE];
    struct job_id job;
    int64_t attempt;
    if (text.len < ID_CHARS + 1 + 1 + 1 + MAC_CHARS || text.len >= sizeof whole ||
        text.ptr[ID_CHARS] != '.')
        return false;
    const struct slice number = {text.ptr + ID_CHARS + 1, text.len - ID_CHARS - 2 - MAC_CHARS};
    if (!job_id_parse((struct slice){text.ptr, ID_CHARS}, &job) || !text_to_i64(number, &attempt) ||
        attempt < 1 || attempt > UINT32_MAX)
        return false;
    job_token_write(key, &job, (uint32_t)attempt, whole);
    if (strlen(whole) != text.len || !text_equal_secret(whole, text.ptr, text.len))
        return false;
    *ret_job = job;
    *ret_attempt = (uint32_t)attempt;
    return true;
}
