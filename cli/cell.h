/* SPDX-License-Identifier: MIT */
/* Facts in words and in columns. Text that comes from jobs is cleaned and kept on its line. */
#ifndef GANGER_CLI_CELL_H
#define GANGER_CLI_CELL_H

#include "service/base/buf.h"

/* Appends the text in exactly `width` characters, cut with "…" or filled with spaces; 0: all. */
void cell_put(struct buf *out, struct slice text, size_t width);
/* The same as a column of a table: a space follows. */
void cell_put_column(struct buf *out, const char *text, size_t width);
void cell_put_number(struct buf *out, int64_t n, size_t width); /* "-" when n < 0, as below */
void cell_put_size(struct buf *out, int64_t bytes, size_t width);
/* "850ms" "12s" "5m10s" "3h20m" "2d4h" */
void cell_put_duration(struct buf *out, int64_t us);
/* "120 bytes" "3.4 MiB" */
void cell_put_bytes(struct buf *out, uint64_t bytes);

#endif
