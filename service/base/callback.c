/* SPDX-License-Identifier: MIT */
#include "service/base/callback.h"

#include <arpa/inet.h>

#include "service/base/address.h"

#define MAX_HOST 253u

bool callback_is_on(const struct config *cfg)
{
    return cfg->callback_hosts.n > 0 || cfg->callback_private_hosts.n > 0;
}

const char *try_outcome_name(enum try_outcome outcome)
{
    static const char *const names[TRY_OUTCOME_COUNT] = {
        [TRY_DELIVERED] = "delivered", [TRY_FAILED] = "failed", [TRY_GAVE_UP] = "gave_up"};
    PRE(outcome < TRY_OUTCOME_COUNT);
    return names[outcome];
}

/* ---- hosts ---- */

/* A name, or an address in its one canonical form. libcurl would also take 0x7f.1, 2130706433 or
 * 0177.0.0.1 for an address; here they are nothing. */
struct host {
    char text[MAX_HOST + 1]; /* lower case, without brackets */
    int family;              /* AF_UNSPEC: a name */
    union {
        struct in_addr v4;
        struct in6_addr v6;
    } address;
};

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool is_alnum(char c)
{
    return (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z');
}

/* Labels of letters, digits, "-" and "_", 1 to 63 bytes each. The last one has a letter first:
 * everything else could be read as a number. */
static bool is_name(const char *text)
{
    const char *label = text;
    for (const char *c = text;; c++) {
        if (*c != '.' && *c != '\0') {
            if (!is_alnum(*c) && *c != '-' && *c != '_')
                return false;
            continue;
        }
        if (c == label || c - label > 63)
            return false;
        if (*c == '\0')
            return !(label[0] >= '0' && label[0] <= '9');
        label = c + 1;
    }
}

static bool host_read(struct slice text, struct host *ret)
{
    *ret = (struct host){.family = AF_UNSPEC};
    if (text.len == 0 || text.len > MAX_HOST)
        return false;
    bool has_brackets = text.ptr[0] == '[' && text.ptr[text.len - 1] == ']';
    if (has_brackets)
        text = (struct slice){text.ptr + 1, text.len - 2};
    for (size_t i = 0; i < text.len; i++)
        ret->text[i] = lower(text.ptr[i]);
    if (inet_pton(AF_INET6, ret->text, &ret->address.v6) == 1) {
        ret->family = AF_INET6;
        (void)inet_ntop(AF_INET6, &ret->address.v6, ret->text, sizeof ret->text);
        return true;
    }
    if (has_brackets)
        return false;
    if (inet_pton(AF_INET, ret->text, &ret->address.v4) == 1) {
        ret->family = AF_INET;
        return true;
    }
    return is_name(ret->text);
}

static bool host_is_public(const struct host *host)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    if (host->family == AF_INET) {
        v4.sin_addr = host->address.v4;
        return address_is_public((const struct sockaddr *)&v4);
    }
    if (host->family == AF_INET6) {
        v6.sin6_addr = host->address.v6;
        return address_is_public((const struct sockaddr *)&v6);
    }
    return true; /* of a name it is known when it has been looked up */
}

/* "*.example.org" is every name below example.org, but not that name itself. */
static bool rule_matches(const char *rule, const struct host *host)
{
    struct host exact;
    if (strncmp(rule, "*.", 2) != 0)
        return host_read(slice_of(rule), &exact) && exact.family == host->family &&
               strcmp(exact.text, host->text) == 0;
    size_t len = strlen(rule + 1), host_len = strlen(host->text);
    if (host->family != AF_UNSPEC || host_len <= len)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (lower(rule[1 + i]) != host->text[host_len - len + i])
            return false;
    }
    return true;
}

static bool list_has(const struct text_list *rules, const struct host *host)
{
    for (uint32_t i = 0; i < rules->n; i++) {
        if (rule_matches(rules->items[i], host))
            return true;
    }
    return false;
}

bool callback_is_host_rule(const char *item)
{
    struct host host;
    if (strncmp(item, "*.", 2) == 0)
        return host_read(slice_of(item + 2), &host) && host.family == AF_UNSPEC;
    return host_read(slice_of(item), &host);
}

/* ---- URLs ---- */

/* The parts that decide where a call goes. Written here and not left to a library: what is refused
 * at the door must be exactly what is never called. */
