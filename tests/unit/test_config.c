/* SPDX-License-Identifier: MIT */
#include "service/base/config.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "unit/base_config.h"

static char *write_file(const char *text)
{
    char *path = strdup("/tmp/ganger-test-conf-XXXXXX");
    int fd = mkostemp(path, O_CLOEXEC);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    (void)close(fd);
    return path;
}

static char *answer(const struct config_set *set, enum config_action action)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    config_write(set, action, &out);
    char *text = buf_steal(&out);
    cr_assert_not_null(text);
    buf_release(&out);
    return text;
}

Test(config, defaults_are_those_of_the_contract, .init = clean_environment)
{
    struct err err = {0};
    struct config_set *set = config_parse_text(SLICE_LIT(""), &err);
    cr_assert_not_null(set, "%s", err.detail);
    const struct config *cfg = config_get(set);
    cr_assert_eq(cfg->auth, AUTH_TOKEN);
    cr_assert_eq(cfg->store_sync, SYNC_FULL);
    cr_assert_eq(cfg->drain_us, 8000000);
    cr_assert_eq(cfg->http_max_body, 1048576);
    cr_assert_eq(cfg->http_max_wait_us, 55000000);
    cr_assert_eq(cfg->job_timeout_us, 3600000000);
    cr_assert_eq(cfg->job_stop_grace_us, 5000000);
    cr_assert_eq(cfg->job_output, 10485760);
    cr_assert_eq(cfg->job_keep_us, 86400000000);
    cr_assert_eq(cfg->job_row_keep_us, 604800000000);
    cr_assert_eq(cfg->job_max_attempts, 20);
    cr_assert_eq(cfg->queue_max_jobs, 10000000);
    cr_assert_str_eq(cfg->job_path, "/usr/local/bin:/usr/bin:/bin");
    cr_assert_str_eq(cfg->job_cwd, "");
    cr_assert_eq(cfg->data[0], '/');
    cr_assert_eq(cfg->listen.n, 2);
    cr_assert_str_eq(cfg->listen.items[0], "127.0.0.1:7411");
    cr_assert_eq(strncmp(cfg->listen.items[1], "unix:/", 6), 0);
    cr_assert(cfg->pool_workers >= 1 && cfg->pool_workers <= cfg->pool_max_workers);
    cr_assert(cfg->http_threads >= 1 && cfg->http_threads <= 4);
    config_free(set);
}

Test(config, rows_are_well_formed)
{
    for (size_t i = 0; i < config_n_options; i++) {
        const struct option_row *row = &config_options[i];
        cr_assert_lt(strlen(row->name) + 8, OPTION_NAME_MAX);
        cr_assert_eq(row->help[strlen(row->help) - 1], '.', "%s: help is a sentence", row->name);
        cr_assert_eq(row->choices != NULL, row->type == OPT_ENUM, "%s", row->name);
        cr_assert_leq(row->min, row->max, "%s", row->name);
        cr_assert(row->type != OPT_UINT || row->max <= UINT32_MAX, "%s", row->name);
        for (size_t j = 0; j < i; j++) {
            char ours[OPTION_NAME_MAX], theirs[OPTION_NAME_MAX];
            option_flag(row, ours);
            option_flag(&config_options[j], theirs);
            cr_assert_str_neq(ours, theirs);
            option_variable(row, ours);
            option_variable(&config_options[j], theirs);
            cr_assert_str_neq(ours, theirs);
            cr_assert_neq(row->offset, config_options[j].offset, "%s and %s share a field",
                          row->name, config_options[j].name);
        }
    }
}

/* A value that differs from the default, for each kind of option. */
static const char *other_value(const struct option_row *row)
{
    static char text[64];
    switch (row->type) {
    case OPT_TEXT: return "/some; where #else";
    case OPT_LIST: return "one.example, two.example";
    case OPT_LISTEN: return "[::1]:80, unix:/tmp/x.sock, 127.0.0.1:0";
    case OPT_ENUM: return strrchr(row->choices, '|') + 1;
    case OPT_UINT:
    case OPT_COUNT:
        (void)snprintf(text, sizeof(text), "%lld",
                       (long long)(strcmp(row->name, "pool.workers") == 0 ? 7 : row->max));
        return text;
    case OPT_BYTES:
    case OPT_DURATION: {
        AUTO_BUF struct buf allowed;
        buf_init(&allowed, 100);
        option_allowed(row, &allowed);
        buf_putc(&allowed, '\0');
        (void)snprintf(text, sizeof(text), "%s", strstr(allowed.ptr, " to ") + 4);
        if (strcmp(row->name, "http.max_body") == 0)
            (void)snprintf(text, sizeof(text), "3MiB");
        return text;
    }
    }
    return NULL;
}

