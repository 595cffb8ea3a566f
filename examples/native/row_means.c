/* SPDX-License-Identifier: MIT */
/* The mean of each row of a table. */
#include "numbers.h"

#include <stdio.h>

GANGER_PLUGIN

#define NUMBER_SIZE 32 /* "%.17g", and what stands between two */

GANGER_FUNCTION(ganger_row_means)
{
    struct rows rows;
    size_t len = 0;
    if (!read_rows(call, (struct place){0, "rows"}, &rows))
        return 1;
    char *text = malloc(rows.n_rows * NUMBER_SIZE + 2);
    if (text == NULL) {
        free(rows.cells);
        return ganger_error(call, "MemoryError", "no room for the result");
    }
    for (size_t i = 0; i < rows.n_rows; i++) {
        double sum = 0;
        for (size_t k = 0; k < rows.n_columns; k++)
            sum += rows.cells[i * rows.n_columns + k];
        len += (size_t)snprintf(text + len, NUMBER_SIZE, "%c%.17g", i == 0 ? '[' : ',',
                                sum / (double)rows.n_columns);
    }
    text[len++] = ']';
    const int said = ganger_result(call, text, len, GANGER_JSON);
    free(text);
    free(rows.cells);
    return said;
}
