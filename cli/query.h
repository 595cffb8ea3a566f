/* SPDX-License-Identifier: MIT */
/* Which jobs a command means: the options --state, --queue, --name, --label, --batch and
 * --created-after, as a query string and as members of a JSON body. */
#ifndef GANGER_CLI_QUERY_H
#define GANGER_CLI_QUERY_H

#include "cli/args.h"
#include "service/base/buf.h"

/* Appends "?name=value" or "&name=value", percent-encoded. */
void query_put(struct buf *path, const char *name, struct slice value);
/* All filters that are given. */
void query_put_filter(struct buf *path, const struct args *args);

/* True when at least one filter is given. */
bool query_has_filter(const struct args *args);
/* Appends the members of the filters, without braces, each followed by a comma. */
void query_put_members(struct buf *body, const struct args *args);

#endif
