/* SPDX-License-Identifier: MIT */
#include "api/token.h"

#include "service/base/hex.h"

#include <errno.h>
#include <fcntl.h>
#include <nettle/sha2.h>
#include <strings.h>
#include <sys/stat.h>

#define TOKEN_RANDOM_BYTES 32
#define TOKEN_CHARS (2 * TOKEN_RANDOM_BYTES)
#define MIN_TOKEN_CHARS 32
#define MAX_TOKEN_CHARS 256

static void digest_of(struct slice secret, uint8_t out[32])
{
    struct sha256_ctx ctx;
    sha256_init(&ctx);
    sha256_update(&ctx, secret.len, (const uint8_t *)secret.ptr);
    sha256_digest(&ctx, 32, out);
}

static void make_secret(char out[TOKEN_CHARS + 1])
{
    uint8_t bytes[TOKEN_RANDOM_BYTES];
    random_bytes(bytes, sizeof bytes);
    hex_put(out, bytes, sizeof bytes);
    out[TOKEN_CHARS] = '\n';
}

/* Written beside its place, synced, then renamed: a crash leaves the whole token or none. The
 * caller holds the data lock, so nobody else writes here. */
static bool make_file(int dir_fd, struct err *err)
{
    char secret[TOKEN_CHARS + 1];
    make_secret(secret);
    (void)unlinkat(dir_fd, "token.new", 0);
    AUTO_CLOSE int fd = openat(dir_fd, "token.new",
                               O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_sys(err, ERR_STORAGE, "create the token file");
    if (!fd_write_all(fd, (struct slice){secret, sizeof secret}) || fsync(fd) != 0)
        return err_sys(err, ERR_STORAGE, "write the token file");
    if (renameat(dir_fd, "token.new", dir_fd, "token") != 0 || fsync(dir_fd) != 0)
        return err_sys(err, ERR_STORAGE, "name the token file");
    return true;
}

static bool is_secret(struct slice s)
{
    if (s.len < MIN_TOKEN_CHARS || s.len > MAX_TOKEN_CHARS)
        return false;
    return text_is_token(s, MAX_TOKEN_CHARS);
}

static bool read_file(int fd, struct principal *ret, struct err *err)
{
    char text[MAX_TOKEN_CHARS + 2];
    struct stat st;
    if (fstat(fd, &st) != 0)
        return err_sys(err, ERR_STORAGE, "look at the token file");
    if (!S_ISREG(st.st_mode) || (st.st_mode & 077) != 0)
        return err_set(err, ERR_INVALID,
                       "The file \"token\" in the data directory must be readable by its owner "
                       "alone (chmod 600)");
    ssize_t n = read(fd, text, sizeof text);
    if (n < 0)
        return err_sys(err, ERR_STORAGE, "read the token file");
    struct slice secret = {text, (size_t)n};
    while (secret.len > 0 &&
           (secret.ptr[secret.len - 1] == '\n' || secret.ptr[secret.len - 1] == '\r'))
        secret.len--;
    if (!is_secret(secret))
        return err_set(err, ERR_INVALID,
                       "The file \"token\" in the data directory must hold %d to %d letters, "
                       "digits, \"_\", \"-\" or \".\"; "
                       "remove it to have a new one made",
                       MIN_TOKEN_CHARS, MAX_TOKEN_CHARS);
    digest_of(secret, ret->id);
    return true;
}

bool token_open(const char *data_dir, enum auth_mode mode, struct token_store *ret, struct err *err)
{
    *ret = (struct token_store){.required = mode == AUTH_TOKEN};
    ret->first.scopes = (1u << SCOPE_COUNT) - 1;
    AUTO_CLOSE int dir_fd = open(data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return err_sys(err, ERR_STORAGE, "open the data directory");
    AUTO_CLOSE int fd = openat(dir_fd, "token", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        if (!make_file(dir_fd, err))
            return false;
        fd = openat(dir_fd, "token", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    }
    if (fd < 0)
        return err_sys(err, ERR_STORAGE, "open the token file");
    return read_file(fd, &ret->first, err);
}

struct slice token_secret(struct slice authorization)
{
    static const char scheme[] = "bearer ";
    const size_t len = sizeof(scheme) - 1;
    if (authorization.len <= len || strncasecmp(authorization.ptr, scheme, len) != 0)
        return (struct slice){0};
    const struct slice secret = {authorization.ptr + len, authorization.len - len};
    return is_secret(secret) ? secret : (struct slice){0};
}

bool token_find(const struct token_store *store, struct slice authorization, struct principal *ret,
                struct err *err)
{
    const struct slice secret = token_secret(authorization);
    uint8_t digest[32] = {0};
    if (!store->required) {
        *ret = (struct principal){.scopes = store->first.scopes};
        return true;
    }
    if (secret.ptr != NULL)
        digest_of(secret, digest);
    if (secret.ptr == NULL || !text_equal_secret(digest, store->first.id, sizeof digest))
        return err_set(err, ERR_UNAUTHORIZED,
                       "Send Authorization: Bearer with the token of the file \"token\" in the "
                       "data directory");
    *ret = store->first;
    return true;
}

bool token_allows(const struct principal *who, enum scope scope)
{
    return scope == SCOPE_NOBODY || (who->scopes >> scope & 1u) != 0;
}
