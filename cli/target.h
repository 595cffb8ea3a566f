/* SPDX-License-Identifier: MIT */
/* Where the service is and how one gets in: GANGER_URL with GANGER_TOKEN or GANGER_TOKEN_FILE, else
 * the socket and the token in the data directory (--data, GANGER_DATA, or the default one). */
#ifndef GANGER_CLI_TARGET_H
#define GANGER_CLI_TARGET_H

#include "service/base/error.h"

struct target {
    char *base;   /* "http://127.0.0.1:7411" without a slash at the end; "http://localhost" for a
                     socket */
    char *socket; /* path of the unix socket, or NULL */
    char *token;  /* or NULL: nothing is sent */
    char *advice; /* what to tell who finds nobody there */
};

/* `data`: the value of --data, or NULL. Fails when what is set cannot be right: an address of an
 * unknown kind, a token file that cannot be read, a token with spaces in it. */
MUST_CHECK bool target_find(const char *data, struct target *ret, struct err *err);
void target_release(struct target *target);

#endif
