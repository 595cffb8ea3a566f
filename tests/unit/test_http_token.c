/* SPDX-License-Identifier: MIT */
#include "api/token.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <sys/stat.h>

struct place {
    char dir[64], path[80];
};

static struct place make_place(void)
{
    struct place p = {.dir = "/tmp/ganger-token-XXXXXX"};
    cr_assert_not_null(mkdtemp(p.dir));
    (void)snprintf(p.path, sizeof p.path, "%s/token", p.dir);
    return p;
}

static void remove_place(const struct place *p)
{
    (void)unlink(p->path);
    (void)rmdir(p->dir);
}

static void write_token(const struct place *p, const char *text, mode_t mode)
{
    AUTO_CLOSE int fd = open(p->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    cr_assert_geq(fd, 0);
    cr_assert_eq(fchmod(fd, mode), 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

static enum err_code open_code(const struct place *p)
{
    struct token_store store;
    struct err err = {0};
    return token_open(p->dir, AUTH_TOKEN, &store, &err) ? ERR_NONE : err.code;
}

Test(http_token, is_made_once_and_lets_its_holder_in)
{
    struct place p = make_place();
    struct token_store first, second;
    struct principal who = {0};
    struct err err = {0};
    struct stat st;
    char header[300] = "Bearer ";
    cr_assert(token_open(p.dir, AUTH_TOKEN, &first, &err), "%s", err.detail);
    cr_assert(token_open(p.dir, AUTH_TOKEN, &second, &err), "%s", err.detail);
    cr_assert_arr_eq(first.first.id, second.first.id, 32, "the second start reads it");
    cr_assert_eq(stat(p.path, &st), 0);
    cr_assert_eq(st.st_mode & 0777, 0600);
    AUTO_CLOSE int fd = open(p.path, O_RDONLY | O_CLOEXEC);
    ssize_t n = read(fd, header + 7, 200);
    cr_assert_eq(n, 65, "256 bits in hexadecimal and a line's end");
    header[7 + 64] = '\0';
    cr_assert(token_find(&first, slice_of(header), &who, &err));
    for (int s = SCOPE_NOBODY; s < SCOPE_COUNT; s++)
        cr_assert(token_allows(&who, (enum scope)s), "%s", scope_name((enum scope)s));
    header[0] = 'b';
    cr_assert(token_find(&first, slice_of(header), &who, &err), "a scheme has no case (RFC 9110)");
    header[7] = header[7] == '0' ? '1' : '0';
    cr_assert_not(token_find(&first, slice_of(header), &who, &err));
    cr_assert_eq(err.code, ERR_UNAUTHORIZED);
    remove_place(&p);
}

Test(http_token, nothing_else_lets_anybody_in)
{
    static const char *const headers[] = {
        NULL,
        "",
        "Bearer",
        "Bearer ",
        "Basic YTpi",
        "Bearer x",
        "Bearer 0000000000000000000000000000000000000000000000000000000000000000",
    };
    struct place p = make_place();
    struct token_store store;
    struct err err = {0};
    cr_assert(token_open(p.dir, AUTH_TOKEN, &store, &err));
    for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
        struct principal who = {0};
        cr_assert_not(token_find(&store, slice_of(headers[i]), &who, &err), "%s", headers[i]);
        cr_assert_eq(err.code, ERR_UNAUTHORIZED);
        cr_assert_eq(who.scopes, 0);
    }
    cr_assert(token_open(p.dir, AUTH_NONE, &store, &err));
    struct principal who = {0};
    cr_assert(token_find(&store, (struct slice){0}, &who, &err));
    cr_assert(token_allows(&who, SCOPE_EXEC));
    remove_place(&p);
}

Test(http_token, a_file_that_keeps_no_secret_is_refused)
{
    static const char good[] = "0123456789abcdef0123456789abcdef";
    struct place p = make_place();
    write_token(&p, good, 0600);
    cr_assert_eq(open_code(&p), ERR_NONE, "a token may be brought along");
    write_token(&p, good, 0640);
    cr_assert_eq(open_code(&p), ERR_INVALID, "others can read it");
    write_token(&p, "", 0600);
    cr_assert_eq(open_code(&p), ERR_INVALID, "empty");
    write_token(&p, "secret\n", 0600);
    cr_assert_eq(open_code(&p), ERR_INVALID, "short");
    write_token(&p, "0123456789abcdef 0123456789abcdef", 0600);
    cr_assert_eq(open_code(&p), ERR_INVALID, "a space");
    remove_place(&p);
}