static void expect_value(const struct config_set *set, const struct option_row *row,
                         const char *value)
{
    AUTO_BUF struct buf out;
    buf_init(&out, 4096);
    option_format(row, config_get(set), &out);
    cr_assert(slice_is(buf_slice(&out), value), "%s is '%.*s', not '%s'", row->name, (int)out.len,
              out.ptr, value);
}

static void expect_source(const struct config_set *set, size_t i, enum config_source source)
{
    cr_assert_eq(set->states[i].source, source, "%s", config_options[i].name);
}

/* Each option by flag, by variable and by file: the value arrives, and prints as it was given. */
Test(config, every_option_round_trips_from_every_source, .init = clean_environment)
{
    for (size_t i = 0; i < config_n_options; i++) {
        const struct option_row *row = &config_options[i];
        const char *value = other_value(row);
        char name[OPTION_NAME_MAX], line[300];
        struct err err = {0};

        option_flag(row, name);
        struct config_set *set = LOAD(&err, name, value);
        cr_assert_not_null(set, "%s: %s", row->name, err.detail);
        expect_value(set, row, value);
        expect_source(set, i, SOURCE_FLAG);
        config_free(set);

        (void)snprintf(line, sizeof(line), "%s=%s", name, value);
        set = LOAD(&err, line);
        cr_assert_not_null(set, "%s: %s", line, err.detail);
        expect_value(set, row, value);
        config_free(set);

        option_variable(row, name);
        (void)setenv(name, value, 1);
        set = LOAD(&err, "--auth", "token");
        cr_assert_not_null(set, "%s: %s", name, err.detail);
        if (strcmp(row->name, "service.auth") != 0) {
            expect_value(set, row, value);
            expect_source(set, i, SOURCE_ENV);
        }
        config_free(set);
        (void)unsetenv(name);

        struct slice section = option_section(row);
        (void)snprintf(line, sizeof(line), "[%.*s]\n%s = %s\n", (int)section.len, section.ptr,
                       option_key(row), value);
        set = config_parse_text(slice_of(line), &err);
        cr_assert_not_null(set, "%s: %s", line, err.detail);
        expect_value(set, row, value);
        expect_source(set, i, SOURCE_FILE);
        cr_assert_eq(set->states[i].line, 2);
        config_free(set);
    }
}

Test(config, printed_configuration_gives_the_same_values, .init = clean_environment)
{
    struct err err = {0};
    struct config_set *set = LOAD(&err, "--data", "/srv/a b", "--workers=3", "--http-hosts",
                                  "a.example,b.example", "--http-origins",
                                  "[\"https://a;b\", \"x,y\"]", "--drain", "1.234567");
    cr_assert_not_null(set, "%s", err.detail);
    AUTO_FREE char *first = answer(set, CONFIG_PRINT);
    config_free(set);
    cr_assert_not_null(strstr(first, "# --workers\nworkers = 3\n"), "%s", first);
    cr_assert_not_null(strstr(first, "# default\nmax_body = 1MiB\n"));
    cr_assert_not_null(strstr(first, "# default (auto)\nthreads = "));
    cr_assert_not_null(strstr(first, "drain = 1.234567s\n"));
    set = config_parse_text(slice_of(first), &err);
    cr_assert_not_null(set, "%s", err.detail);
    AUTO_FREE char *second = answer(set, CONFIG_PRINT);
    config_free(set);
    for (const char *a = first, *b = second; *a != '\0';) { /* the comments differ: they name the
                                                               sources */
        size_t n = strcspn(a, "\n"), m = strcspn(b, "\n");
        cr_assert(*a == '#' || (n == m && memcmp(a, b, n) == 0), "%.*s became %.*s", (int)n, a,
                  (int)m, b);
        a += n + 1;
        b += m + 1;
    }
}

