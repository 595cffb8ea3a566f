/* SPDX-License-Identifier: MIT */
#include "api/routes.h"

#include <criterion/criterion.h>
#include <fcntl.h>

static struct route_match match(enum method method, const char *path)
{
    struct route_match m;
    route_match(method, slice_of(path), &m);
    return m;
}

/* The pattern with every {x} filled in. */
static void fill_path(const char *pattern, char *out, size_t size)
{
    size_t at = 0;
    for (const char *p = pattern; *p != '\0' && at + 2 < size; p++) {
        if (*p == '{') {
            out[at++] = 'x';
            out[at++] = '7';
            p = strchr(p, '}');
        } else {
            out[at++] = *p;
        }
    }
    out[at] = '\0';
}

Test(routes, every_row_finds_itself)
{
    for (size_t i = 0; i < n_routes; i++) {
        char path[128];
        fill_path(routes[i].path, path, sizeof path);
        struct route_match m = match(routes[i].method, path);
        cr_assert_eq(m.route, &routes[i], "%s %s is hidden by an earlier row",
                     gate_method_name(routes[i].method), routes[i].path);
        cr_assert_not_null(routes[i].handler);
        cr_assert_gt(strlen(routes[i].summary), 10, "%s", routes[i].path);
        cr_assert_neq(routes[i].answers[0].status, 0, "%s", routes[i].path);
        cr_assert_eq((routes[i].body & (BODY_JSON | BODY_NDJSON)) != 0, routes[i].request != NULL,
                     "%s", routes[i].path);
    }
}

Test(routes, arguments_are_cut_out)
{
    struct route_match m = match(METHOD_GET, "/v1/jobs/0199-abc/result");
    cr_assert_not_null(m.route);
    cr_assert_str_eq(m.route->path, "/v1/jobs/{id}/result");
    cr_assert(slice_is(m.args[0], "0199-abc"));
}

Test(routes, unknown_paths_are_not_found)
{
    static const char *const paths[] = {
        "",
        "/",
        "//",
        "/v1",
        "/v1/",
        "/v1/jobs/",
        "/v1//jobs",
        "/v1/jobs/a/",
        "/v1/jobs/a/nope",
        "/v1/jobs/%2e%2e",
        "/v1/jobs/a%00",
        "/v1/jobs/a/../b",
        "/v1/jobs/a b",
        "/V1/jobs",
        "/v1/jobs/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "/v1/batch",
        "/v1/jobsx",
        "v1/jobs",
    };
    for (size_t i = 0; i < ARRAY_LEN(paths); i++)
        cr_assert_eq(match(METHOD_GET, paths[i]).methods, 0, "%s", paths[i]);
}

Test(routes, other_methods_are_told)
{
    struct route_match m = match(METHOD_PUT, "/v1/jobs");
    AUTO_BUF struct buf allow = {0};
    buf_init(&allow, 128);
    cr_assert_null(m.route);
    route_write_allow(m.methods, &allow);
    cr_assert(slice_is(buf_slice(&allow), "GET, HEAD, POST"), "%.*s", (int)allow.len, allow.ptr);
    cr_assert_null(match(METHOD_OTHER, "/v1/jobs").route);
    cr_assert_neq(match(METHOD_OTHER, "/v1/jobs").methods, 0);
}

Test(routes, head_is_get)
{
    struct route_match m = match(METHOD_HEAD, "/v1/pool");
    cr_assert_not_null(m.route);
    cr_assert_eq(m.route->method, METHOD_GET);
    cr_assert_null(match(METHOD_HEAD, "/v1/jobs/x/cancel").route);
}

Test(routes, nothing_but_health_is_open)
{
    for (size_t i = 0; i < n_routes; i++) {
        bool is_health = strcmp(routes[i].path, "/livez") == 0 ||
                         strcmp(routes[i].path, "/readyz") == 0;
        cr_assert_eq(routes[i].scope == SCOPE_NOBODY, is_health, "%s", routes[i].path);
        /* Two only read: what they ask for does not fit into an address. */
        bool reads = routes[i].method == METHOD_GET || strcmp(routes[i].path, "/v1/wait") == 0 ||
                     strcmp(routes[i].path, "/v1/as-completed") == 0;
        cr_assert(reads ? routes[i].scope <= SCOPE_READ : routes[i].scope > SCOPE_READ, "%s",
                  routes[i].path);
    }
}
