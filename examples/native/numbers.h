/* SPDX-License-Identifier: MIT */
/* Arguments that are numbers, or arrays of them, for the examples. What follows a value is never
 * part of a number (the arguments are one JSON text), so strtod(3) needs no terminated copy. */
#ifndef EXAMPLES_NATIVE_NUMBERS_H
#define EXAMPLES_NATIVE_NUMBERS_H

#include "include/ganger/plugin.h"

#include <stdbool.h>
#include <stdlib.h>

static inline bool is_number(const char *text, size_t len)
{
    return text != NULL && len > 0 && (text[0] == '-' || (text[0] >= '0' && text[0] <= '9'));
}

/* An argument by its place, or else by its name; NULL: it is not there. */
struct place {
    size_t index;
    const char *name;
};
static inline const char *find_argument(struct ganger_call *call, struct place place, size_t *len)
{
    const char *text = ganger_arg(call, place.index, len);
    return text != NULL ? text : ganger_kwarg(call, place.name, len);
}

/* A whole number from 0 to `most`; else an error is set. */
static inline bool read_whole(struct ganger_call *call, struct place place, long most, long *ret)
{
    size_t len;
    const char *text = find_argument(call, place, &len);
    char *end = NULL;
    if (is_number(text, len))
        *ret = strtol(text, &end, 10);
    if (end != NULL && end == text + len && *ret >= 0 && *ret <= most)
        return true;
    (void)ganger_error(call, "ValueError", "the argument is no whole number in its range");
    return false;
}

/* The rows of an array of arrays of numbers, all of the same length, one behind the other. The
 * caller frees `cells`. */
struct rows {
    double *cells;
    size_t n_rows, n_columns;
};

struct rows_reader {
    const char *at, *end;
    size_t used, in_row;
};

static inline bool end_row(struct rows *rows, struct rows_reader *r)
{
    if (rows->n_rows > 0 && r->in_row != rows->n_columns)
        return false;
    rows->n_columns = r->in_row;
    rows->n_rows++;
    r->in_row = 0;
    return true;
}

/* One character, or one number, further; false: this is no array of such rows. */
static inline bool step(struct rows *rows, struct rows_reader *r, int *depth)
{
    char *after = NULL;
    const char c = *r->at;
    if (c == '[' || c == ']') {
        *depth += c == '[' ? 1 : -1;
        r->at++;
        return *depth <= 2 && (c == '[' || *depth != 1 || end_row(rows, r));
    }
    if (c == ',' || c == ' ' || c == '\n' || c == '\t' || c == '\r') {
        r->at++;
        return true;
    }
    if (*depth != 2 || !is_number(r->at, 1))
        return false;
    rows->cells[r->used++] = strtod(r->at, &after);
    r->in_row++;
    r->at = after;
    return true;
}

static inline bool read_rows(struct ganger_call *call, struct place place, struct rows *ret)
{
    size_t len;
    int depth = 0;
    const char *text = find_argument(call, place, &len);
    struct rows_reader r = {.at = text, .end = text == NULL ? NULL : text + len};
    *ret = (struct rows){.cells = calloc(len / 2 + 1, sizeof(double))};
    bool is_fine = text != NULL && text[0] == '[' && ret->cells != NULL;
    while (is_fine && r.at < r.end)
        is_fine = step(ret, &r, &depth);
    if (is_fine && ret->n_rows > 0 && ret->n_columns > 0)
        return true;
    free(ret->cells);
    ret->cells = NULL;
    (void)ganger_error(call, "ValueError", "the argument is no array of equal rows of numbers");
    return false;
}

#endif
