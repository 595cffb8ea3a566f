/* SPDX-License-Identifier: MIT */
/* What the configuration does not take, from the command line, the environment and the file. */
#include <criterion/criterion.h>

#include "unit/base_config.h"

Test(config, flags_are_refused_with_the_reason, .init = clean_environment)
{
    static const char *const rows[][3] = {
        {"--workers", "0",
         "--workers: pool.workers: '0' is out of range; allowed: auto or 1 to 1024"},
        {"--workers", "1025", "out of range"},
        {"--workers", "-1", "not a number"},
        {"--workers", "4294967297", "out of range"},
        {"--workers", "two", "not a number"},
        {"--workers", "", "not a number"},
        {"--drain", "5 minutes", "not a duration"},
        {"--drain", "2h", "out of range; allowed: 0s to 1h"},
        {"--http-max-body", "1MB", "not a size"},
        {"--http-max-body", "1023", "out of range; allowed: 1KiB to 64MiB"},
        {"--auth", "Token", "not one of the choices; allowed: token, none"},
        {"--auth", "toke", "choices"},
        {"--auth", "", "choices"},
        {"--sync", "off", "allowed: full, normal"},
        {"--listen", "7411", "lacks a port"},
        {"--listen", "127.0.0.1:", "lacks a port"},
        {"--listen", "127.0.0.1:65536", "lacks a port"},
        {"--listen", "127.0.0.1:-1", "lacks a port"},
        {"--listen", "example.com:80", "not an address"},
        {"--listen", "::1:80", "not an address"},
        {"--listen", "[::1:80", "not an address"},
        {"--listen", "[127.0.0.1]:80", "not an address"},
        {"--listen", "unix:", "lacks a path"},
        {"--listen", "127.0.0.1:1,,127.0.0.1:2", "empty item"},
        {"--http-hosts", "[1]", "strings only"},
        {"--data", "a\xFF", "not text"},
        {"--job-keep", "0", "out of range"},
        {"--wrokers", "3", "unknown argument; did you mean --workers?"},
        {"--http-max-bodi=1", "--data=x",
         "--http-max-bodi: unknown argument; did you mean --http-max-body?"},
        {"--data=x", "extra", "extra: unknown argument"},
        {"--data=x", "--workers", "a value must follow"},
        {"--data=x", "--config", "a value must follow"},
        {"--data=x", "--print-confg", "did you mean --print-config?"},
        {"--data=x", "--work=3", "--work: unknown argument"},
        {"--config", "/nonexistent/ganger.conf", "/nonexistent/ganger.conf: No such file"},
        {"--config", "/tmp", "Is a directory"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = {0};
        expect_refusal(LOAD(&err, rows[i][0], rows[i][1]), &err, rows[i][2]);
    }
}

Test(config, values_that_exclude_each_other, .init = clean_environment)
{
    struct err err = {0};
    expect_refusal(LOAD(&err, "--workers", "65"), &err, "pool.max_workers, which is 64");
    expect_refusal(LOAD(&err, "--auth", "none", "--listen", "0.0.0.0:80"), &err, "0.0.0.0:80");
    expect_refusal(LOAD(&err, "--auth", "none", "--listen", "[::]:80"), &err, "[::]:80");
    expect_refusal(LOAD(&err, "--http-max-body", "2MiB", "--http-max-inflight-bytes", "1MiB"), &err,
                   "no body");
    char data[130];
    memset(data, 'd', sizeof(data) - 1);
    data[0] = '/';
    data[sizeof(data) - 1] = '\0';
    expect_refusal(LOAD(&err, "--data", data), &err, "too long for a socket");
    struct config_set *set = LOAD(&err, "--data", data, "--listen", "127.0.0.1:0", "--auth",
                                  "none");
    cr_assert_not_null(set, "without the socket the long path is fine: %s", err.detail);
    config_free(set);
    set = LOAD(&err, "--auth", "none", "--listen", "127.0.0.9:1,[::1]:2,localhost:3,unix:/tmp/x");
    cr_assert_not_null(set, "%s", err.detail);
    config_free(set);
}

Test(config, typos_in_the_environment_do_not_pass, .init = clean_environment)
{
    static const char *const rows[][2] = {
        {"GANGER_POOL_WROKERS", "did you mean GANGER_POOL_WORKERS?"},
        {"GANGER_WORKERS", "did you mean GANGER_POOL_WORKERS?"},
        {"GANGER_LISTN", "did you mean GANGER_LISTEN?"},
        {"GANGER_SYNC", "did you mean GANGER_STORE_SYNC?"},
        {"GANGER_STORE_NONSENSE", "no option has this variable"},
        {"GANGER_HTTP_MAX_BODY_SIZE", "no option has this variable"},
    };
    struct err err = {0};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        (void)setenv(rows[i][0], "1", 1);
        expect_refusal(load(0, NULL, &err), &err, rows[i][1]);
        cr_assert_eq(strncmp(err.detail, rows[i][0], strlen(rows[i][0])), 0, "%s", err.detail);
        (void)unsetenv(rows[i][0]);
    }
    static const char *const foreign[] = {
        "GANGER_URL",
        "GANGER_TOKEN",
        "GANGER_TOKEN_FILE",
        "GANGER_FP",
        "GANGER_BUG",
        "GANGER_JOB_ID",
        "GANGER_JOB_NAME",
        "GANGER_ATTEMPT",
        "GANGER_RUN",
        "GANGER_TEST_URL",
        "GANGER_SERVICE_HOST",
        "GANGER_SERVICE_PORT",
        "GANGER_PORT",
        "GANGER_PORT_7411_TCP_ADDR",
        "GANGER_HTTP_SERVICE_HOST",
        "GANGER_OPERATOR_NAMESPACE",
    };
    for (size_t i = 0; i < ARRAY_LEN(foreign); i++)
        (void)setenv(foreign[i], "x", 1);
    struct config_set *set = load(0, NULL, &err);
    cr_assert_not_null(set, "%s", err.detail);
    config_free(set);
}

