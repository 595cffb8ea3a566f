/* SPDX-License-Identifier: MIT */
/* The product of two matrices, each an array of rows. */
#include "numbers.h"

#include <stdio.h>

GANGER_PLUGIN

#define NUMBER_SIZE 32 /* "%.17g", and what stands around it */

static double cell(const struct rows *a, const struct rows *b, size_t i, size_t k)
{
    double sum = 0;
    for (size_t j = 0; j < a->n_columns; j++)
        sum += a->cells[i * a->n_columns + j] * b->cells[j * b->n_columns + k];
    return sum;
}

static int multiply(struct ganger_call *call, const struct rows *a, const struct rows *b)
{
    size_t len = 0;
    if (a->n_columns != b->n_rows)
        return ganger_error(call, "ValueError", "the shapes of the matrices do not fit");
    char *text = malloc(a->n_rows * b->n_columns * NUMBER_SIZE + 2);
    if (text == NULL)
        return ganger_error(call, "MemoryError", "no room for the product");
    for (size_t i = 0; i < a->n_rows; i++) {
        for (size_t k = 0; k < b->n_columns; k++)
            len += (size_t)snprintf(text + len, NUMBER_SIZE, "%s%.17g",
                                    k > 0    ? ","
                                    : i == 0 ? "[["
                                             : "],[",
                                    cell(a, b, i, k));
    }
    len += (size_t)snprintf(text + len, 3, "]]");
    const int said = ganger_result(call, text, len, GANGER_JSON);
    free(text);
    return said;
}

GANGER_FUNCTION(ganger_matrix)
{
    struct rows a, b;
    int said = 1;
    if (!read_rows(call, (struct place){0, "a"}, &a))
        return 1;
    if (read_rows(call, (struct place){1, "b"}, &b)) {
        said = multiply(call, &a, &b);
        free(b.cells);
    }
    free(a.cells);
    return said;
}
