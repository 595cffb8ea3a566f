/* SPDX-License-Identifier: MIT */
#include "service/signature.h"

#include "service/base/base64.h"

#include <errno.h>
#include <fcntl.h>
#include <nettle/hmac.h>
#include <sys/stat.h>

#define PREFIX "whsec_"
#define MAX_FILE 4096
#define FRESH_BYTES 32

/* ---- keys ---- */

static bool key_parse(struct slice line, struct signing_keys *keys, struct err *err)
{
    char bytes[BASE64_MAX_BYTES(MAX_FILE)];
    size_t n = 0, skip = sizeof PREFIX - 1;
    bool sound = line.len > skip && memcmp(line.ptr, PREFIX, skip) == 0 &&
                 base64_decode((struct slice){line.ptr + skip, line.len - skip}, bytes, &n) &&
                 n >= SIGNING_MIN_BYTES && n <= SIGNING_MAX_BYTES;
    if (sound && keys->n < SIGNING_MAX_KEYS) {
        memcpy(keys->items[keys->n].bytes, bytes, n);
        keys->items[keys->n++].len = n;
    }
    explicit_bzero(bytes, sizeof bytes);
    return sound || err_set(err, ERR_INVALID,
                            "Each line of the file of callbacks.secret_file is " PREFIX
                            " and %u to %u bytes in base64",
                            SIGNING_MIN_BYTES, SIGNING_MAX_BYTES);
}

bool signing_keys_parse(struct slice text, struct signing_keys *ret, struct err *err)
{
    size_t n_lines = 0;
    *ret = (struct signing_keys){0};
    while (text.len > 0) {
        const char *end = memchr(text.ptr, '\n', text.len);
        struct slice line = {text.ptr, end == NULL ? text.len : (size_t)(end - text.ptr)};
        size_t used = end == NULL ? line.len : line.len + 1;
        text = (struct slice){text.ptr + used, text.len - used};
        if (line.len > 0 && line.ptr[line.len - 1] == '\r')
            line.len--;
        if (line.len == 0)
            continue;
        n_lines++;
        if (!key_parse(line, ret, err))
            return false;
    }
    return (n_lines >= 1 && n_lines <= SIGNING_MAX_KEYS) ||
           err_set(err, ERR_INVALID,
                   "The file of callbacks.secret_file must hold 1 to %u lines; remove it to have "
                   "one made",
                   SIGNING_MAX_KEYS);
}

void signing_keys_wipe(struct signing_keys *keys)
{
    explicit_bzero(keys, sizeof *keys);
}

/* ---- the file ---- */

static bool write_fresh(int fd)
{
    uint8_t bytes[FRESH_BYTES];
    char line[sizeof PREFIX + BASE64_SIZE(FRESH_BYTES)] = PREFIX;
    random_bytes(bytes, sizeof bytes);
    base64_encode((struct slice){(const char *)bytes, sizeof bytes}, line + sizeof PREFIX - 1);
    line[sizeof line - 1] = '\n';
    bool ok = fd_write_all(fd, (struct slice){line, sizeof line}) && fsync(fd) == 0;
    explicit_bzero(bytes, sizeof bytes);
    explicit_bzero(line, sizeof line);
    return ok;
}

/* Written beside its place, synced, then renamed: a crash leaves the whole secret or none. The
 * data lock keeps others away. */
static bool make_file(const char *path, struct err *err)
{
    AUTO_FREE char *fresh = NULL;
    if (asprintf(&fresh, "%s.new", path) < 0)
        return err_set(err, ERR_INTERNAL, "out of memory");
    (void)unlink(fresh);
    AUTO_CLOSE int fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_sys(err, ERR_STORAGE, "create %s", fresh);
    if (!write_fresh(fd) || rename(fresh, path) != 0)
        return err_sys(err, ERR_STORAGE, "write %s", path);
    char *slash = strrchr(fresh, '/');
    if (slash != NULL)
        slash[slash == fresh ? 1 : 0] = '\0';
    AUTO_CLOSE int dir_fd = open(slash == NULL ? "." : fresh, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return (dir_fd >= 0 && fsync(dir_fd) == 0) || err_sys(err, ERR_STORAGE, "sync %s", path);
}

static bool read_file(int fd, const char *path, struct signing_keys *ret, struct err *err)
{
    char text[MAX_FILE];
    struct stat st;
    if (fstat(fd, &st) != 0)
        return err_sys(err, ERR_STORAGE, "look at %s", path);
    if (!S_ISREG(st.st_mode) || (st.st_mode & 077) != 0)
        return err_set(err, ERR_INVALID,
                       "%s must be a file that its owner alone can read (chmod 600)", path);
    ssize_t n = read(fd, text, sizeof text);
    if (n < 0)
        return err_sys(err, ERR_STORAGE, "read %s", path);
    bool ok = (size_t)n < sizeof text
                  ? signing_keys_parse((struct slice){text, (size_t)n}, ret, err)
                  : err_set(err, ERR_INVALID, "%s is too long", path);
    explicit_bzero(text, sizeof text);
    return ok;
}

bool signing_keys_open(const char *path, struct signing_keys *ret, bool *ret_made, struct err *err)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    *ret_made = fd < 0 && errno == ENOENT;
    if (*ret_made) {
        if (!make_file(path, err))
            return false;
        fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    }
    if (fd < 0)
        return err_sys(err, ERR_STORAGE, "open %s", path);
    return read_file(fd, path, ret, err);
}

/* ---- signing ---- */

static void sign(const uint8_t *key, size_t len, const struct signed_message *message,
                 struct buf *out)
{
    struct hmac_sha256_ctx ctx;
    uint8_t digest[SHA256_DIGEST_SIZE];
    char head[160], text[BASE64_SIZE(SHA256_DIGEST_SIZE)];
    int n = snprintf(head, sizeof head, "%s.%lld.", message->id, (long long)message->timestamp_s);
    PRE(n > 0 && n < (int)sizeof head);
    hmac_sha256_set_key(&ctx, len, key);
    hmac_sha256_update(&ctx, (size_t)n, (const uint8_t *)head);
    hmac_sha256_update(&ctx, message->body.len, (const uint8_t *)message->body.ptr);
    hmac_sha256_digest(&ctx, sizeof digest, digest);
    base64_encode((struct slice){(const char *)digest, sizeof digest}, text);
    explicit_bzero(&ctx, sizeof ctx);
    buf_puts(out, "v1,");
    buf_append(out, text, sizeof text);
}

void signature_write(const struct signing_keys *keys, const struct signed_message *message,
                     struct buf *out)
{
    for (size_t i = 0; i < keys->n; i++) {
        if (i > 0)
            buf_putc(out, ' ');
        sign(keys->items[i].bytes, keys->items[i].len, message, out);
    }
}