Test(config, flag_goes_before_environment_before_file_before_default, .init = clean_environment)
{
    AUTO_FREE char *path = write_file(
        "[pool]\nworkers = 3\nmax_workers = 30\n[job]\ntimeout = 3m\nkeep = 3m\n");
    (void)setenv("GANGER_POOL_WORKERS", "4", 1);
    (void)setenv("GANGER_JOB_TIMEOUT", "4m", 1);
    struct err err = {0};
    struct config_set *set = LOAD(&err, "--workers", "5", "--config", path);
    cr_assert_not_null(set, "%s", err.detail);
    cr_assert_eq(config_get(set)->pool_workers, 5);
    cr_assert_eq(config_get(set)->job_timeout_us, 240000000);
    cr_assert_eq(config_get(set)->job_keep_us, 180000000);
    cr_assert_eq(config_get(set)->job_stop_grace_us, 5000000);
    AUTO_FREE char *text = answer(set, CONFIG_PRINT);
    char expected[200];
    (void)snprintf(expected, sizeof(expected), "# %s, line 6\nkeep = 3m\n", path);
    cr_assert_not_null(strstr(text, expected), "%s", text);
    cr_assert_not_null(strstr(text, "# GANGER_JOB_TIMEOUT\ntimeout = 4m\n"));
    config_free(set);
    (void)setenv("GANGER_CONFIG", path, 1);
    set = load(0, NULL, &err);
    cr_assert_not_null(set, "%s", err.detail);
    cr_assert_eq(config_get(set)->pool_max_workers, 30);
    config_free(set);
    (void)unlink(path);
}

Test(config, a_file_is_found_where_xdg_says, .init = clean_environment)
{
    char dir[] = "/tmp/ganger-test-xdg-XXXXXX", sub[64], path[96];
    cr_assert_not_null(mkdtemp(dir));
    (void)snprintf(sub, sizeof(sub), "%s/ganger", dir);
    (void)snprintf(path, sizeof(path), "%s/ganger.conf", sub);
    cr_assert_eq(mkdir(sub, 0700), 0);
    FILE *file = fopen(path, "we");
    cr_assert_not_null(file);
    cr_assert_gt(fputs("[pool]\nworkers = 9\n", file), 0);
    cr_assert_eq(fclose(file), 0);
    (void)setenv("XDG_CONFIG_HOME", dir, 1);
    struct err err = {0};
    struct config_set *set = load(0, NULL, &err);
    cr_assert_not_null(set, "%s", err.detail);
    cr_assert_eq(config_get(set)->pool_workers, 9);
    config_free(set);
    (void)unlink(path);
    (void)rmdir(sub);
    (void)rmdir(dir);
}

Test(config, lists_repeat_by_flag_and_replace_lower_sources, .init = clean_environment)
{
    (void)setenv("GANGER_LISTEN", "127.0.0.1:1,127.0.0.1:2", 1);
    struct err err = {0};
    struct config_set *set = load(0, NULL, &err);
    cr_assert_not_null(set);
    cr_assert_eq(config_get(set)->listen.n, 3, "and the socket in the data directory");
    config_free(set);
    set = LOAD(&err, "--listen", "127.0.0.1:0", "--listen=unix:/tmp/s", "--listen",
               "[::1]:5,localhost:6");
    cr_assert_not_null(set, "%s", err.detail);
    const struct text_list *listen = &config_get(set)->listen;
    static const char *const expected[] = {"127.0.0.1:0", "unix:/tmp/s", "[::1]:5", "localhost:6"};
    cr_assert_eq(listen->n, ARRAY_LEN(expected));
    for (size_t i = 0; i < ARRAY_LEN(expected); i++)
        cr_assert_str_eq(listen->items[i], expected[i]);
    config_free(set);
}

Test(config, data_is_absolute_and_the_socket_lies_in_it, .init = clean_environment)
{
    cr_assert_eq(chdir("/tmp"), 0);
    struct err err = {0};
    struct config_set *set = LOAD(&err, "--data", "d");
    cr_assert_not_null(set, "%s", err.detail);
    cr_assert_str_eq(config_get(set)->data, "/tmp/d");
    cr_assert_str_eq(config_get(set)->listen.items[1], "unix:/tmp/d/ganger.sock");
    config_free(set);
    set = LOAD(&err, "--data", "d", "--listen", "127.0.0.1:0");
    cr_assert_not_null(set, "%s", err.detail);
    cr_assert_eq(config_get(set)->listen.n, 2);
    cr_assert_str_eq(config_get(set)->listen.items[1], "unix:/tmp/d/ganger.sock");
    config_free(set);
    char deep[160] = "/tmp/";
    memset(deep + 5, 'd', sizeof deep - 6);
    set = LOAD(&err, "--data", deep, "--listen", "127.0.0.1:0");
    cr_assert_not_null(set, "%s", err.detail);
    cr_assert_eq(config_get(set)->listen.n, 1,
                 "a path that does not fit into a socket address is left out");
    config_free(set);
    cr_assert_null(LOAD(&err, "--data", deep), "unless the socket is one of the defaults");
}