struct url {
    bool is_https;
    struct slice host; /* IPv6 with its brackets */
    uint32_t port;
};

/* Bytes of RFC 3986 without the fragment's "#"; what else there may be must come escaped. */
static bool has_only_url_bytes(struct slice s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!is_alnum(s.ptr[i]) &&
            (s.ptr[i] == '\0' || strchr("-._~:/?[]@!$&'()*+,;=%", s.ptr[i]) == NULL))
            return false;
    }
    return true;
}

static bool take_prefix(struct slice *s, const char *prefix)
{
    size_t len = strlen(prefix);
    if (s->len < len)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (lower(s->ptr[i]) != prefix[i])
            return false;
    }
    *s = (struct slice){s->ptr + len, s->len - len};
    return true;
}

static bool port_read(struct slice text, uint32_t *ret)
{
    int64_t n;
    if (text.len == 0 || text.len > 5 || !text_to_i64(text, &n) || n < 1 || n > 65535)
        return false;
    *ret = (uint32_t)n;
    return true;
}

static bool authority_read(struct slice text, struct url *ret, struct err *err)
{
    if (memchr(text.ptr, '@', text.len) != NULL)
        return err_set(err, ERR_INVALID, "must not carry a user name or password");
    size_t host_len = 0;
    const char *bracket = text.len > 0 && text.ptr[0] == '[' ? memchr(text.ptr, ']', text.len)
                                                             : NULL;
    if (bracket != NULL)
        host_len = (size_t)(bracket - text.ptr) + 1;
    while (host_len < text.len && text.ptr[host_len] != ':')
        host_len++;
    ret->host = (struct slice){text.ptr, host_len};
    ret->port = ret->is_https ? 443 : 80;
    if (host_len == text.len)
        return true;
    return port_read((struct slice){text.ptr + host_len + 1, text.len - host_len - 1},
                     &ret->port) ||
           err_set(err, ERR_INVALID, "has a port that is none; ports are 1 to 65535");
}

static bool url_read(struct slice text, struct url *ret, struct err *err)
{
    *ret = (struct url){0};
    if (text.len > CALLBACK_MAX_URL)
        return err_set(err, ERR_INVALID, "must have at most %u bytes", CALLBACK_MAX_URL);
    if (memchr(text.ptr, '#', text.len) != NULL)
        return err_set(err, ERR_INVALID, "must not have a fragment (\"#\")");
    if (!has_only_url_bytes(text))
        return err_set(err, ERR_INVALID,
                       "has bytes that no URL may have; escape them (RFC 3986) with \"%%\"");
    ret->is_https = take_prefix(&text, "https://");
    if (!ret->is_https && !take_prefix(&text, "http://"))
        return err_set(err, ERR_INVALID, "must begin with https://");
    size_t len = 0;
    while (len < text.len && text.ptr[len] != '/' && text.ptr[len] != '?')
        len++;
    return authority_read((struct slice){text.ptr, len}, ret, err);
}

bool callback_check(const struct config *cfg, struct slice text, struct callback_target *ret,
                    struct err *err)
{
    struct url url;
    struct host host;
    if (!callback_is_on(cfg))
        return err_set(err, ERR_INVALID,
                       "Callbacks are off here; the option callbacks.hosts names who may be "
                       "called");
    if (!url_read(text, &url, err))
        return false;
    if (!host_read(url.host, &host))
        return err_set(err, ERR_INVALID,
                       "must name its host by a name or by an address in plain form");
    ret->is_private = list_has(&cfg->callback_private_hosts, &host);
    if (!ret->is_private && !list_has(&cfg->callback_hosts, &host))
        return err_set(err, ERR_INVALID,
                       "names a host that the options callbacks.hosts and "
                       "callbacks.private_hosts do not list");
    if (!ret->is_private && !url.is_https)
        return err_set(err, ERR_INVALID,
                       "must begin with https://; http is for hosts of the option "
                       "callbacks.private_hosts");
    if (!ret->is_private && !host_is_public(&host))
        return err_set(err, ERR_INVALID,
                       "names an address that is not public; only the option "
                       "callbacks.private_hosts can allow it");
    bool v6 = host.family == AF_INET6;
    (void)snprintf(ret->receiver, sizeof ret->receiver, "%s://%s%s%s:%u",
                   url.is_https ? "https" : "http", v6 ? "[" : "", host.text, v6 ? "]" : "",
                   url.port);
    return true;
}
