/* SPDX-License-Identifier: MIT */
#include "unit/base_config.h"

#include <criterion/criterion.h>

void clean_environment(void)
{
    for (size_t i = 0; environ[i] != NULL;) {
        char name[200];
        (void)snprintf(name, sizeof(name), "%.*s",
                       (int)MIN(strcspn(environ[i], "="), sizeof(name) - 1), environ[i]);
        if (strncmp(name, "GANGER_", 7) == 0)
            (void)unsetenv(name);
        else
            i++;
    }
    (void)setenv("XDG_CONFIG_HOME", "/nonexistent", 1);
}

struct config_set *load(int argc, const char **argv, struct err *err)
{
    enum config_action action = CONFIG_PRINT;
    char *copies[16] = {NULL};
    for (int i = 0; i < argc; i++)
        copies[i] = strdup(argv[i]);
    struct config_set *set = config_load(argc, copies, &action, err);
    for (int i = 0; i < argc; i++)
        free(copies[i]);
    if (set != NULL)
        cr_assert_eq(action, CONFIG_RUN);
    return set;
}
void expect_refusal(struct config_set *set, const struct err *err, const char *needle)
{
    cr_assert_null(set, "'%s' should be refused", needle);
    cr_assert_eq(err->code, ERR_INVALID);
    cr_assert_not_null(strstr(err->detail, needle), "'%s' lacks '%s'", err->detail, needle);
}
