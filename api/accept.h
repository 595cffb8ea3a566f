/* SPDX-License-Identifier: MIT */
/* The header Accept (RFC 9110, section 12.5.1). Of its parameters only the weight counts, and only
 * whether it is 0: what a route answers is chosen by what is named, not by what is liked best. */
#ifndef GANGER_API_ACCEPT_H
#define GANGER_API_ACCEPT_H

#include "service/base/util.h"

/* Whether this media type may be sent: by the range that fits it most closely. Without the header
 * everything may. A parameter of `type`, after ";", does not matter. */
bool accept_takes(struct slice header, const char *type);
/* Whether it is named itself, and not refused by q=0. */
bool accept_names(struct slice header, const char *type);

#endif
