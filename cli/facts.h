/* SPDX-License-Identifier: MIT */
/* Objects of the service that are asked for and shown member by member. */
#ifndef GANGER_CLI_FACTS_H
#define GANGER_CLI_FACTS_H

#include "cli/cli.h"
#include "cli/client.h"
#include "cli/json.h"

/* client_ask, and the answer is JSON. */
MUST_CHECK bool facts_ask(struct cli *cli, const struct call *call, struct reply *ret,
                          struct err *err);
/* Asks; shows the object that comes, with --json as one line. */
MUST_CHECK bool facts_show(struct cli *cli, const struct call *call, struct err *err);
/* A line for each member that says something; `links` is left out. */
void facts_put(struct buf *out, struct slice object);
/* To stdout; false with err when it takes no more. */
MUST_CHECK bool facts_write(const struct buf *text, struct err *err);

/* A list of the service, shown as a table; with --json an item per line, with --quiet their names.
 */
struct facts_table {
    const char *path; /* "/v1/queues" */
    void (*put_head)(struct buf *out);
    void (*put_row)(struct buf *out, struct slice item, struct arena *a);
    const char *name; /* the member that --quiet prints; NULL: "name" */
    int64_t most;     /* items, unless --limit says it; 0: all of them */
};
/* Page by page. Returns the exit code. */
int facts_list(struct cli *cli, const struct facts_table *table);

/* Does `one` for each operand; a failure is told with the operand's name, and the worst exit code
 * of all is returned. */
typedef bool facts_one_fn(struct cli *cli, const char *operand, struct err *err);
int facts_each(struct cli *cli, facts_one_fn *one);

#endif
