/* SPDX-License-Identifier: MIT */
/* Who may ask: bearer tokens (RFC 6750), kept as SHA-256 digests only. Today there is one token
 * with every scope; a table of further ones would live behind token_find. */
#ifndef GANGER_API_TOKEN_H
#define GANGER_API_TOKEN_H

#include "api/routes.h"

/* Who asks. */
struct principal {
    uint8_t id[32];    /* digest of the token; zero without one */
    uint32_t scopes;   /* bit mask of enum scope */
    struct job_id job; /* a running job, by its own token (self.h); no = 0: it is none */
};

struct token_store {
    bool required; /* false: --auth none, everybody has every scope */
    struct principal first;
};

/* Reads <data>/token, or makes it: 256 random bits, file 0600, complete or absent after a crash.
 * Fails with INVALID when the file holds something that is no secret (empty, short, strange
 * characters). Blocks on the disk. */
MUST_CHECK bool token_open(const char *data_dir, enum auth_mode mode, struct token_store *ret,
                           struct err *err);

/* Authorization header → principal. UNAUTHORIZED for an absent, unknown or malformed one, in the
 * same words. */
MUST_CHECK bool token_find(const struct token_store *store, struct slice authorization,
                           struct principal *ret, struct err *err);
/* The secret of a bearer token; absent: the header holds nothing that could be one. */
struct slice token_secret(struct slice authorization);
bool token_allows(const struct principal *who, enum scope scope);

#endif
