/* SPDX-License-Identifier: MIT */
#include "cli/target.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "service/base/buf.h"
#include "service/base/config.h"

#define FILE_MAX 4096u /* a token and a URL are far shorter */

static char *text_printf(const char *fmt, ...) PRINTF_LIKE(1, 2);
static char *text_printf(const char *fmt, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, fmt);
    int len = vasprintf(&text, fmt, args);
    va_end(args);
    PRE(len >= 0 && text != NULL);
    return text;
}

/* First line of a small file, without white space at its ends. NULL with errno when unreadable. */
static char *file_line(const char *path)
{
    int AUTO_CLOSE fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    char text[FILE_MAX];
    ssize_t n = read(fd, text, sizeof(text) - 1);
    if (n < 0)
        return NULL;
    text[n] = '\0';
    const char *start = text + strspn(text, " \t\r\n");
    return text_printf("%.*s", (int)strcspn(start, " \t\r\n"), start);
}

static const char *env_of(const char *name)
{
    const char *value = getenv(name);
    return value == NULL || value[0] == '\0' ? NULL : value;
}

static bool starts_with(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

/* True for an address that cannot leave this machine: the token of the data directory may be sent
 * there unasked. Anywhere else it would be handed to a stranger. */
static bool url_is_local(const char *url)
{
    const char *host = strstr(url, "://");
    if (host == NULL)
        return false;
    host += 3;
    size_t len = strcspn(host, "/?#");
    if (memchr(host, '@', len) != NULL)
        return false;
    static const char *const locals[] = {"127.0.0.1", "localhost", "[::1]"};
    for (size_t i = 0; i < ARRAY_LEN(locals); i++) {
        size_t n = strlen(locals[i]);
        if (len >= n && strncmp(host, locals[i], n) == 0 && (len == n || host[n] == ':'))
            return true;
    }
    return false;
}

static bool target_use_socket(struct target *t, const char *path, struct err *err)
{
    const size_t max = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;
    if (strlen(path) > max)
        return err_set(err, ERR_INVALID,
                       "the path of the socket is longer than %zu bytes: use GANGER_URL=http://…",
                       max);
    t->socket = text_printf("%s", path);
    t->base = text_printf("http://localhost");
    return true;
}

static bool target_use_url(struct target *t, const char *url, struct err *err)
{
    if (starts_with(url, "unix:"))
        return target_use_socket(t, url + strlen("unix:"), err);
    if (!starts_with(url, "http://") && !starts_with(url, "https://"))
        return err_set(err, ERR_INVALID,
                       "an address is http://HOST:PORT or unix:PATH, not \"%.80s\"", url);
    size_t len = strlen(url);
    while (len > 0 && url[len - 1] == '/')
        len--;
    t->base = text_printf("%.*s", (int)len, url);
    return true;
}

/* The socket of the data directory; when there is none, the URL that the service wrote there. */
static bool target_use_data(struct target *t, const char *data, bool chosen, struct err *err)
{
    AUTO_FREE char *socket_path = text_printf("%s/ganger.sock", data);
    AUTO_FREE char *url_path = text_printf("%s/url", data);
    if (access(socket_path, F_OK) != 0 && errno == EACCES)
        t->advice = text_printf("%s is not for you: set GANGER_URL and GANGER_TOKEN_FILE", data);
    else
        t->advice = text_printf("start one with: ganger serve%s%s; or name another: --data DIR or "
                                "GANGER_URL",
                                chosen ? " --data " : "", chosen ? data : "");
    struct stat st;
    bool has_socket = stat(socket_path, &st) == 0 && S_ISSOCK(st.st_mode);
    AUTO_FREE char *url = has_socket ? NULL : file_line(url_path);
    if (url != NULL && url[0] != '\0')
        return target_use_url(t, url, err);
    return target_use_socket(t, socket_path, err);
}

static bool token_check(const char *token, const char *where, struct err *err)
{
    for (const char *p = token; *p != '\0'; p++) {
        /* RFC 6750, section 2.1: letters, digits and these. Anything else could break the header.
         */
        if (strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/=", *p) ==
            NULL)
            return err_set(err, ERR_INVALID, "what %s holds is not a token", where);
    }
    return true;
}

static bool target_read_token(struct target *t, const char *dir, struct err *err)
{
    AUTO_FREE char *path = text_printf("%s/token", dir);
    t->token = file_line(path); /* none: a service that wants none, or it says 401 */
    return t->token == NULL || token_check(t->token, path, err);
}

/* GANGER_TOKEN and GANGER_TOKEN_FILE. Both belong to the service that the environment names. */
static bool target_ask_environment(struct target *t, struct err *err)
{
    const char *token = env_of("GANGER_TOKEN"), *file = env_of("GANGER_TOKEN_FILE");
    if (token != NULL) {
        t->token = text_printf("%s", token);
        return token_check(t->token, "GANGER_TOKEN", err);
    }
    if (file == NULL)
        return true;
    t->token = file_line(file);
    if (t->token == NULL)
        return err_sys(err, ERR_INVALID, "GANGER_TOKEN_FILE: %.120s", file);
    return token_check(t->token, "the file of GANGER_TOKEN_FILE", err);
}

/* The service that GANGER_URL names. A token that nobody named may go to this machine only; the one
 * of a socket lies beside it. */
static bool target_find_named(struct target *t, const char *url, const char *data, struct err *err)
{
    if (!target_use_url(t, url, err) || !target_ask_environment(t, err))
        return false;
    PRE(t->base != NULL);
    t->advice = text_printf("GANGER_URL names it; is the service running there?");
    if (t->token != NULL)
        return true;
    if (t->socket == NULL)
        return !url_is_local(t->base) || target_read_token(t, data, err);
    const char *slash = strrchr(t->socket, '/');
    AUTO_FREE char *dir = slash == NULL ? text_printf(".")
                                        : text_printf("%.*s", (int)(slash - t->socket), t->socket);
    return target_read_token(t, dir, err);
}

bool target_find(const char *data_option, struct target *ret, struct err *err)
{
    struct target t = {0};
    const char *url = data_option == NULL ? env_of("GANGER_URL") : NULL;
    const char *chosen = data_option != NULL ? data_option : env_of("GANGER_DATA");
    AUTO_FREE char *data = chosen != NULL ? text_printf("%s", chosen) : config_default_data();
    bool found = false;
    if (url != NULL)
        found = target_find_named(&t, url, data, err);
    else /* --data means that service, whatever the environment says of another one */
        found = target_use_data(&t, data, chosen != NULL, err) &&
                (data_option != NULL || target_ask_environment(&t, err)) &&
                (t.token != NULL || target_read_token(&t, data, err));
    if (!found) {
        target_release(&t);
        return false;
    }
    *ret = t;
    return true;
}

void target_release(struct target *target)
{
    free(target->base);
    free(target->socket);
    free(target->token);
    free(target->advice);
    *target = (struct target){0};
}