Test(config_file, what_is_refused_names_its_line, .init = clean_environment)
{
    static const char *const rows[][2] = {
        {"[pool]\nworkers = 3\nworkers = 4\n", "text, line 3: the key was given before"},
        {"[pool]\nworkers = 3\n[http]\n[pool]\nworkers = 4\n", "line 5: the key was given before"},
        {"\n\n[pol]\n", "line 3: unknown section"},
        {"[functions f]\ncommand = [\"true\"]\n", "line 1: unknown section"},
        {"[]\n", "line 1: unknown section"},
        {"[pool\nworkers = 3\n", "line 1: unknown section"},
        {"[pool] workers = 3\n", "line 1: unknown section"},
        {"# x\n[pool]\nworker = 3\n",
         "line 3: unknown option pool.worker; did you mean pool.workers?"},
        {"[pool]\nlisten = x\n", "line 2: unknown option pool.listen"},
        {"workers = 3\n", "line 1: 'workers' stands before any [section]"},
        {"[pool]\nworkers\n", "line 2: not a [section]"},
        {"[pool]\n\nworkers 3\n", "line 3: not a [section]"},
        {"[pool]\n= 3\n", "line 2: unknown option pool."},
        {"[pool]\nworkers = 3 ; three\n", "'3 ; three' is not a number"},
        {"[pool]\nworkers = 3 # three\n", "not a number"},
        {"[pool]\nworkers = 3\n 4\n", "line 2: pool.workers: '3  4' is not a number"},
        {"[pool]\nworkers = \n", "not a number"},
        {"[service]\ndata = \xFF\n", "not UTF-8"},
        {"\xEF\xBB\xBF[pool]\nworkers = 1\n", "line 1"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct err err = {0};
        expect_refusal(config_parse_text(slice_of(rows[i][0]), &err), &err, rows[i][1]);
    }
    struct err err = {0};
    expect_refusal(config_parse_text(SLICE_LIT("[pool]\nworkers = 3\0\n"), &err), &err,
                   "not UTF-8 text");
}

Test(config_file, layout_is_free, .init = clean_environment)
{
    struct err err = {0};
    struct config_set *set = config_parse_text(
        SLICE_LIT("# comment\r\n; another = comment\r\n\r\n[pool]\r\n  workers=3\r\n[ht"
                  "tp]\n   \n\thosts : a.example,\n\t  b.example\n\n# in "
                  "between\nmax_body=2MiB\n[job]\npath ="),
        &err);
    cr_assert_not_null(set, "%s", err.detail);
    const struct config *cfg = config_get(set);
    cr_assert_eq(cfg->pool_workers, 3);
    cr_assert_eq(cfg->http_max_body, 2 << 20);
    cr_assert_eq(cfg->http_hosts.n, 2);
    cr_assert_str_eq(cfg->http_hosts.items[1], "b.example");
    cr_assert_str_eq(cfg->job_path, "");
    config_free(set);
}

/* The three traps of libinih that fail silently when it is used plainly. */
Test(config_file, semicolons_long_lines_and_continuations, .init = clean_environment)
{
    AUTO_BUF struct buf text;
    buf_init(&text, 1 << 20);
    buf_puts(&text, "[http]\nhosts = [\"a ; b\",\n   \"c\",\n\t\"d,e\"]\n[job]\npath = /p;x ;y:");
    for (int i = 0; i < 3000; i++)
        buf_putc(&text, 'z');
    buf_puts(&text, "\ncwd = /after\n");
    struct err err = {0};
    struct config_set *set = config_parse_text(buf_slice(&text), &err);
    cr_assert_not_null(set, "%s", err.detail);
    const struct config *cfg = config_get(set);
    cr_assert_eq(cfg->http_hosts.n, 3);
    cr_assert_str_eq(cfg->http_hosts.items[0], "a ; b");
    cr_assert_str_eq(cfg->http_hosts.items[2], "d,e");
    cr_assert_eq(strncmp(cfg->job_path, "/p;x ;y:zzz", 11), 0);
    cr_assert_eq(strlen(cfg->job_path), 3008);
    cr_assert_str_eq(cfg->job_cwd, "/after");
    config_free(set);
    buf_puts(&text, "[pool]\n");
    for (int i = 0; i < 70000; i++)
        buf_putc(&text, 'z');
    expect_refusal(config_parse_text(buf_slice(&text), &err), &err, "line 9: the line is too long");
}

Test(config_file, the_longest_line_is_exact, .init = clean_environment)
{
    for (size_t len = 65530; len < 65540; len++) {
        AUTO_BUF struct buf text;
        buf_init(&text, 1 << 20);
        buf_puts(&text, "[job]\npath=");
        for (size_t i = 5; i < len; i++)
            buf_putc(&text, 'p');
        buf_puts(&text, "\n[pool]\nworkers=2\n");
        struct err err = {0};
        struct config_set *set = config_parse_text(buf_slice(&text), &err);
        if (set == NULL) {
            cr_assert_not_null(strstr(err.detail, "line 2: the line is too long"), "%zu: %s", len,
                               err.detail);
        } else {
            cr_assert_eq(strlen(config_get(set)->job_path), len - 5, "nothing is cut");
            cr_assert_eq(config_get(set)->pool_workers, 2);
        }
        config_free(set);
    }
}
