/* SPDX-License-Identifier: MIT */
#include "api/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>

#define BACKLOG 4096 /* cut by net.core.somaxconn */

struct address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    };
    socklen_t len;
};

static bool malformed(const char *text, struct err *err)
{
    return err_set(
        err, ERR_INVALID,
        "cannot listen on \"%s\": write ADDR:PORT, [ADDR]:PORT, localhost:PORT or unix:PATH", text);
}

/* Numeric addresses only: a name that resolves to something else tomorrow must not open the service
 * to it. */
static bool parse_address(const char *text, struct address *ret, struct err *err)
{
    char host[INET6_ADDRSTRLEN + 1];
    const char *colon = strrchr(text, ':');
    int64_t port;
    if (colon == NULL || !text_to_i64(slice_of(colon + 1), &port) || port < 0 || port > 65535)
        return malformed(text, err);
    size_t len = (size_t)(colon - text);
    bool bracketed = len > 2 && text[0] == '[' && text[len - 1] == ']';
    const char *from = bracketed ? text + 1 : text;
    len -= bracketed ? 2 : 0;
    if (len == 0 || len >= sizeof host)
        return malformed(text, err);
    memcpy(host, from, len);
    host[len] = '\0';
    *ret = (struct address){0};
    if (bracketed) {
        ret->v6 = (struct sockaddr_in6){.sin6_family = AF_INET6,
                                        .sin6_port = htons((uint16_t)port)};
        ret->len = sizeof ret->v6;
        return inet_pton(AF_INET6, host, &ret->v6.sin6_addr) == 1 || malformed(text, err);
    }
    ret->v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    ret->len = sizeof ret->v4;
    const char *number = strcmp(host, "localhost") == 0 ? "127.0.0.1" : host;
    return inet_pton(AF_INET, number, &ret->v4.sin_addr) == 1 || malformed(text, err);
}

static bool is_loopback(const struct address *a)
{
    if (a->any.sa_family == AF_INET)
        return ntohl(a->v4.sin_addr.s_addr) >> 24 == 127;
    return IN6_IS_ADDR_LOOPBACK(&a->v6.sin6_addr);
}

static void write_url(const struct address *a, char *out, size_t size)
{
    char host[INET6_ADDRSTRLEN];
    bool v6 = a->any.sa_family == AF_INET6;
    const void *binary = v6 ? (const void *)&a->v6.sin6_addr : (const void *)&a->v4.sin_addr;
    uint16_t port = ntohs(v6 ? a->v6.sin6_port : a->v4.sin_port);
    PRE(inet_ntop(a->any.sa_family, binary, host, sizeof host) != NULL);
    (void)snprintf(out, size, v6 ? "http://[%s]:%u" : "http://%s:%u", host, port);
}

static bool open_tcp(const char *text, struct listener *ret, struct err *err)
{
    struct address a = {0};
    int one = 1;
    if (!parse_address(text, &a, err))
        return false;
    AUTO_CLOSE int fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_sys(err, ERR_INTERNAL, "open a socket for %s", text);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (a.any.sa_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
    if (bind(fd, &a.any, a.len) != 0 || listen(fd, BACKLOG) != 0 ||
        getsockname(fd, &a.any, &a.len) != 0)
        return err_sys(err, ERR_INTERNAL, "listen on %s", text);
    ret->is_loopback = is_loopback(&a);
    write_url(&a, ret->url, sizeof ret->url);
    ret->fd = steal_fd(&fd);
    return true;
}

/* True when the path is free now. Only a socket that refuses connections is removed. */
static bool clear_path(const struct sockaddr_un *a, struct err *err)
{
    struct stat st;
    if (lstat(a->sun_path, &st) != 0)
        return errno == ENOENT || err_sys(err, ERR_INTERNAL, "look at %s", a->sun_path);
    if (!S_ISSOCK(st.st_mode))
        return err_set(err, ERR_INVALID,
                       "cannot listen on %s: there is something else than a socket", a->sun_path);
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_sys(err, ERR_INTERNAL, "open a socket");
    if (connect(fd, (const struct sockaddr *)(const void *)a, sizeof *a) == 0 ||
        errno != ECONNREFUSED)
        return err_set(err, ERR_INVALID, "cannot listen on %s: another server answers there",
                       a->sun_path);
    return unlink(a->sun_path) == 0 ||
           err_sys(err, ERR_INTERNAL, "remove the left-over socket %s", a->sun_path);
}

static bool open_unix(const char *path, struct listener *ret, struct err *err)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof a.sun_path)
        return err_set(err, ERR_INVALID,
                       "the path of a unix socket has 1 to %zu bytes, this one has %zu: %.120s",
                       sizeof a.sun_path - 1, len, path);
    memcpy(a.sun_path, path, len + 1);
    if (!clear_path(&a, err))
        return false;
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&a, sizeof a) != 0)
        return err_sys(err, ERR_INTERNAL, "bind %s", path);
    /* Nobody can connect before listen(), so nobody gets in by the mode of the umask. */
    if (chmod(path, 0660) != 0 || listen(fd, BACKLOG) != 0)
        return err_sys(err, ERR_INTERNAL, "listen on %s", path);
    memcpy(ret->path, a.sun_path, sizeof ret->path);
    ret->is_unix = ret->is_loopback = true;
    (void)snprintf(ret->url, sizeof ret->url, "unix:%s", path);
    ret->fd = steal_fd(&fd);
    return true;
}

bool listener_open(const char *text, struct listener *ret, struct err *err)
{
    *ret = (struct listener){.kind = FROM_LISTENER, .fd = -1};
    if (strncmp(text, "unix:", 5) == 0)
        return open_unix(text + 5, ret, err);
    return open_tcp(text, ret, err);
}

void listener_close(struct listener *listener)
{
    if (listener->kind != FROM_LISTENER || listener->fd < 0)
        return;
    if (listener->is_unix)
        (void)unlink(listener->path);
    (void)close(listener->fd);
    listener->fd = -1;
}