Test(config, sample_file_is_valid_as_it_is_and_uncommented, .init = clean_environment)
{
    enum config_action action = CONFIG_RUN;
    char flag[] = "--help=conf", *argv[] = {flag};
    struct err err = {0};
    struct config_set *set = config_load(1, argv, &action, &err);
    cr_assert_not_null(set);
    cr_assert_eq(action, CONFIG_SAMPLE);
    AUTO_FREE char *sample = answer(set, action);
    config_free(set);
    set = config_parse_text(slice_of(sample), &err);
    cr_assert_not_null(set, "%s", err.detail);
    config_free(set);
    for (char *c = sample; (c = strstr(c, "\n#")) != NULL; c++) {
        if (c[2] != ' ')
            c[1] = ' ';
    }
    /* "\n key = value" would go on with a comment's line in no way: comments end at their line's
     * end */
    set = config_parse_text(slice_of(sample), &err);
    cr_assert_not_null(set, "%s", err.detail);
    for (size_t i = 0; i < config_n_options; i++)
        expect_source(set, i, SOURCE_FILE);
    cr_assert_eq(config_get(set)->job_max_attempts, 20);
    config_free(set);
}

Test(config, help_speaks_of_every_option_and_ignores_errors, .init = clean_environment)
{
    static const struct {
        const char *flag;
        enum config_action action;
    } rows[] = {
        {"--help", CONFIG_HELP}, {"-h", CONFIG_HELP}, {"--help=markdown", CONFIG_HELP_MARKDOWN}};
    (void)setenv("GANGER_POOL_WORKERS", "nonsense", 1);
    for (size_t r = 0; r < ARRAY_LEN(rows); r++) {
        enum config_action action = CONFIG_RUN;
        char flag[32], config[] = "--config=/nonexistent", *argv[] = {config, flag};
        (void)snprintf(flag, sizeof(flag), "%s", rows[r].flag);
        struct err err = {0};
        struct config_set *set = config_load(2, argv, &action, &err);
        cr_assert_not_null(set, "%s", err.detail);
        cr_assert_eq(action, rows[r].action);
        AUTO_FREE char *text = answer(set, action);
        config_free(set);
        for (size_t i = 0; i < config_n_options; i++) {
            char name[OPTION_NAME_MAX];
            option_flag(&config_options[i], name);
            cr_assert_not_null(strstr(text, name), "%s", name);
            cr_assert_not_null(strstr(text, config_options[i].help), "%s", name);
            option_variable(&config_options[i], name);
            cr_assert(action == CONFIG_HELP || strstr(text, name) != NULL, "%s", name);
        }
    }
}

static char *read_all(const char *path)
{
    FILE *file = fopen(path, "re");
    cr_assert_not_null(file, "%s", path);
    char *text = must_alloc(1 << 20);
    size_t len = fread(text, 1, (1 << 20) - 1, file);
    text[len] = '\0';
    (void)fclose(file);
    return text;
}

Test(config, generated_files_are_up_to_date, .init = clean_environment)
{
    static const struct {
        const char *flag, *path;
    } rows[] = {{"--help=markdown", GANGER_SOURCE_DIR "/docs/configuration.md"},
                {"--help=conf", GANGER_SOURCE_DIR "/docker/ganger.conf"}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        enum config_action action = CONFIG_RUN;
        char flag[32], *argv[] = {flag};
        (void)snprintf(flag, sizeof(flag), "%s", rows[i].flag);
        struct config_set *set = config_load(1, argv, &action, NULL);
        cr_assert_not_null(set);
        AUTO_FREE char *made = answer(set, action);
        config_free(set);
        AUTO_FREE char *found = read_all(rows[i].path);
        cr_assert_str_eq(made, found, "%s: write it again with `ganger serve %s`", rows[i].path,
                         rows[i].flag);
    }
}
