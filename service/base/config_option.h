/* SPDX-License-Identifier: MIT */
/* Private to the configuration module: the rows of the option table and the text forms of their
 * values. */
#ifndef GANGER_BASE_CONFIG_OPTION_H
#define GANGER_BASE_CONFIG_OPTION_H

#include "service/base/config.h"

enum option_type {
    OPT_TEXT,
    OPT_LIST,
    OPT_LISTEN,
    OPT_ENUM,
    OPT_UINT,
    OPT_COUNT,
    OPT_BYTES,
    OPT_DURATION
};

struct option_row {
    const char *name; /* "pool.workers": section and key */
    enum option_type type;
    size_t offset;            /* of the field in struct config */
    const char *default_text; /* "" = empty, "auto" = worked out at start */
    int64_t min, max;         /* of numbers, bytes, microseconds */
    const char *choices;      /* "token|none": an enum's values in the order of its constants */
    const char *flag;         /* "--workers"; NULL: made of the name */
    const char *help;
};

struct option_state {
    enum config_source source;
    uint32_t line;  /* of the file */
    bool automatic; /* the value was "auto" or derived */
};

#define MAX_OPTIONS 64
struct config_set {
    struct config values;
    struct option_state states[MAX_OPTIONS];
    char *file; /* its path, or NULL */
};

extern const struct option_row config_options[];
extern const size_t config_n_options;

#define OPTION_NAME_MAX 64
void option_flag(const struct option_row *row, char out[OPTION_NAME_MAX]); /* "--http-max-body" */
void option_variable(const struct option_row *row,
                     char out[OPTION_NAME_MAX]); /* "GANGER_HTTP_MAX_BODY"
                                                  */
struct slice option_section(const struct option_row *row);
const char *option_key(const struct option_row *row);
bool option_may_be_auto(const struct option_row *row); /* a number that the machine decides */
/* What a value of the option may be, in words. */
void option_allowed(const struct option_row *row, struct buf *out);

/* Parses the value into its field; false says that the text is not allowed, ret_why why. A list is
 * appended to. */
bool option_set(const struct option_row *row, struct config *cfg, struct slice text,
                const char **ret_why);
void option_clear(const struct option_row *row, struct config *cfg); /* frees the field's memory;
                                                                        lists become empty */
void option_format(const struct option_row *row, const struct config *cfg, struct buf *out);

/* Where one value comes from. */
struct origin {
    enum config_source source;
    const char *name; /* of the flag, the variable or the file */
    uint32_t line;    /* of the file */
};
/* "/etc/ganger/ganger.conf, line 3: <what>; did you mean <hint>?" hint may be NULL. Returns false.
 */
bool config_refuse(struct err *err, struct origin origin, const char *what, const char *hint);
/* Sets option number i, or refuses with everything the reader needs to correct it. */
MUST_CHECK bool config_set_option(struct config_set *set, size_t i, struct origin origin,
                                  struct slice text, struct err *err);

MUST_CHECK bool config_apply_environment(struct config_set *set, struct err *err);
struct flags {
    int argc;
    char **argv;
    int next;
};
/* Takes all flags. With set == NULL it only finds the action and --config: the file comes before
 * any flag is set. */
MUST_CHECK bool config_apply_flags(struct flags flags, struct config_set *set,
                                   enum config_action *action, const char **file, struct err *err);

/* Fills what was left to be derived, then checks the options against each other. */
MUST_CHECK bool config_finish(struct config_set *set, struct err *err);

/* CPUs of the cgroup quota, UINT32_MAX = none. `root` is put before /proc and /sys: "" but in
 * tests. */
uint32_t config_cpu_quota(const char *root);

/* The candidate nearest to `text` when it is at most two edits away, else NULL. */
const char *config_nearest(const char *text, const char *best_so_far, const char *candidate);

#endif
