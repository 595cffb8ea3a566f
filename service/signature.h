/* SPDX-License-Identifier: MIT */
/* What tells a receiver that a callback is ours: HMAC-SHA256 with a shared secret, as Standard
 * Webhooks 1.0.0 has it. The secrets live in one file; several of them are a rotation, and all
 * sign. They never leave this module. */
#ifndef GANGER_SERVICE_SIGNATURE_H
#define GANGER_SERVICE_SIGNATURE_H

#include "service/base/buf.h"
#include "service/base/error.h"

#define SIGNING_MIN_BYTES 24u
#define SIGNING_MAX_BYTES 64u
#define SIGNING_MAX_KEYS 8u

struct signing_keys {
    struct {
        uint8_t bytes[SIGNING_MAX_BYTES];
        size_t len;
    } items[SIGNING_MAX_KEYS];
    size_t n;
};

/* Lines "whsec_<base64>"; empty ones are passed over. */
MUST_CHECK bool signing_keys_parse(struct slice text, struct signing_keys *ret, struct err *err);
/* The file at `path`, which nobody but its owner may read. When there is none, it is made with one
 * fresh secret: *ret_made. */
MUST_CHECK bool signing_keys_open(const char *path, struct signing_keys *ret, bool *ret_made,
                                  struct err *err);
void signing_keys_wipe(struct signing_keys *keys);

struct signed_message {
    const char *id;
    int64_t timestamp_s;
    struct slice body;
};
/* "v1,<base64> v1,<base64>": one signature for each key. */
void signature_write(const struct signing_keys *keys, const struct signed_message *message,
                     struct buf *out);

#endif
