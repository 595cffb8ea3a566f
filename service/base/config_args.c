/* SPDX-License-Identifier: MIT */
/* Configuration from the environment and from the command line. */
#include "service/base/config_option.h"

#include <strings.h>

/* ---- The environment ---- */

/* Names that belong to clients, to jobs and to tests, and those that Kubernetes and Docker links
 * make for a service called ganger. */
static bool variable_is_foreign(const char *name)
{
    static const char *const foreign[] = {
        "GANGER_URL",      "GANGER_TOKEN",   "GANGER_TOKEN_FILE", "GANGER_FP",
        "GANGER_BUG",      "GANGER_BIN",     "GANGER_RUN",        "GANGER_JOB_ID",
        "GANGER_JOB_NAME", "GANGER_ATTEMPT", "GANGER_CONFIG",
    };
    for (size_t i = 0; i < ARRAY_LEN(foreign); i++) {
        if (strcmp(name, foreign[i]) == 0)
            return true;
    }
    return strncmp(name, "GANGER_TEST_", 12) == 0 || strstr(name, "_PORT") != NULL ||
           strstr(name, "_SERVICE_HOST") != NULL;
}

/* Whether the variable is the option's key alone, such as GANGER_WORKERS for pool.workers. */
static bool lacks_section(const struct option_row *row, const char *name)
{
    return strcasecmp(name + strlen("GANGER_"), option_key(row)) == 0;
}

static bool names_section(const struct option_row *row, const char *name)
{
    struct slice section = option_section(row);
    const char *rest = name + strlen("GANGER_");
    return strncasecmp(rest, section.ptr, section.len) == 0 && rest[section.len] == '_';
}

/* A variable that names a section, or nearly names an option, was meant for ganger. Others are left
 * alone. */
static bool check_unknown_variable(const char *name, struct err *err)
{
    char variables[MAX_OPTIONS][OPTION_NAME_MAX];
    const char *hint = NULL;
    bool meant = false;
    for (size_t i = 0; i < config_n_options; i++) {
        const struct option_row *row = &config_options[i];
        option_variable(row, variables[i]);
        meant = meant || names_section(row, name);
        if (lacks_section(row, name)) {
            hint = variables[i];
            break;
        }
        hint = config_nearest(name, hint, variables[i]);
    }
    meant = meant || hint != NULL;
    return !meant || config_refuse(err, (struct origin){SOURCE_ENV, name, 0},
                                   "no option has this variable", hint);
}

static bool apply_variable(struct config_set *set, const char *name, const char *value,
                           struct err *err)
{
    for (size_t i = 0; i < config_n_options; i++) {
        char variable[OPTION_NAME_MAX];
        option_variable(&config_options[i], variable);
        if (strcmp(variable, name) == 0)
            return config_set_option(set, i, (struct origin){SOURCE_ENV, name, 0}, slice_of(value),
                                     err);
    }
    return variable_is_foreign(name) || check_unknown_variable(name, err);
}

bool config_apply_environment(struct config_set *set, struct err *err)
{
    for (char **entry = environ; entry != NULL && *entry != NULL; entry++) {
        const char *equals = strchr(*entry, '=');
        if (equals == NULL || strncmp(*entry, "GANGER_", 7) != 0)
            continue;
        char name[2 * OPTION_NAME_MAX];
        size_t len = (size_t)(equals - *entry);
        if (len >= sizeof(name))
            continue; /* longer than any option, and any typo of one */
        memcpy(name, *entry, len);
        name[len] = '\0';
        if (!apply_variable(set, name, equals + 1, err))
            return false;
    }
    return true;
}

/* ---- Flags ---- */

/* --help and the like, which take no value, or an optional one behind `=`. */
static bool action_of(const char *arg, enum config_action *ret)
{
    static const struct {
        const char *arg;
        enum config_action action;
    } actions[] = {
        {"--help", CONFIG_HELP},
        {"-h", CONFIG_HELP},
        {"--help=markdown", CONFIG_HELP_MARKDOWN},
        {"--help=conf", CONFIG_SAMPLE},
        {"--print-config", CONFIG_PRINT},
    };
    for (size_t i = 0; i < ARRAY_LEN(actions); i++) {
        if (strcmp(arg, actions[i].arg) == 0) {
            *ret = actions[i].action;
            return true;
        }
    }
    return false;
}

/* Whether argv[next] is this flag, as `--flag value` or `--flag=value`; then moves behind it. */
static bool take_flag(struct flags *flags, const char *flag, const char **ret_value)
{
    const char *arg = flags->argv[flags->next];
    size_t len = strlen(flag);
    if (strncmp(arg, flag, len) != 0 || (arg[len] != '\0' && arg[len] != '='))
        return false;
    if (arg[len] == '=') {
        *ret_value = arg + len + 1;
        flags->next += 1;
    } else {
        *ret_value = flags->next + 1 < flags->argc ? flags->argv[flags->next + 1] : NULL;
        flags->next += 2;
    }
    return true;
}

static bool refuse_flag(const char *arg, struct err *err)
{
    char name[OPTION_NAME_MAX], flag[MAX_OPTIONS][OPTION_NAME_MAX];
    (void)snprintf(name, sizeof(name), "%.*s", (int)MIN(strcspn(arg, "="), sizeof(name) - 1), arg);
    const char *hint = NULL;
    for (size_t i = 0; i < config_n_options; i++) {
        option_flag(&config_options[i], flag[i]);
        hint = config_nearest(name, hint, flag[i]);
    }
    hint = config_nearest(name, hint, "--config");
    hint = config_nearest(name, hint, "--print-config");
    return config_refuse(err, (struct origin){SOURCE_FLAG, name, 0}, "unknown argument", hint);
}

/* Takes the flag at flags->next: an option's, or --config, whose value goes to ret_file. With set
 * == NULL options are only stepped over: the file must be known before anything may be set. */
static bool next_flag(struct flags *flags, struct config_set *set, const char **ret_file,
                      struct err *err)
{
    const char *value = NULL, *arg = flags->argv[flags->next];
    if (take_flag(flags, "--config", &value)) {
        *ret_file = value;
        return value != NULL || config_refuse(err, (struct origin){SOURCE_FLAG, arg, 0},
                                              "a value must follow", NULL);
    }
    for (size_t i = 0; i < config_n_options; i++) {
        char flag[OPTION_NAME_MAX];
        option_flag(&config_options[i], flag);
        if (!take_flag(flags, flag, &value))
            continue;
        struct origin origin = {SOURCE_FLAG, flag, 0};
        if (value == NULL)
            return config_refuse(err, origin, "a value must follow", NULL);
        return set == NULL || config_set_option(set, i, origin, slice_of(value), err);
    }
    return refuse_flag(arg, err);
}

bool config_apply_flags(struct flags flags, struct config_set *set, enum config_action *action,
                        const char **file, struct err *err)
{
    while (flags.next < flags.argc) {
        if (action_of(flags.argv[flags.next], action))
            flags.next++;
        else if (!next_flag(&flags, set, file, err))
            return false;
    }
    return true;
}
