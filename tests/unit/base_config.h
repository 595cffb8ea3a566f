/* SPDX-License-Identifier: MIT */
/* Shared by the tests of the configuration. */
#ifndef GANGER_TESTS_UNIT_BASE_CONFIG_H
#define GANGER_TESTS_UNIT_BASE_CONFIG_H

#include "service/base/config_option.h"

/* No GANGER_ variable, and no file in the user's directories. Every test is its own process, so it
 * may do that. */
void clean_environment(void);
struct config_set *load(int argc, const char **argv, struct err *err);
#define LOAD(err, ...) \
    load((int)ARRAY_LEN(((const char *[]){__VA_ARGS__})), (const char *[]){__VA_ARGS__}, err)
void expect_refusal(struct config_set *set, const struct err *err, const char *needle);

#endif
