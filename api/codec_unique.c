/* SPDX-License-Identifier: MIT */
/* The key of which at most one job lives at a time. Only its hash is kept. */
#include "api/codec_read.h"

#include <nettle/sha2.h>

#define MAX_KEY_BYTES 255u

static bool read_key(struct job_reader *r, struct slice value)
{
    struct sha256_ctx ctx;
    struct slice key = {0};
    if (!codec_text(r, value, "/unique/key", &key))
        return false;
    if (key.len == 0 || key.len > MAX_KEY_BYTES)
        return err_at(r->err, ERR_INVALID, "/unique/key", "must have 1 to %u bytes", MAX_KEY_BYTES);
    sha256_init(&ctx);
    sha256_update(&ctx, key.len, (const uint8_t *)key.ptr);
    sha256_digest(&ctx, sizeof r->spec->unique_key, r->spec->unique_key);
    r->spec->has_unique = true;
    return true;
}

static bool read_policy(struct job_reader *r, struct slice value)
{
    static const char *const names[UNIQUE_POLICY_COUNT] = {
        [UNIQUE_RETURN] = "return", [UNIQUE_REJECT] = "reject", [UNIQUE_REPLACE] = "replace"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (json_type_of(value) == JSON_STRING && json_string_eq(value, names[i])) {
            r->spec->on_conflict = (enum unique_policy)i;
            return true;
        }
    }
    return codec_wrong_type(r->err, "/unique/on_conflict", "\"return\", \"reject\" or \"replace\"");
}

bool codec_unique(struct job_reader *r, struct slice value, const char *pointer)
{
    struct json_iter it;
    struct slice key, member;
    if (json_type_of(value) != JSON_OBJECT)
        return codec_wrong_type(r->err, pointer, "an object with the member \"key\"");
    json_iter_init(&it, value);
    while (json_next_member(&it, &key, &member)) {
        char place[80];
        codec_pointer(pointer, key, place);
        bool is_key = json_string_eq(key, "key");
        if (!is_key && !json_string_eq(key, "on_conflict"))
            return err_at(r->err, ERR_INVALID, place, "is not known here");
        if (!(is_key ? read_key(r, member) : read_policy(r, member)))
            return false;
    }
    return r->spec->has_unique || err_at(r->err, ERR_INVALID, "/unique/key", "is missing");
}

/* Whoever replaces a running job waits for its end: one parent more. */
bool codec_unique_end(struct job_reader *r)
{
    struct job_spec *spec = r->spec;
    if (!spec->has_unique || spec->on_conflict != UNIQUE_REPLACE)
        return true;
    if (codec_add_parents(r, 1) == NULL)
        return false;
    spec->n_parents--;
    return true;
}
