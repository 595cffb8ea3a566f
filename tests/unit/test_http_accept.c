/* SPDX-License-Identifier: MIT */
#include "api/accept.h"

#include <criterion/criterion.h>

Test(http_accept, the_closest_range_decides)
{
    static const struct {
        const char *header, *type;
        bool takes, names;
    } rows[] = {
        {NULL, "application/json", true, false},
        {"", "application/json", true, false},
        {"*/*", "application/json", true, false},
        {"application/*", "application/json", true, false},
        {"application/json", "application/json", true, true},
        {"Application/JSON;charset=utf-8", "application/json", true, true},
        {"application/json", "application/json; charset=utf-8", true, true},
        {"text/html, application/json;q=0.1", "application/json", true, true},
        {"text/html\t,\ttext/plain", "text/plain; charset=utf-8", true, true},
        {"text/html", "application/json", false, false},
        {"text/*", "application/json", false, false},
        {"application/json5", "application/json", false, false},
        {"application/jso", "application/json", false, false},
        {"application/json;q=0", "application/json", false, false},
        {"*/*, application/json;q=0.000", "application/json", false, false},
        {"*/*;q=0, application/json", "application/json", true, true},
        {"application/*;q=0, */*", "application/json", false, false},
        {"application/json;v=1;q=0", "application/json", false, false},
        {"application/json;q=0.01", "application/json", true, true},
        {",,;,", "application/json", false, false},
        {"image/png;q", "image/png", true, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct slice header = slice_of(rows[i].header);
        cr_assert_eq(accept_takes(header, rows[i].type), rows[i].takes, "takes, row %zu", i);
        cr_assert_eq(accept_names(header, rows[i].type), rows[i].names, "names, row %zu", i);
    }
}
