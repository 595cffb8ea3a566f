/* SPDX-License-Identifier: MIT */
/* The file of --joblog, in the format of GNU parallel, and the items it needs for its last column:
 * they are kept in a file without a name until their job has ended. */
#ifndef GANGER_CLI_JOBLOG_H
#define GANGER_CLI_JOBLOG_H

#include "cli/emit.h"

struct joblog;

/* `words`, n of them, is the command with its placeholders; borrowed. */
struct joblog_wish {
    const char *path;
    char *const *words;
    int n;
    bool star;    /* items are arrays */
    bool is_call; /* the words are a function and what follows the item */
};
MUST_CHECK bool joblog_open(const struct joblog_wish *wish, struct joblog **ret, struct err *err);
void joblog_close(struct joblog *log); /* accepts NULL */

/* Remembers the next item, a JSON value. */
MUST_CHECK bool joblog_item(struct joblog *log, struct slice item, struct err *err);
/* Asks for the job and writes its line. */
MUST_CHECK bool joblog_write(struct cli *cli, struct joblog *log, const struct result *result,
                             struct err *err);

/* The command of an item as a line for a shell. */
void joblog_put_command(struct buf *out, const struct joblog_wish *wish, struct slice item,
                        int64_t index);

#endif
