/* SPDX-License-Identifier: MIT */
#include "integration/harness_blob.h"

#include <dirent.h>

#define MODULE "kind = native\nmodule = " GANGER_HELPER_DIR "/native_blob.so\n"
const char blob_functions[] = "[function copy]\n" MODULE "[function sum]\n" MODULE
                              "[function spoil]\n" MODULE;

/* Bytes that are not the same anywhere. */
char *blob_bytes(size_t n, uint64_t seed)
{
    char *bytes = need_alloc(n + 1);
    for (size_t i = 0; i < n; i++) {
        seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        bytes[i] = (char)(seed >> 56);
    }
    bytes[n] = '\0';
    return bytes;
}

struct response *blob_post(struct server *s, const char *path, const char *bytes, size_t n,
                           const char *header)
{
    const char *headers[] = {BLOB_TYPE, header, NULL};
    struct call call = {
        .method = "POST", .path = path, .body = bytes, .body_len = n, .headers = headers};
    return http_send(s, &call);
}

struct response *blob_put_text(struct server *s, const char *text)
{
    return blob_post(s, "/v1/blobs", text, strlen(text), NULL);
}

struct text sha256_hex(struct sha256_ctx *ctx)
{
    struct text hex = {0};
    uint8_t digest[32];
    sha256_digest(ctx, sizeof digest, digest);
    for (size_t i = 0; i < sizeof digest; i++)
        (void)snprintf(hex.s + 2 * i, 3, "%02x", digest[i]);
    return hex;
}

struct text sha256_of(const char *bytes, size_t n)
{
    struct sha256_ctx ctx;
    sha256_init(&ctx);
    sha256_update(&ctx, n, (const uint8_t *)bytes);
    return sha256_hex(&ctx);
}

size_t blob_files(const struct server *s)
{
    size_t n = 0;
    DIR *dir = opendir(text_of("%s/blobs", s->dir).s);
    for (const struct dirent *e; dir != NULL && (e = readdir(dir)) != NULL;)
        n += e->d_name[0] != '.';
    if (dir != NULL)
        (void)closedir(dir);
    return n;
}

struct job_ref blob_put(struct server *s, const char *bytes, size_t n, const char *query)
{
    AUTO_RESPONSE r = blob_post(s, text_of("/v1/blobs%s", query).s, bytes, n, NULL);
    expect_status(r, 201);
    return job_of(r);
}
