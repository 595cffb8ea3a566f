/* SPDX-License-Identifier: MIT */
/* Modules that cannot be loaded. */
#include "pool_fixture.h"

#include <criterion/criterion.h>

#define MODULE GANGER_HELPER_DIR "/native_misbehave.so"
#define SECOND_US INT64_C(1000000)

Test(pool_native_load, what_cannot_be_loaded_is_an_error_that_names_it)
{
    static const struct {
        const char *module, *symbol, *says;
    } ways[] = {
        {"/nowhere/at.so", "x", "line 7: the function broken: module: cannot be loaded"},
        {MODULE, "not_there", "the function broken: symbol: is not in its module"},
        {"libm.so.6", "sin", "the function broken: module: does not say GANGER_PLUGIN"},
    };
    struct function broken = {.name = "broken", .kind = FUNCTION_NATIVE, .line = 7};
    const struct function_list list = {.items = &broken, .n = 1};
    struct log log = {.fd = 2, .level = LOG_ERROR};
    struct pool *pool = NULL;
    char dir[64];
    fixture_make_dir(dir);
    for (size_t i = 0; i < ARRAY_LEN(ways); i++) {
        struct err err = {0};
        const struct pool_config cfg = {.workers = 1,
                                        .kill_deadline_us = SECOND_US,
                                        .path = "/bin",
                                        .data_dir = dir,
                                        .log = &log,
                                        .functions = &list};
        broken.module = ways[i].module;
        broken.symbol = ways[i].symbol;
        cr_assert(!pool_open(&cfg, &pool, &err));
        cr_assert(strstr(err.detail, ways[i].says) != NULL, "%s", err.detail);
    }
    fixture_remove_dir(dir);
}
