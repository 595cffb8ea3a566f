/* SPDX-License-Identifier: MIT */
/* The items of `map` and `batch add`: words after :::, lines of files, lines of stdin, and all
 * combinations of several such sources. One source is read as it comes, so it may be endless. */
#ifndef GANGER_CLI_ITEMS_H
#define GANGER_CLI_ITEMS_H

#include "cli/args.h"
#include "service/base/buf.h"

struct items;

/* Reads from the operands [from, n), from the files of --arg-file, or from stdin when there are
 * none. The operands begin with ::: or ::::, or are `plain` items. --null and --colsep count. */
MUST_CHECK bool items_open(const struct args *args, int from, bool plain, struct items **ret,
                           struct err *err);
void items_close(struct items *items);

/* Items are arrays: of columns or of one word from each source. */
bool items_have_columns(const struct items *items);
/* Makes each item an array [number from 1, text, column…], for commands with {#}. */
void items_number(struct items *items);

enum items_state { ITEMS_ITEM, ITEMS_WANTED, ITEMS_END };
/* ITEMS_ITEM: one more was appended to `out` as JSON. ITEMS_WANTED: there is none yet; when
 * items_fd is readable, items_fill. */
MUST_CHECK bool items_next(struct items *items, struct buf *out, enum items_state *ret,
                           struct err *err);
int items_fd(const struct items *items);
MUST_CHECK bool items_fill(struct items *items, struct err *err);

#endif
